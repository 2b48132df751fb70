//! TLS, with certificate and key read again when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes acceptors of connections.
pub(crate) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
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
    pub(crate) fn open(config: &Tls) -> io::Result<Self> {
        let (certificate, key) = (config.certificate.clone(), config.key.clone());
        let changed = [&certificate, &key].map(|path| changed(path));
        let acceptor = acceptor(&certificate, &key)?;
        let state = Mutex::new(State { acceptor, changed, looked: Instant::now() });
        Ok(Self { certificate, key, state })
    }

    /// The acceptor of now. Files that do not go together, as they are between two writes, change
    /// nothing.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let changed = [&self.certificate, &self.key].map(|path| changed(path));
            if changed != state.changed {
                match acceptor(&self.certificate, &self.key) {
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

fn acceptor(certificate: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let within = |path: &Path, reason: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| within(certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| within(key, error.to_string()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| within(certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
