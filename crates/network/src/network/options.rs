//! Options of the drivers, as text and as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::CreateError;
use crate::firewall::GatewayMode;
use crate::netlink::link::MacvlanMode;

/// MTU when none is configured, as Docker has it.
pub(crate) const DEFAULT_MTU: u32 = 1500;
/// The smallest and the largest MTU that a bridge takes.
const MTU_RANGE: std::ops::RangeInclusive<u32> = 68..=65535;
/// Longest name of an interface in bytes.
const NAME_LEN: usize = 15;
/// Highest number of an 802.1q network.
const LAST_VLAN: u16 = 4094;

/// Names of the bridge driver's options begin so.
const BRIDGE: &str = "com.docker.network.bridge.";
/// Names of options that several drivers have.
const MTU: &str = "com.docker.network.driver.mtu";
const HOST_IPV4: &str = "com.docker.network.host_ipv4";
const HOST_IPV6: &str = "com.docker.network.host_ipv6";
const IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
/// Kernel parameters of an endpoint's interface.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
/// Stands for the interface's name in them.
const IFNAME: &str = "IFNAME";

/// What a bridge network is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeOptions {
    pub(crate) name: Option<String>,
    pub(crate) icc: bool,
    pub(crate) masquerade: bool,
    pub(crate) host_binding: Option<IpAddr>,
    pub(crate) mode_v4: GatewayMode,
    pub(crate) mode_v6: GatewayMode,
    /// Interfaces from where published ports are open at the containers' own addresses as well.
    pub(crate) trusted: Vec<String>,
    pub(crate) mtu: u32,
    pub(crate) host_v4: Option<Ipv4Addr>,
    pub(crate) host_v6: Option<Ipv6Addr>,
    pub(crate) prefix: String,
    /// The bridge gets no IPv4 address: another router of the link has the gateway's.
    pub(crate) inhibit_v4: bool,
}

/// What a macvlan network is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MacvlanOptions {
    pub(crate) mode: MacvlanMode,
    /// The host's interface; an internal one is made when there is none.
    pub(crate) parent: Option<Parent>,
    pub(crate) mtu: Option<u32>,
    pub(crate) prefix: String,
}

/// An interface of the host, perhaps an 802.1q one that is made by us: `eth0`, `eth0.10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) name: String,
    /// The interface below it and the number, where the name has this form.
    pub(crate) vlan: Option<(String, u16)>,
}

impl BridgeOptions {
    /// Reads the options; those it does not know are left alone, as Docker does.
    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, CreateError> {
        let get = |key: &str| options.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let own = |key: &str| get(&format!("{BRIDGE}{key}"));
        let switch = |key: &str, default| switch(&format!("{BRIDGE}{key}"), own(key), default);
        let name = own("name").map(str::to_owned);
        if let Some(name) = &name {
            check_interface(name)?;
        }
        Ok(BridgeOptions {
            name,
            icc: switch("enable_icc", true)?,
            masquerade: switch("enable_ip_masquerade", true)?,
            host_binding: address(&format!("{BRIDGE}host_binding_ipv4"), own("host_binding_ipv4"))?,
            mode_v4: mode("gateway_mode_ipv4", own("gateway_mode_ipv4"))?,
            mode_v6: mode("gateway_mode_ipv6", own("gateway_mode_ipv6"))?,
            trusted: trusted(own("trusted_host_interfaces")),
            mtu: mtu(get(MTU))?.unwrap_or(DEFAULT_MTU),
            host_v4: address(HOST_IPV4, get(HOST_IPV4))?,
            host_v6: address(HOST_IPV6, get(HOST_IPV6))?,
            prefix: prefix(get(IFACE_PREFIX))?,
            inhibit_v4: switch("inhibit_ipv4", false)?,
        })
    }
}

impl MacvlanOptions {
    /// Reads the options.
    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, CreateError> {
        let get = |key: &str| options.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let mode = match get("macvlan_mode") {
            None | Some("bridge") => MacvlanMode::Bridge,
            Some("private") => MacvlanMode::Private,
            Some("vepa") => MacvlanMode::Vepa,
            Some("passthru") => MacvlanMode::Passthru,
            Some(other) => return Err(CreateError::MacvlanMode(other.to_owned())),
        };
        Ok(MacvlanOptions {
            mode,
            parent: get("parent").map(Parent::parse).transpose()?,
            mtu: mtu(get(MTU))?,
            prefix: prefix(get(IFACE_PREFIX))?,
        })
    }
}

impl Parent {
    fn parse(name: &str) -> Result<Parent, CreateError> {
        if name == "lo" {
            return Err(CreateError::LoopbackParent);
        }
        check_interface(name)?;
        let vlan = name.rsplit_once('.').and_then(|(below, number)| {
            let plain = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|number| plain && *number <= LAST_VLAN);
            number.filter(|number| *number > 0).map(|number| (below.to_owned(), number))
        });
        Ok(Parent { name: name.to_owned(), vlan })
    }
}

/// The kernel's rules for names of interfaces (`dev_valid_name`), and those of `nft` for names
/// in rules.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let special = matches!(name, "" | "." | ".." | "all" | "default");
    !special && name.len() <= NAME_LEN && name.bytes().all(allowed)
}

fn check_interface(name: &str) -> Result<(), CreateError> {
    if is_interface_name(name) { Ok(()) } else { Err(CreateError::Interface(name.to_owned())) }
}

/// Kernel parameters of an endpoint, by path below `/proc/sys/net`, with `IFNAME` still in them.
///
/// The option's form is `net.ipv4.conf.IFNAME.log_martians=1,net.ipv6...`.
pub(crate) fn sysctls(
    options: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, CreateError> {
    let Some(text) = options.get(SYSCTLS).filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    text.split(',').map(sysctl).collect()
}

fn sysctl(entry: &str) -> Result<(String, String), CreateError> {
    let wrong = || CreateError::Sysctl(entry.to_owned());
    let (name, value) = entry.split_once('=').ok_or_else(wrong)?;
    let parts: Vec<&str> = name.trim().split('.').collect();
    // Nothing but the parameters of the interface itself, which are in the namespace.
    let ["net", family @ ("ipv4" | "ipv6" | "mpls"), group, IFNAME, leaf] = parts.as_slice() else {
        return Err(wrong());
    };
    let plain = |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if ![group, leaf].into_iter().all(plain) || group.is_empty() || leaf.is_empty() {
        return Err(wrong());
    }
    Ok((format!("{family}/{group}/{IFNAME}/{leaf}"), value.trim().to_owned()))
}

/// A kernel parameter's path for this interface.
pub(crate) fn parameter_path(path: &str, interface: &str) -> String {
    path.replace(IFNAME, interface)
}

fn switch(key: &str, text: Option<&str>, default: bool) -> Result<bool, CreateError> {
    // The words of Go's strconv.ParseBool, which clients write.
    match text {
        None => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(CreateError::Option {
            key: key.to_owned(),
            value: other.to_owned(),
            reason: format!("strconv.ParseBool: parsing {other:?}: invalid syntax"),
        }),
    }
}

fn mode(key: &str, text: Option<&str>) -> Result<GatewayMode, CreateError> {
    match text {
        None | Some("nat") => Ok(GatewayMode::Nat),
        Some("nat-unprotected") => Ok(GatewayMode::NatUnprotected),
        Some("routed") => Ok(GatewayMode::Routed),
        Some("isolated") => Ok(GatewayMode::Isolated),
        Some(other) => Err(CreateError::Option {
            key: format!("{BRIDGE}{key}"),
            value: other.to_owned(),
            reason: "unknown gateway mode".to_owned(),
        }),
    }
}

fn address<A: std::str::FromStr>(key: &str, text: Option<&str>) -> Result<Option<A>, CreateError> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| CreateError::Option {
        key: key.to_owned(),
        value: text.to_owned(),
        reason: "nil ip".to_owned(),
    })
}

/// Names of interfaces, separated by colons. Docker takes any text; no interface can have a name
/// that is left out here.
fn trusted(text: Option<&str>) -> Vec<String> {
    let names = text.into_iter().flat_map(|text| text.split(':'));
    let names: BTreeSet<&str> = names.filter(|name| is_interface_name(name)).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn mtu(text: Option<&str>) -> Result<Option<u32>, CreateError> {
    let Some(text) = text else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| CreateError::Option {
        key: MTU.to_owned(),
        value: text.to_owned(),
        reason: format!("strconv.Atoi: parsing {text:?}: invalid syntax"),
    })?;
    match u32::try_from(number) {
        // Docker's word for "the default".
        Ok(0) => Ok(None),
        Ok(mtu) if MTU_RANGE.contains(&mtu) => Ok(Some(mtu)),
        _ => Err(CreateError::Mtu(number)),
    }
}

fn prefix(text: Option<&str>) -> Result<String, CreateError> {
    let prefix = text.unwrap_or("eth");
    // Room for a number behind it.
    check_interface(&format!("{prefix}00"))?;
    Ok(prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn bridge_options() {
        let got = BridgeOptions::parse(&options(&[
            ("com.docker.network.bridge.name", "mine0"),
            ("com.docker.network.bridge.enable_icc", "0"),
            ("com.docker.network.bridge.enable_ip_masquerade", "False"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
            ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ("com.docker.network.bridge.trusted_host_interfaces", "eth1::a b:eth0:eth1"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.host_ipv4", "10.0.0.9"),
            ("com.docker.network.container_iface_prefix", "net"),
            ("foo", "bar"),
        ]))
        .unwrap();
        assert_eq!((got.name.as_deref(), got.icc, got.masquerade), (Some("mine0"), false, false));
        assert_eq!(got.host_binding, "127.0.0.1".parse().ok());
        assert_eq!((got.mode_v4, got.mode_v6), (GatewayMode::Nat, GatewayMode::Routed));
        assert_eq!((got.trusted.len(), got.mtu, got.prefix.as_str()), (2, 1400, "net"));
        assert_eq!((got.host_v4, got.host_v6), ("10.0.0.9".parse().ok(), None));
        for (key, value, want) in [
            (
                "com.docker.network.bridge.enable_icc",
                "maybe",
                "failed to parse com.docker.network.bridge.enable_icc value: maybe \
                 (strconv.ParseBool: parsing \"maybe\": invalid syntax)",
            ),
            (
                "com.docker.network.driver.mtu",
                "abc",
                "failed to parse com.docker.network.driver.mtu value: abc \
                 (strconv.Atoi: parsing \"abc\": invalid syntax)",
            ),
            ("com.docker.network.driver.mtu", "-1", "invalid MTU number: -1"),
            (
                "com.docker.network.bridge.host_binding_ipv4",
                "foo",
                "failed to parse com.docker.network.bridge.host_binding_ipv4 value: foo (nil ip)",
            ),
            ("com.docker.network.bridge.name", "a/b", "invalid interface name \"a/b\""),
            ("com.docker.network.container_iface_prefix", "e:", "invalid interface name \"e:00\""),
        ] {
            let got = BridgeOptions::parse(&options(&[(key, value)])).unwrap_err();
            assert_eq!(got.to_string(), want);
        }
    }

    #[test]
    fn macvlan_options() {
        for (pairs, want) in [
            (&[][..], Ok((MacvlanMode::Bridge, None))),
            (&[("parent", "eth0"), ("macvlan_mode", "vepa")], Ok((MacvlanMode::Vepa, Some(None)))),
            (&[("parent", "eth0.10")], Ok((MacvlanMode::Bridge, Some(Some(("eth0", 10)))))),
            (&[("parent", "eth0.5000")], Ok((MacvlanMode::Bridge, Some(None)))),
            (&[("parent", "lo")], Err("loopback interface is not a valid macvlan parent link")),
            (
                &[("macvlan_mode", "foo")],
                Err("requested macvlan mode 'foo' is not valid, \
                     'bridge' mode is the macvlan driver default"),
            ),
        ] {
            let got = MacvlanOptions::parse(&options(pairs)).map_err(|error| error.to_string());
            let got = got.as_ref().map(|got| {
                let vlan = got.parent.as_ref().map(|parent| parent.vlan.as_ref());
                (got.mode, vlan.map(|vlan| vlan.map(|(name, number)| (name.as_str(), *number))))
            });
            assert_eq!(got.map_err(String::as_str), want, "{pairs:?}");
        }
    }

    #[test]
    fn interface_names() {
        for (name, want) in [
            ("gantry0", true),
            ("br-0.1_a", true),
            ("exactly15bytes_", true),
            ("sixteen_bytes_xx", false),
            ("", false),
            ("..", false),
            ("all", false),
            ("a/b", false),
            ("a b", false),
            ("a:b", false),
        ] {
            assert_eq!(is_interface_name(name), want, "{name:?}");
        }
    }

    #[test]
    fn sysctl_options() {
        for (text, want) in [
            ("", Some(vec![])),
            (
                "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0",
                Some(vec![("ipv4/conf/eth3/log_martians", "1"), ("ipv6/conf/eth3/accept_ra", "0")]),
            ),
            ("net.ipv4.conf.all.log_martians=1", None),
            ("net.ipv4.ip_forward=1", None),
            ("net.ipv4.conf.IFNAME.a/../b=1", None),
            ("kernel.x.y.IFNAME.z=1", None),
            ("net.ipv4.conf.IFNAME.log_martians", None),
        ] {
            let got = sysctls(&options(&[(SYSCTLS, text)])).ok().map(|all| {
                all.into_iter()
                    .map(|(path, value)| (parameter_path(&path, "eth3"), value))
                    .collect::<Vec<_>>()
            });
            let want = want.map(|all: Vec<(&str, &str)>| {
                all.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
            });
            assert_eq!(got, want, "{text:?}");
        }
    }
}
