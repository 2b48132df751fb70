//! `spec` and `features`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use gantry_oci::runtime::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process,
    Resources, Rlimit, Root, Spec,
};
use serde_json::json;

use super::args::{self, switch, value};
use super::{Failed, say};
use crate::capabilities;

/// Version of the specification that this runtime follows.
pub(super) const VERSION: &str = "1.2.0";

/// `gantry oci spec`.
pub(super) fn spec(rest: Vec<OsString>) -> Result<u8, Failed> {
    let parsed = args::parse(rest, &[value(&["bundle", "b"]), switch(&["rootless"])], false)?;
    let bundle = parsed.get("bundle").filter(|path| !path.is_empty()).unwrap_or(".");
    let path = Path::new(bundle).join("config.json");
    if path.exists() {
        return Err(Failed::new("File config.json exists. Remove it first"));
    }
    let mut spec = example();
    if parsed.is_set("rootless") {
        make_rootless(&mut spec);
    }
    let text = tabbed(&spec)?;
    fs::write(&path, text).map_err(Failed::during(|| format!("writing {}", path.display())))?;
    Ok(0)
}

fn tabbed(spec: &Spec) -> Result<Vec<u8>, Failed> {
    use serde::Serialize;
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
    spec.serialize(&mut writer).map_err(|error| Failed::new(error.to_string()))?;
    Ok(text)
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The configuration that new bundles start from.
fn example() -> Spec {
    let caps = words(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let kinds = [
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Mount,
        NamespaceKind::Cgroup,
    ];
    Spec {
        oci_version: VERSION.to_owned(),
        process: Some(Process {
            terminal: true,
            args: words(&["sh"]),
            env: words(&[
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ]),
            cwd: "/".to_owned(),
            capabilities: Some(Capabilities {
                bounding: caps.clone(),
                effective: caps.clone(),
                permitted: caps,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), hard: 1024, soft: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("gantry".to_owned()),
        mounts: example_mounts(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceRule {
                    access: Some("rwm".to_owned()),
                    ..DeviceRule::default()
                }],
                ..Resources::default()
            }),
            namespaces: kinds.map(|kind| Namespace { kind, path: None }).to_vec(),
            masked_paths: words(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ]),
            readonly_paths: words(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn example_mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.into()),
        options: words(options),
        ..Mount::default()
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

/// Changes the example so that it needs no rights outside a user namespace.
fn make_rootless(spec: &mut Spec) {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|n| n.kind != NamespaceKind::Network);
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
        linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
        linux.resources = None;
    }
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
        if mount.destination == Path::new("/sys") {
            mount.kind = Some("none".to_owned());
            mount.source = Some("/sys".into());
            mount.options = words(&["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
    }
}

/// `gantry oci features`.
pub(super) fn features(rest: Vec<OsString>) -> Result<u8, Failed> {
    args::parse(rest, &[], false)?;
    let caps: Vec<&str> = capabilities::names().collect();
    let document = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": MOUNT_OPTIONS.as_slice(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": caps,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                ],
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
                "knownFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                ],
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } },
        },
        "potentiallyUnsafeConfigAnnotations": [],
    });
    let text = serde_json::to_string_pretty(&document).map_err(|e| Failed::new(e.to_string()))?;
    say(&format!("{text}\n"))?;
    Ok(0)
}

/// Words that mounts take, besides what file systems take themselves.
const MOUNT_OPTIONS: [&str; 53] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rsuid",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "sync",
    "tmpcopyup",
];
