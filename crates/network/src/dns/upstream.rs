//! The host's name servers, followed as its `resolv.conf` changes.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a look at the file holds good.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How much of the file is read.
const MAX_LEN: u64 = 64 << 10;
/// How many servers are asked, as in the C library and in Docker.
pub(super) const MAX_SERVERS: usize = 3;
/// Where servers listen.
pub(super) const PORT: u16 = 53;

/// The servers that a `resolv.conf` names.
///
/// Nobody watches the file: whoever needs the servers looks at its inode and time, at most once
/// a second, so a host on which nothing is asked does nothing.
#[derive(Debug)]
pub(super) struct HostServers {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    stamp: Option<Stamp>,
    servers: Arc<[SocketAddr]>,
}

/// What tells one state of a file from another. Editors and resolvers replace the file, so its
/// inode counts; others write in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    len: u64,
}

impl HostServers {
    pub(super) fn new(path: PathBuf) -> HostServers {
        HostServers { path, seen: Mutex::default() }
    }

    /// The servers as of `now`, at most a second old.
    ///
    /// A file that cannot be read, as in the moment between two versions of it, changes nothing.
    pub(super) fn current(&self, now: Instant) -> Arc<[SocketAddr]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.at.is_some_and(|at| now.saturating_duration_since(at) < LOOK_AGAIN);
        if !fresh {
            seen.at = Some(now);
            if let Err(error) = seen.look(&self.path) {
                tracing::debug!(%error, path = %self.path.display(), "reading name servers");
            }
        }
        Arc::clone(&seen.servers)
    }
}

impl Seen {
    fn look(&mut self, path: &Path) -> io::Result<()> {
        let stamp = Stamp::of(&fs::metadata(path)?);
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let mut text = Vec::new();
        fs::File::open(path)?.take(MAX_LEN).read_to_end(&mut text)?;
        self.servers = servers(&String::from_utf8_lossy(&text), interface_index);
        self.stamp = Some(stamp);
        tracing::debug!(servers = ?self.servers, "name servers of the host");
        Ok(())
    }
}

impl Stamp {
    fn of(file: &fs::Metadata) -> Stamp {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            len: file.len(),
        }
    }
}

/// The servers in the text of a `resolv.conf`, in order; a zone is the name of an interface.
fn servers(text: &str, interface_index: impl Fn(&str) -> Option<u32>) -> Arc<[SocketAddr]> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        let (address, zone) = address.split_once('%').unwrap_or((address, ""));
        match (address.parse().ok()?, zone) {
            (address, "") => Some(SocketAddr::new(address, PORT)),
            (IpAddr::V4(_), _) => None,
            (IpAddr::V6(address), zone) => {
                let scope = zone.parse().ok().or_else(|| interface_index(zone))?;
                Some(SocketAddrV6::new(address, PORT, 0, scope).into())
            }
        }
    };
    text.lines().filter_map(server).take(MAX_SERVERS).collect()
}

/// A container's own servers; not ourselves, or a query would go round for ever.
pub(super) fn own_servers(servers: &[IpAddr], ourselves: Ipv4Addr) -> Arc<[SocketAddr]> {
    let others = servers.iter().filter(|server| **server != IpAddr::V4(ourselves));
    others.map(|server| SocketAddr::new(*server, PORT)).take(MAX_SERVERS).collect()
}

fn interface_index(name: &str) -> Option<u32> {
    let family = rustix::net::AddressFamily::INET6;
    let socket = rustix::net::socket(family, rustix::net::SocketType::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(&socket, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_text() {
        let index = |name: &str| (name == "eth0").then_some(7);
        for (text, want) in [
            ("", vec![]),
            ("# nameserver 1.1.1.1\n; x\nnameserver 127.0.0.53\n", vec!["127.0.0.53:53"]),
            (" nameserver\t10.0.0.1 # ours\nnameserver x\nnameserver\n", vec!["10.0.0.1:53"]),
            ("nameserver fe80::1%eth0\nnameserver fe80::1%eth9\n", vec!["[fe80::1%7]:53"]),
            ("nameserver ::1\nnameserver 1.1.1.1%eth0\n", vec!["[::1]:53"]),
            (
                "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
                vec!["1.1.1.1:53", "1.1.1.2:53", "1.1.1.3:53"],
            ),
        ] {
            let got: Vec<String> = servers(text, index).iter().map(ToString::to_string).collect();
            assert_eq!(got, want, "{text:?}");
        }
        let ourselves = Ipv4Addr::new(127, 0, 0, 11);
        let own = own_servers(&[ourselves.into(), Ipv4Addr::LOCALHOST.into()], ourselves);
        assert_eq!(*own, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn followed_as_it_changes() {
        let path = std::env::temp_dir().join(format!("gantry-resolv-{}", std::process::id()));
        let write = |text: &str| {
            // As resolvers do it: a new file under the old name.
            let next = path.with_extension("next");
            fs::write(&next, text).unwrap();
            fs::rename(&next, &path).unwrap();
        };
        let host = HostServers::new(path.clone());
        let begin = Instant::now();
        let at = |millis| {
            let servers = host.current(begin + Duration::from_millis(millis));
            servers.first().map(ToString::to_string)
        };
        assert_eq!(at(0), None, "there is no file");
        write("nameserver 10.0.0.1\n");
        assert_eq!(at(999), None, "not looked at yet");
        assert_eq!(at(1000).as_deref(), Some("10.0.0.1:53"));
        write("nameserver 10.0.0.2\n");
        assert_eq!(at(1999).as_deref(), Some("10.0.0.1:53"));
        assert_eq!(at(2000).as_deref(), Some("10.0.0.2:53"));
        fs::remove_file(&path).unwrap();
        assert_eq!(at(3000).as_deref(), Some("10.0.0.2:53"), "a missing file changes nothing");
        write("search x\n");
        assert_eq!(at(4000), None);
        fs::remove_file(&path).unwrap();
    }
}
