//! Clients with little patience, and data.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gantry_distribution::{
    Client, Credentials, DistributionError, HostsConfig, Limits, Memory, Repository, Secret,
    Settings, Sink,
};
use gantry_oci::{Algorithm, Descriptor, Digest, Reference};

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "pa55word";

/// Limits under which nothing takes long.
pub(crate) fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(2),
        answer: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        attempts: 4,
        backoff: Duration::from_millis(5),
        backoff_max: Duration::from_secs(1),
        ranges_from_bytes: u64::MAX,
        ..Limits::default()
    }
}

pub(crate) fn settings(certs_dir: Option<&Path>, limits: Limits) -> Settings {
    let certs_dirs: Vec<PathBuf> = certs_dir.iter().map(|dir| dir.to_path_buf()).collect();
    let hosts = HostsConfig { certs_dirs, ..HostsConfig::default() };
    Settings { hosts, limits, ..Settings::default() }
}

pub(crate) fn client() -> Client {
    Client::new(settings(None, limits())).unwrap()
}

pub(crate) fn name(registry: &str) -> Reference {
    format!("{registry}/library/app:v1").parse().unwrap()
}

pub(crate) async fn repository(registry: &str) -> Repository {
    client().repository(&name(registry), &Credentials::Anonymous).await.unwrap()
}

pub(crate) fn basic() -> Credentials {
    Credentials::Basic { username: USER.to_owned(), password: Secret::new(PASSWORD.to_owned()) }
}

/// Bytes that look random and are the same each time.
pub(crate) fn data(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub(crate) fn blob(data: &[u8]) -> Descriptor {
    Descriptor::new("application/octet-stream", Digest::of(data), data.len() as u64)
}

/// An error with its causes.
pub(crate) fn text(error: &DistributionError) -> String {
    gantry_fault::chain(error)
}

/// A sink that fails behind so many bytes.
pub(crate) struct Small {
    pub inner: Memory,
    pub room: u64,
}

impl Sink for Small {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.inner.offset() + data.len() as u64 > self.room {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.inner.write(data)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.inner.restart()
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        self.inner.digest(algorithm)
    }
}

/// A sink that counts what it was given, also after it is gone.
#[derive(Default)]
pub(crate) struct Counted {
    pub inner: Memory,
    pub taken: Arc<AtomicU64>,
    pub restarts: Arc<AtomicU64>,
}

impl Sink for Counted {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.taken.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.inner.write(data)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        self.inner.restart()
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        self.inner.digest(algorithm)
    }
}
