//! TLS to a daemon: certificates from files, aws-lc-rs as the provider.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ClientError;

/// Which certificates to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authority that signed the daemon's certificate.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whether the daemon's certificate must be good.
    pub verify: bool,
}

/// Builds the configuration of a connection.
pub(crate) fn config(options: &TlsOptions) -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.to_string()))?;
    let builder = if options.verify {
        let roots = roots(options)?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| ClientError::Tls(error.to_string()))?;
        builder.with_webpki_verifier(verifier)
    } else {
        // `--tls` without `--tlsverify`: encrypted, to whoever answers.
        builder.dangerous().with_custom_certificate_verifier(gantry_web::any_certificate())
    };
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates(cert)?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
        ClientError::Tls(format!("could not load X509 key pair: {}: {error}", key.display()))
    })?;
    builder
        .with_client_auth_cert(chain, key)
        .map(Arc::new)
        .map_err(|error| ClientError::Tls(format!("could not load X509 key pair: {error}")))
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        ClientError::Tls(format!("open {}: {why}", path.display()))
    })
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ClientError::Tls(format!("{}: {error}", path.display())))
}

/// Roots of trust: the named authority alone, as no other may speak for the daemon.
fn roots(options: &TlsOptions) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = &options.ca else {
        return Err(ClientError::Tls(
            "TLS verification needs a CA certificate (--tlscacert)".into(),
        ));
    };
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| ClientError::Tls(format!("{}: {error}", ca.display())))?;
    }
    Ok(roots)
}
