//! The v2 file logic on plain files: what is written where.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_cgroup::{Cgroup, CgroupError, Host, Version};
use gantry_oci::runtime::{
    BlockIo, Cpu, HugepageLimit, Memory, Pids, Resources, ThrottleDevice, WeightDevice,
};

/// A tree with one group, `/gantry/a`, with the files named.
struct Tree {
    directory: tempfile::TempDir,
    host: Host,
}

const FILES: &[&str] = &[
    "cgroup.procs",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "pids.max",
    "io.max",
    "hugetlb.2MB.max",
    "memory.high",
];

impl Tree {
    fn new(without: &[&str]) -> Tree {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path().join("gantry/a");
        fs::create_dir_all(&group).unwrap();
        for above in [directory.path(), &directory.path().join("gantry")] {
            fs::write(above.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
            fs::write(above.join("cgroup.subtree_control"), "cpu\n").unwrap();
        }
        for file in FILES.iter().filter(|file| !without.contains(file)) {
            fs::write(group.join(file), "").unwrap();
        }
        let mountinfo = format!(
            "41 31 0:38 / {} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            directory.path().display()
        );
        let host = Host::from_texts(&mountinfo, "0::/user.slice\n").unwrap();
        Tree { directory, host }
    }

    fn create(&self, resources: &Resources) -> Result<Cgroup, CgroupError> {
        self.host.create("/gantry/a", resources)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("gantry/a")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }
}

fn resources() -> Resources {
    Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            swap: Some(96 << 20),
            reservation: Some(32 << 20),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(100_000),
            cpus: Some("0".to_owned()),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: 100 }),
        ..Resources::default()
    }
}

#[test]
fn limits_are_converted() {
    let tree = Tree::new(&[]);
    assert_eq!(tree.host.version(), Version::V2);
    let group = tree.create(&resources()).unwrap();
    assert!(group.ignored().is_empty());
    for (file, want) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("cpu.weight", "59"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "100"),
    ] {
        assert_eq!(tree.read(file), want, "{file}");
    }
    let control = tree.directory.path().join("cgroup.subtree_control");
    assert_eq!(fs::read_to_string(control).unwrap(), "+cpuset +io +memory +pids");
}

#[test]
fn no_limits_are_max_and_a_lone_period_keeps_the_quota() {
    let tree = Tree::new(&[]);
    tree.write("cpu.max", "20000 100000\n");
    let group = tree
        .create(&Resources {
            memory: Some(Memory { limit: Some(-1), ..Memory::default() }),
            cpu: Some(Cpu { period: Some(50_000), ..Cpu::default() }),
            pids: Some(Pids { limit: -1 }),
            ..Resources::default()
        })
        .unwrap();
    assert_eq!(tree.read("memory.max"), "max");
    assert_eq!(tree.read("memory.swap.max"), "max");
    assert_eq!(tree.read("cpu.max"), "20000 50000");
    assert_eq!(tree.read("pids.max"), "max");
    let cpu = Cpu { quota: Some(-1), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap();
    assert_eq!(tree.read("cpu.max"), "max");
}

#[test]
fn what_is_missing_is_named_or_ignored_as_docker_does() {
    let tree = Tree::new(&["memory.swap.max", "pids.max"]);
    let memory = Memory {
        limit: Some(1 << 20),
        swap: Some(2 << 20),
        swappiness: Some(60),
        disable_oom_killer: Some(true),
        ..Memory::default()
    };
    let block_io = BlockIo {
        weight: Some(500),
        weight_device: vec![WeightDevice { major: 8, weight: Some(100), ..Default::default() }],
        throttle_read_bps_device: vec![ThrottleDevice { major: 8, minor: 16, rate: 1000 }],
        ..BlockIo::default()
    };
    let asked =
        Resources { memory: Some(memory), block_io: Some(block_io), ..Resources::default() };
    let group = tree.create(&asked).unwrap();
    assert_eq!(
        group.ignored(),
        [
            "memory.swap",
            "memory.swappiness",
            "memory.disableOOMKiller",
            "blockIO.weight",
            "blockIO.weightDevice"
        ]
    );
    assert_eq!(tree.read("io.max"), "8:16 rbps=1000");
    let error = group.apply(&resources()).unwrap_err();
    assert_eq!(error.to_string(), "pids.limit is not supported by this host's cgroup pids.max");
}

#[test]
fn weights_go_where_the_scheduler_reads_them() {
    let asked = Resources {
        block_io: Some(BlockIo { weight: Some(500), ..BlockIo::default() }),
        ..Resources::default()
    };
    for (file, want) in [("io.weight", "4950"), ("io.bfq.weight", "500")] {
        let tree = Tree::new(&[]);
        tree.write(file, "");
        assert!(tree.create(&asked).unwrap().ignored().is_empty());
        assert_eq!(tree.read(file), want);
    }
}

#[test]
fn files_by_name_stay_inside_the_group() {
    let tree = Tree::new(&[]);
    let with = |file: &str, value: &str| Resources {
        unified: [(file.to_owned(), value.to_owned())].into(),
        hugepage_limits: vec![HugepageLimit { page_size: "2MB".to_owned(), limit: 0 }],
        ..Resources::default()
    };
    tree.create(&with("memory.high", "1000")).unwrap();
    assert_eq!(tree.read("memory.high"), "1000");
    assert_eq!(tree.read("hugetlb.2MB.max"), "0");
    for file in ["../a/memory.high", "", "/etc/passwd", ".."] {
        let result = tree.create(&with(file, "1"));
        let refused = matches!(
            result,
            Err(CgroupError::Invalid { .. } | CgroupError::Unsupported { .. })
                | Err(CgroupError::Write { .. })
        );
        assert!(refused, "{file}");
    }
}

#[test]
fn figures_are_read() {
    let tree = Tree::new(&[]);
    let group = tree.create(&Resources::default()).unwrap();
    tree.write("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_throttled 2\n");
    tree.write("memory.current", "4096\n");
    tree.write("memory.max", "8192\n");
    tree.write("memory.stat", "anon 100\ninactive_file 7\n");
    tree.write("memory.events", "low 0\noom 3\noom_kill 2\n");
    tree.write("pids.current", "5\n");
    tree.write("pids.max", "max\n");
    tree.write("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n");
    let stats = group.stats().unwrap();
    assert_eq!((stats.cpu.usage_ns, stats.cpu.user_ns), (30_000, 20_000));
    assert_eq!(stats.cpu.throttling.throttled_periods, 2);
    assert_eq!(
        (stats.memory.usage, stats.memory.limit, stats.memory.failcnt),
        (4096, Some(8192), 3)
    );
    assert_eq!(stats.memory.stat["inactive_file"], 7);
    assert_eq!((stats.pids.current, stats.pids.limit), (5, None));
    assert_eq!(stats.blkio.io_service_bytes_recursive.len(), 2);
    assert_eq!(group.oom_kill_count(), 2);
    assert_eq!(group.memory_limit(), Some(8192));
    fs::remove_dir_all(tree.path()).unwrap();
    assert!(matches!(group.stats(), Err(CgroupError::Read { .. })));
    assert!(group.remove().is_ok(), "a group that is gone is removed");
}

#[test]
fn a_group_in_use_is_not_taken_over_and_a_failure_leaves_nothing() {
    let tree = Tree::new(&[]);
    tree.write("cgroup.procs", "1\n");
    assert!(matches!(tree.create(&resources()), Err(CgroupError::Create { .. })));
    let error = tree.host.create("/gantry/b/c", &resources()).unwrap_err();
    assert!(matches!(error, CgroupError::Read { .. } | CgroupError::Unsupported { .. }), "{error}");
    assert!(!Path::new(&tree.directory.path().join("gantry/b")).exists());
    assert!(matches!(tree.host.create("/x/../..", &resources()), Err(CgroupError::InvalidPath(_))));
    assert!(matches!(tree.host.open("/").remove(), Err(CgroupError::InvalidPath(_))));
    assert!(matches!(tree.host.open("/../..").kill_all(9), Err(CgroupError::InvalidPath(_))));
}
