//! A small client of a container's name server, so that thousands of questions need no process.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use crate::lan::within;

/// Where containers ask.
const SERVER: &str = "127.0.0.11:53";
/// The server is on the same machine; a lost datagram is asked for again.
const LIMIT: Duration = Duration::from_secs(2);
const TRIES: usize = 3;

/// Kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What came back: the code, and the addresses in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Asks from the network namespace of a process, one question after the other on one socket.
pub(crate) fn ask_all(pid: u32, names: &[String], kind: Kind) -> Vec<io::Result<Answer>> {
    within(pid, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(SERVER).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let ask = |(number, name): (usize, &String)| {
            question(&socket, u16::try_from(number & 0xffff).unwrap(), name, kind)
        };
        names.iter().enumerate().map(ask).collect()
    })
}

/// Asks one question.
pub(crate) fn ask(pid: u32, name: &str, kind: Kind) -> io::Result<Answer> {
    ask_all(pid, &[name.to_owned()], kind).remove(0)
}

fn question(socket: &UdpSocket, id: u16, name: &str, kind: Kind) -> io::Result<Answer> {
    let mut packet = id.to_be_bytes().to_vec();
    // Recursion desired; one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, kind as u8, 0, 1]);
    let asked = packet.len();
    let mut last = io::Error::other("not asked");
    for _ in 0..TRIES {
        if let Err(error) = socket.send(&packet) {
            last = error;
            std::thread::sleep(LIMIT / 20);
            continue;
        }
        let mut buffer = [0; 4096];
        loop {
            match socket.recv(&mut buffer) {
                Ok(count) if buffer[..count].starts_with(&packet[..2]) => {
                    return parse(&buffer[..count], asked)
                        .ok_or_else(|| io::Error::other("an answer that cannot be read"));
                }
                Ok(_) => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}

/// Reads the records behind the question, which has the length that was sent.
fn parse(packet: &[u8], mut at: usize) -> Option<Answer> {
    let code = packet.get(3)? & 0xf;
    let count = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]);
    let mut addresses = Vec::new();
    for _ in 0..count {
        // The name: labels up to an empty one, or a pointer.
        loop {
            match *packet.get(at)? {
                0 => break at += 1,
                length if length >= 0xc0 => break at += 2,
                length => at += 1 + usize::from(length),
            }
        }
        let head = packet.get(at..at + 10)?;
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let data = packet.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        if let Ok(four) = <[u8; 4]>::try_from(data) {
            addresses.push(Ipv4Addr::from(four).into());
        } else if let Ok(sixteen) = <[u8; 16]>::try_from(data) {
            addresses.push(Ipv6Addr::from(sixteen).into());
        }
    }
    Some(Answer { code, addresses })
}
