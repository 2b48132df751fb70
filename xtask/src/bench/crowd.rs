//! What many containers or ports cost, and lists and restarts among them.

use std::io;
use std::time::{Duration, Instant};

use gantry_rig::{Kind, images};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::json;

use super::api::Api;
use super::rows::{Pair, Rig, body, settle, sleeper, sleeper_body, timed};
use super::sample::median;

/// Starts of ours beside one running container, and beside a crowd. The quiet samples are taken
/// before and after the crowd, so that a machine that changes its pace shows in both.
pub(crate) fn start(rig: &Rig) -> io::Result<Pair> {
    let body = body(&["true"], "bridge");
    let mut api = Api::connect(&rig.gantry.client())?;
    let take = |api: &mut Api, samples: &mut Vec<f64>| -> io::Result<()> {
        settle();
        for _ in 0..rig.times(40) {
            let id = api.create(&body)?;
            samples.push(timed(|| api.start(&id))?);
            api.wait(&id)?;
            api.remove(&id, false)?;
            // The pool of namespaces fills up between starts.
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    sleeper(&mut api, &json!({}))?;
    take(&mut api, &mut alone)?;
    let crowd: Vec<String> =
        (1..rig.many()).map(|_| sleeper(&mut api, &json!({}))).collect::<io::Result<_>>()?;
    take(&mut api, &mut beside)?;
    for id in crowd {
        api.remove(&id, true)?;
    }
    take(&mut api, &mut alone)?;
    Ok(Pair { reference: median(&mut alone), gantry: median(&mut beside) })
}

/// Ours with one published port and with 200, in turn.
pub(crate) fn ports(rig: &Rig, removal: bool) -> io::Result<Pair> {
    let mut api = Api::connect(&rig.gantry.client())?;
    let mut sample = |count: u32| -> io::Result<f64> {
        let bindings: serde_json::Map<_, _> =
            (0..count).map(|port| (format!("{}/tcp", 1000 + port), json!([{}]))).collect();
        let extra = json!({"HostConfig": {"PortBindings": bindings}});
        let id = api.create(&sleeper_body(&extra))?;
        let start = timed(|| api.start(&id))?;
        let remove = timed(|| api.remove(&id, true))?;
        std::thread::sleep(Duration::from_millis(50));
        Ok(if removal { remove } else { start })
    };
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..rig.times(20) {
        one.push(sample(1)?);
        many.push(sample(200)?);
    }
    Ok(Pair { reference: median(&mut one), gantry: median(&mut many) })
}

/// From the death of the container's process, as the kernel tells it to a thread that watches it,
/// to the answer of `wait`; 0 when the answer is there before that thread has woken up.
pub(crate) fn wait_latency(rig: &Rig) -> io::Result<Pair> {
    rig.alternate(rig.times(15), |daemon| {
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        let id = sleeper(&mut api, &json!({}))?;
        let pid = client.inspect(&id)["State"]["Pid"].as_i64().unwrap_or(0);
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| io::Error::other("no pid"))?;
        let pidfd = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
        let waiter = {
            let id = id.clone();
            std::thread::spawn(move || api.wait(&id).map(|_| Instant::now()))
        };
        let signal = pidfd.try_clone()?;
        let mourner = std::thread::spawn(move || {
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            rustix::event::poll(&mut fds, None).map(|_| Instant::now())
        });
        std::thread::sleep(Duration::from_millis(100));
        rustix::process::pidfd_send_signal(&signal, Signal::KILL)?;
        let died = mourner.join().map_err(|_| io::Error::other("mourner panicked"))??;
        let answered = waiter.join().map_err(|_| io::Error::other("waiter panicked"))??;
        Api::connect(&client)?.remove(&id, true)?;
        Ok(answered.saturating_duration_since(died).as_secs_f64())
    })
}

pub(crate) fn list(rig: &Rig) -> io::Result<Pair> {
    for daemon in [&rig.docker, &rig.gantry] {
        let mut api = Api::connect(&daemon.client())?;
        for _ in 0..rig.many() {
            api.create(&body(&["true"], "none"))?;
        }
    }
    rig.alternate(rig.times(20), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        timed(|| api.call("GET", "/containers/json?all=1", ""))
    })
}

/// From the daemon's start to its first answer, with a crowd of exited containers to find.
pub(crate) fn restart(rig: &Rig) -> io::Result<Pair> {
    let measure = |kind| -> io::Result<f64> {
        let mut daemon = super::daemon(kind)?;
        images::import_busybox(&daemon.client())?;
        let mut api = Api::connect(&daemon.client())?;
        for _ in 0..rig.many() {
            let id = api.create(&body(&["true"], "none"))?;
            api.start(&id)?;
            api.wait(&id)?;
        }
        drop(api);
        let mut samples = Vec::new();
        for _ in 0..rig.times(3) {
            daemon.stop()?;
            samples.push(daemon.launch()?.as_secs_f64());
        }
        Ok(median(&mut samples))
    };
    Ok(Pair { reference: measure(Kind::Docker)?, gantry: measure(Kind::Gantry)? })
}
