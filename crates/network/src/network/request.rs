//! What a network is asked to be, and whether that makes sense.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::options::{BridgeOptions, MacvlanOptions};
use super::record::{Driver, NetworkRecord, Subnet};
use crate::address::{Cidr, Ip};
use crate::error::CreateError;
use crate::firewall::GatewayMode;

/// Names that belong to the networks that are always there.
pub(crate) const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// The wish for a network.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Its driver; empty means `bridge`.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Without a way out.
    pub internal: bool,
    /// Open to containers that are no service's tasks.
    pub attachable: bool,
    /// Whether its containers have IPv4; `None` for yes.
    pub enable_ipv4: Option<bool>,
    /// Whether its containers have IPv6; `None` for no.
    pub enable_ipv6: Option<bool>,
    /// A configuration for other networks, and nothing more.
    pub config_only: bool,
    /// Name of the network whose configuration to take.
    pub config_from: Option<String>,
    /// Driver of the address management; empty means `default`, and there is no other.
    pub ipam_driver: String,
    /// Options of the address management, which mean nothing to the default driver.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Subnets; one of each enabled family is found where none is named.
    pub ipam: Vec<IpamConfig>,
}

/// One subnet as it is asked for; an empty text is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpamConfig {
    /// The subnet, `10.1.0.0/16`.
    pub subnet: String,
    /// The part that addresses are given from by themselves.
    pub ip_range: String,
    /// The gateway.
    pub gateway: String,
    /// Addresses that are kept out, by name.
    pub auxiliary: BTreeMap<String, String>,
}

/// A network that could be made, but for its subnets where none are named.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Without an id, and with the named subnets alone.
    pub(crate) record: NetworkRecord,
    pub(crate) link: LinkOptions,
}

/// The options of a network's driver.
#[derive(Debug, Clone)]
pub(crate) enum LinkOptions {
    /// A bridge.
    Bridge(BridgeOptions),
    /// Macvlan.
    Macvlan(MacvlanOptions),
    /// Nothing to make.
    None,
}

impl LinkOptions {
    /// Reads what a record says.
    pub(crate) fn of(record: &NetworkRecord) -> Result<LinkOptions, CreateError> {
        if record.config_only {
            return Ok(LinkOptions::None);
        }
        Ok(match record.driver {
            Driver::Bridge => LinkOptions::Bridge(BridgeOptions::parse(&record.options)?),
            Driver::Macvlan => LinkOptions::Macvlan(MacvlanOptions::parse(&record.options)?),
            Driver::Host | Driver::Null => LinkOptions::None,
        })
    }
}

impl CreateNetwork {
    /// Adds the daemon's options of the driver where none of the same key are given. A configuration
    /// is as it was made, and so is a network that has it.
    pub(crate) fn with_defaults(
        mut self,
        defaults: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> CreateNetwork {
        let driver = if self.driver.is_empty() { "bridge" } else { self.driver.as_str() };
        if let Some(defaults) = defaults.get(driver)
            && !self.config_only
            && self.config_from.is_none()
        {
            for (key, value) in defaults {
                self.options.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        self
    }

    /// Checks the wish; `config` is the network that `config_from` names.
    pub(crate) fn check(self, config: Option<&NetworkRecord>) -> Result<Draft, CreateError> {
        let name = self.name.trim();
        if name.is_empty() {
            return Err(CreateError::NoName);
        }
        if PREDEFINED.contains(&name) {
            return Err(CreateError::Predefined(name.to_owned()));
        }
        let driver = driver(&self.driver, self.config_only)?;
        if !matches!(self.ipam_driver.as_str(), "" | "default") {
            return Err(CreateError::IpamDriver(self.ipam_driver));
        }
        let mut record = NetworkRecord {
            id: String::new(),
            name: self.name,
            created: String::new(),
            driver,
            options: self.options,
            labels: self.labels,
            internal: self.internal,
            attachable: self.attachable,
            enable_ipv4: self.enable_ipv4.unwrap_or(true),
            enable_ipv6: self.enable_ipv6.unwrap_or(false),
            config_only: self.config_only,
            config_from: self.config_from,
            ipam_options: self.ipam_options,
            v4: Vec::new(),
            v6: Vec::new(),
        };
        match record.config_from.clone() {
            Some(name) => take_over(&mut record, &name, config, &self.ipam)?,
            None => set_subnets(&mut record, &self.ipam)?,
        }
        let link = LinkOptions::of(&record)?;
        check_link(&record, &link)?;
        Ok(Draft { record, link })
    }
}

fn driver(name: &str, config_only: bool) -> Result<Driver, CreateError> {
    if config_only {
        return match name {
            "" | "null" | "bridge" => Ok(Driver::Null),
            _ => Err(CreateError::ConfigDriver),
        };
    }
    match name {
        "" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "host" | "null" => Err(CreateError::OnlyOne(name.to_owned())),
        other => Err(CreateError::NoDriver(other.to_owned())),
    }
}

/// Takes the configuration of another network.
fn take_over(
    record: &mut NetworkRecord,
    name: &str,
    config: Option<&NetworkRecord>,
    ipam: &[IpamConfig],
) -> Result<(), CreateError> {
    let Some(config) = config else {
        return Err(CreateError::NoConfig(name.to_owned()));
    };
    if record.config_only {
        return Err(CreateError::ConfigOfConfig);
    }
    if !config.config_only {
        return Err(CreateError::NotAConfig(name.to_owned()));
    }
    let own = !ipam.is_empty() || !record.options.is_empty() || !record.labels.is_empty();
    if own || record.enable_ipv6 {
        return Err(CreateError::ConfigAndOwn);
    }
    record.options.clone_from(&config.options);
    record.labels.clone_from(&config.labels);
    record.ipam_options.clone_from(&config.ipam_options);
    record.v4.clone_from(&config.v4);
    record.v6.clone_from(&config.v6);
    record.enable_ipv4 = config.enable_ipv4;
    record.enable_ipv6 = config.enable_ipv6;
    Ok(())
}

fn set_subnets(record: &mut NetworkRecord, ipam: &[IpamConfig]) -> Result<(), CreateError> {
    for config in ipam {
        if config.subnet.is_empty() {
            if !config.gateway.is_empty() || !config.ip_range.is_empty() {
                return Err(CreateError::NoSubnetFor);
            }
            continue;
        }
        if let Ok(subnet) = config.subnet.parse::<Cidr<Ipv4Addr>>() {
            record.v4.push(named_subnet(subnet, config)?);
        } else {
            let wrong = |_| CreateError::Subnet(config.subnet.clone());
            let subnet = config.subnet.parse::<Cidr<Ipv6Addr>>().map_err(wrong)?;
            if !record.enable_ipv6 && !record.config_only {
                return Err(CreateError::Ipv6Off(subnet.to_string()));
            }
            record.v6.push(named_subnet(subnet, config)?);
        }
    }
    // Subnets of a family that is off would only keep others from having them.
    if !record.enable_ipv4 {
        record.v4.clear();
    }
    check_apart(&record.v4)?;
    check_apart(&record.v6)
}

fn named_subnet<A: Ip>(subnet: Cidr<A>, config: &IpamConfig) -> Result<Subnet<A>, CreateError> {
    let subnet = subnet.network();
    if subnet.prefix_len() == 0 {
        return Err(CreateError::Subnet(config.subnet.clone()));
    }
    let inside = |what: &'static str, text: &str| {
        let outside = || CreateError::NotInside { what, value: text.to_owned() };
        let address = text.parse::<A>().map_err(|_| outside())?;
        if subnet.contains(address) { Ok(address) } else { Err(outside()) }
    };
    let range = match config.ip_range.as_str() {
        "" => None,
        text => {
            let outside = || CreateError::NotInside { what: "range", value: text.to_owned() };
            let range = text.parse::<Cidr<A>>().map_err(|_| outside())?.network();
            Some(range).filter(|range| subnet.encloses(*range)).ok_or_else(outside).map(Some)?
        }
    };
    let gateway = match config.gateway.as_str() {
        "" => None,
        // Some clients write the prefix behind it.
        text => Some(inside("gateway", text.split('/').next().unwrap_or(text))?),
    };
    let auxiliary = config
        .auxiliary
        .iter()
        .map(|(name, text)| Ok((name.clone(), inside("aux-address", text)?)))
        .collect::<Result<_, CreateError>>()?;
    let edge = |address: &A| *address == subnet.first() || *address == subnet.last();
    if let Some(gateway) = gateway.filter(edge).filter(|_| A::BITS - subnet.prefix_len() > 1) {
        return Err(CreateError::GatewayTaken(gateway.to_string()));
    }
    let gateway_named = gateway.is_some();
    Ok(Subnet { subnet, range, gateway, gateway_named, auxiliary, chosen: false })
}

fn check_apart<A: Ip>(subnets: &[Subnet<A>]) -> Result<(), CreateError> {
    let apart = |at: usize, one: &Subnet<A>| {
        subnets.iter().skip(at + 1).all(|other| !one.subnet.overlaps(other.subnet))
    };
    if subnets.iter().enumerate().all(|(at, one)| apart(at, one)) {
        Ok(())
    } else {
        Err(CreateError::Overlap(None))
    }
}

fn check_link(record: &NetworkRecord, link: &LinkOptions) -> Result<(), CreateError> {
    if !record.config_only && !record.enable_ipv4 && !record.enable_ipv6 {
        return Err(CreateError::NoFamily);
    }
    let LinkOptions::Bridge(options) = link else { return Ok(()) };
    if record.v4.len() > 1 || record.v6.len() > 1 {
        return Err(CreateError::ManySubnets);
    }
    let isolated = [options.mode_v4, options.mode_v6].contains(&GatewayMode::Isolated);
    if isolated && !record.internal {
        return Err(CreateError::IsolatedNotInternal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: &str) -> CreateNetwork {
        CreateNetwork { name: name.to_owned(), ..CreateNetwork::default() }
    }

    fn subnet(subnet: &str, range: &str, gateway: &str, auxiliary: &[&str]) -> IpamConfig {
        let auxiliary = auxiliary.iter().enumerate();
        IpamConfig {
            subnet: subnet.to_owned(),
            ip_range: range.to_owned(),
            gateway: gateway.to_owned(),
            auxiliary: auxiliary.map(|(at, text)| (format!("a{at}"), (*text).to_owned())).collect(),
        }
    }

    fn with(ipam: &[IpamConfig]) -> CreateNetwork {
        CreateNetwork { ipam: ipam.to_vec(), ..wish("a") }
    }

    #[test]
    fn refused() {
        let driver = |driver: &str| CreateNetwork { driver: driver.to_owned(), ..wish("a") };
        for (wish, want) in [
            (wish("bridge"), "operation is not permitted on predefined bridge network"),
            (wish(" "), "invalid network name: name is empty"),
            (driver("nope"), "plugin \"nope\" not found"),
            (driver("host"), "only one instance of \"host\" network is allowed"),
            (
                with(&[subnet("10.2.0.0", "", "", &[])]),
                "Invalid subnet 10.2.0.0 : invalid CIDR address: 10.2.0.0",
            ),
            (
                with(&[subnet("10.2.0.0/33", "", "", &[])]),
                "Invalid subnet 10.2.0.0/33 : invalid CIDR address: 10.2.0.0/33",
            ),
            (
                with(&[subnet("10.2.0.0/16", "", "10.3.0.1", &[])]),
                "no matching subnet for gateway 10.3.0.1",
            ),
            (
                with(&[subnet("10.2.0.0/16", "10.3.0.0/24", "", &[])]),
                "no matching subnet for range 10.3.0.0/24",
            ),
            (
                with(&[subnet("10.2.0.0/16", "10.0.0.0/8", "", &[])]),
                "no matching subnet for range 10.0.0.0/8",
            ),
            (
                with(&[subnet("10.2.0.0/16", "", "", &["10.3.0.4"])]),
                "no matching subnet for aux-address 10.3.0.4",
            ),
            (
                with(&[subnet("10.2.0.0/16", "", "10.2.255.255", &[])]),
                "failed to allocate gateway (10.2.255.255): Address already in use",
            ),
            (
                with(&[subnet("", "", "10.2.0.1", &[])]),
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                with(&[subnet("10.2.0.0/16", "", "", &[]), subnet("10.3.0.0/16", "", "", &[])]),
                "bridge driver doesn't support multiple subnets",
            ),
            (
                with(&[subnet("10.2.0.0/16", "", "", &[]), subnet("10.2.3.0/24", "", "", &[])]),
                "Pool overlaps with other one on this address space",
            ),
            (
                with(&[subnet("fd00::/64", "", "", &[])]),
                "invalid subnet fd00::/64: IPv6 has not been enabled for this network",
            ),
            (
                CreateNetwork { enable_ipv4: Some(false), ..wish("a") },
                "IPv4 or IPv6 must be enabled",
            ),
            (
                CreateNetwork { config_from: Some("c".to_owned()), ..wish("a") },
                "configuration network \"c\" does not exist",
            ),
        ] {
            assert_eq!(wish.check(None).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn accepted() {
        let draft = with(&[subnet("10.2.0.1/16", "10.2.5.0/24", "10.2.0.9", &["10.2.0.3"])]);
        let record = draft.check(None).unwrap().record;
        let v4 = &record.v4[0];
        assert_eq!(v4.subnet.to_string(), "10.2.0.0/16");
        assert_eq!(v4.range.map(|range| range.to_string()).as_deref(), Some("10.2.5.0/24"));
        assert_eq!((v4.gateway, v4.gateway_named), ("10.2.0.9".parse().ok(), true));
        assert_eq!((v4.auxiliary.len(), record.driver), (1, Driver::Bridge));
        let two = [subnet("10.2.0.0/16", "", "", &[]), subnet("10.3.0.0/16", "", "", &[])];
        let draft = CreateNetwork { driver: "macvlan".to_owned(), ..with(&two) };
        assert_eq!(draft.check(None).unwrap().record.v4.len(), 2);
    }

    #[test]
    fn defaults_of_the_daemon() {
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let options = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().copied().map(text).collect()
        };
        let defaults = [("bridge", &[("a", "1"), ("b", "2")][..]), ("macvlan", &[("c", "3")])];
        let defaults = defaults.map(|(driver, pairs)| (driver.to_owned(), options(pairs))).into();
        let own = CreateNetwork { options: options(&[("b", "9")]), ..wish("a") };
        let macvlan = CreateNetwork { driver: "macvlan".to_owned(), ..wish("a") };
        let from = CreateNetwork { config_from: Some("c".to_owned()), ..wish("a") };
        let config = CreateNetwork { config_only: true, ..wish("a") };
        for (wish, want) in [
            (wish("a"), &[("a", "1"), ("b", "2")][..]),
            (own, &[("a", "1"), ("b", "9")]),
            (macvlan, &[("c", "3")]),
            (from, &[]),
            (config, &[]),
        ] {
            assert_eq!(wish.with_defaults(&defaults).options, options(want));
        }
    }

    #[test]
    fn configurations() {
        let config =
            CreateNetwork { config_only: true, ..with(&[subnet("10.6.0.0/24", "", "", &[])]) };
        let config = config.check(None).unwrap().record;
        assert_eq!((config.driver, config.v4.len()), (Driver::Null, 1));
        let of = |wish: CreateNetwork| CreateNetwork { config_from: Some("c".to_owned()), ..wish };
        let record = of(wish("a")).check(Some(&config)).unwrap().record;
        assert_eq!((record.driver, &record.v4), (Driver::Bridge, &config.v4));
        let error = of(with(&[subnet("10.7.0.0/24", "", "", &[])])).check(Some(&config));
        assert_eq!(
            error.unwrap_err().to_string(),
            "user specified configurations are not supported if the network depends on a \
             configuration network"
        );
    }
}
