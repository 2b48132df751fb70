//! The way of one container, from the request to its removal.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_rig::{Client, Daemon, Kind, Ran, images};
use serde_json::json;

use super::api::Api;
use super::rows::{Pair, Rig, body, plain_client, sleeper, timed};
use super::sample::{Meter, median};

fn one_cycle(api: &mut Api, body: &str) -> io::Result<()> {
    let id = api.create(body)?;
    api.start(&id)?;
    api.wait(&id)?;
    api.remove(&id, false)
}

pub(crate) fn cycle(rig: &Rig, network: &str) -> io::Result<Pair> {
    let body = body(&["true"], network);
    rig.alternate(rig.times(30), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        timed(|| one_cycle(&mut api, &body))
    })
}

/// Each command line against its own daemon.
pub(crate) fn by_cli(rig: &Rig) -> io::Result<Pair> {
    let gantry = gantry_rig::daemon::gantry_binary()?;
    rig.alternate(rig.times(20), |daemon| {
        let program = match daemon.kind {
            Kind::Docker => PathBuf::from("docker"),
            Kind::Gantry => gantry.clone(),
        };
        let client = plain_client(daemon);
        timed(|| done(&client.run(&program, &["run", "--rm", "busybox", "true"], None)))
    })
}

/// An error unless a command went well.
fn done(ran: &Ran) -> io::Result<()> {
    if ran.code == 0 { Ok(()) } else { Err(io::Error::other(ran.stderr.clone())) }
}

/// Runs `count` containers, 8 at once, and gives the seconds that took.
fn storm_of(client: &Client, count: u32) -> io::Result<f64> {
    let body = body(&["true"], "bridge");
    timed(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut api = Api::connect(client)?;
                        (0..count / 8).try_for_each(|_| one_cycle(&mut api, &body))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().map_err(|_| io::Error::other("a worker panicked"))?
            })
        })
    })
}

/// Bursts in turn; ours are longer, so that no pool can hold all that they need.
pub(crate) fn storm(rig: &Rig) -> io::Result<Pair> {
    rig.alternate(rig.times(3), |daemon| {
        let count = match (rig.smoke, daemon.kind) {
            (true, _) => 16,
            (false, Kind::Docker) => 40,
            (false, Kind::Gantry) => 240,
        };
        Ok(f64::from(count) / storm_of(&daemon.client(), count)?)
    })
}

/// What one container costs the machine: the engine, its helpers, the container and the kernel's
/// own threads, each by its own clock, so that what else the machine does is not counted.
pub(crate) fn cpu(rig: &Rig) -> io::Result<Pair> {
    let body = body(&["true"], "bridge");
    let meters = [Meter::new(&rig.docker)?, Meter::new(&rig.gantry)?];
    rig.alternate(rig.times(5), |daemon| {
        let meter = &meters[usize::from(daemon.kind == Kind::Gantry)];
        let mut api = Api::connect(&daemon.client())?;
        let (count, rest) = (rig.times(10), Duration::from_millis(500));
        // The kernel's threads serve others, too: their share in as long a rest is taken off.
        let quiet = meter.used_s(|| {
            std::thread::sleep(rest);
            Ok(())
        })?;
        let begin = std::time::Instant::now();
        let busy = meter.used_s(|| {
            for _ in 0..count {
                one_cycle(&mut api, &body)?;
            }
            // What happens behind the answers belongs to the containers.
            std::thread::sleep(rest);
            Ok(())
        })?;
        let span = begin.elapsed().as_secs_f64();
        Ok((busy - quiet * span / rest.as_secs_f64()) / f64::from(count))
    })
}

/// Both runtimes on one bundle, as processes. crun refuses a host whose version 2 tree is mounted
/// beside version 1 controllers, so both run in a mount namespace that is without it.
pub(crate) fn oci_run(rig: &Rig) -> io::Result<Pair> {
    std::thread::scope(|scope| {
        // Namespaces are a thread's own: only this one and what it starts see the difference.
        let runner = scope.spawn(|| {
            leave_unified_tree()?;
            oci_run_here(rig)
        });
        runner.join().map_err(|_| io::Error::other("the runner panicked"))?
    })
}

fn leave_unified_tree() -> io::Result<()> {
    use rustix::mount::{MountPropagationFlags, UnmountFlags};
    use rustix::thread::UnshareFlags;
    let unified = "/sys/fs/cgroup/unified";
    if !Path::new(unified).is_dir() {
        return Ok(());
    }
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS | UnshareFlags::FS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    rustix::mount::unmount(unified, UnmountFlags::DETACH)?;
    Ok(())
}

fn oci_run_here(rig: &Rig) -> io::Result<Pair> {
    let bundle = rig.gantry.root.join("bundle");
    std::fs::create_dir_all(bundle.join("rootfs"))?;
    tar::Archive::new(&images::busybox_root()?[..]).unpack(bundle.join("rootfs"))?;
    let gantry = gantry_rig::daemon::gantry_binary()?;
    let crun = gantry_rig::daemon::program("crun").ok_or_else(|| io::Error::other("no crun"))?;
    let spec = std::process::Command::new(&crun).arg("spec").current_dir(&bundle).output()?;
    if !spec.status.success() && !bundle.join("config.json").exists() {
        return Err(io::Error::other(String::from_utf8_lossy(&spec.stderr).into_owned()));
    }
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    std::fs::write(&path, config.to_string())?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rig.times(40) {
        let run = |program: &Path, before: &[&str]| -> io::Result<f64> {
            let mut command = std::process::Command::new(program);
            command.args(before).arg("--root").arg(rig.gantry.root.join("oci"));
            command.args(["run", &format!("bench{round}")]).current_dir(&bundle);
            timed(|| done(&gantry_rig::client::finish(command, None)))
        };
        let (a, b) = (run(&crun, &[])?, run(&gantry, &["oci"])?);
        if round > 0 {
            theirs.push(a);
            ours.push(b);
        }
    }
    Ok(Pair { reference: median(&mut theirs), gantry: median(&mut ours) })
}

pub(crate) fn exec(rig: &Rig) -> io::Result<Pair> {
    let sleeper_of = |daemon: &Daemon| sleeper(&mut Api::connect(&daemon.client())?, &json!({}));
    let ids = [sleeper_of(&rig.docker)?, sleeper_of(&rig.gantry)?];
    rig.alternate(rig.times(30), |daemon| {
        let id = &ids[usize::from(daemon.kind == Kind::Gantry)];
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        timed(|| api.exec(&client, id, r#""true""#))
    })
}
