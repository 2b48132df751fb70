//! TLS, with certificates of one test.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;

use crate::{fixture::noise, process::Running};

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes a new certificate and its key; returns the certificate.
pub(crate) fn certify(root: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = pem("PRIVATE KEY", &signing_key.serialize_der());
    fs::write(root.join("key.pem"), key).expect("written");
    fs::write(root.join("cert.pem"), pem("CERTIFICATE", cert.der())).expect("written");
    cert.der().clone()
}

/// What came, and who sent it.
pub(crate) struct Came {
    pub(crate) bytes: Vec<u8>,
    pub(crate) certificate: CertificateDer<'static>,
}

fn request(
    address: &str,
    trusted: &CertificateDer<'static>,
    head: &str,
    body: &[u8],
) -> std::io::Result<Vec<u8>> {
    exchange(address, "localhost", trusted, head, body).map(|came| came.bytes)
}

/// Sends a request to whom `trusted` calls by this name, and reads all of the answer.
pub(crate) fn exchange(
    address: &str,
    name: &str,
    trusted: &CertificateDer<'static>,
    head: &str,
    body: &[u8],
) -> std::io::Result<Came> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    // Some servers end without saying so in TLS: what came counts.
    let _ = stream.read_to_end(&mut bytes);
    let sent = stream.conn.peer_certificates().and_then(|chain| chain.first());
    let certificate = sent.ok_or(std::io::ErrorKind::UnexpectedEof)?.clone().into_owned();
    Ok(Came { bytes, certificate })
}

#[test]
fn tls_with_a_certificate_that_changes() {
    let root = TempDir::new().expect("a directory");
    let first = certify(root.path());
    let config = root.path().join("config.toml");
    let text = format!(
        "[tls]\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        root.path().display()
    );
    fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let running = Running::ours(&root.path().join("data"), &["--config", &config]);
    let address = &running.at.address;
    let data = noise(1, 2_000_000);
    let digest = gantry_oci::Digest::of(&data);
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        data.len()
    );
    let answer = request(address, &first, &head, &data).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    let get = format!(
        "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let answer = request(address, &first, &get, b"").expect("an answer");
    assert!(answer.ends_with(&data), "the blob differs");
    let second = certify(root.path());
    // The files are looked at once a second.
    std::thread::sleep(Duration::from_millis(1200));
    assert!(request(address, &first, &get, b"").is_err(), "the old certificate is still used");
    assert!(request(address, &second, &get, b"").expect("an answer").ends_with(&data));
    // Half of a change changes nothing.
    fs::write(root.path().join("cert.pem"), "no certificate").expect("written");
    std::thread::sleep(Duration::from_millis(1200));
    assert!(request(address, &second, &get, b"").expect("an answer").ends_with(&data));
}
