//! A daemon of which nothing is asked.

use std::time::{Duration, Instant};

/// Longest wait for the daemon to have been quiet for long enough.
const LIMIT: Duration = Duration::from_secs(60);

/// KiB of files that a process has mapped and used.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn it_gives_back_what_it_does_not_need() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let run = ["run", "--rm", "--network", "none", "busybox", "echo", "here"];
    assert_eq!(client.docker(&run).ok(), "here");
    let pid = *daemon.pids().first().unwrap();
    let before = resident_kib(pid);
    let begun = Instant::now();
    while resident_kib(pid) > before / 2 {
        assert!(begun.elapsed() < LIMIT, "{} of {before} KiB", resident_kib(pid));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.docker(&run).ok(), "here");
}
