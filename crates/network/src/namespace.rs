//! Making a network namespace with its interface.
//!
//! Each is made by a thread of its own, which moves into the new namespace and ends there: no
//! thread ever has to find its way back, so none can stay in the wrong place. The namespace is
//! held by a descriptor and never mounted; when its last user is gone, the kernel deletes both
//! ends of the veth pair with it, behind everybody's back, where deleting one by request would
//! take some 20 ms.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::address::{Cidr, MacAddr};
use crate::error::JoinError;
use crate::host::Host;
use crate::ipam::Lease;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, PortFlags, VethPair};
use crate::netlink::socket::{Refused, Socket};
use crate::parameters::Parameters;

/// Name of the container's interface.
const INTERFACE: &str = "eth0";
/// The loopback interface is the first of every namespace.
pub(crate) const LOOPBACK_INDEX: u32 = 1;
/// Attempts at a random interface name before giving up.
const NAME_ATTEMPTS: usize = 8;
/// Stack of the thread that makes a namespace.
const STACK_LEN: usize = 256 << 10;

/// What every namespace of a bridge has in common.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) bridge: u32,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) prefix_len: u8,
    /// Gateway and prefix length of IPv6, if there is any.
    pub(crate) v6: Option<(Ipv6Addr, u8)>,
    pub(crate) mtu: u32,
    pub(crate) port_flags: PortFlags,
}

/// A namespace that is ready for a container.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) netns: OwnedFd,
    pub(crate) lease: Lease<Ipv4Addr>,
    pub(crate) lease_v6: Option<Lease<Ipv6Addr>>,
    pub(crate) mac: MacAddr,
    pub(crate) host_interface: String,
    /// For the start of the container; see [`gantry_sys::netns::sysfs`].
    pub(crate) sysfs: Option<OwnedFd>,
    inside: Socket,
    index: u32,
}

impl Prepared {
    /// Gives the interface another hardware address.
    pub(crate) fn set_mac(&mut self, mac: MacAddr) -> Result<(), JoinError> {
        let mut batch = Batch::new();
        route::set_mac(&mut batch, self.index, mac);
        self.inside.request(batch).map_err(refused)?;
        self.mac = mac;
        Ok(())
    }
}

/// A veth pair to be made.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) bridge: u32,
    pub(crate) flags: PortFlags,
    pub(crate) mtu: u32,
    /// Name of the container's end.
    pub(crate) interface: &'a str,
    pub(crate) mac: MacAddr,
}

/// The addresses of a namespace of the default bridge.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) v4: Lease<Ipv4Addr>,
    pub(crate) v6: Option<Lease<Ipv6Addr>>,
}

/// Makes a namespace on a thread of its own.
pub(crate) async fn make(
    host: std::sync::Arc<Host>,
    plan: Plan,
    leases: Leases,
    mac: Option<MacAddr>,
) -> Result<Prepared, JoinError> {
    on_thread(move || build(&host, &plan, leases, mac)).await
}

/// Runs work on a thread that ends with it, wherever the work has moved it to.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JoinError> + Send + 'static,
) -> Result<T, JoinError> {
    let (answer, done) = tokio::sync::oneshot::channel();
    let work = move || {
        // If nobody waits any more, all that was made goes with the value.
        let _ = answer.send(work());
    };
    std::thread::Builder::new()
        .name("gantry-netns".to_owned())
        .stack_size(STACK_LEN)
        .spawn(work)
        .map_err(|source| JoinError::Namespace { step: "spawning a thread", source })?;
    done.await.map_err(|_| JoinError::Closed)?
}

fn build(
    host: &Host,
    plan: &Plan,
    leases: Leases,
    mac: Option<MacAddr>,
) -> Result<Prepared, JoinError> {
    let step = |step| move |source| JoinError::Namespace { step, source };
    let address = leases.v4.address();
    let v6 = leases.v6.as_ref().map(Lease::address).zip(plan.v6);
    let mac = mac.unwrap_or_else(|| MacAddr::for_address(address));
    gantry_sys::netns::unshare_network().map_err(step("making the network namespace"))?;
    let netns = File::open("/proc/thread-self/ns/net").map_err(step("opening the namespace"))?;
    let netns = OwnedFd::from(netns);
    let mut inside = Socket::route().map_err(step("opening a netlink socket"))?;
    let parameters = Parameters::open()?;
    parameters.set_defaults()?;
    if v6.is_some() {
        parameters.switch_ipv6(true, &[])?;
    }
    let mut batch = Batch::new();
    route::set_up(&mut batch, LOOPBACK_INDEX);
    inside.request(batch).map_err(refused)?;
    let pair = Pair {
        bridge: plan.bridge,
        flags: plan.port_flags,
        mtu: plan.mtu,
        interface: INTERFACE,
        mac,
    };
    let host_interface = connect(host, &pair, netns.as_fd())?;
    let link = route::find_link(&mut inside, INTERFACE)
        .and_then(|link| link.ok_or(io::ErrorKind::NotFound.into()))
        .map_err(step("finding the interface"))?;
    let mut batch = Batch::new();
    let valid = "the subnet's prefix is valid";
    let address = Cidr::new(address, plan.prefix_len).expect(valid);
    route::add_address(&mut batch, link.index, address);
    if let Some((address, (_, prefix_len))) = v6 {
        parameters.allow_ipv6(INTERFACE, address, true)?;
        let address = Cidr::new(address, prefix_len).expect(valid);
        route::add_address(&mut batch, link.index, address);
    }
    route::set_up(&mut batch, link.index);
    route::add_default_route(&mut batch, link.index, plan.gateway);
    if let Some((_, (gateway, _))) = v6 {
        route::add_default_route(&mut batch, link.index, gateway);
    }
    inside.request(batch).map_err(refused)?;
    let Leases { v4: lease, v6: lease_v6 } = leases;
    let (index, sysfs) = (link.index, gantry_sys::netns::sysfs().ok());
    Ok(Prepared { netns, lease, lease_v6, mac, host_interface, sysfs, inside, index })
}

/// Makes the veth pair and puts the host's end on the bridge; gives that end's name.
pub(crate) fn connect(
    host: &Host,
    wanted: &Pair<'_>,
    netns: BorrowedFd<'_>,
) -> Result<String, JoinError> {
    let name = add_pair(host, wanted, netns)?;
    let raised = host.without_ipv6(&name, netns).and_then(|()| {
        let mut batch = Batch::new();
        route::raise_port(&mut batch, &name, wanted.flags);
        host.socket().request(batch).map_err(refused)
    });
    match raised {
        Ok(()) => Ok(name),
        Err(error) => {
            remove(host, &name);
            Err(error)
        }
    }
}

/// Makes the pair under a name that nobody has.
fn add_pair(host: &Host, wanted: &Pair<'_>, netns: BorrowedFd<'_>) -> Result<String, JoinError> {
    let mut attempts = 0;
    loop {
        let name = interface_name()?;
        let mut batch = Batch::new();
        let pair = VethPair {
            name: &name,
            bridge: wanted.bridge,
            mtu: wanted.mtu,
            peer_name: wanted.interface,
            peer_mac: wanted.mac,
            peer_netns: netns,
        };
        route::add_veth(&mut batch, &pair);
        attempts += 1;
        match host.socket().request(batch) {
            Err(error) if error.is(Errno::EXIST) && attempts < NAME_ATTEMPTS => {}
            Err(error) => return Err(refused(error)),
            Ok(()) => return Ok(name),
        }
    }
}

/// Removes a pair that is of no use: its namespace may stand.
fn remove(host: &Host, name: &str) {
    let mut socket = host.socket();
    let removed = route::find_link(&mut socket, name).and_then(|found| {
        let Some(link) = found else { return Ok(()) };
        let mut batch = Batch::new();
        route::delete_link(&mut batch, link.index);
        socket.request(batch).map_err(|Refused { source, .. }| source)
    });
    if let Err(error) = removed {
        tracing::warn!(name, %error, "a veth pair is left of a join that failed");
    }
}

/// `veth` and seven random hexadecimal digits, as Docker names them.
fn interface_name() -> Result<String, JoinError> {
    let digits = random_hex(4)
        .map_err(|source| JoinError::Namespace { step: "drawing a random name", source })?;
    Ok(format!("veth{}", &digits[..7]))
}

/// `len` random bytes in hexadecimal.
pub(crate) fn random_hex(len: usize) -> io::Result<String> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn refused(Refused { step, source }: Refused) -> JoinError {
    JoinError::Namespace { step, source }
}
