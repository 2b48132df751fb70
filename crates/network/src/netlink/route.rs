//! Links, addresses and routes (`rtnetlink(7)`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::message::{ACK, Batch, CREATE, EXCL, REPLACE, attribute, u32_at};
use super::socket::Socket;
use crate::address::{Cidr, Ip, MacAddr};

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

pub(super) const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u8 = 10;
pub(super) const IFF_UP: u32 = 1;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_IFALIAS: u16 = 20;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_FLUSH: u16 = 24;
const BR_STATE_DISABLED: u8 = 0;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// Use the address at once, without asking the link whether somebody has it.
const IFA_F_NODAD: u8 = 2;
const RT_SCOPE_LINK: u8 = 253;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
/// Length of `struct ifinfomsg`.
pub(super) const IFINFO_LEN: usize = 16;
/// Length of `struct ifaddrmsg`.
const IFADDR_LEN: usize = 8;
/// Length of `struct rtmsg`.
const RTMSG_LEN: usize = 12;

/// An interface as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    /// `bridge`, `veth` and so on; empty for hardware.
    pub(crate) kind: String,
    pub(crate) mtu: u32,
    /// What somebody wrote on it (`ip link set alias`).
    pub(crate) alias: String,
}

/// A veth pair to be made: one end here on a bridge, the other in a new namespace.
#[derive(Debug)]
pub(crate) struct VethPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: MacAddr,
    pub(crate) peer_netns: BorrowedFd<'a>,
}

/// Flags of a bridge port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PortFlags {
    /// A frame may leave by the port it came in by.
    pub(crate) hairpin: bool,
    /// No frame passes between two such ports.
    pub(crate) isolated: bool,
}

/// Looks an interface up by name.
pub(crate) fn find_link(socket: &mut Socket, name: &str) -> io::Result<Option<Link>> {
    let mut batch = Batch::new();
    batch.push("looking up the interface", RTM_GETLINK, 0, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0)).text(IFLA_IFNAME, name);
    });
    match socket.get(batch) {
        Ok(body) => parse_link(&body).map(Some).ok_or(io::ErrorKind::InvalidData.into()),
        Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The hardware address of an interface, by its name.
pub(crate) fn mac(socket: &mut Socket, name: &str) -> io::Result<Option<MacAddr>> {
    let mut batch = Batch::new();
    batch.push("looking up the interface", RTM_GETLINK, 0, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0)).text(IFLA_IFNAME, name);
    });
    let body = socket.get(batch)?;
    let attrs = body.get(IFINFO_LEN..).unwrap_or(&[]);
    let octets = attribute(attrs, IFLA_ADDRESS).and_then(|octets| octets.try_into().ok());
    Ok(octets.map(MacAddr))
}

/// The addresses of a family in the namespace, each with the index of its interface.
pub(crate) fn addresses<A: Ip>(socket: &mut Socket) -> io::Result<Vec<(u32, Cidr<A>)>> {
    let mut found = Vec::new();
    let header = ifaddr(family::<A>(), 0, 0);
    socket.dump(RTM_GETADDR, &header, |body| found.extend(parse_address(body)))?;
    Ok(found)
}

/// Destinations of a family's routes in the namespace, each with the index of its interface.
/// Those of the local table are left out: they are the addresses again.
pub(crate) fn routes<A: Ip>(socket: &mut Socket) -> io::Result<Vec<(u32, Cidr<A>)>> {
    let mut found = Vec::new();
    let mut header = [0; RTMSG_LEN];
    header[0] = family::<A>();
    socket.dump(RTM_GETROUTE, &header, |body| found.extend(parse_route(body)))?;
    Ok(found)
}

/// Makes a bridge.
///
/// It is given its hardware address, since it would otherwise take that of its lowest port and
/// change it as containers come and go.
pub(crate) fn add_bridge(batch: &mut Batch, name: &str, mac: MacAddr, mtu: u32) {
    batch.push("creating the bridge", RTM_NEWLINK, ACK | CREATE | EXCL, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0))
            .text(IFLA_IFNAME, name)
            .bytes(IFLA_ADDRESS, &mac.0)
            .u32(IFLA_MTU, mtu)
            .nest(IFLA_LINKINFO, |body| {
                body.bytes(IFLA_INFO_KIND, b"bridge");
            });
    });
}

/// Makes both ends of a veth pair, each in its place, in one request: to make them here and move
/// one takes ten times as long. Both are down.
pub(crate) fn add_veth(batch: &mut Batch, pair: &VethPair<'_>) {
    let peer_netns = u32::try_from(pair.peer_netns.as_raw_fd()).expect("descriptors are positive");
    batch.push("creating the veth pair", RTM_NEWLINK, ACK | CREATE | EXCL, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0))
            .text(IFLA_IFNAME, pair.name)
            .u32(IFLA_MTU, pair.mtu)
            .u32(IFLA_MASTER, pair.bridge)
            .nest(IFLA_LINKINFO, |body| {
                body.bytes(IFLA_INFO_KIND, b"veth").nest(IFLA_INFO_DATA, |body| {
                    body.nest(VETH_INFO_PEER, |body| {
                        body.raw(&ifinfo(AF_UNSPEC, 0, 0))
                            .text(IFLA_IFNAME, pair.peer_name)
                            .bytes(IFLA_ADDRESS, &pair.peer_mac.0)
                            .u32(IFLA_MTU, pair.mtu)
                            .u32(IFLA_NET_NS_FD, peer_netns);
                    });
                });
            });
    });
}

/// Switches a port of a bridge on, with these flags from its first frame on. By its name: to look
/// its number up has the kernel announce a state of the link that is about to change.
pub(crate) fn raise_port(batch: &mut Batch, name: &str, flags: PortFlags) {
    batch.push("switching the bridge port on", RTM_NEWLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, IFF_UP)).text(IFLA_IFNAME, name);
        if flags == PortFlags::default() {
            return;
        }
        body.nest(IFLA_LINKINFO, |body| {
            body.bytes(IFLA_INFO_SLAVE_KIND, b"bridge").nest(IFLA_INFO_SLAVE_DATA, |body| {
                body.bytes(IFLA_BRPORT_MODE, &[u8::from(flags.hairpin)])
                    .bytes(IFLA_BRPORT_ISOLATED, &[u8::from(flags.isolated)]);
            });
        });
    });
}

/// Has a port of a bridge pass nothing any more, and the bridge forget who is behind it.
///
/// Switching it off would wait for every processor. In the family of bridges, since what is
/// changed otherwise is announced as a change of the link, whereupon the bridge enables it again.
pub(crate) fn disable_port(batch: &mut Batch, index: u32) {
    batch.push("disabling the bridge port", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_BRIDGE, index, 0)).nest(IFLA_PROTINFO, |body| {
            body.bytes(IFLA_BRPORT_STATE, &[BR_STATE_DISABLED]).bytes(IFLA_BRPORT_FLUSH, &[]);
        });
    });
}

/// Switches an interface on.
pub(crate) fn set_up(batch: &mut Batch, index: u32) {
    batch.push("switching the interface on", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, index, IFF_UP));
    });
}

/// Sets the MTU of an interface.
pub(crate) fn set_mtu(batch: &mut Batch, index: u32, mtu: u32) {
    batch.push("setting the MTU", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, index, 0)).u32(IFLA_MTU, mtu);
    });
}

/// Sets the hardware address of an interface.
pub(crate) fn set_mac(batch: &mut Batch, index: u32, mac: MacAddr) {
    batch.push("setting the MAC address", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, index, 0)).bytes(IFLA_ADDRESS, &mac.0);
    });
}

/// Deletes an interface.
pub(crate) fn delete_link(batch: &mut Batch, index: u32) {
    batch.push("deleting the interface", RTM_DELLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, index, 0));
    });
}

/// Gives an interface an address.
pub(crate) fn add_address<A: Ip>(batch: &mut Batch, index: u32, address: Cidr<A>) {
    batch.push("adding the address", RTM_NEWADDR, ACK | CREATE | EXCL, |body| {
        body.raw(&ifaddr(family::<A>(), address.prefix_len(), index))
            .bytes(IFA_LOCAL, &octets(address.address()))
            .bytes(IFA_ADDRESS, &octets(address.address()));
        if A::BITS == 32 && address.prefix_len() < 31 {
            body.bytes(IFA_BROADCAST, &octets(address.last()));
        }
    });
}

/// Gives an interface an address that holds on its link alone.
pub(crate) fn add_link_local<A: Ip>(batch: &mut Batch, index: u32, address: Cidr<A>) {
    batch.push("adding the link-local address", RTM_NEWADDR, ACK | CREATE | EXCL, |body| {
        let mut header = ifaddr(family::<A>(), address.prefix_len(), index);
        header[3] = RT_SCOPE_LINK;
        body.raw(&header)
            .bytes(IFA_LOCAL, &octets(address.address()))
            .bytes(IFA_ADDRESS, &octets(address.address()));
    });
}

/// Takes an address from an interface.
pub(crate) fn delete_address<A: Ip>(batch: &mut Batch, index: u32, address: Cidr<A>) {
    batch.push("removing the address", RTM_DELADDR, ACK, |body| {
        body.raw(&ifaddr(family::<A>(), address.prefix_len(), index))
            .bytes(IFA_LOCAL, &octets(address.address()))
            .bytes(IFA_ADDRESS, &octets(address.address()));
    });
}

/// Routes everything without another route to `gateway`.
pub(crate) fn add_default_route<A: Ip>(batch: &mut Batch, index: u32, gateway: A) {
    batch.push("adding the default route", RTM_NEWROUTE, ACK | CREATE | REPLACE, |body| {
        let mut header = [0; RTMSG_LEN];
        (header[0], header[4], header[5], header[7]) =
            (family::<A>(), RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST);
        body.raw(&header).bytes(RTA_GATEWAY, &octets(gateway)).u32(RTA_OIF, index);
    });
}

/// Takes the default route by `gateway` away.
pub(crate) fn delete_default_route<A: Ip>(batch: &mut Batch, index: u32, gateway: A) {
    batch.push("removing the default route", RTM_DELROUTE, ACK, |body| {
        let mut header = [0; RTMSG_LEN];
        (header[0], header[4], header[7]) = (family::<A>(), RT_TABLE_MAIN, RTN_UNICAST);
        body.raw(&header).bytes(RTA_GATEWAY, &octets(gateway)).u32(RTA_OIF, index);
    });
}

fn family<A: Ip>() -> u8 {
    if A::BITS == 32 { AF_INET } else { AF_INET6 }
}

fn octets<A: Ip>(address: A) -> Vec<u8> {
    match address.into() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn of_octets<A: Ip>(octets: &[u8]) -> Option<A> {
    let address = match A::BITS {
        32 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    A::of_ip(address)
}

/// `struct ifinfomsg`; the change mask equals the flags, so that only those given change.
pub(super) fn ifinfo(family: u8, index: u32, flags: u32) -> [u8; IFINFO_LEN] {
    let mut header = [0; IFINFO_LEN];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct ifaddrmsg` of global scope.
fn ifaddr(family: u8, prefix_len: u8, index: u32) -> [u8; IFADDR_LEN] {
    let flags = if family == AF_INET6 { IFA_F_NODAD } else { 0 };
    let mut header = [family, prefix_len, flags, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let attrs = body.get(IFINFO_LEN..)?;
    let info = attribute(attrs, IFLA_LINKINFO).unwrap_or(&[]);
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or(&[]);
        String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
    };
    Some(Link {
        index: u32_at(body, 4)?,
        kind: text(attribute(info, IFLA_INFO_KIND)),
        alias: text(attribute(attrs, IFLA_IFALIAS)),
        mtu: u32_at(attribute(attrs, IFLA_MTU)?, 0)?,
    })
}

fn parse_address<A: Ip>(body: &[u8]) -> Option<(u32, Cidr<A>)> {
    let attrs = body.get(IFADDR_LEN..)?;
    let octets = attribute(attrs, IFA_LOCAL).or_else(|| attribute(attrs, IFA_ADDRESS))?;
    Some((u32_at(body, 4)?, Cidr::new(of_octets(octets)?, *body.get(1)?)?))
}

fn parse_route<A: Ip>(body: &[u8]) -> Option<(u32, Cidr<A>)> {
    let attrs = body.get(RTMSG_LEN..)?;
    if *body.get(4)? == RT_TABLE_LOCAL {
        return None;
    }
    let destination = of_octets(attribute(attrs, RTA_DST)?)?;
    let interface = attribute(attrs, RTA_OIF).and_then(|oif| u32_at(oif, 0)).unwrap_or(0);
    Some((interface, Cidr::new(destination, *body.get(1)?)?))
}
