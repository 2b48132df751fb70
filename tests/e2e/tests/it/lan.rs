//! Hosts on one link: the daemon's, and a neighbour that may call it.
//!
//! ```text
//! neighbour  lan0 10.99.0.2, fd99::2  ---  lan0 10.99.0.1, fd99::1  daemon's host  br-*, containers
//! ```

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use gantry_rig::daemon::{Namespace, program};
use gantry_rig::{Client, Daemon, Kind, Net, images};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Longest time for a connection; one that a rule drops takes all of it.
const CONNECT_LIMIT: Duration = Duration::from_millis(700);
/// Longest time for the answer on a connection that stands.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The host's addresses on the link.
pub(crate) const HOST4: &str = "10.99.0.1";
/// See [`HOST4`].
pub(crate) const HOST6: &str = "fd99::1";

/// A daemon's host and its neighbour.
#[derive(Debug)]
pub(crate) struct Lan {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// The other host.
    pub(crate) neighbour: Namespace,
}

impl Lan {
    /// A daemon with the busybox image on a host that has a neighbour. The neighbour routes every
    /// private address through the daemon's host, as one that wants to get at containers would.
    pub(crate) fn new(extra: &[&str]) -> Self {
        gantry_rig::need_root();
        let mut daemon = Daemon::prepare(Kind::Gantry, Net::Private, extra).unwrap();
        let neighbour = Namespace::new().unwrap();
        let pid = daemon.netns_pid().unwrap();
        let host = |script: &str| shell_in(pid, script);
        host(&format!("ip link add lan0 type veth peer name lan0 netns {}", neighbour.pid()));
        host("ip addr add 10.99.0.1/24 dev lan0; ip addr add fd99::1/64 dev lan0 nodad");
        host("ip link set lan0 up");
        shell_in(
            neighbour.pid(),
            "ip addr add 10.99.0.2/24 dev lan0; ip addr add fd99::2/64 dev lan0 nodad
             ip link set lan0 up; ip route add 172.16.0.0/12 via 10.99.0.1
             ip route add 192.168.0.0/16 via 10.99.0.1; ip route add fd00::/8 via fd99::1",
        );
        daemon.launch().unwrap();
        images::import_busybox(&daemon.client()).unwrap();
        Self { daemon, neighbour }
    }

    /// A process in the daemon's host's network.
    pub(crate) fn host(&self) -> u32 {
        self.daemon.netns_pid().unwrap()
    }

    /// Runs a script in the daemon's host's network.
    #[track_caller]
    pub(crate) fn on_host(&self, script: &str) -> String {
        shell_in(self.host(), script)
    }
}

/// Runs a shell script in the network namespace of a process.
#[track_caller]
pub(crate) fn shell_in(pid: u32, script: &str) -> String {
    let mut command = gantry_rig::daemon::inside(Some(pid), &program("sh").unwrap());
    command.args(["-ec", script]).stdin(std::process::Stdio::null());
    let ran = gantry_rig::client::finish(command, None);
    assert_eq!(ran.code, 0, "{script}: {ran:?}");
    ran.stdout
}

/// Process of a container, that others may share namespaces with.
pub(crate) fn pid_of(client: &Client, container: &str) -> u32 {
    client.inspect(container)["State"]["Pid"].as_u64().unwrap().try_into().unwrap()
}

/// Does something in the network namespace of a process, on a thread of its own.
pub(crate) fn within<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// What answers at an address, seen from the network namespace of a process.
pub(crate) fn call(pid: u32, to: SocketAddr) -> Option<String> {
    within(pid, || {
        let mut stream = TcpStream::connect_timeout(&to, CONNECT_LIMIT).ok()?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text.trim_end().to_owned())
    })
}
