//! A registry that listens.

use std::{error::Error, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use gantry_fault::{Fault, Kind};
use hyper::header::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    acme::{ALPN, Acme},
    audit::Audit,
    auth::Gate,
    blobs::{BlobError, Blobs, Directory},
    bucket::{Bucket, BucketBlobs, Ledger},
    collector,
    config::{Config, ConfigError},
    http::{self, Io},
    index::Index,
    metrics::Metrics,
    mirror::Mirrors,
    registry::{Parts, Registry},
    rules::Rules,
    tls::Certificates,
    uploads::Uploads,
    upstream::UpstreamError,
};

/// How long requests under way may take when the registry ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted: most likely there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take for a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// Why a registry cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its directory cannot be used.
    #[error("cannot use {root}")]
    Root {
        /// The directory.
        root: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file that the configuration names cannot be used.
    #[error("cannot use the {what}")]
    File {
        /// What it is for.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There are two of them.
    #[error("[tls] and [acme] both name a certificate: leave one of them out")]
    TwoCertificates,
    /// The bucket cannot be one.
    #[error(transparent)]
    Bucket(#[from] ConfigError),
    /// An upstream cannot be used.
    #[error("cannot use an upstream")]
    Upstream(#[source] UpstreamError),
}

impl Fault for ServeError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}

/// A registry that listens and does not answer yet.
pub struct Server {
    registry: Registry,
    listener: TcpListener,
    debug: Option<TcpListener>,
    certificates: Option<Arc<Certificates>>,
    acme: Option<Acme>,
    address: SocketAddr,
}

impl Server {
    /// Opens the registry's directory and listens.
    ///
    /// # Errors
    /// When the directory, the address, or a file that is named cannot be used.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let file = |what| move |source| ServeError::File { what, source };
        let acme = match (&config.acme, &config.tls) {
            (None, _) => None,
            (Some(acme), None) => {
                Some(Acme::open(acme, &config.root).await.map_err(file("ACME certificate"))?)
            }
            (Some(_), Some(_)) => return Err(ServeError::TwoCertificates),
        };
        let proofs = acme.as_ref().map(Acme::proofs).unwrap_or_default();
        let tls = config.tls.clone().or_else(|| acme.as_ref().map(Acme::tls));
        let certificates = tls.map(|tls| Certificates::open(&tls, proofs)).transpose();
        let certificates = certificates.map_err(file("certificate"))?.map(Arc::new);
        let listener = listen(&config.listen).await?;
        let debug = match config.debug_listen.as_str() {
            "" => None,
            address => Some(listen(address).await?),
        };
        let address = listener
            .local_addr()
            .map_err(|source| ServeError::Listen { address: config.listen.clone(), source })?;
        let registry = Registry::new(open(config).await?);
        Ok(Self { registry, listener, debug, certificates, acme, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to end; requests under way then have some seconds to finish.
    pub async fn run(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let collector = tokio::spawn(collector::run(self.registry.clone(), shutdown.clone()));
        let acme = self.acme.map(|acme| tokio::spawn(acme.run(shutdown.clone())));
        let debug = self.debug.map(|listener| {
            let registry = self.registry.clone();
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(watch(listener, registry)))
        });
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Some((stream, peer)) = ready(accepted).await else { continue };
            let (registry, shutdown) = (self.registry.clone(), shutdown.clone());
            match self.certificates.clone() {
                None => {
                    connections.spawn(http::serve(Io::Plain(stream), peer, registry, shutdown));
                }
                Some(certificates) => {
                    connections.spawn(async move {
                        let handshake = certificates.acceptor().accept(stream);
                        match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
                            // To shake hands was all that it asked for.
                            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ALPN) => {}
                            Ok(Ok(stream)) => {
                                let io = Io::Tls(Box::new(stream));
                                http::serve(io, peer, registry, shutdown).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
                            Err(_) => tracing::debug!("TLS handshake takes too long"),
                        }
                    });
                }
            }
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(DRAIN_MAX, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests are cut off");
        }
        // A run of the collector that is under way is safe to leave at any point.
        collector.abort();
        drop((debug, acme));
    }
}

/// Where blobs are, and where manifests and tags are a second time.
fn storage(config: &Config) -> Result<(Arc<dyn Blobs>, Option<Ledger>), ServeError> {
    let unusable = |error: BlobError| unusable(&config.root, Box::new(error));
    let Some(s3) = &config.s3 else {
        return Ok((Arc::new(Directory::open(&config.root).map_err(unusable)?), None));
    };
    let bucket = Arc::new(Bucket::open(s3)?);
    let ledger = Ledger::new(Arc::clone(&bucket));
    let blobs = BucketBlobs::open(bucket, &config.root, s3.redirect).map_err(unusable)?;
    Ok((Arc::new(blobs), Some(ledger)))
}

fn unusable(root: &Path, source: Box<dyn Error + Send + Sync>) -> ServeError {
    ServeError::Root { root: root.display().to_string(), source }
}

async fn open(config: Config) -> Result<Parts, ServeError> {
    let root = config.root.clone();
    let (blobs, ledger) = storage(&config)?;
    let rules = Rules { protect: config.protect.clone(), quotas: config.quotas.clone() };
    let (path, cache_bytes) = (root.join("registry.db"), config.limits.cache_bytes);
    let index = Index::open(&path, cache_bytes, rules, ledger, &*blobs).await;
    let index = index.map_err(|error| unusable(&root, Box::new(error)))?;
    let file = |what| move |source| ServeError::File { what, source };
    let gate = Gate::open(&config.auth, &root).map_err(file("passwords and keys"))?;
    let audit = config.audit.file.as_deref();
    let audit = audit.map(|path: &Path| Audit::open(path, config.audit.reads)).transpose();
    let audit = audit.map_err(file("audit log"))?;
    let warning = Some(&config.warning).filter(|text| !text.is_empty());
    let warning = warning.and_then(|text| {
        HeaderValue::try_from(format!("299 - \"{}\"", text.replace(['"', '\\'], "'"))).ok()
    });
    let mirrors = Mirrors::open(&config.mirrors).map_err(ServeError::Upstream)?;
    let (uploads, metrics) = (Uploads::default(), Metrics::default());
    Ok(Parts { config, index, blobs, uploads, gate, mirrors, metrics, audit, warning })
}

async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    TcpListener::bind(address).await.map_err(failed)
}

/// A connection that was accepted; none, after a pause, if that failed.
async fn ready(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok((stream, peer)) => {
            // Answers are small or whole buffers: nothing is gained by waiting for more.
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers those who watch.
async fn watch(listener: TcpListener, registry: Registry) {
    loop {
        if let Some((stream, _)) = ready(listener.accept().await).await {
            tokio::spawn(http::serve_debug(stream, registry.clone()));
        }
    }
}
