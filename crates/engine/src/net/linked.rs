//! Links on the default bridge: the containers behind them, as they are at this moment.

use std::net::IpAddr;

use gantry_api_types::NullableList as _;
use gantry_api_types::port::parse_port_range;

use super::links;
use crate::StartError;
use crate::engine::Inner;
use crate::error::Invalid;
use crate::record::ContainerRecord;

/// What links give a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Linked {
    /// Lines of `/etc/hosts`.
    pub(crate) hosts: Vec<(IpAddr, String)>,
    /// Variables.
    pub(crate) env: Vec<String>,
}

/// Changes the lines of a container in `/etc/hosts` of those that are linked to it and run: it may
/// have another address than at its last start.
pub(crate) fn tell_linked(engine: &Inner, record: &ContainerRecord, address: IpAddr) {
    for cell in engine.registry.all() {
        let view = cell.view();
        for link in view.record.links.iter().filter(|link| link.target == record.id) {
            if !view.phase.is_up() {
                continue;
            }
            let linked = links::Linked {
                alias: &link.alias,
                own_name: &view.record.name,
                name: &record.name,
                hostname: &record.config.hostname,
                address,
                ports: &[],
                env: &[],
            };
            let dir = engine.config.container_dir(&cell.id);
            if let Err((path, error)) = super::files::move_host(&dir, &linked.hosts_line()) {
                tracing::warn!(%error, "changing {}", path.display());
            }
        }
    }
}

/// Looks at the containers that a container is linked to.
///
/// # Errors
/// Docker's words for one that is gone, does not run, or is not on the default bridge.
pub(crate) fn linked(engine: &Inner, record: &ContainerRecord) -> Result<Linked, StartError> {
    let mut all = Linked::default();
    for link in &record.links {
        let view = engine.registry.find(&link.target)?.view();
        let other = &view.record;
        if !view.phase.is_up() {
            return Err(links::not_running(link, &record.name, &other.name).into());
        }
        let endpoint = view.state.endpoint_on("bridge");
        let address = endpoint.and_then(|endpoint| endpoint.addresses().first().copied());
        let address = address.ok_or_else(|| {
            Invalid(format!("container {} not attached to default bridge network", other.id))
        })?;
        let exposed = other.config.exposed_ports.keys();
        let ports: Vec<_> =
            exposed.filter_map(|port| parse_port_range(port).ok()).flatten().collect();
        let linked = links::Linked {
            alias: &link.alias,
            own_name: &record.name,
            name: &other.name,
            hostname: &other.config.hostname,
            address,
            ports: &ports,
            env: other.config.env.items(),
        };
        all.hosts.push(linked.hosts_line());
        all.env.extend(linked.environment());
    }
    Ok(all)
}
