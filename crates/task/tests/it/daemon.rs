//! Daemons that go and come, shims that are killed.

use std::time::Duration;

use gantry_task::{Adopted, StdioConfig};
use tokio::io::AsyncWriteExt;

use crate::bed::{Bed, LIMIT, client, exec, exit, possible, read_all, runtimes, unframe};
use crate::streams::each_runtime;

each_runtime! {
    a_second_daemon_adopts => adopt;
    a_task_that_ended_alone_is_found => ended_alone;
    nothing_outlives_a_killed_shim => killed_shim;
    many_runs_leak_nothing => leaks;
}

async fn adopt(bed: Bed) {
    let mut request = bed.request("adopt", "echo before; cat; echo after");
    request.stdio = StdioConfig { open_stdin: true, stdin_once: true, ..StdioConfig::default() };
    let first = bed.run(request).await;
    let running = first.exec(exec("e", "sleep 0.5; exit 4", Vec::new())).await.expect("exec");
    let pid = first.pid();
    // As a killed daemon: the connection ends.
    drop((first, running));
    wait_for_socket(&bed, "adopt").await;
    let second = bed.second_daemon();
    assert_eq!(second.leftovers().expect("list"), [bed.id("adopt")]);
    let Adopted::Running(task) = second.adopt(&bed.id("adopt")).await.expect("adopt") else {
        panic!("not running");
    };
    assert_eq!(task.pid(), pid);
    let adopted = task.execs();
    assert_eq!(exit(adopted["e"].exit.clone()).await.code, 4);
    let (near, mut stream) = client(true);
    task.attach(near).await.expect("attach");
    stream.write_all(b"typed\n").await.expect("write");
    stream.shutdown().await.expect("half-close");
    assert!(unframe(&read_all(&mut stream).await).0.ends_with("typed\nafter\n"));
    assert_eq!(exit(task.exit()).await.code, 0);
    assert_eq!(bed.lines("adopt"), ["before\n", "typed\n", "after\n"]);
    task.delete().await.expect("delete");
    assert!(matches!(second.adopt(&bed.id("adopt")).await, Ok(Adopted::Gone)));
}

async fn ended_alone(bed: Bed) {
    let task = bed.run(bed.request("alone", "sleep 0.3; exit 6")).await;
    drop(task);
    let saved = bed.task_directory("alone").join("exit.json");
    let begin = std::time::Instant::now();
    while !saved.exists() && begin.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = bed.second_daemon();
    match second.adopt(&bed.id("alone")).await.expect("adopt") {
        Adopted::Exited(end) => assert_eq!(end.code, 6),
        other => panic!("{other:?}"),
    }
    second.forget(&bed.id("alone")).await.expect("forget");
    assert!(second.leftovers().expect("list").is_empty());
}

async fn killed_shim(bed: Bed) {
    let task = bed.run(bed.request("kill9", "sleep 100")).await;
    wait_for_socket(&bed, "kill9").await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(task.shim_pid()).expect("pid"));
    let first = task.pid();
    rustix::process::kill_process(pid.expect("pid"), rustix::process::Signal::KILL).expect("kill");
    let end = exit(task.exit()).await;
    assert_eq!((end.code, end.signal), (137, Some(9)));
    task.delete().await.ok();
    // The directory tells the next daemon what to clean; here it is gone already or is forgotten.
    bed.tasks.forget(&bed.id("kill9")).await.expect("forget");
    let begin = std::time::Instant::now();
    while std::path::Path::new(&format!("/proc/{first}/stat")).exists() {
        let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            break;
        }
        assert!(begin.elapsed() < LIMIT, "the container outlives its shim: {stat}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn leaks(bed: Bed) {
    let open = || std::fs::read_dir("/proc/self/fd").expect("fds").count();
    let mut before = 0;
    for round in 0..6 {
        let mut request = bed.request("leak", "echo x");
        let (near, mut stream) = client(false);
        request.attachments.push(near);
        let task = bed.run(request).await;
        assert_eq!(unframe(&read_all(&mut stream).await).0, "x\n");
        exit(task.exit()).await;
        task.delete().await.expect("delete");
        drop(stream);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if round == 1 {
            before = open();
        }
    }
    // Other tests run beside this one: some slack, far below six rounds of a leak of two.
    assert!(open() <= before + 40, "descriptors: {before} before, {} after", open());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(bed.directory.path().to_str().expect("text")), "a mount is left");
}

async fn wait_for_socket(bed: &Bed, name: &str) {
    let begin = std::time::Instant::now();
    while !bed.task_directory(name).join("state.json").exists() && begin.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
