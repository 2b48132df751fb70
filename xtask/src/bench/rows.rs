//! The table: what is measured, and what is to be reached.

use std::io;
use std::time::{Duration, Instant};

use gantry_rig::{Client, Daemon, images};
use serde_json::json;

use super::api::{Api, hijack};
use super::sample::{Unit, machine_cpu_s, median, pss_bytes};

/// Both daemons.
pub(crate) struct Rig {
    /// Debian's docker.io.
    pub docker: Daemon,
    /// Ours.
    pub gantry: Daemon,
    /// Few repetitions.
    pub smoke: bool,
}

/// A figure of the reference and ours.
pub(crate) struct Pair {
    /// docker.io's or crun's.
    pub reference: f64,
    /// Ours.
    pub gantry: f64,
}

/// One line of the table.
pub(crate) struct Row {
    /// What is measured.
    pub name: &'static str,
    /// Of both figures.
    pub unit: Unit,
    /// Ours by the reference's: at most this, or at least when more is better.
    pub goal: f64,
    /// Whether a larger figure is the better one.
    pub more_is_better: bool,
    /// Takes the samples.
    pub measure: fn(&Rig) -> io::Result<Pair>,
}

const fn less(
    name: &'static str,
    unit: Unit,
    goal: f64,
    measure: fn(&Rig) -> io::Result<Pair>,
) -> Row {
    Row { name, unit, goal, more_is_better: false, measure }
}

const fn more(
    name: &'static str,
    unit: Unit,
    goal: f64,
    measure: fn(&Rig) -> io::Result<Pair>,
) -> Row {
    Row { name, unit, goal, more_is_better: true, measure }
}

/// Every figure that is promised.
pub(crate) const ROWS: &[Row] = &[
    less("api create+start+wait+remove, bridge", Unit::Seconds, 1.0 / 12.0, |rig| {
        cycle(rig, "bridge")
    }),
    less("api create+start+wait+remove, no network", Unit::Seconds, 1.0 / 12.0, |rig| {
        cycle(rig, "none")
    }),
    less("run --rm busybox true, by each CLI", Unit::Seconds, 0.1, run_by_cli),
    more("containers a second, 8 at once, bridge", Unit::PerSecond, 12.0, storm),
    less("machine cpu per container, bridge", Unit::Seconds, 1.0 / 12.0, cpu),
    less("oci run of a bundle, against crun", Unit::Seconds, 1.1, oci_run),
    less("exec true through the api", Unit::Seconds, 0.25, exec),
    less("pss per running container, 200", Unit::Bytes, 500.0 / 4.1 / 1024.0, |rig| {
        pss(rig, false)
    }),
    less("pss per running container, a port each", Unit::Bytes, 520.0 / 5.7 / 1024.0, |rig| {
        pss(rig, true)
    }),
    less("pss of the idle daemon", Unit::Bytes, 20.0 / 103.0, idle),
    less("load of an image of many files", Unit::Seconds, 0.5, load),
    more("attach throughput", Unit::BytesPerSecond, 2.0, attach),
    more("log of 1,000,000 lines of 100 bytes", Unit::BytesPerSecond, 2.0, log),
    less("start beside 200 running, against beside 1", Unit::Ratio, 1.1, crowded),
    less("200 published ports against 1: start", Unit::Ratio, 2.0, |rig| ports(rig, false)),
    less("200 published ports against 1: removal", Unit::Ratio, 2.0, |rig| ports(rig, true)),
    less("wait answers after the death", Unit::Seconds, 0.05, wait_latency),
    less("list of 200 containers", Unit::Seconds, 0.5, list),
    less("daemon start with 200 exited", Unit::Seconds, 0.1, restart),
];

impl Rig {
    fn times(&self, full: u32) -> u32 {
        if self.smoke { 2 } else { full }
    }

    fn many(&self) -> u32 {
        if self.smoke { 8 } else { 200 }
    }

    /// Takes `times` samples of both in turn, after one that does not count.
    fn alternate(
        &self,
        times: u32,
        mut sample: impl FnMut(&Daemon) -> io::Result<f64>,
    ) -> io::Result<Pair> {
        let (mut docker, mut gantry) = (Vec::new(), Vec::new());
        for round in 0..=times {
            let (theirs, ours) = (sample(&self.docker)?, sample(&self.gantry)?);
            if round > 0 {
                docker.push(theirs);
                gantry.push(ours);
            }
        }
        Ok(Pair { reference: median(&mut docker), gantry: median(&mut gantry) })
    }

    fn both(&self, mut measure: impl FnMut(&Daemon) -> io::Result<f64>) -> io::Result<Pair> {
        Ok(Pair { reference: measure(&self.docker)?, gantry: measure(&self.gantry)? })
    }
}

fn body(command: &[&str], network: &str) -> String {
    json!({"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": network}}).to_string()
}

fn timed<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}

fn one_cycle(api: &mut Api, body: &str) -> io::Result<()> {
    let id = api.create(body)?;
    api.start(&id)?;
    api.wait(&id)?;
    api.remove(&id, false)
}

fn cycle(rig: &Rig, network: &str) -> io::Result<Pair> {
    let body = body(&["true"], network);
    rig.alternate(rig.times(30), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        timed(|| one_cycle(&mut api, &body))
    })
}

fn run_by_cli(rig: &Rig) -> io::Result<Pair> {
    let gantry = gantry_rig::daemon::gantry_binary()?;
    rig.alternate(rig.times(20), |daemon| {
        let program = match daemon.kind {
            gantry_rig::Kind::Docker => std::path::PathBuf::from("docker"),
            gantry_rig::Kind::Gantry => gantry.clone(),
        };
        timed(|| done(&daemon.client().run(&program, &["run", "--rm", "busybox", "true"], None)))
    })
}

fn done(ran: &gantry_rig::Ran) -> io::Result<()> {
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

fn storm(rig: &Rig) -> io::Result<Pair> {
    let per_second = |daemon: &Daemon, count| -> io::Result<f64> {
        Ok(f64::from(count) / storm_of(&daemon.client(), count)?)
    };
    let count = if rig.smoke { 16 } else { 80 };
    let theirs = per_second(&rig.docker, count)?;
    Ok(Pair { reference: theirs, gantry: per_second(&rig.gantry, count * 5)? })
}

fn cpu(rig: &Rig) -> io::Result<Pair> {
    let body = body(&["true"], "bridge");
    rig.both(|daemon| {
        let count = rig.times(40);
        let mut api = Api::connect(&daemon.client())?;
        one_cycle(&mut api, &body)?;
        // What the machine does anyway, over as long a time, is not the containers'.
        let (begin, before) = (Instant::now(), machine_cpu_s());
        for _ in 0..count {
            one_cycle(&mut api, &body)?;
        }
        std::thread::sleep(Duration::from_millis(500));
        let (span, busy) = (begin.elapsed(), machine_cpu_s() - before);
        let idle_before = machine_cpu_s();
        std::thread::sleep(span.min(Duration::from_secs(3)));
        let rest = (machine_cpu_s() - idle_before) * span.as_secs_f64()
            / span.min(Duration::from_secs(3)).as_secs_f64();
        Ok(((busy - rest) / f64::from(count)).max(1e-4))
    })
}

fn oci_run(rig: &Rig) -> io::Result<Pair> {
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
        let run = |program: &std::path::Path, before: &[&str]| -> io::Result<f64> {
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

fn sleeper(api: &mut Api, extra: &serde_json::Value) -> io::Result<String> {
    let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "3600"]});
    if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
        body.extend(extra.clone());
    }
    let id = api.create(&body.to_string())?;
    api.start(&id)?;
    Ok(id)
}

fn exec(rig: &Rig) -> io::Result<Pair> {
    let mut ids = Vec::new();
    for daemon in [&rig.docker, &rig.gantry] {
        ids.push(sleeper(&mut Api::connect(&daemon.client())?, &json!({}))?);
    }
    rig.alternate(rig.times(30), |daemon| {
        let id = if daemon.kind == gantry_rig::Kind::Docker { &ids[0] } else { &ids[1] };
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        timed(|| api.exec(&client, id, r#""true""#))
    })
}

fn pss(rig: &Rig, with_port: bool) -> io::Result<Pair> {
    rig.both(|daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let before = pss_bytes(&engine_pids(daemon));
        for _ in 0..rig.many() {
            let extra = if with_port {
                json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{}]}}})
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

/// The daemon and all that it started, but for the containers' own processes.
fn engine_pids(daemon: &Daemon) -> Vec<u32> {
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

fn idle(rig: &Rig) -> io::Result<Pair> {
    rig.both(|daemon| Ok(pss_bytes(&engine_pids(daemon))))
}

fn load(rig: &Rig) -> io::Result<Pair> {
    let root = rig.docker.root.join("big.tar");
    let files = if rig.smoke { 500 } else { 26_000 };
    images::many_files(std::fs::File::create(&root)?, files, 21_000)?;
    let archive = rig.docker.root.join("image.tar");
    let client = rig.docker.client();
    let (root, archive) = (root.display().to_string(), archive.display().to_string());
    done(&client.docker(&["import", &root, "big"]))?;
    done(&client.docker(&["save", "-o", &archive, "big"]))?;
    done(&client.docker(&["rmi", "-f", "big"]))?;
    rig.alternate(rig.times(3), |daemon| {
        let client = daemon.client();
        let seconds = timed(|| done(&client.docker(&["load", "-q", "-i", &archive])))?;
        done(&client.docker(&["rmi", "-f", "big"]))?;
        Ok(seconds)
    })
}

fn attach(rig: &Rig) -> io::Result<Pair> {
    let mib = if rig.smoke { 16 } else { 512 };
    rig.both(|daemon| {
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        let script = format!("dd if=/dev/zero bs=1M count={mib} 2>/dev/null");
        let body = json!({"Image": "busybox", "Cmd": ["sh", "-c", script], "AttachStdout": true,
            "HostConfig": {"LogConfig": {"Type": "none"}}});
        let id = api.create(&body.to_string())?;
        let reader = {
            let (client, id) = (client.clone(), id.clone());
            std::thread::spawn(move || {
                hijack(&client, &format!("/containers/{id}/attach?stream=1&stdout=1"), "")
            })
        };
        std::thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        api.start(&id)?;
        let bytes = reader.join().map_err(|_| io::Error::other("reader panicked"))??;
        if bytes < mib << 20 {
            return Err(io::Error::other(format!("only {bytes} bytes came")));
        }
        Ok(f64::from(u32::try_from(mib).unwrap_or(0) << 20) / begin.elapsed().as_secs_f64())
    })
}

fn log(rig: &Rig) -> io::Result<Pair> {
    let lines: u32 = if rig.smoke { 20_000 } else { 1_000_000 };
    rig.both(|daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let line = "x".repeat(99);
        let id =
            api.create(&body(&["sh", "-c", &format!("yes {line} | head -n {lines}")], "none"))?;
        let begin = Instant::now();
        api.start(&id)?;
        api.wait(&id)?;
        let seconds = begin.elapsed().as_secs_f64();
        let log = daemon.client().shell(&format!("docker logs {id} | wc -l"));
        if log.stdout.trim() != lines.to_string() {
            return Err(io::Error::other(format!("{} of {lines} lines", log.stdout.trim())));
        }
        Ok(f64::from(lines) * 100.0 / seconds)
    })
}

/// Compares ours with ours: the reference column is 1, so the ratio is what the crowd costs.
fn crowded(rig: &Rig) -> io::Result<Pair> {
    let body = body(&["true"], "bridge");
    let mut api = Api::connect(&rig.gantry.client())?;
    let typical = |api: &mut Api| -> io::Result<f64> {
        let mut samples = Vec::new();
        for _ in 0..rig.times(30) {
            samples.push(timed(|| one_cycle(api, &body))?);
        }
        Ok(median(&mut samples))
    };
    sleeper(&mut api, &json!({}))?;
    let alone = typical(&mut api)?;
    for _ in 1..rig.many() {
        sleeper(&mut api, &json!({}))?;
    }
    let beside = typical(&mut api)?;
    Ok(Pair { reference: 1.0, gantry: beside / alone })
}

fn ports(rig: &Rig, removal: bool) -> io::Result<Pair> {
    let mut api = Api::connect(&rig.gantry.client())?;
    let mut typical = |count: u32| -> io::Result<f64> {
        let mut samples = Vec::new();
        for _ in 0..rig.times(10) {
            let bindings: serde_json::Map<_, _> =
                (0..count).map(|port| (format!("{}/tcp", 1000 + port), json!([{}]))).collect();
            let extra = json!({"HostConfig": {"PortBindings": bindings}});
            let mut id = String::new();
            let start = timed(|| {
                id = sleeper(&mut api, &extra)?;
                Ok(())
            })?;
            let remove = timed(|| api.remove(&id, true))?;
            samples.push(if removal { remove } else { start });
        }
        Ok(median(&mut samples))
    };
    Ok(Pair { reference: 1.0, gantry: typical(200)? / typical(1)? })
}

fn wait_latency(rig: &Rig) -> io::Result<Pair> {
    rig.alternate(rig.times(10), |daemon| {
        let client = daemon.client();
        let mut api = Api::connect(&client)?;
        let id = sleeper(&mut api, &json!({}))?;
        let pid = client.inspect(&id)["State"]["Pid"].as_u64().unwrap_or(0);
        let waiter = {
            let id = id.clone();
            std::thread::spawn(move || api.wait(&id).map(|_| Instant::now()))
        };
        std::thread::sleep(Duration::from_millis(100));
        let process = u32::try_from(pid).unwrap_or(0);
        let begin = Instant::now();
        gantry_rig::daemon::signal(process, rustix::process::Signal::KILL);
        let answered = waiter.join().map_err(|_| io::Error::other("waiter panicked"))??;
        Ok((answered - begin).as_secs_f64())
    })
}

fn list(rig: &Rig) -> io::Result<Pair> {
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

fn restart(rig: &Rig) -> io::Result<Pair> {
    let measure = |kind| -> io::Result<f64> {
        let mut daemon = Daemon::start(kind, gantry_rig::Net::Private, &[])?;
        images::import_busybox(&daemon.client())?;
        let mut api = Api::connect(&daemon.client())?;
        for _ in 0..rig.many() {
            let id = api.create(&body(&["true"], "none"))?;
            api.start(&id)?;
            api.wait(&id)?;
        }
        daemon.stop()?;
        Ok(daemon.launch()?.as_secs_f64())
    };
    Ok(Pair {
        reference: measure(gantry_rig::Kind::Docker)?,
        gantry: measure(gantry_rig::Kind::Gantry)?,
    })
}
