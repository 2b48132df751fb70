//! Another registry, which images are fetched from when they are not here.

use std::io;

use bytes::Bytes;
use gantry_distribution::{
    At, Client, Credentials, DistributionError, Document, HostsConfig, Proxies, Repository, Secret,
    Settings, Sink,
};
use gantry_oci::{Algorithm, Descriptor, Digest};
use tokio::sync::{mpsc, oneshot};

use crate::config;

/// Pieces of a blob that wait to be written.
const QUEUE: usize = 16;
/// The media type of a blob whose type does not matter.
const BYTES: &str = "application/octet-stream";

/// A registry that images are fetched from.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    /// Host and port.
    host: String,
    credentials: Credentials,
}

/// Why an upstream of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its address is none.
    #[error("{0:?} is no http or https URL of a registry")]
    Address(String),
    /// The client of registries refuses it.
    #[error(transparent)]
    Client(#[from] DistributionError),
}

impl Upstream {
    /// The registry that a configuration names.
    ///
    /// # Errors
    /// When its address is none.
    pub(crate) fn new(configured: &config::Mirror) -> Result<Self, UpstreamError> {
        let wrong = || UpstreamError::Address(configured.url.clone());
        let (tls, host) = host_of(&configured.url).ok_or_else(wrong)?;
        let mut hosts = HostsConfig::default();
        hosts.insecure_registries.extend((!tls).then(|| host.clone()));
        let proxies = Proxies::of_environment();
        let client = Client::new(Settings { hosts, proxies, ..Settings::default() })?;
        let credentials = match &configured.username {
            None => Credentials::Anonymous,
            Some(name) => Credentials::Basic {
                username: name.clone(),
                password: Secret::new(configured.password.clone()),
            },
        };
        Ok(Self { client, host, credentials })
    }

    async fn repository(&self, name: &str) -> Result<Repository, DistributionError> {
        let text = format!("{}/{name}", self.host);
        let why = "not the name of a repository there";
        let name = text.parse().map_err(|_| DistributionError::Host { text, why })?;
        self.client.repository(&name, &self.credentials).await
    }

    /// A manifest of a repository; none if it is not there.
    pub(crate) async fn manifest(
        &self,
        repository: &str,
        at: &At,
    ) -> Result<Option<Document>, DistributionError> {
        present(self.repository(repository).await?.manifest(at).await)
    }

    /// The digest that a tag names now; none if it is not there.
    pub(crate) async fn resolve(
        &self,
        repository: &str,
        tag: &str,
    ) -> Result<Option<Digest>, DistributionError> {
        let at = At::Tag(tag.to_owned());
        let found = present(self.repository(repository).await?.resolve(&at).await)?;
        Ok(found.map(|descriptor| descriptor.digest))
    }

    /// The size of a blob in bytes; none if it is not there.
    pub(crate) async fn size_of(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<u64>, DistributionError> {
        self.repository(repository).await?.has_blob(digest).await
    }

    /// Sends the bytes of a blob to `sink`, over and over where the way breaks off.
    pub(crate) async fn blob(
        &self,
        repository: &str,
        (digest, size_bytes): (&Digest, u64),
        sink: Incoming,
    ) -> Result<(), DistributionError> {
        let blob = Descriptor::new(BYTES, digest.clone(), size_bytes);
        // The sink goes, so that its other end sees the end.
        self.repository(repository).await?.blob(&blob, sink).await.map(drop)
    }
}

/// Whether a URL is by TLS, and its host with the port.
fn host_of(url: &str) -> Option<(bool, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let host = rest.trim_end_matches('/');
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if host.is_empty() || host.contains(['/', '@', '?', '#']) {
        return None;
    }
    // A host without a port or a dot would be taken for a part of Docker Hub.
    let port = if tls { 443 } else { 80 };
    Some((tls, if has_port { host.to_owned() } else { format!("{host}:{port}") }))
}

/// What a registry does not have is no failure.
fn present<T>(answer: Result<T, DistributionError>) -> Result<Option<T>, DistributionError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(
            DistributionError::ManifestUnknown { .. } | DistributionError::RepositoryUnknown { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What comes of a blob, for whoever writes it.
pub(crate) enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// That was all: the digest of what was written is asked for.
    End(oneshot::Sender<Digest>),
}

/// The end that a blob comes in at.
pub(crate) struct Incoming {
    pieces: mpsc::Sender<Piece>,
    passed_bytes: u64,
}

impl Incoming {
    /// Both ends.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Piece>) {
        let (pieces, writer) = mpsc::channel(QUEUE);
        (Self { pieces, passed_bytes: 0 }, writer)
    }
}

fn gone<T>(_: T) -> io::Error {
    io::Error::other("nobody writes any more")
}

impl Sink for Incoming {
    fn offset(&self) -> u64 {
        self.passed_bytes
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.pieces.blocking_send(Piece::Data(Bytes::copy_from_slice(data))).map_err(gone)?;
        self.passed_bytes += data.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::other("others have read what was wrong"))
    }

    fn digest(&mut self, _: Algorithm) -> io::Result<Digest> {
        let (answer, digest) = oneshot::channel();
        self.pieces.blocking_send(Piece::End(answer)).map_err(gone)?;
        digest.blocking_recv().map_err(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (url, want) in [
            ("https://registry.example", Some((true, "registry.example:443"))),
            ("HTTP://hub/", Some((false, "hub:80"))),
            ("http://127.0.0.1:5000", Some((false, "127.0.0.1:5000"))),
            ("https://[::1]:5000", Some((true, "[::1]:5000"))),
            ("https://registry.example/path", None),
            ("https://user@registry.example", None),
            ("ftp://registry.example", None),
            ("https://", None),
            ("registry.example", None),
        ] {
            let got = host_of(url);
            let got = got.as_ref().map(|(tls, host)| (*tls, host.as_str()));
            assert_eq!(got, want, "{url}");
        }
    }
}
