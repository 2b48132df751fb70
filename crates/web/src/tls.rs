//! TLS: what is trusted, and how a certificate is checked.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
        verify_tls13_signature,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::Trust;

/// What is trusted cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The configuration for servers that are trusted like this.
pub(crate) fn config(trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let failed = |error: rustls::Error| TlsError(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = match trust.skip_verify {
        true => any_certificate(),
        false => Arc::new(known(trust, &provider)?),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &trust.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(failed)?
        }
    };
    Ok(Arc::new(config))
}

/// The authorities that the machine trusts, read once; none are no error before one is needed.
fn system() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a file of certificate authorities cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // One that is broken or too old for us does not spoil the others.
        roots.add_parsable_certificates(found.certs);
        roots
    })
}

/// Takes every certificate: for servers that are configured as insecure.
#[must_use]
pub fn any_certificate() -> Arc<dyn ServerCertVerifier> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    Arc::new(Verifier { wanted: Wanted::Any, algorithms })
}

/// Takes certificates of the machine's authorities and of those that are named.
fn known(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    let mut roots = system().clone();
    roots.add_parsable_certificates(trust.authorities.iter().cloned());
    let build = |roots| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError(error.to_string()))
    };
    let chain = if roots.is_empty() { None } else { Some(build(roots)?) };
    let algorithms = provider.signature_verification_algorithms;
    Ok(Verifier { wanted: Wanted::Known { chain, own: trust.authorities.clone() }, algorithms })
}

/// Checks certificates, and that servers have the keys of theirs.
#[derive(Debug)]
struct Verifier {
    wanted: Wanted,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Wanted {
    Any,
    Known { chain: Option<Arc<WebPkiServerVerifier>>, own: Vec<CertificateDer<'static>> },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Wanted::Known { chain, own } = &self.wanted else {
            return Ok(ServerCertVerified::assertion());
        };
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let chain = chain.as_ref().ok_or(unknown)?;
        let checked =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // A certificate that signs itself is an authority, which no server may be; but this very
            // one was put down for this server, and its dates were checked before.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
