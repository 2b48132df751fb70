//! Bytes in large numbers: images, output, logs.

use std::io;
use std::path::Path;
use std::time::Instant;

use gantry_rig::{Client, images};
use serde_json::json;

use super::api::{Api, hijack};
use super::rows::{Pair, Rig, body, settle, timed};

/// A different image each time, and none removed in between: ext4 looks for a free inode among
/// all that were deleted within a minute or more, and that would be most of what is measured.
pub(crate) fn load(rig: &Rig) -> io::Result<Pair> {
    let times = rig.times(3);
    let files = if rig.smoke { 500 } else { 26_000 };
    let archive = |round: u32| rig.docker.root.join(format!("big{round}.tar"));
    for round in 0..=times {
        let name = format!("big{round}");
        images::large_image(&archive(round), &name, files, u64::from(round))?;
    }
    let mut samples = 0;
    let pair = rig.alternate(times, |daemon| {
        let (client, archive) = (daemon.client(), archive(samples / 2).display().to_string());
        samples += 1;
        settle();
        timed(|| patient(&client, &["load", "-q", "-i", &archive]))
    });
    for round in 0..=times {
        for daemon in [&rig.docker, &rig.gantry] {
            patient(&daemon.client(), &["rmi", "-f", &format!("big{round}")])?;
        }
        std::fs::remove_file(archive(round))?;
    }
    settle();
    pair
}

/// The docker CLI without the rig's limit of time: a busy disk takes what it takes.
fn patient(client: &Client, args: &[&str]) -> io::Result<()> {
    let ran = client.command(Path::new("docker")).args(args).output()?;
    if ran.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&ran.stderr).into_owned()))
}

/// From the first byte to the end of the stream, so that the start does not count.
pub(crate) fn attach(rig: &Rig) -> io::Result<Pair> {
    let mib: u32 = if rig.smoke { 16 } else { 512 };
    rig.alternate(rig.times(3), |daemon| {
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        let script = format!("dd if=/dev/zero bs=1M count={mib} 2>/dev/null");
        let body = json!({"Image": "busybox", "Cmd": ["sh", "-c", script], "AttachStdout": true,
            "HostConfig": {"LogConfig": {"Type": "none"}}});
        let id = api.create(&body.to_string())?;
        let (attached, ready) = std::sync::mpsc::channel();
        let reader = {
            let (client, id) = (client.clone(), id.clone());
            std::thread::spawn(move || {
                let path = format!("/containers/{id}/attach?stream=1&stdout=1");
                hijack(&client, &path, "", || attached.send(()).unwrap_or_default())
            })
        };
        // An error shows in the reader's result.
        let _ = ready.recv();
        api.start(&id)?;
        let seen = reader.join().map_err(|_| io::Error::other("reader panicked"))??;
        if seen.bytes < u64::from(mib) << 20 {
            return Err(io::Error::other(format!(
                "{:?}: only {} bytes came",
                daemon.kind, seen.bytes
            )));
        }
        Ok(f64::from(mib) * f64::from(1 << 20) / seen.span_s)
    })
}

/// From the start to the end of the container; every line is then in the log.
pub(crate) fn log(rig: &Rig) -> io::Result<Pair> {
    let lines: u32 = if rig.smoke { 20_000 } else { 1_000_000 };
    let line = "x".repeat(99);
    let body = body(&["sh", "-c", &format!("yes {line} | head -n {lines}")], "none");
    rig.alternate(rig.times(2), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let id = api.create(&body)?;
        let begin = Instant::now();
        api.start(&id)?;
        api.wait(&id)?;
        let seconds = begin.elapsed().as_secs_f64();
        let log = daemon.client().shell(&format!("docker logs {id} | wc -lc"));
        let words: Vec<&str> = log.stdout.split_whitespace().collect();
        if words != [lines.to_string(), (u64::from(lines) * 100).to_string()] {
            return Err(io::Error::other(format!("{words:?} of {lines} lines")));
        }
        api.remove(&id, true)?;
        settle();
        Ok(f64::from(lines) * 100.0 / seconds)
    })
}
