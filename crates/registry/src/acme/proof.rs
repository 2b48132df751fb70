//! What shows an authority that a domain is this server's: a text by HTTP (RFC 8555, 8.3), or a
//! certificate by TLS (RFC 8737).

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::PrivateKeyDer;
use tokio::{net::TcpListener, sync::Semaphore};

use super::AcmeError;

/// The protocol by which an authority asks for a certificate that proves.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";
/// Where it asks for a text.
const PLACE: &str = "/.well-known/acme-challenge/";
/// How long whoever asks may take.
const ASKING_MAX: Duration = Duration::from_secs(10);
/// Most who ask at once.
const AT_ONCE: usize = 64;

/// Proofs that are laid out now.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<Laid>);

#[derive(Debug, Default)]
struct Laid {
    /// By token.
    texts: HashMap<String, String>,
    /// By domain.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Proofs {
    pub(super) fn lay_out_text(&self, token: &str, text: &str) {
        self.laid().texts.insert(token.to_owned(), text.to_owned());
    }

    pub(super) fn lay_out_certificate(&self, domain: &str, digest: &[u8]) -> Result<(), AcmeError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new([domain.to_owned()])?;
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = parameters.self_signed(&key)?;
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| AcmeError::Certificate(error.to_owned()))?;
        let chain = vec![certificate.der().clone()];
        // Nobody but an authority understands the extension: to compare chain and key, as others
        // are, would fail on it.
        let key = aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|error| AcmeError::Certificate(error.to_string()))?;
        let whole = CertifiedKey::new(chain, key);
        self.laid().certificates.insert(domain.to_ascii_lowercase(), Arc::new(whole));
        Ok(())
    }

    /// The certificate that proves a domain, while an authority is expected to ask for it.
    pub(crate) fn certificate(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        self.laid().certificates.get(&domain.to_ascii_lowercase()).cloned()
    }

    pub(super) fn clear(&self) {
        *self.laid() = Laid::default();
    }

    fn text(&self, path: &str) -> Option<String> {
        self.laid().texts.get(path.strip_prefix(PLACE)?).cloned()
    }

    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives texts to whoever asks by HTTP, and nothing else.
pub(super) async fn answer(listener: TcpListener, proofs: Arc<Proofs>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let proofs = Arc::clone(&proofs);
        let service = service_fn(move |request: Request<Incoming>| {
            let found = proofs.text(request.uri().path());
            let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let mut response = Response::new(Full::new(Bytes::from(found.unwrap_or_default())));
            *response.status_mut() = status;
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let spoken = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // Whoever is too slow, or goes, is not served.
            drop(tokio::time::timeout(ASKING_MAX, spoken).await);
            drop(place);
        });
    }
}
