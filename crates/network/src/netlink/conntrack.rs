//! Forgetting connections (`ctnetlink`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use rustix::io::Errno;

use super::expr::{FAMILY_IPV4, FAMILY_IPV6};
use super::message::{ACK, Batch, attribute};
use super::socket::{Refused, Socket};

/// Above this many ports, one look through all flows is cheaper than one deletion each, which
/// goes through all of them as well.
const FEW_PORTS: usize = 16;

/// The same for addresses, which take two deletions each.
const FEW_ADDRESSES: usize = 4;

/// Deletions of one request: the answers to them wait in the socket's queue.
const FLOWS_AT_ONCE: usize = 64;

const IPCTNL_MSG_CT_GET: u16 = (1 << 8) | 1;
const IPCTNL_MSG_CT_DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const MATCH_IP_SRC: u32 = 1;
const MATCH_PROTO_NUM: u32 = 1 << 3;
const MATCH_DST_PORT: u32 = 1 << 5;
/// Length of `struct nfgenmsg`.
const HEADER_LEN: usize = 4;

/// `struct nfgenmsg`; version 1 makes the kernel look at the family.
fn header(family: u8) -> [u8; HEADER_LEN] {
    [family, 1, 0, 0]
}

/// Forgets every connection that `container` answers. A flow without an end, as UDP has, would
/// otherwise go on to a container that is gone, also when the port has a new owner.
///
/// # Errors
/// Linux before 5.8 knows no filter.
pub(crate) fn forget_container(socket: &mut Socket, container: IpAddr) -> Result<(), Refused> {
    match container {
        IpAddr::V4(container) => forget_v4(socket, container, CTA_TUPLE_REPLY),
        IpAddr::V6(container) => {
            let octets = container.octets();
            forget_where(socket, FAMILY_IPV6, |flow| {
                sender(flow, CTA_TUPLE_REPLY) == Some(&octets[..])
            })
        }
    }
}

/// Forgets every connection that one of these addresses began or answers: whoever has it next
/// shall not get what was meant for another.
///
/// # Errors
/// Linux before 5.8 knows no filter.
pub(crate) fn forget_all_of(
    socket: &mut Socket,
    addresses: &BTreeSet<IpAddr>,
) -> Result<(), Refused> {
    let (mut v4, mut v6) = (Vec::new(), BTreeSet::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => drop(v6.insert(address.octets().to_vec())),
        }
    }
    let both = [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY];
    let is_of = |flow: &[u8], set: &BTreeSet<Vec<u8>>| {
        both.iter().any(|tuple| sender(flow, *tuple).is_some_and(|address| set.contains(address)))
    };
    if v4.len() <= FEW_ADDRESSES {
        for address in v4 {
            for tuple in both {
                forget_v4(socket, address, tuple)?;
            }
        }
    } else {
        let v4: BTreeSet<Vec<u8>> = v4.iter().map(|address| address.octets().to_vec()).collect();
        forget_where(socket, FAMILY_IPV4, |flow| is_of(flow, &v4))?;
    }
    if v6.is_empty() { Ok(()) } else { forget_where(socket, FAMILY_IPV6, |flow| is_of(flow, &v6)) }
}

/// Forgets the connections of which `address` sends the packets in this direction.
fn forget_v4(socket: &mut Socket, address: Ipv4Addr, tuple: u16) -> Result<(), Refused> {
    let flags = match tuple {
        CTA_TUPLE_ORIG => CTA_FILTER_ORIG_FLAGS,
        _ => CTA_FILTER_REPLY_FLAGS,
    };
    let mut batch = Batch::new();
    batch.push("forgetting connections", IPCTNL_MSG_CT_DELETE, ACK, |body| {
        body.raw(&header(FAMILY_IPV4))
            .nest(tuple, |body| {
                body.nest(CTA_TUPLE_IP, |body| {
                    body.bytes(CTA_IP_V4_SRC, &address.octets());
                });
            })
            .nest(CTA_FILTER, |body| {
                body.u32(flags, MATCH_IP_SRC);
            });
    });
    socket.request(batch)
}

/// Looks for connections by their attributes and deletes each that fits. A filter with an IPv6
/// address deletes the flows that do *not* have it: the kernel takes the comparison the wrong way
/// round (seen on 6.18).
fn forget_where(
    socket: &mut Socket,
    family: u8,
    fits: impl Fn(&[u8]) -> bool,
) -> Result<(), Refused> {
    let mut flows = Vec::new();
    let look = socket.dump(IPCTNL_MSG_CT_GET, &header(family), |body| {
        let attrs = body.get(HEADER_LEN..).unwrap_or(&[]);
        if fits(attrs) {
            let zone = attribute(attrs, CTA_ZONE).map(<[u8]>::to_vec);
            flows.extend(attribute(attrs, CTA_TUPLE_ORIG).map(|tuple| (tuple.to_vec(), zone)));
        }
    });
    look.map_err(|source| Refused { step: "reading connections", source })?;
    for flows in flows.chunks(FLOWS_AT_ONCE) {
        let mut batch = Batch::new();
        for (tuple, zone) in flows {
            batch.push("forgetting connections", IPCTNL_MSG_CT_DELETE, ACK, |body| {
                body.raw(&header(family)).nest(CTA_TUPLE_ORIG, |body| {
                    body.raw(tuple);
                });
                if let Some(zone) = zone {
                    body.bytes(CTA_ZONE, zone);
                }
            });
        }
        match socket.request(batch) {
            // It ended by itself.
            Err(refused) if refused.is(Errno::NOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The address that sends the packets of a connection in this direction.
fn sender(attrs: &[u8], tuple: u16) -> Option<&[u8]> {
    let address = attribute(attribute(attrs, tuple)?, CTA_TUPLE_IP)?;
    attribute(address, CTA_IP_V4_SRC).or_else(|| attribute(address, CTA_IP_V6_SRC))
}

/// Forgets every flow of a family and protocol to these ports: one that began before its port was
/// published would go on to the host.
///
/// # Errors
/// Linux before 5.8 knows no filter.
pub(crate) fn forget_ports(
    socket: &mut Socket,
    family: u8,
    proto: u8,
    ports: &BTreeSet<u16>,
) -> Result<(), Refused> {
    if ports.len() <= FEW_PORTS {
        return ports.iter().try_for_each(|port| forget_port(socket, family, proto, *port));
    }
    let mut seen = BTreeSet::new();
    let look = socket.dump(IPCTNL_MSG_CT_GET, &header(family), |body| {
        let flow = body.get(HEADER_LEN..).and_then(original_target);
        seen.extend(flow.filter(|(of, _)| *of == proto).map(|(_, port)| port));
    });
    look.map_err(|source| Refused { step: "reading connections", source })?;
    seen.intersection(ports).try_for_each(|port| forget_port(socket, family, proto, *port))
}

/// Protocol and destination port of the packet that began a connection.
fn original_target(attrs: &[u8]) -> Option<(u8, u16)> {
    let tuple = attribute(attrs, CTA_TUPLE_ORIG)?;
    let proto = attribute(tuple, CTA_TUPLE_PROTO)?;
    let port = attribute(proto, CTA_PROTO_DST_PORT)?.try_into().ok()?;
    Some((*attribute(proto, CTA_PROTO_NUM)?.first()?, u16::from_be_bytes(port)))
}

fn forget_port(socket: &mut Socket, family: u8, proto: u8, port: u16) -> Result<(), Refused> {
    let mut batch = Batch::new();
    batch.push("forgetting flows", IPCTNL_MSG_CT_DELETE, ACK, |body| {
        body.raw(&header(family))
            .nest(CTA_TUPLE_ORIG, |body| {
                body.nest(CTA_TUPLE_PROTO, |body| {
                    body.bytes(CTA_PROTO_NUM, &[proto])
                        .bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
                });
            })
            .nest(CTA_FILTER, |body| {
                body.u32(CTA_FILTER_ORIG_FLAGS, MATCH_PROTO_NUM | MATCH_DST_PORT);
            });
    });
    socket.request(batch)
}
