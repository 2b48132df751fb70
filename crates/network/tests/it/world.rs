//! Hosts, servers and clients in namespaces.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gantry_network::{
    ContainerNames, EndpointRequest, JoinError, JoinRequest, NetworkConfig, NetworkError, Networks,
    PortChoice, PortRequest, Proto, Sandbox,
};
use gantry_store::Store;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long a client waits before it calls a host unreachable.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A host of its own: a thread in a fresh namespace, with a directory for state and a store.
pub(crate) struct Host {
    pub(crate) netns: OwnedFd,
    pub(crate) state: PathBuf,
    pub(crate) store: Store,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
        let _ = std::fs::remove_dir_all(self.state.with_extension("store"));
    }
}

/// Runs a test on a host of its own; skips it loudly without root.
pub(crate) fn on_host<F: Future<Output = ()>>(test: impl FnOnce(Host) -> F + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: this test makes network namespaces and needs root");
        return;
    }
    let work = move || {
        gantry_sys::netns::unshare_network().unwrap();
        let netns = own_netns();
        run("ip link set lo up");
        let state = std::env::temp_dir().join(format!(
            "gantry-network-{}-{}",
            std::process::id(),
            netns_name(netns.as_fd())
        ));
        // All threads of this runtime come from this one, and so are in its namespace.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store = Store::open(&state.with_extension("store").join("test.db")).unwrap();
        runtime.block_on(test(Host { netns, state, store }));
    };
    let outcome = thread::spawn(work).join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Host {
    pub(crate) fn config(&self) -> NetworkConfig {
        let mut config = NetworkConfig::new("gantry0", &self.state);
        config.pool_size = 0;
        config
    }

    pub(crate) async fn open_with(&self, config: NetworkConfig) -> Result<Networks, NetworkError> {
        Networks::open(config, self.store.clone()).await
    }

    pub(crate) async fn open(&self) -> Networks {
        let networks = self.open_with(self.config()).await.unwrap();
        networks.finish_adoption().await.unwrap();
        networks
    }

    /// Another machine: 10.99.0.2, this one being 10.99.0.1.
    pub(crate) fn neighbour(&self) -> OwnedFd {
        let other = new_netns();
        inside(other.as_fd(), || run("ip link set lo up"));
        let path = format!("/proc/{}/fd/{}", std::process::id(), other.as_raw_fd());
        run(&format!("ip link add out0 type veth peer name in0 netns {path}"));
        run("ip addr add 10.99.0.1/24 dev out0");
        run("ip link set out0 up");
        inside(other.as_fd(), || {
            run("ip addr add 10.99.0.2/24 dev in0");
            run("ip link set in0 up");
        });
        other
    }
}

/// A namespace with nothing in it.
pub(crate) fn new_netns() -> OwnedFd {
    let make = || {
        gantry_sys::netns::unshare_network().unwrap();
        own_netns()
    };
    thread::spawn(make).join().unwrap()
}

fn own_netns() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
}

pub(crate) fn netns_name(netns: BorrowedFd<'_>) -> u64 {
    rustix::fs::fstat(netns).unwrap().st_ino
}

/// Runs work on a thread in a namespace.
pub(crate) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let there = move || {
            move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        scope.spawn(there).join().unwrap()
    })
}

/// Runs a command in the caller's namespace; its output.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A TCP server in a namespace that answers with the address it is called from.
pub(crate) fn serve_tcp(netns: BorrowedFd<'_>, port: u16) {
    let listener = inside(netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(peer) = stream.peer_addr() else { continue };
            let _ = stream.write_all(peer.ip().to_string().as_bytes());
        }
    });
}

/// A UDP server of the same kind, which prefixes its answers with a name.
pub(crate) fn serve_udp(netns: BorrowedFd<'_>, port: u16, name: &'static str) {
    let socket = inside(netns, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// Calls a TCP server from a namespace: what it answers.
pub(crate) fn call(netns: BorrowedFd<'_>, to: &str) -> io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(netns, move || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

/// A client that keeps its port, as one flow.
pub(crate) fn udp_client(netns: BorrowedFd<'_>) -> UdpSocket {
    let socket = inside(netns, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn ask(socket: &UdpSocket, to: &str) -> io::Result<String> {
    socket.send_to(b"?", to)?;
    let mut buffer = [0; 64];
    let (len, _) = socket.recv_from(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

pub(crate) fn publish(spec: &str) -> PortRequest {
    // [ip:]host:container[/proto]
    let (ports, proto) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let mut parts = ports.rsplitn(3, ':');
    let container = parts.next().unwrap();
    let host = parts.next().unwrap();
    let ip = parts.next().unwrap_or("");
    PortRequest::parse(&format!("{container}/{proto}"), ip, host).unwrap()
}

/// A container of its own with these endpoints.
pub(crate) fn container(endpoints: Vec<EndpointRequest>, ports: &[&str]) -> JoinRequest {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    JoinRequest {
        container_id: format!("{number:064x}"),
        names: ContainerNames { name: format!("c{number}"), ..ContainerNames::default() },
        endpoints,
        ports: ports.iter().map(|spec| publish(spec)).collect(),
        dns_servers: Vec::new(),
    }
}

/// A container on the default bridge.
pub(crate) async fn join(networks: &Networks, ports: &[&str]) -> Result<Sandbox, JoinError> {
    networks.join(container(vec![EndpointRequest::on("bridge")], ports)).await
}

/// A container on these networks.
pub(crate) async fn join_on(networks: &Networks, names: &[&str]) -> Result<Sandbox, JoinError> {
    let endpoints = names.iter().map(|name| EndpointRequest::on(*name)).collect();
    networks.join(container(endpoints, &[])).await
}

/// What tests ask of a sandbox all the time.
pub(crate) trait First {
    /// The IPv4 address of its first endpoint.
    fn address(&self) -> Ipv4Addr;
}

impl First for Sandbox {
    fn address(&self) -> Ipv4Addr {
        self.record.endpoints[0].v4.unwrap().address
    }
}

/// `count` consecutive TCP ports from `first` on.
pub(crate) fn many(first: u16, count: u16) -> JoinRequest {
    let request = |at| PortRequest {
        container_port: 1 + at,
        proto: Proto::Tcp,
        host_ip: None,
        host_port: PortChoice::Exact(first + at),
    };
    let ports = (0..count).map(request).collect();
    JoinRequest { ports, ..container(vec![EndpointRequest::on("bridge")], &[]) }
}

/// Waits until a condition holds, as the kernel's deletion of namespaces runs behind.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come true");
}

/// Waits until a condition holds and goes on holding, after work that nobody waits for.
pub(crate) fn settles(what: &str, mut holds: impl FnMut() -> bool) {
    let mut in_a_row = 0;
    for _ in 0..400 {
        in_a_row = if holds() { in_a_row + 1 } else { 0 };
        if in_a_row == 10 {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come to rest");
}
