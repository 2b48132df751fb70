//! Generated specifications against files: `GANTRY_UPDATE_GOLDEN=1` writes them anew.

use std::path::{Path, PathBuf};

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;
use gantry_oci::Digest;
use gantry_oci::runtime::Spec;

use super::mounts::{MountInput, Shm};
use super::user::Identity;
use super::{Input, Namespaces, Ns, caps, devices, mounts, process, resources};
use crate::record::{ContainerRecord, MountRecord};

fn record(config: ContainerConfig, host: HostConfig) -> ContainerRecord {
    ContainerRecord {
        id: "0123456789abcdef".repeat(4),
        name: "golden".into(),
        created_ns: 0,
        image: Digest::of(b"image"),
        layers: Vec::new(),
        path: "sh".into(),
        args: vec!["-c".into(), "true".into()],
        config: ContainerConfig { hostname: "0123456789ab".into(), ..config },
        host,
        endpoints: Default::default(),
        links: Vec::new(),
        mounts: Vec::new(),
        log: gantry_logs::LogConfig::None,
    }
}

fn spec(record: &ContainerRecord, asked: &[(MountRecord, PathBuf)]) -> Spec {
    let host = &record.host;
    let init = host.init.unwrap_or(false);
    let ns = |mode: &str| if mode == "host" { Ns::Host } else { Ns::New };
    let identity = Identity { home: "/root".into(), ..Identity::default() };
    let caps = caps::resolve(&[], &[], host.privileged, (1 << 41) - 1);
    let env = record.config.env.as_deref().unwrap_or_default();
    super::build(Input {
        record,
        process: process::build(process::ProcessInput {
            args: process::args(&record.path, &record.args, init),
            env: process::environment(&record.config.hostname, record.config.tty, env, "/root"),
            cwd: &record.config.working_dir,
            identity: &identity,
            caps,
            tty: record.config.tty,
            console: host.console_size,
            rlimits: Vec::new(),
            no_new_privileges: false,
            apparmor: None,
            oom_score_adj: Some(0),
        }),
        mounts: mounts::build(&MountInput {
            host,
            asked,
            user: (0, 0),
            files: &[("/etc/hosts", "/state/hosts".into())],
            shm: Shm::Own(64 << 20),
            host_mqueue: false,
            writable_cgroups: false,
            init: init.then_some(Path::new("/run/gantry/init")),
        }),
        namespaces: Namespaces {
            pid: ns(&host.pid_mode),
            network: ns(&host.network_mode),
            ipc: Ns::New,
            uts: Ns::New,
            cgroup: Ns::New,
        },
        // The host's devices are not the same everywhere.
        devices: devices::of(&HostConfig { privileged: false, ..host.clone() }).unwrap(),
        resources: resources::limits(host).unwrap(),
        cgroup_path: format!("/gantry/{}", record.id),
        seccomp: None,
    })
}

fn compare(name: &str, spec: &Spec) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/golden").join(name);
    let mut got = serde_json::to_string_pretty(spec).unwrap();
    got.push('\n');
    if std::env::var_os("GANTRY_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    assert!(got == want, "{name} differs; GANTRY_UPDATE_GOLDEN=1 writes it anew:\n{got}");
}

#[test]
fn plain() {
    let host = HostConfig {
        masked_paths: Some(super::default_masked_paths()),
        readonly_paths: Some(super::default_readonly_paths()),
        ..HostConfig::default()
    };
    compare("plain.json", &spec(&record(ContainerConfig::default(), host), &[]));
}

#[test]
fn with_wishes() {
    let config = ContainerConfig {
        tty: true,
        env: Some(vec!["A=1".into()]),
        working_dir: "/srv".into(),
        ..ContainerConfig::default()
    };
    let host = HostConfig {
        network_mode: "host".into(),
        pid_mode: "host".into(),
        memory: 64 << 20,
        nano_cpus: 500_000_000,
        pids_limit: Some(50),
        init: Some(true),
        readonly_rootfs: true,
        console_size: [24, 80],
        tmpfs: [("/tmp".to_owned(), "size=1m".to_owned())].into(),
        sysctls: [("kernel.shmmax".to_owned(), "1".to_owned())].into(),
        ..HostConfig::default()
    };
    let bind = MountRecord {
        source: "/host".into(),
        target: "/srv/data".into(),
        propagation: "rshared".into(),
        ..MountRecord::default()
    };
    let mut record = record(config, host);
    record.mounts.push(bind.clone());
    compare("wishes.json", &spec(&record, &[(bind, "/host".into())]));
}

#[test]
fn privileged() {
    let host = HostConfig { privileged: true, ..HostConfig::default() };
    compare("privileged.json", &spec(&record(ContainerConfig::default(), host), &[]));
}
