//! The work inside a namespace: interfaces, addresses, routes, parameters.
//!
//! All of it is done by a thread of its own, which moves into the namespace and ends there.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::address::{Cidr, Ipv4Cidr, Ipv6Cidr, MacAddr};
use crate::error::JoinError;
use crate::host::Host;
use crate::namespace::{self, LOOPBACK_INDEX, Pair, on_thread, refused};
use crate::netlink::link::{self, ListedLink, Macvlan, MacvlanMode};
use crate::netlink::message::Batch;
use crate::netlink::route::{self, PortFlags};
use crate::netlink::socket::Socket;
use crate::network::options::parameter_path;
use crate::parameters::Parameters;

/// What an interface hangs on, on the host's side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Upper {
    /// A port of the bridge with this index.
    Bridge { index: u32, flags: PortFlags },
    /// The interface with this index.
    Macvlan { parent: u32, mode: MacvlanMode },
}

/// An interface to be made.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    pub(crate) interface: String,
    pub(crate) upper: Upper,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) v4: Option<Ipv4Cidr>,
    pub(crate) v6: Option<Ipv6Cidr>,
    pub(crate) link_local: Vec<IpAddr>,
    /// Path below `/proc/sys/net` and value, for this interface.
    pub(crate) sysctls: Vec<(String, String)>,
}

/// An interface that was made.
#[derive(Debug, Clone)]
pub(crate) struct Wired {
    pub(crate) host_interface: String,
    pub(crate) mac: MacAddr,
}

/// Where packets go for which there is no other route: by which interface, to which gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DefaultRoutes {
    pub(crate) v4: Option<(String, Ipv4Addr)>,
    pub(crate) v6: Option<(String, Ipv6Addr)>,
}

/// A change of the default routes.
#[derive(Debug, Clone)]
pub(crate) struct Reroute {
    pub(crate) from: DefaultRoutes,
    pub(crate) to: DefaultRoutes,
}

/// A namespace with its interfaces.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) netns: OwnedFd,
    pub(crate) wired: Vec<Wired>,
    /// For the start of the container, if that was wanted; see [`gantry_sys::netns::sysfs`].
    pub(crate) sysfs: Option<OwnedFd>,
}

/// Makes a namespace with these interfaces, and `ahead` of need a sysfs for it.
pub(crate) async fn make(
    host: Arc<Host>,
    wirings: Vec<Wiring>,
    routes: DefaultRoutes,
    ahead: bool,
) -> Result<Made, JoinError> {
    on_thread(move || {
        let step = |step| move |source| JoinError::Namespace { step, source };
        gantry_sys::netns::unshare_network().map_err(step("making the network namespace"))?;
        let netns =
            File::open("/proc/thread-self/ns/net").map_err(step("opening the namespace"))?;
        let netns = OwnedFd::from(netns);
        let mut inside = Socket::route().map_err(step("opening a netlink socket"))?;
        let parameters = Parameters::open()?;
        parameters.set_defaults()?;
        let ipv6 = wirings.iter().any(|wiring| wiring.v6.is_some());
        if ipv6 {
            parameters.switch_ipv6(true, &[])?;
        }
        let mut batch = Batch::new();
        route::set_up(&mut batch, LOOPBACK_INDEX);
        inside.request(batch).map_err(refused)?;
        let wire = |wiring: &Wiring| add(&host, (&mut inside, &parameters), netns.as_fd(), wiring);
        let wired = wirings.iter().map(wire).collect::<Result<Vec<Wired>, JoinError>>()?;
        reroute(&mut inside, &Reroute { from: DefaultRoutes::default(), to: routes })?;
        let sysfs = if ahead { gantry_sys::netns::sysfs().ok() } else { None };
        Ok(Made { netns, wired, sysfs })
    })
    .await
}

/// Adds an interface to a namespace that stands. `without_ipv6` are the interfaces that must not
/// have IPv6 after it is switched on for this one, the first to have it.
pub(crate) async fn connect(
    host: Arc<Host>,
    netns: Arc<OwnedFd>,
    wiring: Wiring,
    without_ipv6: Option<Vec<String>>,
    routes: Reroute,
) -> Result<Wired, JoinError> {
    on_thread(move || {
        let mut inside = enter(netns.as_fd())?;
        let parameters = Parameters::open()?;
        if let Some(without) = without_ipv6 {
            parameters.switch_ipv6(true, &without)?;
        }
        let wired = add(&host, (&mut inside, &parameters), netns.as_fd(), &wiring)?;
        if let Err(error) = reroute(&mut inside, &routes) {
            if let Err(error) = delete(&mut inside, &wiring.interface) {
                tracing::warn!(?error, "an interface is left of an endpoint that failed");
            }
            return Err(error);
        }
        Ok(wired)
    })
    .await
}

/// Changes the default routes, as before an interface goes.
pub(crate) async fn change_routes(netns: Arc<OwnedFd>, routes: Reroute) -> Result<(), JoinError> {
    on_thread(move || reroute(&mut enter(netns.as_fd())?, &routes)).await
}

/// Every interface of a namespace.
pub(crate) async fn interfaces(netns: Arc<OwnedFd>) -> Result<Vec<ListedLink>, JoinError> {
    on_thread(move || {
        link::links(&mut enter(netns.as_fd())?)
            .map_err(|source| JoinError::Namespace { step: "listing the interfaces", source })
    })
    .await
}

/// Removes an interface; that it is not there is no error. With the last one that has IPv6, IPv6
/// is switched off.
pub(crate) async fn disconnect(
    netns: Arc<OwnedFd>,
    interface: String,
    last_with_ipv6: bool,
) -> Result<(), JoinError> {
    on_thread(move || {
        let mut inside = enter(netns.as_fd())?;
        delete(&mut inside, &interface)?;
        if last_with_ipv6 { Parameters::open()?.switch_ipv6(false, &[]) } else { Ok(()) }
    })
    .await
}

fn enter(netns: BorrowedFd<'_>) -> Result<Socket, JoinError> {
    crate::host::enter(netns)?;
    Socket::route()
        .map_err(|source| JoinError::Namespace { step: "opening a netlink socket", source })
}

/// Makes one interface, from the thread that is in its namespace.
fn add(
    host: &Host,
    (inside, parameters): (&mut Socket, &Parameters),
    netns: BorrowedFd<'_>,
    wiring: &Wiring,
) -> Result<Wired, JoinError> {
    let host_interface = make_link(host, netns, wiring)?;
    let wired = configure(inside, parameters, wiring, host_interface);
    if wired.is_err()
        && let Err(error) = delete(inside, &wiring.interface)
    {
        tracing::warn!(?error, "an interface is left of an endpoint that failed");
    }
    wired
}

fn make_link(host: &Host, netns: BorrowedFd<'_>, wiring: &Wiring) -> Result<String, JoinError> {
    match wiring.upper {
        Upper::Bridge { index, flags } => {
            let mac = wiring.mac.map_or_else(random_mac, Ok)?;
            let pair = Pair {
                bridge: index,
                flags,
                mtu: wiring.mtu.unwrap_or(crate::network::options::DEFAULT_MTU),
                interface: &wiring.interface,
                mac,
            };
            namespace::connect(host, &pair, netns)
        }
        Upper::Macvlan { parent, mode } => {
            let mut batch = Batch::new();
            let macvlan = Macvlan {
                name: &wiring.interface,
                parent,
                mode,
                // In this mode the address is the parent's.
                mac: wiring.mac.filter(|_| mode != MacvlanMode::Passthru),
                mtu: wiring.mtu,
                netns,
            };
            link::add_macvlan(&mut batch, &macvlan);
            host.socket().request(batch).map_err(refused)?;
            Ok(String::new())
        }
    }
}

fn configure(
    inside: &mut Socket,
    parameters: &Parameters,
    wiring: &Wiring,
    host_interface: String,
) -> Result<Wired, JoinError> {
    let name = wiring.interface.as_str();
    let index = index_of(inside, name)?;
    if let Some(v6) = wiring.v6 {
        let on_bridge = matches!(wiring.upper, Upper::Bridge { .. });
        parameters.allow_ipv6(name, v6.address(), on_bridge)?;
    }
    for (path, value) in &wiring.sysctls {
        parameters.set(&parameter_path(path, name), value)?;
    }
    let mut batch = Batch::new();
    if let Some(address) = wiring.v4 {
        route::add_address(&mut batch, index, address);
    }
    if let Some(address) = wiring.v6 {
        route::add_address(&mut batch, index, address);
    }
    for address in &wiring.link_local {
        // The prefixes of RFC 3927 and RFC 4291.
        match address {
            IpAddr::V4(address) => {
                let address = Cidr::new(*address, 16).expect("an IPv4 address has 32 bits");
                route::add_link_local(&mut batch, index, address);
            }
            IpAddr::V6(address) => {
                let address = Cidr::new(*address, 64).expect("an IPv6 address has 128 bits");
                route::add_link_local(&mut batch, index, address);
            }
        }
    }
    route::set_up(&mut batch, index);
    inside.request(batch).map_err(refused)?;
    let mac = route::mac(inside, name)
        .and_then(|mac| mac.ok_or(io::ErrorKind::NotFound.into()))
        .map_err(|source| JoinError::Namespace { step: "reading the MAC address", source })?;
    Ok(Wired { host_interface, mac })
}

fn delete(inside: &mut Socket, interface: &str) -> Result<(), JoinError> {
    let found = route::find_link(inside, interface)
        .map_err(|source| JoinError::Namespace { step: "finding the interface", source })?;
    let Some(found) = found else { return Ok(()) };
    let mut batch = Batch::new();
    route::delete_link(&mut batch, found.index);
    inside.request(batch).map_err(refused)
}

fn reroute(inside: &mut Socket, routes: &Reroute) -> Result<(), JoinError> {
    let Reroute { from, to } = routes;
    let mut batch = Batch::new();
    // A new route takes the place of the old one; one without a successor is taken away, by
    // whoever has not done so inside.
    if from.v4 != to.v4 {
        match (&from.v4, &to.v4) {
            (_, Some((name, gateway))) => {
                route::add_default_route(&mut batch, index_of(inside, name)?, *gateway);
            }
            (Some((name, gateway)), None) => {
                route::delete_default_route(&mut batch, index_of(inside, name)?, *gateway);
            }
            (None, None) => {}
        }
    }
    if from.v6 != to.v6 {
        match (&from.v6, &to.v6) {
            (_, Some((name, gateway))) => {
                route::add_default_route(&mut batch, index_of(inside, name)?, *gateway);
            }
            (Some((name, gateway)), None) => {
                route::delete_default_route(&mut batch, index_of(inside, name)?, *gateway);
            }
            (None, None) => {}
        }
    }
    if batch.count() == 0 {
        return Ok(());
    }
    match inside.request(batch) {
        // The container may change its own routes.
        Err(error) if error.is(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(refused),
    }
}

fn index_of(inside: &mut Socket, name: &str) -> Result<u32, JoinError> {
    route::find_link(inside, name)
        .and_then(|link| link.ok_or(io::ErrorKind::NotFound.into()))
        .map(|link| link.index)
        .map_err(|source| JoinError::Namespace { step: "finding the interface", source })
}

fn random_mac() -> Result<MacAddr, JoinError> {
    crate::network::link::bridge_mac()
        .map_err(|source| JoinError::Namespace { step: "drawing a hardware address", source })
}
