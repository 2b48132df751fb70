//! Forgetting connections (`ctnetlink`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::expr::{FAMILY_IPV4, FAMILY_IPV6};
use super::message::{ACK, Batch, attribute};
use super::socket::{Refused, Socket};

/// Above this many ports, one look through all flows is cheaper than one deletion each, which
/// goes through all of them as well.
const FEW_PORTS: usize = 16;

const IPCTNL_MSG_CT_GET: u16 = (1 << 8) | 1;
const IPCTNL_MSG_CT_DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
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
    let mut batch = Batch::new();
    let (family, attribute, octets) = match container {
        IpAddr::V4(address) => (FAMILY_IPV4, CTA_IP_V4_SRC, address.octets().to_vec()),
        IpAddr::V6(address) => (FAMILY_IPV6, CTA_IP_V6_SRC, address.octets().to_vec()),
    };
    batch.push("forgetting connections", IPCTNL_MSG_CT_DELETE, ACK, |body| {
        body.raw(&header(family))
            .nest(CTA_TUPLE_REPLY, |body| {
                body.nest(CTA_TUPLE_IP, |body| {
                    body.bytes(attribute, &octets);
                });
            })
            .nest(CTA_FILTER, |body| {
                body.u32(CTA_FILTER_REPLY_FLAGS, MATCH_IP_SRC);
            });
    });
    socket.request(batch)
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
