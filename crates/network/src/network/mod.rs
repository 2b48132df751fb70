//! One network: its record, its addresses, its link in the kernel, and who is on it.

pub(crate) mod info;
pub(crate) mod link;
pub(crate) mod options;
pub(crate) mod ready;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod unlink;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use self::info::{EndpointInfo, NetworkInfo, SubnetInfo};
use self::link::Link;
use self::options::{BridgeOptions, DEFAULT_MTU};
use self::ready::Ready;
use self::record::{Driver, NetworkRecord, Subnet};
use self::request::LinkOptions;
use crate::address::Ip;
use crate::error::JoinError;
use crate::firewall::{GatewayMode, NetworkRules, SubnetRules};
use crate::ipam::{Addresses, ClaimError, Lease, lock};
use crate::sandbox::{Assigned, Candidate, EndpointRequest};

/// Added to the count of members when the network is being removed: it stays negative then,
/// whoever comes and goes.
const CLOSED: i64 = i64::MIN / 2;

/// The addresses of one subnet, shared with the leases.
pub(crate) type SharedAddresses<A> = Arc<Mutex<Addresses<A>>>;

/// An address with what an endpoint must know of it.
pub(crate) type Leased<A> = (Lease<A>, Assigned<A>);

/// A network as it runs.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) record: NetworkRecord,
    pub(crate) options: LinkOptions,
    /// What there is in the kernel; none if it could not be made yet.
    pub(crate) link: Mutex<Option<Link>>,
    pub(crate) v4: Vec<SharedAddresses<Ipv4Addr>>,
    pub(crate) v6: Vec<SharedAddresses<Ipv6Addr>>,
    /// Namespaces that wait for containers.
    pub(crate) ready: Ready,
    members: AtomicI64,
}

/// A place on a network, which keeps it from being removed.
#[derive(Debug)]
pub(crate) struct Membership(pub(crate) Arc<Network>);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.members.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Network {
    pub(crate) fn new(record: NetworkRecord, options: LinkOptions, link: Option<Link>) -> Network {
        let (v4, v6) = match record.config_only {
            true => (Vec::new(), Vec::new()),
            false => (shared(&record.v4), shared(&record.v6)),
        };
        let (link, ready, members) = (Mutex::new(link), Ready::default(), AtomicI64::new(0));
        Network { record, options, link, v4, v6, ready, members }
    }

    /// Takes a place; `None` if the network is being removed.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Membership> {
        let membership = Membership(Arc::clone(self));
        let before = self.members.fetch_add(1, Ordering::AcqRel);
        (before >= 0).then_some(membership)
    }

    /// Lets nobody in any more; false if somebody is there.
    pub(crate) fn close(&self) -> bool {
        self.members.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets others in again, after a removal that failed.
    pub(crate) fn reopen(&self) {
        self.members.fetch_sub(CLOSED, Ordering::AcqRel);
    }

    /// Whether there is no way out: by wish, or since there is no interface to go by.
    pub(crate) fn is_internal(&self) -> bool {
        let no_parent =
            matches!(&self.options, LinkOptions::Macvlan(options) if options.parent.is_none());
        self.record.internal || no_parent
    }

    /// Whether containers on it find each other by name.
    pub(crate) fn has_names(&self) -> bool {
        self.record.name != request::PREDEFINED[0]
    }

    /// The options of a bridge.
    pub(crate) fn bridge(&self) -> Option<&BridgeOptions> {
        match &self.options {
            LinkOptions::Bridge(options) => Some(options),
            _ => None,
        }
    }

    /// The MTU of its containers' interfaces, if it is not their parent's.
    pub(crate) fn mtu(&self) -> Option<u32> {
        match &self.options {
            LinkOptions::Bridge(options) => Some(options.mtu),
            LinkOptions::Macvlan(options) => options.mtu,
            LinkOptions::None => Some(DEFAULT_MTU),
        }
    }

    /// What the names of its containers' interfaces begin with.
    pub(crate) fn interface_prefix(&self) -> &str {
        match &self.options {
            LinkOptions::Bridge(options) => &options.prefix,
            LinkOptions::Macvlan(options) => &options.prefix,
            LinkOptions::None => "eth",
        }
    }

    /// What it means for an endpoint's chance to give the default route.
    pub(crate) fn candidate(&self, priority: i64, v4: bool, v6: bool) -> Candidate<'_> {
        let internal = self.is_internal();
        Candidate { priority, internal, network: &self.record.name, v4, v6 }
    }

    /// An IPv4 address: the wished one, or else the preferred one, or else the lowest.
    pub(crate) fn lease_v4(
        &self,
        wish: &EndpointRequest,
    ) -> Result<Option<Leased<Ipv4Addr>>, JoinError> {
        let wish = (wish.address, wish.preferred);
        let inhibited = self.bridge().is_some_and(|bridge| bridge.mode_v4 == GatewayMode::Isolated);
        self.lease(&self.v4, &self.record.v4, wish, !inhibited)
    }

    /// The same of IPv6.
    pub(crate) fn lease_v6(
        &self,
        wish: &EndpointRequest,
    ) -> Result<Option<Leased<Ipv6Addr>>, JoinError> {
        let wish = (wish.address6, wish.preferred6);
        let inhibited = self.bridge().is_some_and(|bridge| bridge.mode_v6 == GatewayMode::Isolated);
        self.lease(&self.v6, &self.record.v6, wish, !inhibited)
    }

    fn lease<A: Ip>(
        &self,
        pools: &[SharedAddresses<A>],
        subnets: &[Subnet<A>],
        (wish, preferred): (Option<A>, Option<A>),
        has_gateway: bool,
    ) -> Result<Option<Leased<A>>, JoinError> {
        let numbered = || pools.iter().enumerate();
        let again = |address| {
            numbered().find_map(|(at, pool)| Some((at, Lease::allocate_this(pool, address)?)))
        };
        let lowest = || numbered().find_map(|(at, pool)| Some((at, Lease::allocate(pool)?)));
        let leased = match wish {
            None if pools.is_empty() => return Ok(None),
            None => preferred.and_then(again).or_else(lowest).ok_or_else(|| {
                let (name, id) = (self.record.name.clone(), self.record.id.clone());
                JoinError::NoAddress { family: A::FAMILY, name, id }
            })?,
            Some(address) => claim(pools, subnets, address)?,
        };
        let (at, lease) = leased;
        let gateway = subnets[at].router().filter(|_| has_gateway && !self.is_internal());
        let prefix_len = subnets[at].subnet.prefix_len();
        let assigned = Assigned { address: lease.address(), prefix_len, gateway };
        Ok(Some((lease, assigned)))
    }

    /// What the firewall must know; nothing of a network that is no bridge.
    pub(crate) fn rules(&self) -> Option<NetworkRules> {
        let options = self.bridge()?;
        let inhibit = |on: bool, mode| on || mode == GatewayMode::Isolated;
        let no_v4 = inhibit(options.inhibit_v4, options.mode_v4);
        Some(NetworkRules {
            id: self.record.id.clone(),
            interface: link::bridge_name(&self.record, options),
            v4: self.record.v4.first().map(|subnet| SubnetRules {
                network: subnet.subnet.first(),
                prefix_len: subnet.subnet.prefix_len(),
                gateway: subnet.gateway.filter(|_| !no_v4),
                mode: options.mode_v4,
                masquerade: options.masquerade,
                snat_to: options.host_v4,
            }),
            v6: self.record.v6.first().map(|subnet| SubnetRules {
                network: subnet.subnet.first(),
                prefix_len: subnet.subnet.prefix_len(),
                gateway: subnet.gateway.filter(|_| !inhibit(false, options.mode_v6)),
                mode: options.mode_v6,
                masquerade: options.masquerade,
                snat_to: options.host_v6,
            }),
            icc: options.icc,
            internal: self.record.internal,
            trusted: options.trusted.clone(),
        })
    }

    /// All there is to tell.
    pub(crate) fn info(&self, endpoints: Vec<EndpointInfo>) -> NetworkInfo {
        let (ready4, ready6) = self.ready.addresses();
        NetworkInfo {
            record: self.record.clone(),
            internal: self.is_internal(),
            v4: subnet_infos(&self.record.v4, &self.v4, &ready4),
            v6: subnet_infos(&self.record.v6, &self.v6, &ready6),
            endpoints,
        }
    }

    /// Whether it is there without anybody having made it.
    pub(crate) fn is_predefined(&self) -> bool {
        request::PREDEFINED.contains(&self.record.name.as_str())
    }

    /// Why nobody can have an endpoint on it, if so.
    pub(crate) fn closed_to_endpoints(&self) -> Option<JoinError> {
        if self.record.config_only {
            return Some(JoinError::ConfigOnly);
        }
        match self.record.driver {
            Driver::Bridge | Driver::Macvlan => None,
            Driver::Host | Driver::Null => Some(JoinError::NoEndpoints(self.record.name.clone())),
        }
    }
}

fn claim<A: Ip>(
    pools: &[SharedAddresses<A>],
    subnets: &[Subnet<A>],
    address: A,
) -> Result<(usize, Lease<A>), JoinError> {
    let ip: IpAddr = address.into();
    if pools.is_empty() {
        return Err(JoinError::NoFamily { address: ip, family: A::FAMILY });
    }
    if subnets.iter().all(|subnet| subnet.chosen) {
        return Err(JoinError::SubnetNotNamed);
    }
    for (at, pool) in pools.iter().enumerate() {
        match Lease::claim(pool, address) {
            Ok(lease) => return Ok((at, lease)),
            Err(ClaimError::Taken) => return Err(JoinError::AddressInUse(ip)),
            Err(ClaimError::Outside) => {}
        }
    }
    Err(JoinError::AddressOutside { address: ip })
}

fn shared<A: Ip>(subnets: &[Subnet<A>]) -> Vec<SharedAddresses<A>> {
    let one = |subnet: &Subnet<A>| {
        let mut addresses = Addresses::new(subnet.subnet, subnet.range, subnet.gateway);
        subnet.auxiliary.values().for_each(|address| addresses.reserve(*address));
        Arc::new(Mutex::new(addresses))
    };
    subnets.iter().map(one).collect()
}

/// What there is to tell about subnets. Addresses of `ready` namespaces are anybody's to have.
fn subnet_infos<A: Ip>(
    subnets: &[Subnet<A>],
    pools: &[SharedAddresses<A>],
    ready: &[A],
) -> Vec<SubnetInfo> {
    let one = |(at, subnet): (usize, &Subnet<A>)| {
        let (in_use, available) = pools.get(at).map_or((0, 0), |pool| {
            let pool = lock(pool);
            (pool.in_use(), pool.available())
        });
        let ready = ready.iter().filter(|address| subnet.subnet.contains(**address)).count();
        let ready = u64::try_from(ready).unwrap_or(0);
        SubnetInfo {
            subnet: subnet.subnet.to_string(),
            range: subnet.range.map(|range| range.to_string()),
            gateway: subnet.gateway.map(Into::into),
            gateway_named: subnet.gateway_named,
            chosen: subnet.chosen,
            auxiliary: subnet.auxiliary.iter().map(|(k, v)| (k.clone(), (*v).into())).collect(),
            ips_in_use: in_use.saturating_sub(ready),
            ips_available: available.saturating_add(ready),
        }
    };
    subnets.iter().enumerate().map(one).collect()
}
