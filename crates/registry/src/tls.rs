//! TLS, with certificate and key read again when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::{
    acme::{self, Proofs},
    config::Tls,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes acceptors of connections.
pub(crate) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    /// What an authority is shown.
    proofs: Arc<Proofs>,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Certificates {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When one cannot be read, or they do not go together.
    pub(crate) fn open(config: &Tls, proofs: Arc<Proofs>) -> io::Result<Self> {
        let (certificate, key) = (config.certificate.clone(), config.key.clone());
        let changed = [&certificate, &key].map(|path| changed(path));
        let acceptor = acceptor(&certificate, &key, &proofs)?;
        let state = Mutex::new(State { acceptor, changed, looked: Instant::now() });
        Ok(Self { certificate, key, proofs, state })
    }

    /// The acceptor of now. Files that do not go together, as they are between two writes, change
    /// nothing.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let changed = [&self.certificate, &self.key].map(|path| changed(path));
            if changed != state.changed {
                match acceptor(&self.certificate, &self.key, &self.proofs) {
                    Ok(acceptor) => {
                        tracing::info!("certificate and key are read again");
                        (state.acceptor, state.changed) = (acceptor, changed);
                    }
                    Err(error) => tracing::error!(%error, "the certificate stays as it was"),
                }
            }
        }
        state.acceptor.clone()
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Shows the certificate, and an authority that asks for it a proof.
#[derive(Debug)]
struct Shown {
    usual: Arc<CertifiedKey>,
    proofs: Arc<Proofs>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let proves = hello.alpn().is_some_and(|mut names| names.any(|name| name == acme::ALPN));
        match proves {
            true => self.proofs.certificate(hello.server_name()?),
            false => Some(Arc::clone(&self.usual)),
        }
    }
}

fn acceptor(certificate: &Path, key: &Path, proofs: &Arc<Proofs>) -> io::Result<TlsAcceptor> {
    let within = |path: &Path, reason: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| within(certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| within(key, error.to_string()))?;
    let usual = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())
        .map_err(|error| within(certificate, error.to_string()))?;
    let shown = Shown { usual: Arc::new(usual), proofs: Arc::clone(proofs) };
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = [b"http/1.1".as_slice(), acme::ALPN].map(<[u8]>::to_vec).into();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
