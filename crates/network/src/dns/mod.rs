//! The embedded DNS server: 127.0.0.11 in every container on a network of its user's.
//!
//! ```text
//! container's namespace                              daemon
//!   client ──> 127.0.0.11:53
//!      table ip gantry-dns: dnat to 127.0.0.11:p
//!   socket 127.0.0.11:p <────────────────────────── one task a sandbox
//!                                                      names of its networks: answered here
//!                                                      all else: the host's servers, from here;
//!   servers of --dns <─────────────────────────────    its own, from its own namespace
//! ```
//!
//! The sockets are on random ports, so that a container may serve on 0.0.0.0:53 itself
//! (`docs/adr/0004-embedded-dns.md`). [`DnsRecord`] names the ports: after a restart of the
//! daemon [`Dns::adopt`] opens the same ones again, under running clients.
//!
//! Whose name is known and who has no address of the family asked for is answered "no such
//! data", never by others. Types other than addresses are forwarded, as Docker does, and so are
//! single labels that nobody here has.

mod answer;
mod forward;
mod names;
mod server;
mod sockets;
#[cfg(test)]
mod tests;
mod upstream;
mod wire;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use names::{NamedEndpoint, Names};

use crate::ports::Proto;
use answer::View;
use server::{Context, Server};
use sockets::Sockets;
use upstream::HostServers;

/// Where a container finds its server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// What must be known of a sandbox's server after a restart of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Port of the UDP socket.
    pub udp_port: u16,
    /// Port of the TCP socket.
    pub tcp_port: u16,
}

/// A sandbox that is to be served.
#[derive(Debug, Clone, Default)]
pub struct DnsSandbox {
    /// Id of the container.
    pub container_id: String,
    /// Ids of its networks, in the order of priority.
    pub networks: Vec<String>,
    /// Names that this sandbox alone has for others: alias, and name on the network.
    pub links: Vec<(String, String)>,
    /// Servers of `--dns`, asked from inside the container; none for those of the host.
    pub servers: Vec<IpAddr>,
    /// Whether nothing leaves by its networks: then no name does.
    pub internal: bool,
}

/// Why a sandbox cannot be served, or a query not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The descriptor of the namespace cannot be duplicated.
    #[error("duplicating the network namespace")]
    Duplicate(#[source] io::Error),
    /// No thread can be had.
    #[error("spawning a thread for the name server")]
    Thread(#[source] io::Error),
    /// The thread cannot move into the namespace.
    #[error("entering the network namespace")]
    Enter(#[source] io::Error),
    /// A socket cannot be opened.
    #[error("opening a {proto} socket of the name server")]
    Socket {
        /// Which one.
        proto: Proto,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A netlink socket could not be opened.
    #[error("opening a netlink socket for the name server")]
    Netlink(#[source] io::Error),
    /// The rule that leads to the sockets was refused.
    #[error("{step} in nftables table gantry-dns")]
    Redirect {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another server did not answer.
    #[error("asking a name server by {proto}")]
    Upstream {
        /// How.
        proto: Proto,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel gives no random numbers.
    #[error("drawing a random number")]
    Random(#[source] io::Error),
    /// A worker thread died.
    #[error("worker of the name server stopped")]
    Worker,
}

/// The servers of a daemon; clones are the same.
#[derive(Debug, Clone)]
pub struct Dns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Names,
    host: Arc<HostServers>,
    running: Mutex<HashMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    view: watch::Sender<Arc<View>>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// No sandbox is served yet. `host_resolv_conf` names the servers of those that bring none.
    #[must_use]
    pub fn new(names: Names, host_resolv_conf: PathBuf) -> Dns {
        let host = Arc::new(HostServers::new(host_resolv_conf));
        Dns(Arc::new(Inner { names, host, running: Mutex::default() }))
    }

    /// Serves a sandbox: opens the sockets inside it and leads port 53 to them. Its loopback
    /// interface must be up.
    ///
    /// # Errors
    /// The step that failed, as a [`DnsError`].
    pub async fn serve(
        &self,
        netns: BorrowedFd<'_>,
        sandbox: DnsSandbox,
    ) -> Result<DnsRecord, DnsError> {
        let netns = netns.try_clone_to_owned().map_err(DnsError::Duplicate)?;
        self.start(netns, sandbox, None).await
    }

    /// Serves a sandbox again after a restart of the daemon, on the ports it had.
    ///
    /// If somebody took one of them meanwhile, it is another one; that works as well.
    ///
    /// # Errors
    /// As [`Dns::serve`].
    pub async fn adopt(
        &self,
        netns: OwnedFd,
        sandbox: DnsSandbox,
        record: &DnsRecord,
    ) -> Result<(), DnsError> {
        self.start(netns, sandbox, Some(*record)).await.map(drop)
    }

    /// Changes what a sandbox is connected to, as after connect and disconnect.
    pub fn set_networks(
        &self,
        container: &str,
        networks: Vec<String>,
        links: &[(String, String)],
        internal: bool,
    ) {
        if let Some(running) = self.running().get(container) {
            running.view.send_modify(|view| {
                let servers = Arc::clone(&view.servers);
                let links = View::link_table(links);
                *view = Arc::new(View { networks, links, internal, servers });
            });
        }
    }

    /// Stops serving a sandbox. Its namespace can then go.
    pub fn stop(&self, container: &str) {
        self.running().remove(container);
    }

    async fn start(
        &self,
        netns: OwnedFd,
        sandbox: DnsSandbox,
        wished: Option<DnsRecord>,
    ) -> Result<DnsRecord, DnsError> {
        let netns = Arc::new(netns);
        let open = move || Sockets::open(wished);
        let Sockets { udp, tcp, record } = sockets::inside(Arc::clone(&netns), open).await?;
        let register = |proto| move |source| DnsError::Socket { proto, source };
        let udp = UdpSocket::from_std(udp).map_err(register(Proto::Udp))?;
        let tcp = TcpListener::from_std(tcp).map_err(register(Proto::Tcp))?;
        let servers = upstream::own_servers(&sandbox.servers, ADDRESS);
        let netns = (!servers.is_empty()).then_some(netns);
        let (sender, view) = watch::channel(Arc::new(View {
            networks: sandbox.networks,
            links: View::link_table(&sandbox.links),
            internal: sandbox.internal,
            servers,
        }));
        let (names, host) = (self.0.names.clone(), Arc::clone(&self.0.host));
        let server = Server::new(udp, tcp, Context { names, host, view, netns });
        let task = tokio::spawn(server.run()).abort_handle();
        self.running().insert(sandbox.container_id, Running { view: sender, task });
        Ok(record)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Buffers of a thread: one for the longest message there is, one for an answer.
///
/// They are used between two awaits, so one pair serves however many sandboxes and queries.
struct Buffers {
    received: Vec<u8>,
    reply: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> =
        RefCell::new(Buffers { received: vec![0; wire::MAX_TCP_LEN], reply: Vec::new() });
}

fn with_buffers<T>(work: impl FnOnce(&mut [u8], &mut Vec<u8>) -> T) -> T {
    BUFFERS.with_borrow_mut(|buffers| work(&mut buffers.received, &mut buffers.reply))
}
