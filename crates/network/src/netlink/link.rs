//! Links other than bridges and veth pairs, and all links of a namespace.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{ACK, Batch, CREATE, EXCL, attribute, u32_at};
use super::route::{
    AF_UNSPEC, IFF_UP, IFINFO_LEN, IFLA_ADDRESS, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA,
    IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_MTU, IFLA_NET_NS_FD, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK,
    RTM_SETLINK, ifinfo,
};
use super::socket::Socket;
use crate::address::MacAddr;

const IFLA_LINK: u16 = 5;
const IFLA_GROUP: u16 = 27;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;

/// An interface as a list of all shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// What somebody wrote on it (`ip link set alias`).
    pub(crate) alias: String,
    /// Index of the other end of a veth pair, in the namespace where that is; 0 without one.
    pub(crate) peer: u32,
}

/// How interfaces of one parent reach each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MacvlanMode {
    /// Not at all.
    Private,
    /// By the switch behind the parent.
    Vepa,
    /// Directly.
    #[default]
    Bridge,
    /// There is one, and it has the parent for itself.
    Passthru,
}

/// A macvlan interface to be made in another namespace.
#[derive(Debug)]
pub(crate) struct Macvlan<'a> {
    pub(crate) name: &'a str,
    pub(crate) parent: u32,
    pub(crate) mode: MacvlanMode,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) netns: BorrowedFd<'a>,
}

/// Every interface of the namespace.
pub(crate) fn links(socket: &mut Socket) -> io::Result<Vec<ListedLink>> {
    let mut found = Vec::new();
    socket.dump(RTM_GETLINK, &ifinfo(AF_UNSPEC, 0, 0), |body| found.extend(parse(body)))?;
    Ok(found)
}

/// Makes a macvlan interface in its namespace.
pub(crate) fn add_macvlan(batch: &mut Batch, link: &Macvlan<'_>) {
    let netns = u32::try_from(link.netns.as_raw_fd()).expect("descriptors are positive");
    // `MACVLAN_MODE_*` are bits.
    let mode = match link.mode {
        MacvlanMode::Private => 1,
        MacvlanMode::Vepa => 2,
        MacvlanMode::Bridge => 4,
        MacvlanMode::Passthru => 8,
    };
    batch.push("creating the macvlan interface", RTM_NEWLINK, ACK | CREATE | EXCL, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0)).text(IFLA_IFNAME, link.name);
        body.u32(IFLA_LINK, link.parent).u32(IFLA_NET_NS_FD, netns);
        if let Some(mac) = link.mac {
            body.bytes(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = link.mtu {
            body.u32(IFLA_MTU, mtu);
        }
        body.nest(IFLA_LINKINFO, |body| {
            body.bytes(IFLA_INFO_KIND, b"macvlan").nest(IFLA_INFO_DATA, |body| {
                body.u32(IFLA_MACVLAN_MODE, mode);
            });
        });
    });
}

/// Makes an interface that leads nowhere, and switches it on.
pub(crate) fn add_dummy(batch: &mut Batch, name: &str) {
    batch.push("creating the dummy interface", RTM_NEWLINK, ACK | CREATE | EXCL, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, IFF_UP)).text(IFLA_IFNAME, name).nest(
            IFLA_LINKINFO,
            |body| {
                body.bytes(IFLA_INFO_KIND, b"dummy");
            },
        );
    });
}

/// Makes an 802.1q interface on another, and switches it on.
pub(crate) fn add_vlan(batch: &mut Batch, name: &str, below: u32, number: u16) {
    batch.push("creating the 802.1q interface", RTM_NEWLINK, ACK | CREATE | EXCL, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, IFF_UP)).text(IFLA_IFNAME, name).u32(IFLA_LINK, below).nest(
            IFLA_LINKINFO,
            |body| {
                body.bytes(IFLA_INFO_KIND, b"vlan").nest(IFLA_INFO_DATA, |body| {
                    body.bytes(IFLA_VLAN_ID, &number.to_ne_bytes());
                });
            },
        );
    });
}

/// Writes on an interface whose it is.
///
/// The kernel takes no alias when it makes one. But it does all of a batch or nothing when the
/// process is killed, so this belongs into the batch that makes the interface; its index is not
/// known there.
pub(crate) fn set_alias(batch: &mut Batch, name: &str, alias: &str) {
    batch.push("naming the interface's owner", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0)).text(IFLA_IFNAME, name).text(IFLA_IFALIAS, alias);
    });
}

/// Puts an interface in a group.
pub(crate) fn set_group(batch: &mut Batch, index: u32, group: u32) {
    batch.push("grouping the interface", RTM_SETLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, index, 0)).u32(IFLA_GROUP, group);
    });
}

/// Deletes every interface of a group at once.
pub(crate) fn delete_group(batch: &mut Batch, group: u32) {
    batch.push("deleting interfaces", RTM_DELLINK, ACK, |body| {
        body.raw(&ifinfo(AF_UNSPEC, 0, 0)).u32(IFLA_GROUP, group);
    });
}

fn parse(body: &[u8]) -> Option<ListedLink> {
    let attrs = body.get(IFINFO_LEN..)?;
    let text = |kind| {
        let bytes = attribute(attrs, kind).unwrap_or(&[]);
        String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
    };
    Some(ListedLink {
        index: u32_at(body, 4)?,
        name: text(IFLA_IFNAME),
        alias: text(IFLA_IFALIAS),
        peer: attribute(attrs, IFLA_LINK).and_then(|bytes| u32_at(bytes, 0)).unwrap_or(0),
    })
}
