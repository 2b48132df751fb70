//! Archives that are broken: each is refused with a reason, and nothing of it stays.

use std::io::Write as _;

/// What `docker save` writes, taken apart.
fn saved(client: &gantry_rig::Client) -> Vec<u8> {
    let file = client.socket().with_file_name("saved.tar");
    let path = file.display().to_string();
    let _ = client.docker(&["save", "-o", &path, "busybox"]).ok();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    bytes
}

/// A copy in which every occurrence of `from` is replaced by as many bytes.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut copy = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = copy[at..].windows(from.len()).position(|part| part == from) {
        copy[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
    }
    copy
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    output.stdout
}

/// Files below the daemon's data that hold content or layers.
fn content(daemon: &gantry_rig::Daemon) -> Vec<String> {
    let script = "cd \"$0\" && find content snapshots -mindepth 1 -not -path 'snapshots/trash/*' -not -path '*/busybox/*' | sort";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(daemon.root.join("data"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let good = saved(&client);
    let images = client.docker(&["images", "-aq", "--no-trunc"]).ok().to_owned();
    let before = content(&daemon);
    let packed = gzip(&good);
    let mut flipped = packed.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    // A byte inside the program in the layer: the layer's digest is not what is said of it.
    let mut altered = good.clone();
    let program = altered.windows(4).position(|part| part == b"\x7fELF").unwrap();
    altered[program + 5000] ^= 0xff;
    let cases: &[(&str, Vec<u8>)] = &[
        (
            "noise",
            (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect(),
        ),
        ("nothing", Vec::new()),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("packed, cut", packed[..packed.len() / 2].to_vec()),
        ("packed, a bit flipped", flipped),
        (
            "no manifest",
            replaced(
                &replaced(&good, b"manifest.json", b"manifesd.json"),
                b"index.json",
                b"indux.json",
            ),
        ),
        (
            "manifest is no JSON",
            replaced(
                &replaced(&good, b"[{\"Config\"", b"[[[[[[[[[["),
                b"{\"schemaVersion\"",
                b"[[[[[[[[[[[[[[[[",
            ),
        ),
    ];
    for (what, bytes) in cases {
        let ran = client.docker_with(&["load"], bytes);
        assert_ne!(ran.code, 0, "{what}: {ran:?}");
        assert!(!ran.stderr.trim().is_empty(), "{what}: no reason given");
        assert!(
            !ran.stderr.contains("internal error") && !ran.stderr.contains("EOF\n"),
            "{what}: {ran:?}"
        );
        assert!(client.ping(), "{what}");
        assert_eq!(client.docker(&["images", "-aq", "--no-trunc"]).ok(), images, "{what}");
    }
    for bytes in [&cases[0].1, &cases[2].1] {
        let ran = client.docker_with(&["import", "-", "broken"], bytes);
        assert_ne!(ran.code, 0, "{ran:?}");
    }
    client.eventually("nothing of them stays", std::time::Duration::from_secs(10), |_| {
        content(&daemon) == before
    });
    // A layer that is there already is not read again, so this one needs an empty place.
    let _ = client.docker(&["rmi", "busybox"]).ok();
    let (before, images) = (content(&daemon), client.docker(&["images", "-aq"]));
    let ran = client.docker_with(&["load"], &altered);
    assert!(ran.code != 0 && ran.stderr.contains("digest"), "{ran:?}");
    assert_eq!(client.docker(&["images", "-aq"]), images);
    client.eventually("nothing of it stays", std::time::Duration::from_secs(10), |_| {
        content(&daemon) == before
    });
    assert_eq!(client.docker_with(&["load"], &packed).code, 0);
    assert_eq!(client.docker(&["run", "--rm", "busybox", "echo", "sound"]).ok(), "sound");
}
