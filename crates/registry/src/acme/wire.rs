//! Requests to an authority over our own connections.

use std::{fs, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use gantry_web::{Address, Ask, Payload, Proxies, Trust, Waits, Wire, WireError};
use http_body_util::BodyExt;
use hyper::{Request, Response, header::HeaderValue};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::AcmeError;
use crate::config;

/// How long an authority is waited for.
const WAITS: Waits = Waits {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};
/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Asks an authority.
pub(super) struct Client(Wire);

impl Client {
    /// Trusts the machine's authorities, and the one whose file is configured.
    ///
    /// # Errors
    /// When that file cannot be used.
    pub(super) fn new(config: &config::Acme) -> Result<Self, AcmeError> {
        let mut trust = Trust::system(false);
        if let Some(path) = &config.authority {
            let text = fs::read(path)
                .map_err(|error| AcmeError::Certificate(format!("{}: {error}", path.display())))?;
            trust.authorities = CertificateDer::pem_slice_iter(&text)
                .collect::<Result<_, _>>()
                .map_err(|error| AcmeError::Certificate(format!("{}: {error}", path.display())))?;
        }
        let proxies = Arc::new(Proxies::of_environment());
        let name = HeaderValue::from_static("gantry-registry");
        Wire::new(&trust, &proxies, WAITS, &name).map(Self).map_err(AcmeError::Tls)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let wire = self.0.clone();
        Box::pin(
            async move { ask(&wire, request).await.map_err(|error| Error::Other(error.into())) },
        )
    }
}

async fn ask(
    wire: &Wire,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, WireError> {
    let (head, body) = request.into_parts();
    let address = head.uri.to_string();
    let address = Address::parse(&address).ok_or(WireError::Protocol(address))?;
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let payload = if body.is_empty() { Payload::Empty } else { Payload::Whole(body) };
    let reply = wire.send(Ask { method: head.method, address, headers: head.headers, payload });
    let reply = reply.await?;
    let body = reply.pieces.all(ANSWER_MAX).await?;
    let long = || WireError::Protocol(format!("an answer of more than {ANSWER_MAX} bytes"));
    let body = body.ok_or_else(long)?;
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (reply.status, reply.headers);
    Ok(BytesResponse { parts, body: Box::new(body) })
}
