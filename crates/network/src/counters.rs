//! Traffic counters of a container's interfaces.

use std::collections::BTreeMap;
use std::io;

/// What went through one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets received with an error.
    pub rx_errors: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
}

/// Reads the counters of every interface but loopback in the network namespace of a process.
///
/// # Errors
/// The process is gone, or the kernel's table has another shape than `proc(5)` says.
pub fn interface_counters(pid: u32) -> io::Result<BTreeMap<String, Counters>> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/net/dev"))?)
}

/// Two lines of heading, then `name: ` with eight numbers for receiving and eight for sending.
fn parse(table: &str) -> io::Result<BTreeMap<String, Counters>> {
    let mut found = BTreeMap::new();
    for line in table.lines().skip(2) {
        let (name, numbers) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(|number| number.parse().map_err(|_| io::ErrorKind::InvalidData.into()))
            .collect::<io::Result<_>>()?;
        let &[
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = numbers.as_slice()
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let counters = Counters {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        if name.trim() != "lo" {
            found.insert(name.trim().to_owned(), counters);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    \
            lo:     1    1    0    0    0     0          0         0     1  1 0 0 0 0 0 0\n  \
            eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let got = parse(text).unwrap();
        let want = Counters {
            rx_bytes: 10,
            rx_packets: 2,
            rx_errors: 3,
            rx_dropped: 4,
            tx_bytes: 50,
            tx_packets: 6,
            tx_errors: 7,
            tx_dropped: 8,
        };
        assert_eq!(got, BTreeMap::from([("eth0".to_owned(), want)]));
        assert!(parse("a\nb\nbroken line\n").is_err());
        assert!(parse("a\nb\neth0: 1 2 3\n").is_err());
        assert!(parse("a\nb\neth0: x x x x x x x x x x x x\n").is_err());
    }
}
