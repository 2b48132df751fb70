//! Certificates from an authority that speaks ACME (RFC 8555): got, kept, and renewed in time.
//!
//! ```text
//! <root>/acme/
//!   account.json       directory and account, its key included
//!   certificate.pem    chain and key in one file, so that they always go together
//! ```
//!
//! `certificate.pem` is there before the server listens: one that it signed itself, which nobody
//! trusts, until the authority's comes. The server's TLS reads it again when it changes.
//!
//! ```text
//! account   who asks          order   one certificate, from the order to the chain
//! proof     challenges        life    what a certificate is for, and until when
//! wire      requests over our own connections
//! ```

mod account;
mod life;
mod order;
mod proof;
mod wire;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gantry_fault::chain;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now_s,
    config::{self, Tls},
};
use life::Life;

pub(crate) use proof::{ALPN, Proofs};

/// First pause after a failure; it doubles up to the last. Authorities count failures.
const PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(6 * 3600));
/// Longest wait until a certificate is looked at again: clocks are set.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// How long the authority may take for all of it.
const ORDER_MAX: Duration = Duration::from_secs(300);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    #[error("the authority")]
    Authority(#[from] instant_acme::Error),
    #[error("the authority does not offer {0} for {1}")]
    NoChallenge(&'static str, String),
    #[error("the authority could not verify: {0}")]
    Refused(String),
    #[error("the authority takes more than {} s", ORDER_MAX.as_secs())]
    Slow,
    #[error("writing {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the authority's certificate is none: {0}")]
    Certificate(String),
    #[error("making a certificate")]
    Make(#[from] rcgen::Error),
    #[error("TLS to the authority")]
    Tls(#[source] gantry_web::TlsError),
}

/// Gets and renews the certificate.
pub(crate) struct Acme {
    config: config::Acme,
    folder: PathBuf,
    proofs: Arc<Proofs>,
    /// Where the authority looks by HTTP.
    listener: Option<TcpListener>,
}

impl Acme {
    /// Makes what is needed before the server listens; asks nobody yet.
    ///
    /// # Errors
    /// When the configuration lacks something, or the directory or address cannot be used.
    pub(crate) async fn open(config: &config::Acme, root: &Path) -> io::Result<Self> {
        if let Some(lacks) = config.lacks() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, lacks));
        }
        let folder = root.join("acme");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let listener = match config.http_listen.as_str() {
            "" => None,
            address => Some(TcpListener::bind(address).await?),
        };
        let own = Self { config: config.clone(), folder, proofs: Arc::default(), listener };
        if Life::read(&own.certificate()).is_err() {
            let text = life::placeholder(&config.domains).map_err(io::Error::other)?;
            own.keep("certificate.pem", &text).map_err(io::Error::other)?;
        }
        Ok(own)
    }

    /// Where certificate and key are.
    pub(crate) fn tls(&self) -> Tls {
        Tls { certificate: self.certificate(), key: self.certificate() }
    }

    /// What the server's TLS shows an authority.
    pub(crate) fn proofs(&self) -> Arc<Proofs> {
        Arc::clone(&self.proofs)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Renews until told to end.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let answering = self.listener.take().map(|listener| {
            let answers = proof::answer(listener, Arc::clone(&self.proofs));
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(answers))
        });
        shutdown.run_until_cancelled(self.renew_for_ever()).await;
        drop(answering);
    }

    async fn renew_for_ever(&self) {
        let mut pause = PAUSES.0;
        loop {
            let due_s = self.due_s();
            let now = now_s();
            if now < due_s {
                tokio::time::sleep(Duration::from_secs(due_s - now).min(LOOK_EVERY)).await;
                continue;
            }
            match self.renew().await {
                Ok(life) => {
                    let Life { domains, until_s, .. } = life;
                    tracing::info!(?domains, until_s, "new certificate");
                    if now_s() < self.due_s() {
                        pause = PAUSES.0;
                        continue;
                    }
                    tracing::warn!("it is not what was ordered; next try in {pause:?}");
                }
                Err(error) => {
                    tracing::error!("no certificate: {}; next try in {pause:?}", chain(&error));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// When the certificate is to be renewed, s since 1970: after two thirds of its life, or now if
    /// it is not what is configured.
    fn due_s(&self) -> u64 {
        let right = |life: &Life| {
            !life.own
                && life.is_for(&self.config.domains)
                && account::directory(&self.folder).is_some_and(|of| of == self.config.directory)
        };
        let life = Life::read(&self.certificate()).ok().filter(right);
        life.map_or(0, |life| life.renew_s())
    }

    async fn renew(&self) -> Result<Life, AcmeError> {
        let work = async {
            let account = account::open(&self.config, &self.folder).await?;
            let by_http = !self.config.http_listen.is_empty();
            order::certificate(&account, &self.config.domains, &self.proofs, by_http).await
        };
        let done = tokio::time::timeout(ORDER_MAX, work).await;
        self.proofs.clear();
        let text = done.map_err(|_| AcmeError::Slow)??;
        let life = Life::of(&text)?;
        self.keep("certificate.pem", &text)?;
        Ok(life)
    }

    fn keep(&self, name: &str, text: &str) -> Result<(), AcmeError> {
        write(&self.folder.join(name), text)
    }
}

/// Writes a file that its owner alone may read, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), AcmeError> {
    let part = path.with_extension("part");
    let failed = |source| AcmeError::Write { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part).map_err(failed)?;
    io::Write::write_all(&mut &file, text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}
