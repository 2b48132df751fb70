//! Joining the default bridge, the quick way: by a namespace that stands ready.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::Inner;
use super::join::{check_mac, endpoint_id, record_of};
use crate::MacAddr;
use crate::error::JoinError;
use crate::ipam::{ClaimError, Lease, lock};
use crate::namespace::{self, Leases, Prepared};
use crate::network::request::PREDEFINED;
use crate::reserve;
use crate::sandbox::{
    Assigned, EndpointRecord, EndpointRequest, Held, JoinRequest, Live, LiveSandbox, SandboxRecord,
};

/// Name of an interface of the pool.
const FIRST_INTERFACE: &str = "eth0";

impl Inner {
    pub(super) fn is_default(&self, network: &str) -> bool {
        network == PREDEFINED[0] || network == self.bridge.id
    }

    /// A sandbox with one plain endpoint on the default bridge.
    pub(super) async fn join_default(
        &self,
        mut request: JoinRequest,
    ) -> Result<Arc<LiveSandbox>, JoinError> {
        let Some(wish) = request.endpoints.pop() else { return Err(JoinError::Closed) };
        check_mac(wish.mac)?;
        let defaults = self.port_defaults(self.default.bridge().and_then(|b| b.host_binding));
        let ports = reserve::reserve(&self.ports, &request.ports, &defaults).await?;
        let mut prepared = self.prepared_for(&wish).await?;
        if let Some(mac) = wish.mac.filter(|mac| *mac != prepared.mac) {
            prepared.set_mac(mac)?;
        }
        let v4 = Assigned {
            address: prepared.lease.address(),
            prefix_len: self.plan.prefix_len,
            gateway: Some(self.plan.gateway),
        };
        let v6 = prepared.lease_v6.as_ref().zip(self.plan.v6);
        let v6 = v6.map(|(lease, (gateway, prefix_len))| Assigned {
            address: lease.address(),
            prefix_len,
            gateway: Some(gateway),
        });
        let network = &self.default.record;
        let endpoint = EndpointRecord {
            id: endpoint_id()?,
            network: network.id.clone(),
            network_name: network.name.clone(),
            interface: FIRST_INTERFACE.to_owned(),
            host_interface: prepared.host_interface,
            mac: prepared.mac.to_string(),
            v4: Some(v4),
            v6,
            gw_priority: wish.gw_priority,
            is_gateway: true,
            aliases: wish.aliases,
            links: wish.links,
        };
        let place = self.place(&self.default)?;
        let held = Held { place, v4: Some(prepared.lease), v6: prepared.lease_v6 };
        let live = Live {
            record: SandboxRecord {
                endpoints: vec![endpoint],
                ports: ports.iter().map(|port| port.published.clone()).collect(),
                ..record_of(request)
            },
            held: vec![held],
            ports,
        };
        let sandbox = LiveSandbox::new(Arc::new(prepared.netns), live);
        *lock(&sandbox.sysfs) = prepared.sysfs;
        Ok(Arc::new(sandbox))
    }

    /// A namespace of the default bridge: one with the wished or preferred address, or else the
    /// one with the lowest.
    async fn prepared_for(&self, wish: &EndpointRequest) -> Result<Prepared, JoinError> {
        if let Some(address) = wish.preferred.filter(|_| wish.address.is_none())
            && let Some(prepared) = self.prepared_again(address, wish).await?
        {
            return Ok(prepared);
        }
        if let Some(prepared) = self.pool.take(wish.address) {
            return Ok(prepared);
        }
        match self.make_for(wish).await {
            Err(error @ JoinError::NoAddress { .. }) => {
                self.pool.take_made(None).await.ok_or(error)
            }
            other => other,
        }
    }

    /// A namespace with the address that a container had before; `None` if somebody has it.
    ///
    /// Often it is a ready one. If not, making it takes some 2 ms that a ready one of another
    /// address would not: a start for the second time is worth them, as whoever knows the address
    /// goes on finding the container. A first start never comes here.
    async fn prepared_again(
        &self,
        address: Ipv4Addr,
        wish: &EndpointRequest,
    ) -> Result<Option<Prepared>, JoinError> {
        if let Some(prepared) = self.pool.take(Some(address)) {
            return Ok(Some(prepared));
        }
        match Lease::allocate_this(&self.addresses, address) {
            Some(v4) => {
                let leases = Leases { v4, v6: self.lease_v6(wish)? };
                self.make_with(leases, wish.mac).await.map(Some)
            }
            None => Ok(self.pool.take_made(Some(address)).await),
        }
    }

    /// A namespace of the default bridge on the spot: the pool is empty, or the wish is special.
    async fn make_for(&self, request: &EndpointRequest) -> Result<Prepared, JoinError> {
        let v4 = match request.address {
            None => self.any_lease()?,
            Some(address) => {
                Lease::claim(&self.addresses, address).map_err(|error| match error {
                    ClaimError::Outside => JoinError::AddressOutside { address: address.into() },
                    ClaimError::Taken => JoinError::AddressInUse(address.into()),
                })?
            }
        };
        self.make_with(Leases { v4, v6: self.lease_v6(request)? }, request.mac).await
    }

    pub(super) async fn make_with(
        &self,
        leases: Leases,
        mac: Option<MacAddr>,
    ) -> Result<Prepared, JoinError> {
        let _permit = self.makers.acquire().await.map_err(|_| JoinError::Closed)?;
        namespace::make(Arc::clone(&self.host), self.plan.clone(), leases, mac).await
    }

    pub(super) fn any_lease(&self) -> Result<Lease<Ipv4Addr>, JoinError> {
        Lease::allocate(&self.addresses).ok_or_else(|| JoinError::NoAddress {
            family: "IPv4",
            name: self.default.record.name.clone(),
            id: self.bridge.id.clone(),
        })
    }

    /// An IPv6 address of the default bridge, if it has any.
    pub(super) fn lease_v6(
        &self,
        wish: &EndpointRequest,
    ) -> Result<Option<Lease<Ipv6Addr>>, JoinError> {
        Ok(self.default.lease_v6(wish)?.map(|(lease, _)| lease))
    }
}
