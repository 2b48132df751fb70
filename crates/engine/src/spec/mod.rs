//! From a container's record to an OCI specification: pure, no I/O.
//!
//! What has to be looked up (users, devices, namespaces of other containers) is found before and
//! handed in as an [`Input`].

pub(crate) mod caps;
pub(crate) mod devices;
#[cfg(test)]
mod golden;
pub(crate) mod mounts;
pub(crate) mod points;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_oci::runtime::{
    Linux, Mount, Namespace, NamespaceKind, Process, Resources, Root, Seccomp, Spec,
};

use crate::record::ContainerRecord;

/// Version of the runtime specification that is written.
const OCI_VERSION: &str = "1.2.0";

/// Where one of a container's namespaces comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ns {
    /// A new one.
    New,
    /// A new one that is made before the task, with Docker's kernel parameters set.
    Prepared,
    /// The host's.
    Host,
    /// The one at this path.
    Join(PathBuf),
}

/// The namespaces of a container; mount is always new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Process ids.
    pub(crate) pid: Ns,
    /// Network.
    pub(crate) network: Ns,
    /// IPC.
    pub(crate) ipc: Ns,
    /// Host name.
    pub(crate) uts: Ns,
    /// Control groups.
    pub(crate) cgroup: Ns,
}

/// Everything that the specification is made from.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    /// The container.
    pub(crate) record: &'a ContainerRecord,
    /// Its first process.
    pub(crate) process: Process,
    /// Its mounts.
    pub(crate) mounts: Vec<Mount>,
    /// Its namespaces.
    pub(crate) namespaces: Namespaces,
    /// Its devices.
    pub(crate) devices: devices::Devices,
    /// Its limits, without device rules.
    pub(crate) resources: Resources,
    /// Its control group.
    pub(crate) cgroup_path: String,
    /// Its filter, for runtimes that compile it themselves.
    pub(crate) seccomp: Option<Seccomp>,
}

/// Builds the specification.
pub(crate) fn build(input: Input<'_>) -> Spec {
    let record = input.record;
    let host = &record.host;
    let own_uts = input.namespaces.uts == Ns::New;
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut resources = input.resources;
    resources.devices = input.devices.rules;
    Spec {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(input.process),
        root: Some(Root { path: "rootfs".into(), readonly: host.readonly_rootfs }),
        hostname: text(&record.config.hostname).filter(|_| own_uts),
        domainname: text(&record.config.domainname).filter(|_| own_uts),
        mounts: input.mounts,
        hooks: None,
        annotations: host.annotations.clone(),
        linux: Some(Linux {
            sysctl: sysctls(record, &input.namespaces),
            resources: Some(resources),
            cgroups_path: Some(input.cgroup_path),
            namespaces: namespaces(input.namespaces),
            devices: input.devices.nodes,
            seccomp: input.seccomp,
            rootfs_propagation: mounts::root_propagation(&record.mounts),
            masked_paths: paths(host.masked_paths.as_ref(), host.privileged),
            readonly_paths: paths(host.readonly_paths.as_ref(), host.privileged),
            ..Linux::default()
        }),
    }
}

fn paths(list: Option<&Vec<String>>, privileged: bool) -> Vec<String> {
    list.filter(|_| !privileged).cloned().unwrap_or_default()
}

fn namespaces(all: Namespaces) -> Vec<Namespace> {
    let mut list = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    for (kind, ns) in [
        (NamespaceKind::Network, all.network),
        (NamespaceKind::Uts, all.uts),
        (NamespaceKind::Pid, all.pid),
        (NamespaceKind::Ipc, all.ipc),
        (NamespaceKind::Cgroup, all.cgroup),
    ] {
        match ns {
            Ns::New | Ns::Prepared => list.push(Namespace { kind, path: None }),
            Ns::Join(path) => list.push(Namespace { kind, path: Some(path) }),
            Ns::Host => {}
        }
    }
    list
}

/// Docker lets any user of a container's own network bind low ports and ping.
fn sysctls(record: &ContainerRecord, namespaces: &Namespaces) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    if namespaces.network == Ns::New {
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    sysctls.extend(record.host.sysctls.clone());
    sysctls
}

/// Paths hidden from containers unless told otherwise, as in Docker 29.
pub(crate) fn default_masked_paths() -> Vec<String> {
    [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Paths read-only in containers unless told otherwise.
pub(crate) fn default_readonly_paths() -> Vec<String> {
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        .map(str::to_owned)
        .to_vec()
}
