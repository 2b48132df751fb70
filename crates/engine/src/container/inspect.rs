//! `inspect`: a pure view of record, state and phase.

use std::collections::BTreeMap;

use gantry_api_types::ZERO_TIME;
use gantry_api_types::container::GraphDriver;
use gantry_api_types::container::{
    ContainerInspect, ContainerState, MountPoint, RootFsStorage, SnapshotStorage, Storage,
};
use gantry_api_types::host_config::{HostConfig, PortBinding, PortMap};
use gantry_api_types::network::{EndpointSettings, NetworkSettings};
use gantry_network::SandboxRecord;
use jiff::Timestamp;

use super::Container;
use super::cell::View;
use super::phase::Phase;
use crate::engine::Inner;
use crate::record::{ContainerRecord, MountKind, MountRecord, NetworkMode};

/// Name of the storage driver, as Docker calls what is the same thing.
pub(crate) const STORAGE_DRIVER: &str = "overlay2";

impl Container {
    /// Everything about it; `size` measures its files.
    #[must_use]
    pub fn inspect(&self, size: bool) -> ContainerInspect {
        let inner = &self.engine.0;
        let view = self.cell.view();
        let record = &view.record;
        let dir = inner.config.container_dir(&record.id);
        let path = |name: &str| dir.join(name).display().to_string();
        let execs = inner.execs.of_container(&record.id);
        let size_rw = size.then(|| self.size_rw()).flatten();
        let snapshot = SnapshotStorage { name: "overlayfs".to_owned() };
        ContainerInspect {
            id: record.id.clone(),
            created: timestamp(record.created_ns),
            path: record.path.clone(),
            args: record.args.clone(),
            state: self.state(&view),
            image: record.image.to_string(),
            resolv_conf_path: path("resolv.conf"),
            hostname_path: path("hostname"),
            hosts_path: path("hosts"),
            log_path: record.log.file().map(|f| f.path.display().to_string()).unwrap_or_default(),
            name: format!("/{}", record.name),
            restart_count: i64::from(view.state.restart_count),
            driver: STORAGE_DRIVER.to_owned(),
            platform: "linux".to_owned(),
            exec_ids: (!execs.is_empty()).then_some(execs),
            host_config: host_config(inner, record),
            graph_driver: Some(self.graph_driver()),
            storage: Some(Storage { root_fs: Some(RootFsStorage { snapshot: Some(snapshot) }) }),
            size_rw,
            size_root_fs: size_rw.map(|own| own + inner.image_size(record)),
            mounts: mount_points(inner, record),
            config: record.config.clone(),
            network_settings: network_settings(inner, &view),
            ..ContainerInspect::default()
        }
    }

    /// Bytes in its writable layer.
    pub(crate) fn size_rw(&self) -> Option<i64> {
        let usage = self.engine.0.parts.snapshots.usage(&self.cell.id).ok()?;
        i64::try_from(usage.size_bytes).ok()
    }

    fn state(&self, view: &View) -> ContainerState {
        let (phase, state) = (view.phase, &view.state);
        let time = |ns: i64| if ns == 0 { ZERO_TIME.to_owned() } else { timestamp(ns) };
        ContainerState {
            status: phase.word().to_owned(),
            running: phase.counts_as_running(),
            paused: matches!(phase, Phase::Paused { .. }),
            restarting: matches!(phase, Phase::Restarting { .. }),
            oom_killed: state.oom_killed,
            dead: phase == Phase::Dead,
            pid: phase.pid().map_or(0, i64::from),
            exit_code: i64::from(state.exit_code),
            error: state.error.clone(),
            started_at: time(state.started_at_ns),
            finished_at: time(state.finished_at_ns),
            health: self.cell.health().map(|health| (*health).clone()),
        }
    }

    fn graph_driver(&self) -> GraphDriver {
        let rootfs = self.engine.0.parts.snapshots.rootfs(&self.cell.id).ok();
        let data = rootfs.map(|rootfs| {
            let lower: Vec<String> =
                rootfs.lower.iter().map(|path| path.display().to_string()).collect();
            BTreeMap::from([
                ("LowerDir".to_owned(), lower.join(":")),
                ("UpperDir".to_owned(), rootfs.upper.display().to_string()),
                ("WorkDir".to_owned(), rootfs.work.display().to_string()),
            ])
        });
        GraphDriver { data, name: STORAGE_DRIVER.to_owned() }
    }
}

impl Inner {
    /// Bytes in the layers of a container's image.
    pub(crate) fn image_size(&self, record: &ContainerRecord) -> i64 {
        let sizes = record.layers.iter().filter_map(|l| self.parts.snapshots.layer_size(l));
        i64::try_from(sizes.sum::<u64>()).unwrap_or(i64::MAX)
    }
}

/// The mounts, by destination.
pub(crate) fn mount_points(inner: &Inner, record: &ContainerRecord) -> Vec<MountPoint> {
    record.mounts.iter().map(|mount| mount_point(inner, mount)).collect()
}

fn mount_point(inner: &Inner, mount: &MountRecord) -> MountPoint {
    let mut point = MountPoint {
        destination: mount.target.clone(),
        mode: mount.mode.clone(),
        rw: !mount.read_only,
        ..MountPoint::default()
    };
    match mount.kind {
        MountKind::Bind => {
            point.kind = "bind".to_owned();
            point.source.clone_from(&mount.source);
            point.propagation = match mount.propagation.as_str() {
                "" => "rprivate".to_owned(),
                named => named.to_owned(),
            };
        }
        MountKind::Volume => {
            point.kind = "volume".to_owned();
            point.name.clone_from(&mount.source);
            point.source = inner.parts.volumes.mountpoint(&mount.source).display().to_string();
            point.driver.clone_from(&mount.driver);
        }
        MountKind::Tmpfs => point.kind = "tmpfs".to_owned(),
    }
    point
}

/// What was asked of the host; links on the default bridge with the present names.
fn host_config(inner: &Inner, record: &ContainerRecord) -> HostConfig {
    let mut host = record.host.clone();
    if !record.links.is_empty() {
        let describe = |link: &crate::net::links::Link| {
            let target = inner.registry.find(&link.target).ok()?;
            Some(link.described(&record.name, &target.record().name))
        };
        host.links = Some(record.links.iter().filter_map(describe).collect());
    }
    host
}

fn network_settings(inner: &Inner, view: &View) -> NetworkSettings {
    let record = &view.record;
    let mut settings = NetworkSettings::default();
    if let Some(pid) = view.phase.pid() {
        settings.sandbox_id.clone_from(&record.id);
        settings.sandbox_key = format!("/proc/{pid}/ns/net");
        settings.ports = port_map(record, view.state.sandbox.as_ref());
    }
    settings.networks = endpoints(inner, view);
    settings
}

/// Endpoints by network name.
pub(crate) fn endpoints(inner: &Inner, view: &View) -> BTreeMap<String, EndpointSettings> {
    let record = &view.record;
    let mut all = record.endpoints.clone();
    if let Some(name @ ("host" | "none")) = record.main_network() {
        let settings = all.entry(name.to_owned()).or_default();
        if view.phase.is_up() {
            settings.network_id = inner.network_id(name);
        }
    }
    for endpoint in view.state.endpoints() {
        let settings = all.entry(endpoint.network_name.clone()).or_default();
        settings.network_id.clone_from(&endpoint.network);
        settings.endpoint_id.clone_from(&endpoint.id);
        settings.mac_address.clone_from(&endpoint.mac);
        if let Some(v4) = endpoint.v4 {
            settings.gateway = v4.gateway.map(|ip| ip.to_string()).unwrap_or_default();
            settings.ip_address = v4.address.to_string();
            settings.ip_prefix_len = v4.prefix_len;
        }
        if let Some(v6) = endpoint.v6 {
            settings.ipv6_gateway = v6.gateway.map(|ip| ip.to_string()).unwrap_or_default();
            settings.global_ipv6_address = v6.address.to_string();
            settings.global_ipv6_prefix_len = v6.prefix_len;
        }
        // The default bridge has no name server.
        if endpoint.network_name != "bridge" {
            settings.dns_names = Some(endpoint.names(&crate::net::container_names(record)));
        }
    }
    all
}

fn port_map(record: &ContainerRecord, sandbox: Option<&SandboxRecord>) -> PortMap {
    let mut ports: PortMap = match record.network() {
        NetworkMode::Bridge | NetworkMode::Other(_) => {
            record.config.exposed_ports.keys().map(|port| (with_proto(port), None)).collect()
        }
        _ => PortMap::new(),
    };
    for port in sandbox.into_iter().flat_map(|sandbox| &sandbox.ports) {
        let key = format!("{}/{}", port.container_port, port.proto);
        let binding = PortBinding {
            host_ip: port.host_ip.to_string(),
            host_port: port.host_port.to_string(),
        };
        ports.entry(key).or_default().get_or_insert_default().push(binding);
    }
    ports
}

fn with_proto(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// A time as Go writes it: RFC 3339 with as many digits of the second as it needs.
pub(crate) fn timestamp(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string()
}

/// A time with nine digits, as logs have it.
pub(crate) fn log_time(ns: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    format!("{time:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        let ns = 1_700_000_000_120_000_000;
        assert_eq!(timestamp(ns), "2023-11-14T22:13:20.12Z");
        assert_eq!(log_time(ns), "2023-11-14T22:13:20.120000000Z");
        assert_eq!(timestamp(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
    }
}
