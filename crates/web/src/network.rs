//! Networks, as lists of hosts name them.

use std::{net::IpAddr, str::FromStr};

/// A network: `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let shift = |value: u128, width: u32| value.checked_shr(width - self.bits).unwrap_or(0);
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                shift(u32::from(own).into(), 32) == shift(u32::from(ip).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => shift(own.into(), 128) == shift(ip.into(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits = bits.parse().map_err(drop)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if bits <= width { Ok(Self { address, bits }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, ip, want) in [
            ("0.0.0.0/0", "1.2.3.4", true),
            ("::/0", "::5", true),
            ("::/0", "1.2.3.4", false),
            ("192.168.1.0/24", "192.168.2.1", false),
            ("1.2.3.4/32", "1.2.3.4", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(ip.parse().unwrap()), want, "{network:?} {ip}");
        }
        assert!("1.2.3.4/33".parse::<Network>().is_err());
        assert!("1.2.3.4".parse::<Network>().is_err());
    }
}
