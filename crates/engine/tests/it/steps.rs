//! Steps of builds: processes that are no containers, on file systems that their caller prepared.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gantry_api_types::host_config::{HostConfig, Ulimit};
use gantry_api_types::network::NetworkCreateBody;
use gantry_engine::{
    Engine, RemoveOptions, StartError, StepEnd, StepError, StepMount, StepRequest, StepSource,
    StepStream,
};
use gantry_oci::Digest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, create, on_host, script};

/// What a step left and said.
struct Done {
    end: Result<StepEnd, StepError>,
    out: String,
    err: String,
    upper: PathBuf,
}

impl Done {
    fn code(&self) -> i32 {
        self.end.as_ref().unwrap_or_else(|error| panic!("{error:?}")).code
    }

    /// Everything in the upper directory, sorted.
    fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.upper, &self.upper, &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, found);
        }
    }
}

fn layers(engine: &Engine) -> Vec<Digest> {
    engine.images().resolve("box:1").unwrap().lowers()
}

/// A request for a shell script on the test's image.
pub(crate) fn step(engine: &Engine, number: u64, script: &str) -> StepRequest {
    let id = format!("{number:064x}");
    let rootfs = engine.parts().snapshots.prepare(&id, &layers(engine)).unwrap();
    StepRequest {
        id,
        rootfs,
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        stdin: None,
        env: Vec::new(),
        working_directory: "/".into(),
        user: String::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        host: HostConfig::default(),
    }
}

async fn run(engine: &Engine, request: StepRequest) -> Done {
    run_until(engine, request, &CancellationToken::new()).await
}

async fn run_until(engine: &Engine, request: StepRequest, cancel: &CancellationToken) -> Done {
    let upper = request.rootfs.upper.clone();
    let (sender, mut receiver) = mpsc::channel(4);
    let read = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some((stream, chunk)) = receiver.recv().await {
            match stream {
                StepStream::Stdout => out.extend(chunk),
                StepStream::Stderr => err.extend(chunk),
            }
        }
        [out, err].map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (end, [out, err]) = tokio::join!(engine.run_step(request, sender, cancel), read);
    Done { end, out, err, upper }
}

/// Everything that a step may leave is gone.
async fn is_clean(bed: &Bed, engine: &Engine) {
    let began = Instant::now();
    let parts = engine.parts();
    let left = || {
        let mut left = parts.tasks.leftovers().unwrap();
        for dir in ["data/containers", "exec/subpaths"] {
            let entries = fs::read_dir(bed.root().join(dir)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| format!("{dir}/{:?}", entry.file_name())));
        }
        let networks = parts.networks.list().into_iter();
        left.extend(networks.flat_map(|info| info.endpoints).map(|endpoint| endpoint.id));
        let group = parts.cgroups.open(&format!("/{}", engine.config().cgroup_parent));
        for (_, directory) in group.directories() {
            let groups = fs::read_dir(directory).into_iter().flatten().flatten();
            let groups = groups.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(groups.map(|entry| format!("cgroup {:?}", entry.file_name())));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = bed.root().display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned));
        left
    };
    while !left().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5), "left: {:#?}", left());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_step_runs_as_a_container_and_leaves_its_changes_alone() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let script = "echo out; echo err >&2; echo made > /made; hostname; cat /etc/hostname; \
                      cat /proc/self/status | grep -E 'CapEff|Seccomp:'; exit 3";
        let done = run(&engine, step(&engine, 1, &script.replace("cat", "busybox cat"))).await;
        assert_eq!(done.code(), 3);
        assert_eq!(done.err, "err\n");
        let name = "000000000000";
        assert!(done.out.starts_with("out\n"), "{}", done.out);
        assert_eq!(done.changes(), ["made"]);
        assert!(done.out.contains(name), "{}", done.out);
        assert!(done.out.contains("CapEff:\t00000000a80425fb"), "{}", done.out);
        assert!(done.out.contains("Seccomp:\t2"), "{}", done.out);
        assert!(engine.containers().is_empty());
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn users_environment_input_and_directories() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut request = step(&engine, 1, "busybox id; busybox env; busybox pwd; busybox cat");
        request.user = "web:disk".into();
        request.env = vec!["A=1".into(), "PATH=/bin".into()];
        request.working_directory = "/new/dir".into();
        request.stdin = Some(b"given\n".to_vec());
        request.hostname = "sandbox".into();
        request.host.extra_hosts = Some(vec!["other:10.1.2.3".into()]);
        let done = run(&engine, request).await;
        assert_eq!(done.code(), 0, "{}{}", done.out, done.err);
        for want in
            ["uid=33(web) gid=6(disk)", "\nA=1\n", "\nPATH=/bin\n", "HOME=/web\n", "/new/dir\n"]
        {
            assert!(done.out.contains(want), "{want:?} in {}", done.out);
        }
        assert!(done.out.ends_with("given\n"), "{}", done.out);
        assert!(!done.out.contains("HOSTNAME"), "as in BuildKit's steps: {}", done.out);
        assert_eq!(done.changes(), ["new", "new/dir"]);
        let mut request = step(&engine, 2, "exit 0");
        request.user = "nobody-here".into();
        let refused = run(&engine, request).await.end.unwrap_err().to_string();
        let words = "unable to find user nobody-here: no matching entries in passwd file";
        assert_eq!(refused, words);
        let mut request = step(&engine, 3, "");
        request.args = vec!["/not/there".into()];
        let refused = run(&engine, request).await.end.unwrap_err();
        let StepError::Start(error) = &refused else { panic!("{refused}") };
        assert!(matches!(**error, StartError::Runtime { .. }), "{error}");
        assert!(gantry_fault::chain(&refused).contains("/not/there"), "{refused}");
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn networks_and_privileges() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let links = "busybox ip -o link | busybox grep -c .";
        let mut number = 0;
        let mut with = |script: &str, change: &dyn Fn(&mut HostConfig)| {
            number += 1;
            let mut request = step(&engine, number, script);
            change(&mut request.host);
            request
        };
        let bridge = run(&engine, with(links, &|_| {})).await;
        assert_eq!(bridge.out, "2\n", "loopback and one more: {}", bridge.err);
        let none = run(&engine, with(links, &|host| host.network_mode = "none".into())).await;
        assert_eq!(none.out, "1\n");
        let mode = |host: &mut HostConfig| host.network_mode = "host".into();
        let host = run(&engine, with("busybox ip -o link | busybox grep gtest0", &mode)).await;
        assert_eq!(host.code(), 0, "{}", host.err);
        let body = NetworkCreateBody { name: "own".into(), ..NetworkCreateBody::default() };
        engine.create_network(body).await.unwrap();
        let mode = |host: &mut HostConfig| host.network_mode = "own".into();
        let own = run(&engine, with("busybox cat /etc/resolv.conf", &mode)).await;
        assert!(own.out.contains("nameserver 127.0.0.11"), "{}", own.out);
        // Its place is free as soon as it has ended.
        engine.remove_network("own").await.unwrap();
        let gone = run(&engine, with("exit 0", &mode)).await.end.unwrap_err();
        assert!(gantry_fault::chain(&gone).contains("network own not found"), "{gone}");
        let other = create(&engine, script("exec busybox sleep 100", |_| {})).await;
        other.start().await.unwrap();
        let mode = |host: &mut HostConfig| host.network_mode = format!("container:{}", other.id());
        let with_other = "busybox hostname; busybox ip -o -4 addr show eth0; cat /etc/hosts";
        let with_other = with_other.replace("cat", "busybox cat");
        let mut request = with(&with_other, &mode);
        request.hostname = "sandbox".into();
        let shared = run(&engine, request).await;
        let address = other.inspect(false).network_settings.networks["bridge"].ip_address.clone();
        assert!(shared.out.starts_with(&other.id()[..12]), "{}{}", shared.out, shared.err);
        assert!(shared.out.contains(&format!(" {address}/")), "{}", shared.out);
        other.remove(RemoveOptions { force: true, volumes: false }).await.unwrap();
        let status = "busybox grep -E 'CapEff|Seccomp:' /proc/self/status; test -e /dev/kmsg";
        let all = run(&engine, with(status, &|host| host.privileged = true)).await;
        assert!(all.out.contains("Seccomp:\t0"), "{}", all.out);
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}

/// A descriptor of a path.
pub(crate) fn path_of(path: &Path) -> OwnedFd {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

#[test]
fn mounts_come_by_descriptors_and_leave_no_points_behind() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let outside = bed.root().join("outside");
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("sub/file"), "shown").unwrap();
        fs::write(outside.join("secret"), "s3cret").unwrap();
        let script = "busybox cat /run/secrets/it /seed/more/sub/file; echo w > /seed/more/sub/new; \
            echo x > /ro/sub/y; /tool/bin/busybox echo ran; \
            busybox df -k /mem | busybox tail -n 1; busybox touch /mem/x /own";
        let mut request = step(&engine, 1, script);
        let tools = engine.parts().snapshots.mount_layers(&layers(&engine)).unwrap();
        let mount = |target: &str, source, read_only| StepMount {
            target: target.to_owned(),
            source,
            read_only,
        };
        let shown = || StepSource::Descriptor(path_of(&outside));
        request.mounts = vec![
            mount(
                "/run/secrets/it",
                StepSource::Descriptor(path_of(&outside.join("secret"))),
                true,
            ),
            mount("/seed/more", shown(), false),
            mount("/ro", shown(), true),
            mount("/tool", StepSource::Descriptor(tools), true),
            mount("/mem", StepSource::Tmpfs { size_bytes: 1 << 20 }, false),
        ];
        let before =
            fs::metadata(engine.parts().snapshots.layer_path(&layers(&engine)[0]).join("seed"));
        let done = run(&engine, request).await;
        assert_eq!(done.code(), 0, "{}{}", done.out, done.err);
        assert!(done.out.starts_with("s3cretshown"), "{}", done.out);
        assert!(done.out.contains("ran\n") && done.out.contains(" 1024 "), "{}", done.out);
        assert!(done.err.contains("Read-only file system"), "{}", done.err);
        assert_eq!(fs::read_to_string(outside.join("sub/new")).unwrap(), "w\n");
        assert_eq!(done.changes(), ["own"], "no mount point is a change");
        assert!(before.unwrap().is_dir());
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn what_a_step_sees_around_its_mount_points_is_as_it_was() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let layer = engine.parts().snapshots.layer_path(&layers(&engine)[0]).join("seed");
        let want = fs::metadata(&layer).unwrap();
        let script = "busybox stat -c '%a %u %g %Y' /seed; busybox stat -c %a /seed/a; \
                      busybox touch /seed/a/kept";
        let mut request = step(&engine, 1, script);
        let source = StepSource::Tmpfs { size_bytes: 0 };
        request.mounts = vec![StepMount { target: "/seed/a/b".into(), source, read_only: false }];
        let done = run(&engine, request).await;
        assert_eq!(done.code(), 0, "{}", done.err);
        let line = format!(
            "{:o} {} {} {}\n755\n",
            want.mode() & 0o7777,
            want.uid(),
            want.gid(),
            want.mtime()
        );
        assert_eq!(done.out, line);
        // What the step itself writes there is its change, with the directories that it needs.
        assert_eq!(done.changes(), ["seed", "seed/a", "seed/a/kept"]);
        engine.shutdown().await;
    });
}

#[test]
fn limits_hold() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut request = step(&engine, 1, "ulimit -n; busybox df -k /dev/shm | busybox tail -n 1");
        request.host.shm_size = 3 << 20;
        request.host.memory = 64 << 20;
        let ulimit = Ulimit { name: "nofile".into(), soft: 100, hard: 200 };
        request.host.ulimits = Some(vec![ulimit]);
        request.host.cgroup_parent = format!("{}-own", engine.config().cgroup_parent);
        let done = run(&engine, request).await;
        assert!(done.out.starts_with("100\n"), "{}{}", done.out, done.err);
        assert!(done.out.contains(" 3072 "), "{}", done.out);
        let mut request = step(&engine, 2, "exit 0");
        request.host.memory = 1;
        let refused = run(&engine, request).await.end.unwrap_err();
        assert_eq!(refused.to_string(), "Minimum memory limit allowed is 6MB");
        let eats = "busybox dd if=/dev/zero of=/dev/null bs=200M count=1";
        let mut request = step(&engine, 3, eats);
        request.host.memory = 16 << 20;
        request.host.memory_swap = 16 << 20;
        let end = run(&engine, request).await.end.unwrap();
        assert_eq!((end.code, end.oom_killed), (137, true));
        is_clean(&bed, &engine).await;
        let group = engine.parts().cgroups.open(&format!("/{}-own", engine.config().cgroup_parent));
        let _ = group.remove();
        engine.shutdown().await;
    });
}

#[test]
fn cancelled_or_abandoned_steps_end_with_all_that_they_started() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let stubborn = "trap '' TERM INT HUP; (trap '' TERM; exec busybox sleep 1000) & \
                        busybox setsid busybox sleep 1000 & echo up; busybox sleep 1000";
        let cancel = CancellationToken::new();
        let (sender, mut receiver) = mpsc::channel(4);
        let request = step(&engine, 1, stubborn);
        let begun = async {
            receiver.recv().await.unwrap();
            let began = Instant::now();
            cancel.cancel();
            began
        };
        let (end, began) = tokio::join!(engine.run_step(request, sender, &cancel), begun);
        assert!(matches!(end, Err(StepError::Cancelled)), "{end:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        is_clean(&bed, &engine).await;
        // Nobody reads: the step is held up, but can be cancelled.
        let (sender, receiver) = mpsc::channel(1);
        let request = step(&engine, 2, "while true; do echo yes; done");
        let soon = CancellationToken::new();
        let later = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            soon.cancel();
        };
        let (end, ()) = tokio::join!(engine.run_step(request, sender, &soon), later);
        assert!(matches!(end, Err(StepError::Cancelled)), "{end:?}");
        drop(receiver);
        // Nobody waits any more.
        let (sender, mut receiver) = mpsc::channel(4);
        let request = step(&engine, 3, stubborn);
        let never = CancellationToken::new();
        tokio::select! {
            _ = engine.run_step(request, sender, &never) => panic!("it sleeps"),
            _ = receiver.recv() => {}
        }
        is_clean(&bed, &engine).await;
        // One that was cancelled before it began.
        never.cancel();
        let (sender, _receiver) = mpsc::channel(4);
        let end = engine.run_step(step(&engine, 4, "exit 0"), sender, &never).await;
        assert!(matches!(end, Err(StepError::Cancelled)), "{end:?}");
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn the_end_of_the_daemon_ends_its_steps() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let request = step(&engine, 1, "echo up; busybox sleep 1000");
        let (sender, mut receiver) = mpsc::channel(4);
        let never = CancellationToken::new();
        let ending = async {
            receiver.recv().await.unwrap();
            engine.shutdown().await;
        };
        let (end, ()) = tokio::join!(engine.run_step(request, sender, &never), ending);
        assert!(matches!(end, Err(StepError::Cancelled)), "{end:?}");
        assert_eq!(engine.parts().tasks.leftovers().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn many_steps_at_once() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut times = Vec::new();
        for number in 0..10 {
            let request = step(&engine, number, "exit 0");
            let began = Instant::now();
            assert_eq!(run(&engine, request).await.code(), 0);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        eprintln!("one step: {:?} at the median", times[times.len() / 2]);
        let began = Instant::now();
        let lanes = (0..8).map(|lane| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for turn in 0..5 {
                    let number = 100 + lane * 8 + turn;
                    let request = step(&engine, number, &format!("exit {turn}"));
                    assert_eq!(u64::try_from(run(&engine, request).await.code()), Ok(turn));
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
        eprintln!("40 steps, 8 at once: {:?}", began.elapsed());
        is_clean(&bed, &engine).await;
        engine.shutdown().await;
    });
}
