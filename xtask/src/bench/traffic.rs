//! Bytes and questions on the networks: throughput, round trips, names.
//!
//! Sender and receiver are threads of the bench. Each opens its socket in the namespace that is
//! meant, and the socket stays there: containers need no program, and both daemons get the same.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gantry_rig::{Daemon, Kind};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use super::api::Api;
use super::networks;
use super::rows::{Pair, Rig, sleeper};
use super::sample::median;

/// Port of the server in the container.
const PORT: u16 = 5201;
/// One write of the sender.
const CHUNK: usize = 128 << 10;
/// Longest wait for a peer or an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that one client has under way.
const WINDOW: u16 = 32;
/// After so long a question is lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// What is measured of a connection.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// Bytes a second, one way.
    Throughput,
    /// Seconds of one round trip of a byte.
    RoundTrip,
}

/// By which address the host uses a published port.
#[derive(Clone, Copy)]
pub(crate) enum Via {
    /// The bridge's, which is one of its own.
    HostAddress,
    /// 127.0.0.1.
    Loopback4,
    /// `::1`.
    Loopback6,
}

/// Runs work in the network namespace of a process, on a thread that ends with it.
fn within<T: Send>(pid: u32, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let netns = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        inside.join().map_err(|_| io::Error::other("a thread in a namespace panicked"))?
    })
}

/// Two containers on a network of a user's.
pub(crate) fn bridge(rig: &Rig, what: What) -> io::Result<Pair> {
    let make = |daemon: &Daemon| -> io::Result<_> {
        let mut api = Api::connect(&daemon.client())?;
        let network = networks::create(&mut api, "traffic")?;
        let ids = [
            sleeper(&mut api, &networks::on(&network))?,
            sleeper(&mut api, &networks::on(&network))?,
        ];
        Ok((network, ids))
    };
    let made = [make(&rig.docker)?, make(&rig.gantry)?];
    let pair = rig.alternate(rig.times(7), |daemon| {
        let (_, [server, client]) = &made[usize::from(daemon.kind == Kind::Gantry)];
        let (server, client) = (seen(daemon, server)?, seen(daemon, client)?);
        let to = SocketAddr::new(server.address, PORT);
        measure(rig, what, server.pid, (client.pid, to))
    });
    for (daemon, (network, ids)) in [&rig.docker, &rig.gantry].into_iter().zip(&made) {
        let mut api = Api::connect(&daemon.client())?;
        ids.iter().try_for_each(|id| api.remove(id, true))?;
        networks::remove(&mut api, network)?;
    }
    pair
}

/// The host and a published port of a container on the default bridge.
pub(crate) fn published(rig: &Rig, via: Via, what: What) -> io::Result<Pair> {
    let port = format!("{PORT}/tcp");
    let wish = json!({
        "ExposedPorts": {port.as_str(): {}},
        "HostConfig": {"PortBindings": {port.as_str(): [{}]}},
    });
    let start = |daemon: &Daemon| sleeper(&mut Api::connect(&daemon.client())?, &wish);
    let ids = [start(&rig.docker)?, start(&rig.gantry)?];
    rig.alternate(rig.times(7), |daemon| {
        let id = &ids[usize::from(daemon.kind == Kind::Gantry)];
        let server = seen(daemon, id)?;
        let host = daemon.netns_pid().ok_or_else(|| io::Error::other("no namespace"))?;
        let ip = match via {
            Via::HostAddress => server.gateway,
            Via::Loopback4 => Ipv4Addr::LOCALHOST.into(),
            Via::Loopback6 => Ipv6Addr::LOCALHOST.into(),
        };
        let port = server.port(ip.is_ipv6())?;
        measure(rig, what, server.pid, (host, SocketAddr::new(ip, port)))
    })
}

/// A running container.
struct Seen {
    pid: u32,
    address: IpAddr,
    gateway: IpAddr,
    bindings: Vec<Value>,
}

impl Seen {
    /// The host's port of a family.
    fn port(&self, v6: bool) -> io::Result<u16> {
        let is_v6 = |one: &&Value| one["HostIp"].as_str().is_some_and(|ip| ip.contains(':'));
        let binding = self.bindings.iter().find(|one| is_v6(one) == v6);
        let port = binding.and_then(|one| one["HostPort"].as_str()?.parse().ok());
        port.ok_or_else(|| io::Error::other("the port is not published"))
    }
}

fn seen(daemon: &Daemon, id: &str) -> io::Result<Seen> {
    let json = daemon.client().inspect(id);
    let settings = &json["NetworkSettings"];
    let networks = settings["Networks"].as_object();
    let endpoint = networks.and_then(|networks| networks.values().next());
    let endpoint = endpoint.ok_or_else(|| io::Error::other("no endpoint"))?;
    let address = |name: &str| {
        let text = endpoint[name].as_str().unwrap_or_default();
        text.parse().map_err(|_| io::Error::other(format!("{name}: {text:?}")))
    };
    let pid = json["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    Ok(Seen {
        pid: pid.ok_or_else(|| io::Error::other("no pid"))?,
        address: address("IPAddress")?,
        gateway: address("Gateway")?,
        bindings: settings["Ports"][format!("{PORT}/tcp")].as_array().cloned().unwrap_or_default(),
    })
}

/// One connection to a server in `server`'s namespace, from another's.
fn measure(rig: &Rig, what: What, server: u32, (client, to): (u32, SocketAddr)) -> io::Result<f64> {
    let listener = within(server, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
    let sender = within(client, || TcpStream::connect_timeout(&to, PATIENCE))?;
    let (receiver, _) = listener.accept()?;
    for stream in [&sender, &receiver] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    match what {
        What::Throughput => {
            let span = Duration::from_millis(if rig.smoke { 100 } else { 1000 });
            throughput(sender, receiver, span)
        }
        What::RoundTrip => round_trip(sender, receiver, if rig.smoke { 100 } else { 5000 }),
    }
}

fn throughput(mut sender: TcpStream, mut receiver: TcpStream, span: Duration) -> io::Result<f64> {
    let counter = std::thread::spawn(move || -> io::Result<f64> {
        let mut buffer = vec![0; 2 * CHUNK];
        let (mut bytes, mut begin) = (0u64, None);
        loop {
            let count = receiver.read(&mut buffer)?;
            let begin = begin.get_or_insert_with(Instant::now);
            if count == 0 {
                // More than 2^53 bytes do not come in a second.
                #[allow(clippy::cast_precision_loss)]
                return Ok(bytes as f64 / begin.elapsed().as_secs_f64());
            }
            bytes += count as u64;
        }
    });
    let (chunk, begin) = (vec![0; CHUNK], Instant::now());
    while begin.elapsed() < span {
        sender.write_all(&chunk)?;
    }
    drop(sender);
    counter.join().map_err(|_| io::Error::other("the receiver panicked"))?
}

fn round_trip(mut client: TcpStream, mut server: TcpStream, count: usize) -> io::Result<f64> {
    let echo = std::thread::spawn(move || -> io::Result<()> {
        let mut byte = [0];
        while server.read(&mut byte)? > 0 {
            server.write_all(&byte)?;
        }
        Ok(())
    });
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        client.write_all(&[1])?;
        client.read_exact(&mut [0])?;
        samples.push(begin.elapsed().as_secs_f64());
    }
    drop(client);
    echo.join().map_err(|_| io::Error::other("the echo panicked"))??;
    Ok(median(&mut samples))
}

/// Answers a second to one client in a container that asks for another by name. Of ours none may
/// be lost; what docker.io loses does not count as answered.
pub(crate) fn names(rig: &Rig) -> io::Result<Pair> {
    let count: u32 = if rig.smoke { 2000 } else { 60_000 };
    let make = |daemon: &Daemon| -> io::Result<_> {
        let mut api = Api::connect(&daemon.client())?;
        let network = networks::create(&mut api, "names")?;
        let mut wish = networks::on(&network);
        let client = sleeper(&mut api, &wish)?;
        wish["NetworkingConfig"] =
            json!({"EndpointsConfig": {network.as_str(): {"Aliases": ["peer"]}}});
        let peer = sleeper(&mut api, &wish)?;
        Ok((network, [client, peer]))
    };
    let made = [make(&rig.docker)?, make(&rig.gantry)?];
    let pair = rig.alternate(rig.times(5), |daemon| {
        let (_, [client, _]) = &made[usize::from(daemon.kind == Kind::Gantry)];
        let socket = within(seen(daemon, client)?.pid, || {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
                socket.connect((Ipv4Addr::new(127, 0, 0, 11), 53))?;
                socket.set_read_timeout(Some(LOST_AFTER))?;
                Ok(socket)
            })
        })?;
        let asked = ask(&socket, count)?;
        if asked.lost > 0 && daemon.kind == Kind::Gantry {
            return Err(io::Error::other(format!("{} of {count} answers lost", asked.lost)));
        }
        Ok(f64::from(count - asked.lost) / asked.span_s)
    });
    for (daemon, (network, ids)) in [&rig.docker, &rig.gantry].into_iter().zip(&made) {
        let mut api = Api::connect(&daemon.client())?;
        ids.iter().try_for_each(|id| api.remove(id, true))?;
        networks::remove(&mut api, network)?;
    }
    pair
}

struct Asked {
    lost: u32,
    span_s: f64,
}

/// Asks `count` times for the address of `peer`, with a window of questions under way.
fn ask(socket: &UdpSocket, count: u32) -> io::Result<Asked> {
    let (mut sent, mut answered, mut lost) = (0, 0, 0);
    let mut answer = [0; 512];
    let begin = Instant::now();
    while answered + lost < count {
        while sent < count && sent - answered - lost < u32::from(WINDOW) {
            socket.send(&question(sent))?;
            sent += 1;
        }
        match socket.recv(&mut answer) {
            Ok(len) => {
                check(&answer[..len])?;
                answered += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => lost = sent - answered,
            Err(error) => return Err(error),
        }
    }
    Ok(Asked { lost, span_s: begin.elapsed().as_secs_f64() })
}

/// A query for the IPv4 address of `peer` (RFC 1035, section 4).
fn question(number: u32) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    // Recursion desired, one question.
    let head = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], b"\x04peer\0\0\x01\0\x01"].concat()
}

/// Fails unless the message is an answer with an address.
fn check(message: &[u8]) -> io::Result<()> {
    let good = message.len() > 12
        && message[2] & 0x80 != 0
        && message[3] & 0xf == 0
        && message[6..8] != [0, 0];
    if good { Ok(()) } else { Err(io::Error::other(format!("not an address: {message:?}"))) }
}
