//! A host with bridges and containers, and a neighbour on its link.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::firewall::{
    self, Firewall, FirewallOptions, GatewayMode, NetworkRules, Redirect, SubnetRules,
};
use crate::ipam::lock;
use crate::ports::PortRequest;
use crate::reserve::{self, PortDefaults, PortTable, Reserved};

use super::world::{Host, inside, run};

/// How long a client waits before it calls something unreachable.
const PATIENCE: Duration = Duration::from_millis(400);

/// The host under test.
pub(super) struct Lab {
    pub(super) host: Host,
    /// Another host on the link: 10.99.0.2 and fd99::2; this one is 10.99.0.1 and fd99::1.
    pub(super) outside: OwnedFd,
    pub(super) firewall: Arc<Mutex<Firewall>>,
    ports: Arc<Mutex<PortTable>>,
}

/// A container: its namespace and its addresses.
pub(super) struct Container {
    pub(super) netns: OwnedFd,
    pub(super) network: String,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Option<Ipv6Addr>,
}

impl Lab {
    pub(super) fn new(host: Host, options: FirewallOptions) -> Lab {
        let outside = host.neighbour();
        run("ip addr add fd99::1/64 dev out0 nodad");
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
        }
        inside(outside.as_fd(), || {
            run("ip addr add fd99::2/64 dev in0 nodad");
            // A neighbour that tries to come round the published ports.
            run("ip route add 172.30.0.0/16 via 10.99.0.1");
            run("ip route add 127.9.9.9/32 via 10.99.0.1");
            run("ip -6 route add fd30::/16 via fd99::1");
        });
        warm_up("fd99::2");
        let firewall = Firewall::install("gantry-lab".to_owned(), options).unwrap();
        let firewall = Arc::new(Mutex::new(firewall));
        Lab { host, outside, firewall, ports: Arc::default() }
    }

    /// Settles, and watches from then on.
    pub(super) fn begin(&self) {
        lock(&self.firewall).settle().unwrap();
        tokio::spawn(firewall::guard(Arc::downgrade(&self.firewall)));
    }

    /// Makes a bridge, 172.30.n.1 and fd30:n::1, and tells the firewall of it.
    pub(super) fn network(&self, n: u8, change: impl FnOnce(&mut NetworkRules)) {
        let name = format!("br{n}");
        // It would else take that of its lowest port, and neighbours would have to learn it anew.
        run(&format!("ip link add {name} address 02:42:ac:1e:0{n}:01 type bridge"));
        run(&format!("ip addr add 172.30.{n}.1/24 dev {name}"));
        run(&format!("ip addr add fd30:{n}::1/64 dev {name} nodad"));
        run(&format!("ip link set {name} up"));
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1").unwrap();
        lock(&self.firewall).add_network(rules(n, change)).unwrap();
    }

    /// Puts a container on a bridge.
    pub(super) fn container(&self, n: u8, last: u8) -> Container {
        let netns = thread::spawn(|| {
            gantry_sys::netns::unshare_network().unwrap();
            run("ip link set lo up");
            OwnedFd::from(std::fs::File::open("/proc/thread-self/ns/net").unwrap())
        });
        let netns = netns.join().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        run(&format!("ip link add v{n}-{last} type veth peer name eth0 netns {path}"));
        run(&format!("ip link set v{n}-{last} master br{n} up"));
        inside(netns.as_fd(), || {
            run(&format!("ip addr add 172.30.{n}.{last}/24 dev eth0"));
            run(&format!("ip addr add fd30:{n}::{last}/64 dev eth0 nodad"));
            run("ip link set eth0 up");
            run(&format!("ip route add default via 172.30.{n}.1"));
            run(&format!("ip -6 route add default via fd30:{n}::1"));
        });
        // As the network does it, where bridged frames pass the IP hooks.
        if std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
            .is_ok_and(|on| on.trim() == "1")
        {
            run(&format!("ip link set v{n}-{last} type bridge_slave hairpin on"));
        }
        warm_up(&format!("fd30:{n}::{last}"));
        let v6 = Some(format!("fd30:{n}::{last}").parse().unwrap());
        let v4 = Ipv4Addr::new(172, 30, n, last);
        Container { netns, network: format!("net{n}"), v4, v6 }
    }

    /// Reserves ports; they are free again when the value is dropped.
    pub(super) async fn reserve(&self, ports: &[&str]) -> Vec<Reserved> {
        let requests: Vec<PortRequest> = ports.iter().map(|port| request(port)).collect();
        self.reserve_all(&requests).await
    }

    pub(super) async fn reserve_all(&self, requests: &[PortRequest]) -> Vec<Reserved> {
        let defaults =
            PortDefaults { host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ephemeral: 40000..=40100 };
        reserve::reserve(&self.ports, requests, &defaults).await.unwrap()
    }

    /// Reserves and publishes.
    pub(super) async fn publish(&self, container: &Container, ports: &[&str]) -> Vec<Reserved> {
        let reserved = self.reserve(ports).await;
        let redirects = redirects(container, &reserved);
        lock(&self.firewall).publish(&container.v4.to_string(), &redirects).unwrap();
        reserved
    }

    pub(super) fn withdraw(&self, container: &Container) {
        let addresses = [Some(container.v4.into()), container.v6.map(IpAddr::from)];
        let addresses: Vec<IpAddr> = addresses.into_iter().flatten().collect();
        lock(&self.firewall).withdraw(&container.v4.to_string(), &addresses).unwrap();
    }
}

pub(super) fn redirects(container: &Container, reserved: &[Reserved]) -> Vec<Redirect> {
    let redirect =
        |port: &Reserved| port.redirect(&container.network, Some(container.v4), container.v6);
    reserved.iter().filter_map(redirect).collect()
}

/// `[ip-]host:container[/proto]`, with a dash behind the address since IPv6 has colons.
fn request(spec: &str) -> PortRequest {
    let (ip, ports) = spec.split_once('-').unwrap_or(("", spec));
    let (ports, proto) = ports.split_once('/').unwrap_or((ports, "tcp"));
    let (host, container) = ports.split_once(':').unwrap();
    PortRequest::parse(&format!("{container}/{proto}"), ip, host).unwrap()
}

/// Waits until a neighbour is known: the kernel takes a while until IPv6 works on a new link.
/// On an isolated bridge it never is.
fn warm_up(neighbour: &str) {
    for _ in 0..40 {
        let sent = UdpSocket::bind("[::]:0").unwrap().send_to(b"?", (neighbour, 9)).is_ok();
        if sent && run(&format!("ip -6 neigh show {neighbour}")).contains("REACHABLE") {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the firewall is told of network `n`.
pub(super) fn rules(n: u8, change: impl FnOnce(&mut NetworkRules)) -> NetworkRules {
    let mut rules = NetworkRules {
        id: format!("net{n}"),
        interface: format!("br{n}"),
        v4: Some(SubnetRules {
            network: Ipv4Addr::new(172, 30, n, 0),
            prefix_len: 24,
            gateway: Some(Ipv4Addr::new(172, 30, n, 1)),
            mode: GatewayMode::Nat,
            masquerade: true,
            snat_to: None,
        }),
        v6: Some(SubnetRules {
            network: format!("fd30:{n}::").parse().unwrap(),
            prefix_len: 64,
            gateway: Some(format!("fd30:{n}::1").parse().unwrap()),
            mode: GatewayMode::Nat,
            masquerade: true,
            snat_to: None,
        }),
        icc: true,
        internal: false,
        trusted: Vec::new(),
    };
    change(&mut rules);
    rules
}

pub(super) fn set_mode(rules: &mut NetworkRules, mode: GatewayMode) {
    rules.v4.iter_mut().for_each(|subnet| subnet.mode = mode);
    rules.v6.iter_mut().for_each(|subnet| subnet.mode = mode);
}

/// Serves TCP and UDP on a port, over both families, with the caller's address as the answer.
pub(super) fn serve(netns: BorrowedFd<'_>, port: u16) {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let (tcp, udp) =
        inside(netns, || (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap()));
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(peer) = stream.peer_addr() else { continue };
            let _ = stream.write_all(peer.ip().to_canonical().to_string().as_bytes());
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let answer = peer.ip().to_canonical().to_string();
            let _ = udp.send_to(answer.as_bytes(), peer);
        }
    });
}

/// Calls a server from a namespace; `to` may begin with `udp://`.
pub(super) fn call(netns: BorrowedFd<'_>, to: &str) -> io::Result<String> {
    let (udp, to) = match to.strip_prefix("udp://") {
        Some(to) => (true, to),
        None => (false, to),
    };
    let to: SocketAddr = to.parse().unwrap();
    inside(netns, move || if udp { ask(to) } else { connect(to) })
}

fn connect(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

fn ask(to: SocketAddr) -> io::Result<String> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", to)?;
    let mut buffer = [0; 64];
    let (len, _) = socket.recv_from(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

/// Checks a table of calls: who, where to, and the answer, `-` for none.
pub(super) fn check(when: &str, calls: &[(&str, BorrowedFd<'_>, &str, &str)]) {
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        let calls: Vec<_> = calls
            .iter()
            .map(|(who, from, to, want)| {
                let called = scope.spawn(|| call(*from, to).unwrap_or_else(|_| "-".to_owned()));
                (who, to, *want, called)
            })
            .collect();
        for (who, to, want, called) in calls {
            let got = called.join().unwrap();
            let fits = if want == "*" { got != "-" } else { got == want };
            if !fits {
                wrong.push(format!("{who} -> {to}: {got} instead of {want}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
}
