//! Memory: proportional set sizes, which share out what processes have in common.

use std::io;
use std::time::Duration;

use gantry_rig::Daemon;
use serde_json::json;

use super::api::Api;
use super::rows::{Pair, Rig, sleeper};
use super::sample::pss_bytes;

/// What each of many running containers adds.
pub(crate) fn running(rig: &Rig, with_port: bool) -> io::Result<Pair> {
    rig.both(|daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let before = pss_bytes(&engine_pids(daemon));
        for _ in 0..rig.many() {
            let extra = if with_port {
                json!({
                    "ExposedPorts": {"80/tcp": {}},
                    "HostConfig": {"PortBindings": {"80/tcp": [{}]}},
                })
            } else {
                json!({})
            };
            sleeper(&mut api, &extra)?;
        }
        std::thread::sleep(Duration::from_secs(1));
        let used = pss_bytes(&engine_pids(daemon)) - before;
        daemon.remove_containers();
        Ok(used / f64::from(rig.many()))
    })
}

/// How long nothing is asked of a daemon that is idle.
const IDLE: Duration = Duration::from_secs(15);

/// The daemon, fresh or as other rows have left it, with no container, when it was left alone.
pub(crate) fn idle(rig: &Rig) -> io::Result<Pair> {
    std::thread::sleep(IDLE);
    rig.both(|daemon| Ok(pss_bytes(&engine_pids(daemon))))
}

/// The daemon and all that it started, but for the containers' own processes.
pub(crate) fn engine_pids(daemon: &Daemon) -> Vec<u32> {
    let mut pids = daemon.pids();
    pids.extend(gantry_rig::daemon::processes_of(&daemon.root));
    pids.sort_unstable();
    pids.dedup();
    pids.retain(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !line.starts_with(b"sleep\0") && Some(*pid) != daemon.netns_pid()
    });
    pids
}
