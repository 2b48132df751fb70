//! kill -9 of a daemon at any moment, many times, while containers are made, run, end and go.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gantry_engine::{Engine, RemoveOptions, StepMount, StepSource, WaitCondition};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, create, host, on_host, run, script};
use crate::steps::{path_of, step};

/// Tells the child where to be a daemon.
const CHILD: &str = "GANTRY_ENGINE_TEST_DAEMON";
/// How often the daemon is killed.
const ROUNDS: u64 = 8;

/// In the child: a daemon that is busy until it is killed. Without the variable: nothing.
#[test]
fn daemon_that_will_be_killed() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bed = Bed::at(PathBuf::from(root));
        let engine = bed.engine().await;
        let busy = (0..3).map(|lane| tokio::spawn(be_busy(engine.clone(), lane)));
        let steps = tokio::spawn(run_steps(engine.clone()));
        for lane in busy.chain([steps]).collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    });
}

async fn be_busy(engine: Engine, lane: u32) {
    loop {
        let auto = lane == 1;
        let request = script("busybox sleep 0.05; exit 2", |body| {
            host(body).auto_remove = auto;
            body.config.volumes = Some([("/data".to_owned(), Default::default())].into());
        });
        let container = create(&engine, request).await;
        let ended = container.wait(WaitCondition::NextExit);
        if container.start().await.is_err() {
            continue;
        }
        match lane {
            0 => drop(ended.await),
            1 => drop(container.wait(WaitCondition::Removed).await),
            _ => drop(container.stop(None, Some(0)).await),
        }
        if !auto {
            let options = RemoveOptions { force: true, volumes: true };
            let _ = container.remove(options).await;
        }
    }
}

async fn run_steps(engine: Engine) {
    for number in 0.. {
        let mut request = step(&engine, number, "busybox sleep 0.05; echo x > /made/y");
        let source = StepSource::Descriptor(path_of(&engine.config().data_root));
        let mount = StepMount { target: "/made/point".into(), source, read_only: true };
        request.mounts.push(mount);
        let id = request.id.clone();
        let (sender, _) = tokio::sync::mpsc::channel(1);
        let _ = engine.run_step(request, sender, &CancellationToken::new()).await;
        engine.parts().snapshots.remove(&id).unwrap();
    }
}

#[test]
fn nothing_is_lost_or_left_when_the_daemon_is_killed() {
    on_host(|bed| async move {
        let keeper = {
            let engine = bed.engine().await;
            let keeper = create(&engine, script("exec busybox sleep 1000", |_| {})).await;
            keeper.start().await.unwrap();
            let id = keeper.id().to_owned();
            drop(keeper);
            engine.shutdown().await;
            id
        };
        for round in 0..ROUNDS {
            let mut child = daemon(&bed);
            // Another moment each time.
            tokio::time::sleep(Duration::from_millis(750 + 37 * round)).await;
            child.kill().unwrap();
            child.wait().unwrap();
            let dirs = std::fs::read_dir(bed.root().join("data/containers")).unwrap().count();
            let tasks = std::fs::read_dir(bed.root().join("exec/tasks")).unwrap().count();
            eprintln!("round {round}: {dirs} containers, {tasks} tasks at the kill");
        }
        let engine = bed.engine().await;
        assert!(engine.container(&keeper).unwrap().is_running(), "the bystander runs on");
        let began = std::time::Instant::now();
        while engine.containers().iter().any(|c| c.is_running() && c.id() != keeper) {
            assert!(began.elapsed() < Duration::from_secs(10), "a sleep of 50 ms goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for container in engine.containers() {
            let options = RemoveOptions { force: true, volumes: true };
            container.remove(options).await.unwrap();
        }
        let (code, _) = run(&engine, script("exit 0", |_| {})).await;
        assert_eq!(code, 0);
        engine.containers()[0].remove(RemoveOptions::default()).await.unwrap();
        let parts = engine.parts().clone();
        engine.shutdown().await;
        assert_eq!(parts.snapshots.containers().unwrap(), Vec::<String>::new());
        assert_eq!(parts.tasks.leftovers().unwrap(), Vec::<String>::new());
        let left = parts.volumes.list().into_iter().filter(|volume| volume.anonymous).count();
        // One in the making when its daemon was killed belongs to no container; `prune` takes it.
        assert!(left <= usize::try_from(ROUNDS * 3).unwrap(), "{left} volumes");
        let dirs = std::fs::read_dir(bed.root().join("data/containers")).unwrap().count();
        assert_eq!(dirs, 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = bed.root().display().to_string();
        assert!(!mounts.contains(&root), "a mount of a step is left");
        let addresses = Command::new("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8_lossy(&addresses.stdout).into_owned();
        eprintln!("links left: {}", links.lines().count());
    });
}

fn daemon(bed: &Arc<Bed>) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::daemon_that_will_be_killed", "--nocapture"])
        .env(CHILD, bed.root())
        .stdout(Stdio::null())
        .process_group(0);
    command.spawn().unwrap()
}
