//! A registry, and a proxy before it that counts and cuts.

use std::{
    collections::VecDeque,
    fs,
    future::Future,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use gantry_distribution::{
    Client, Credentials, Document, HostsConfig, Limits, Repository, Settings,
};
use gantry_image::transfer::{
    Events, Pull, Push, Step, TransferError, TransferEvent, TransferLimits, Transfers,
};
use gantry_oci::{Descriptor, Digest, Manifest, Reference};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc};

use crate::Home;

const PROGRAM: &str = "docker-registry";

pub(super) fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The steps among events.
pub(super) fn steps(events: &[TransferEvent]) -> impl Iterator<Item = &Step> {
    events.iter().filter_map(|event| match event {
        TransferEvent::Layer { step, .. } => Some(step),
        _ => None,
    })
}

/// How a transfer ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) digest: Digest,
    pub(super) changed: bool,
    pub(super) events: Vec<TransferEvent>,
}

/// A registry, what is before it, and a reactor.
pub(super) struct Bed {
    child: Child,
    pub(super) proxy: Proxy,
    runtime: Runtime,
    _dir: TempDir,
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Bed {
    /// Starts one; nothing, and a line that says so, where that cannot be.
    pub(super) fn start() -> Option<Self> {
        if !crate::root() {
            return None;
        }
        let dir = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            dir.path().join("data").display()
        );
        let path = dir.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            eprintln!("SKIPPED: needs Debian's {PROGRAM}");
            return None;
        };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Some(Self { child, proxy: Proxy::start(port), runtime, _dir: dir })
    }

    /// The registry's address, which is the proxy's.
    pub(super) fn registry(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port)
    }

    pub(super) fn run<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    pub(super) fn client(&self) -> Client {
        self.client_by(HostsConfig { certs_dirs: Vec::new(), ..HostsConfig::default() })
    }

    pub(super) fn client_by(&self, hosts: HostsConfig) -> Client {
        let limits = Limits {
            attempts: 4,
            backoff: Duration::from_millis(5),
            range_bytes: 256 << 10,
            ranges_from_bytes: 1 << 20,
            ..Limits::default()
        };
        Client::new(Settings { hosts, limits, ..Settings::default() }).unwrap()
    }

    pub(super) fn transfers(&self, home: &Home) -> Transfers {
        Transfers::new(home.images.clone(), self.client(), TransferLimits::default())
    }

    pub(super) fn repository(&self, tag: &str) -> Repository {
        self.run(self.client().repository(&name(tag), &Credentials::Anonymous)).unwrap()
    }

    pub(super) fn wish(tag: &str) -> Pull {
        Pull {
            reference: name(tag),
            all_tags: false,
            unnamed: false,
            platform: None,
            credentials: Credentials::Anonymous,
        }
    }

    pub(super) fn pull(&self, home: &Home, tag: &str) -> Result<Ended, TransferError> {
        self.pull_by(home, &Self::wish(tag))
    }

    pub(super) fn pull_platform(
        &self,
        home: &Home,
        tag: &str,
        platform: &str,
    ) -> Result<Ended, TransferError> {
        self.pull_by(home, &Pull { platform: Some(platform.parse().unwrap()), ..Self::wish(tag) })
    }

    pub(super) fn pull_all(
        &self,
        home: &Home,
        repository: &str,
    ) -> Result<Vec<TransferEvent>, TransferError> {
        let pull = Pull { all_tags: true, ..Self::wish(repository) };
        self.pull_by(home, &pull).map(|ended| ended.events)
    }

    fn pull_by(&self, home: &Home, pull: &Pull) -> Result<Ended, TransferError> {
        let transfers = self.transfers(home);
        let (ended, events) =
            self.heard(|events| async move { transfers.pull(pull, &events).await });
        let pulled = ended?.into_iter().next().unwrap();
        Ok(Ended { digest: pulled.digest, changed: pulled.changed, events })
    }

    pub(super) fn push(&self, home: &Home, tag: &str) -> Result<Ended, TransferError> {
        let push = Push {
            reference: name(tag),
            platform: None,
            compression: None,
            credentials: Credentials::Anonymous,
        };
        let transfers = self.transfers(home);
        let (ended, events) =
            self.heard(|events| async move { transfers.push(&push, &events).await });
        let pushed = ended?.into_iter().next().unwrap();
        Ok(Ended { digest: pushed.descriptor.digest, changed: true, events })
    }

    fn heard<F: Future>(&self, work: impl FnOnce(Events) -> F) -> (F::Output, Vec<TransferEvent>) {
        let (queue, mut told) = mpsc::channel(1);
        let listen = async {
            let mut all = Vec::new();
            while let Some(event) = told.recv().await {
                all.push(event);
            }
            all
        };
        let work = work(Events::new(queue));
        self.run(async { tokio::join!(work, listen) })
    }

    /// Another manifest in a repository: the same image, with other bytes.
    pub(super) fn other_manifest(&self, repository: &Repository, like: &Document) -> Descriptor {
        let parsed: Manifest = serde_json::from_slice(&like.bytes).unwrap();
        let raw = serde_json::to_vec_pretty(&parsed).unwrap();
        let kind = like.descriptor.media_type.clone();
        let (digest, size) = (Digest::of(&raw), raw.len() as u64);
        let at = gantry_distribution::At::Digest(digest.clone());
        self.run(repository.push_manifest(raw.into(), &kind, &at)).unwrap();
        Descriptor::new(&kind, digest, size)
    }
}

/// Passes connections on, counts their bytes and cuts them off.
pub(super) struct Proxy {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    /// Bytes that are received before each cut that is still to come.
    until_cut: Mutex<VecDeque<u64>>,
    cuts: AtomicU64,
    /// First lines of requests.
    asked: Mutex<Vec<String>>,
}

impl Proxy {
    fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                let counts = Arc::clone(&shared);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let up = Arc::clone(&shared);
                thread::spawn(move || up.pass(from, to, true));
                thread::spawn(move || counts.pass(server, client, false));
            }
        });
        Self { port, counts }
    }

    /// Bytes that went to the registry.
    pub(super) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Bytes that came from the registry.
    pub(super) fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Relaxed)
    }

    /// Connections that were cut.
    pub(super) fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::Relaxed)
    }

    /// What was asked for by GET since the last time, as `GET /v2/… HTTP/1.1`.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.counts.asked.lock().unwrap())
    }

    /// Cuts the connection that brings the byte after so many, again and again.
    pub(super) fn cut_after(&self, bytes: impl IntoIterator<Item = u64>) {
        self.counts.until_cut.lock().unwrap().extend(bytes);
    }
}

impl Counts {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, up: bool) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read) = from.read(&mut buffer) {
            if read == 0 {
                break;
            }
            let count = if up { &self.sent } else { &self.received };
            count.fetch_add(read as u64, Ordering::Relaxed);
            if up && buffer[..read].starts_with(b"GET ") {
                let head = String::from_utf8_lossy(&buffer[..read]);
                self.asked.lock().unwrap().extend(head.lines().next().map(str::to_owned));
            }
            if !up && self.is_cut(read) {
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    fn is_cut(&self, read: usize) -> bool {
        let mut cuts = self.until_cut.lock().unwrap();
        let Some(left) = cuts.front_mut() else { return false };
        match left.checked_sub(read as u64) {
            Some(less) => *left = less,
            None => {
                cuts.pop_front();
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }
}
