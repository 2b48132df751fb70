//! Groups on the real kernel: v1 hierarchies where there are some, and the v2 tree with whatever
//! controllers it has.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gantry_cgroup::{Cgroup, CgroupError, Host, Version};
use gantry_oci::runtime::{BlockIo, Cpu, DeviceRule, Memory, NetworkLimits, Pids, Resources};

const SECOND: Duration = Duration::from_secs(1);

/// A group and its processes, gone at the end of the test however that goes.
struct Scratch {
    group: Cgroup,
    children: Vec<Child>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.group.kill_all(9);
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let result = self.group.remove();
        let parent = self.group.path().rsplit_once('/').map(|(parent, _)| parent.to_owned());
        assert!(result.is_ok() || std::thread::panicking(), "{result:?} {parent:?}");
    }
}

impl Scratch {
    fn new(host: &Host, resources: &Resources) -> Scratch {
        Scratch { group: host.create(&name(), resources).unwrap(), children: Vec::new() }
    }

    /// Starts a shell that waits for a line before it runs the script, and puts it into the group.
    fn shell(&mut self, script: &str) -> &mut Child {
        let script = format!("read line; {script}");
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id();
        self.children.push(child);
        self.group.attach(id).unwrap();
        let child = self.children.last_mut().unwrap();
        drop(child.stdin.take());
        child
    }
}

/// A name that no other test of this or another run has.
fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("/gantry-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The host with its v1 hierarchies.
fn v1() -> Option<Host> {
    let host = Host::detect().ok().filter(|host| host.version() != Version::V2);
    permitted(host, "v1")
}

/// The v2 tree, on a hybrid host as if it were the only one.
fn v2() -> Option<Host> {
    let mount = Host::detect().ok()?.unified_mount()?.to_owned();
    let mountinfo = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", mount.display());
    permitted(Host::from_texts(&mountinfo, "0::/\n").ok(), "v2")
}

fn permitted(host: Option<Host>, what: &str) -> Option<Host> {
    let Some(host) = host else {
        eprintln!("SKIPPED: no cgroup {what} on this machine");
        return None;
    };
    match host.create(&name(), &Resources::default()) {
        Ok(group) => group.remove().unwrap(),
        Err(error) => {
            eprintln!("SKIPPED: cannot make cgroup {what} groups here (root?): {error}");
            return None;
        }
    }
    Some(host)
}

fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
    DeviceRule {
        allow,
        kind: Some(kind.to_owned()),
        major: Some(major),
        minor: Some(minor),
        access: Some(access.to_owned()),
    }
}

fn memory(limit: i64, swap: i64) -> Resources {
    let memory = Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() };
    Resources { memory: Some(memory), ..Resources::default() }
}

fn limits(group: &Cgroup) -> (Option<u64>, Option<u64>) {
    let stats = group.stats().unwrap().memory;
    (stats.limit, stats.swap_limit)
}

fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !done() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn detection_is_cheap() {
    let begin = Instant::now();
    for _ in 0..50 {
        Host::detect().unwrap();
    }
    println!("detection: {:?}", begin.elapsed() / 50);
    assert!(begin.elapsed() / 50 < Duration::from_millis(5));
}

#[test]
fn v1_limits_are_there_and_change_both_ways() {
    let Some(host) = v1() else { return };
    let mut resources = memory(64 << 20, 64 << 20);
    resources.cpu = Some(Cpu {
        shares: Some(512),
        quota: Some(50_000),
        period: Some(100_000),
        cpus: Some("0".to_owned()),
        ..Cpu::default()
    });
    resources.pids = Some(Pids { limit: 50 });
    let scratch = Scratch::new(&host, &resources);
    let group = &scratch.group;
    let read = |controller: &str, file: &str| {
        let path = group.controller_path(controller).unwrap().join(file);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(read("cpuset", "cpuset.cpus"), "0");
    assert_eq!(read("pids", "pids.max"), "50");
    assert_eq!(group.memory_limit(), Some(64 << 20));
    let swap = |bytes: u64| host.features().swap_limit.then_some(bytes);
    assert_eq!(limits(group), (Some(64 << 20), swap(64 << 20)));
    for (limit, both) in [(128 << 20, 256 << 20), (32 << 20, 48 << 20), (96 << 20, 96 << 20)] {
        group.apply(&memory(limit, both)).unwrap();
        let want = |bytes: i64| u64::try_from(bytes).unwrap();
        assert_eq!(limits(group), (Some(want(limit)), swap(want(both))), "{limit} {both}");
    }
    let none = Memory { limit: Some(-1), ..Memory::default() };
    group.apply(&Resources { memory: Some(none), ..Resources::default() }).unwrap();
    assert_eq!(limits(group), (None, None));
    assert_eq!(group.memory_limit(), None);
    let cpu = Cpu { shares: Some(1), ..Cpu::default() };
    let error = group.apply(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap_err();
    assert_eq!(error.to_string(), "invalid cpu.shares: the minimum allowed is 2");
}

#[test]
fn v1_says_what_is_missing() {
    let Some(host) = v1() else { return };
    if !host.features().network {
        let network = Some(NetworkLimits { class_id: Some(7), ..NetworkLimits::default() });
        let path = name();
        let error = host.create(&path, &Resources { network, ..Resources::default() }).unwrap_err();
        assert!(error.to_string().starts_with("network.classID is not supported"), "{error}");
        assert!(!host.open(&path).exists(), "what was made is gone");
    }
    let block_io = Some(BlockIo { leaf_weight: Some(500), ..BlockIo::default() });
    let scratch = Scratch::new(&host, &Resources { block_io, ..Resources::default() });
    let file = scratch.group.controller_path("blkio").unwrap().join("blkio.leaf_weight");
    let want: &[&str] = if file.exists() { &[] } else { &["blockIO.leafWeight"] };
    assert_eq!(scratch.group.ignored(), want);
}

#[test]
fn v1_counts_and_kills_for_memory() {
    let Some(host) = v1() else { return };
    let mut scratch = Scratch::new(&host, &memory(16 << 20, 16 << 20));
    assert_eq!(scratch.group.oom_kill_count(), 0);
    let status = scratch.shell("exec tail /dev/zero").wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    assert!(scratch.group.oom_kill_count() >= 1);
    let stats = scratch.group.stats().unwrap();
    assert!(stats.memory.max_usage > 8 << 20, "{:?}", stats.memory);
    assert!(stats.cpu.usage_ns > 0, "{:?}", stats.cpu);
    assert!(stats.memory.stat.contains_key("total_inactive_file"));
    assert_eq!(stats.pids.current, 0);
    assert!(!stats.cpu.per_cpu_ns.is_empty());
}

#[test]
fn processes_freeze_thaw_and_die() {
    for host in [v1(), v2()].into_iter().flatten() {
        let mut scratch = Scratch::new(&host, &Resources::default());
        scratch.shell("sleep 100 & sleep 101 & wait");
        assert!(within(SECOND, || scratch.group.pids().unwrap().len() == 3));
        scratch.group.freeze(SECOND).unwrap();
        assert!(scratch.group.is_frozen().unwrap());
        scratch.group.thaw(SECOND).unwrap();
        assert!(!scratch.group.is_frozen().unwrap());
        scratch.group.freeze(SECOND).unwrap();
        scratch.group.kill_all(9).unwrap();
        let mut children = std::mem::take(&mut scratch.children);
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(9), "{:?}", host.version());
        }
        assert!(within(SECOND, || scratch.group.pids().unwrap().is_empty()));
        scratch.group.kill_all(15).unwrap();
        assert!(matches!(scratch.group.kill_all(0), Err(CgroupError::Invalid { .. })));
        scratch.group.remove().unwrap();
        scratch.group.thaw(SECOND).unwrap();
        scratch.group.freeze(SECOND).unwrap_err();
    }
}

#[test]
fn groups_below_are_seen_and_removed() {
    for host in [v1(), v2()].into_iter().flatten() {
        let scratch = Scratch::new(&host, &Resources::default());
        let below = host.create(&format!("{}/x/y", scratch.group.path()), &Resources::default());
        let mut below = Scratch { group: below.unwrap(), children: Vec::new() };
        below.shell("exec sleep 100");
        let pid = below.children[0].id();
        assert_eq!(scratch.group.pids().unwrap(), [pid]);
        scratch.group.kill_all(9).unwrap();
        below.children[0].wait().unwrap();
        scratch.group.remove().unwrap();
        assert!(!scratch.group.exists() && !below.group.exists());
        let gone = scratch.group.attach(std::process::id());
        assert!(matches!(gone, Err(CgroupError::Attach { .. })));
    }
}

#[test]
fn a_busy_group_stays() {
    let Some(host) = v1() else { return };
    let mut scratch = Scratch::new(&host, &Resources::default());
    scratch.shell("exec sleep 100");
    let path = scratch.group.path().to_owned();
    let error = host.create(&path, &Resources::default()).unwrap_err();
    let CgroupError::Create { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), ErrorKind::AlreadyExists);
    assert!(scratch.group.exists());
}

#[test]
fn devices_are_denied_but_for_the_rules() {
    let probe = "for device in null zero full; do head -c1 /dev/$device >/dev/null && \
                 echo $device; done 2>/dev/null; echo x >/dev/full 2>/dev/null; true";
    for host in [v1(), v2()].into_iter().flatten() {
        let none = rule(false, "a", -1, -1, "rwm");
        let rules = |more: &[DeviceRule]| [std::slice::from_ref(&none), more].concat();
        let null = rule(true, "c", 1, 3, "rwm");
        for (rules, want) in [
            (rules(std::slice::from_ref(&null)), "null\n"),
            (rules(&[null.clone(), rule(true, "c", 1, 5, "r")]), "null\nzero\n"),
            (rules(&[null.clone(), rule(true, "c", 1, 5, "w")]), "null\n"),
            (
                rules(&[rule(true, "c", 1, -1, "rw"), rule(true, "b", 1, 5, "r")]),
                "null\nzero\nfull\n",
            ),
            (rules(&[rule(true, "a", -1, -1, "rwm")]), "null\nzero\nfull\n"),
            (
                rules(&[rule(true, "a", -1, -1, "rwm"), rule(false, "c", 1, 7, "rwm")]),
                "null\nzero\n",
            ),
        ] {
            let devices = Resources { devices: rules.clone(), ..Resources::default() };
            let mut scratch = Scratch::new(&host, &devices);
            scratch.shell(probe);
            let child = scratch.children.pop().unwrap();
            let output = child.wait_with_output().unwrap();
            let got = String::from_utf8(output.stdout).unwrap();
            assert_eq!(got, want, "{:?} {rules:?}", host.version());
        }
    }
}

#[test]
fn device_rules_change_while_processes_run() {
    for host in [v1(), v2()].into_iter().flatten() {
        let with = |extra: &[(i64, &str)]| {
            let mut rules = vec![rule(false, "a", -1, -1, "rwm"), rule(true, "c", 1, 3, "rw")];
            rules.extend(extra.iter().map(|(minor, access)| rule(true, "c", 1, *minor, access)));
            rules
        };
        let mut scratch =
            Scratch::new(&host, &Resources { devices: with(&[]), ..Resources::default() });
        for (extra, want) in [
            (&[][..], ""),
            (&[(5, "rw"), (7, "r")][..], "zero\nfull\n"),
            (&[(5, "w"), (7, "rw")][..], "full\n"),
            (&[(5, "r")][..], "zero\n"),
            (&[][..], ""),
        ] {
            scratch.group.set_devices(&with(extra)).unwrap();
            scratch.shell("for d in zero full; do head -c1 /dev/$d >/dev/null && echo $d; done");
            let output = scratch.children.pop().unwrap().wait_with_output().unwrap();
            let got = String::from_utf8(output.stdout).unwrap();
            assert_eq!(got, want, "{:?} {extra:?}", host.version());
        }
    }
}

#[test]
fn v2_has_a_descriptor_to_be_born_into() {
    let Some(host) = v2() else { return };
    let scratch = Scratch::new(&host, &Resources::default());
    assert!(scratch.group.directory_fd().is_some());
    if let Some(host) = v1() {
        let scratch = Scratch::new(&host, &Resources::default());
        assert!(scratch.group.directory_fd().is_none());
    }
}

#[test]
fn dynamic_moves_leave_nothing_behind() {
    let Some(host) = v1() else { return };
    let own = || std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let before = own();
    let mut scratch = Scratch::new(&host, &Resources::default());
    let moves = gantry_cgroup::favor_dynamic_moves(&host).unwrap();
    assert!(moves.taken);
    scratch.shell("exec sleep 100");
    let pid = scratch.children[0].id();
    std::thread::sleep(Duration::from_millis(150));
    let begin = Instant::now();
    scratch.group.attach(pid).unwrap();
    println!("attach after idle: {:?}, permanent: {}", begin.elapsed(), moves.is_permanent());
    drop(moves);
    assert!(within(SECOND, || own() == before), "{}", own());
}
