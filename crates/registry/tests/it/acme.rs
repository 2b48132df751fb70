//! Certificates from an authority: Debian's pebble, which is made for such tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    process::{Running, free_port},
    tls::{certify, exchange},
};

const PEBBLE: [&str; 2] = ["/usr/bin/pebble", "/usr/bin/pebble-challtestsrv"];
const DOMAIN: &str = "registry.test";
/// How long it may take until there is a certificate.
const PATIENCE: Duration = Duration::from_secs(45);
const PING: &str = "GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nConnection: close\r\n\r\n";

/// An authority, and the name server that it asks; they end with their test.
struct Authority {
    children: Vec<Child>,
    root: TempDir,
    directory: String,
    management: String,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Starts one that gives certificates of so many seconds; none, which is said, without pebble.
    fn start(http_port: u16, tls_port: u16, valid_s: u64) -> Option<Self> {
        if let Some(missing) = PEBBLE.iter().find(|path| !Path::new(path).exists()) {
            eprintln!("skipped: {missing} is not installed");
            return None;
        }
        let root = TempDir::new().expect("a directory");
        let certificate = certify(root.path());
        let [api, management, names, steering] = std::array::from_fn(|_| free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": root.path().join("cert.pem"),
            "privateKey": root.path().join("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "certificateValidityPeriod": valid_s,
        }});
        let path = root.path().join("pebble.json");
        fs::write(&path, config.to_string()).expect("written");
        let mut server = Command::new(PEBBLE[1]);
        server.args(["-dns01", &format!("127.0.0.1:{names}"), "-defaultIPv6", ""]);
        server.args(["-management", &format!("127.0.0.1:{steering}")]);
        server.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let mut pebble = Command::new(PEBBLE[0]);
        pebble.arg("-config").arg(path).args(["-dnsserver", &format!("127.0.0.1:{names}")]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let children = [server, pebble].map(|mut command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
        });
        let directory = format!("https://localhost:{api}/dir");
        let management = format!("127.0.0.1:{management}");
        let authority =
            Self { children: children.into(), root, directory, management, certificate };
        authority.issuer();
        Some(authority)
    }

    /// Whom it signs as.
    fn issuer(&self) -> CertificateDer<'static> {
        let head = "GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n";
        let answer = until("the authority answers", || {
            exchange(&self.management, "localhost", &self.certificate, head, b"").ok()
        });
        CertificateDer::from_pem_slice(&answer.bytes).expect("a certificate")
    }

    /// A registry's configuration.
    fn config(&self, rest: &str) -> PathBuf {
        let path = self.root.path().join("registry.toml");
        let text = format!(
            "[acme]\ndirectory = \"{}\"\nauthority = \"{}\"\nemail = \"a@registry.test\"\ndomains = [\"{DOMAIN}\"]\n{rest}",
            self.directory,
            self.root.path().join("cert.pem").display()
        );
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a value.
#[track_caller]
fn until<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "not yet: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_certificate_by_tls_is_got_and_kept() {
    let port = free_port();
    let Some(authority) = Authority::start(free_port(), port, 86_400) else { return };
    let issuer = authority.issuer();
    let config = authority.config("accept-terms = true\n").display().to_string();
    let (root, address) = (authority.root.path().join("data"), format!("127.0.0.1:{port}"));
    let running = Running::listening(&root, &address, &["--config", &config]);
    let got = until("a certificate", || exchange(&address, DOMAIN, &issuer, PING, b"").ok());
    assert!(got.bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got.bytes));
    running.kill();
    let running = Running::listening(&root, &address, &["--config", &config]);
    // It is there at once, and the same.
    let again = exchange(&address, DOMAIN, &issuer, PING, b"").expect("an answer");
    assert!(again.certificate == got.certificate, "another certificate");
    drop(running);
}

#[test]
fn a_certificate_by_http_is_renewed_in_time() {
    let port = free_port();
    let Some(authority) = Authority::start(port, free_port(), 20) else { return };
    let issuer = authority.issuer();
    let rest = format!("accept-terms = true\nhttp-listen = \"127.0.0.1:{port}\"\n");
    let config = authority.config(&rest).display().to_string();
    let running = Running::ours(&authority.root.path().join("data"), &["--config", &config]);
    let address = &running.at.address;
    let ask = || exchange(address, DOMAIN, &issuer, PING, b"").ok();
    let first = until("a certificate", ask);
    let second = until("another", || ask().filter(|got| got.certificate != first.certificate));
    assert!(second.bytes.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn what_acme_lacks_is_told() {
    let root = TempDir::new().expect("a directory");
    let config = root.path().join("registry.toml");
    for (text, want) in [
        ("[acme]\ndomains = [\"a.test\"]\n", "accept-terms = true"),
        ("[acme]\ndomains = []\naccept-terms = true\n", "domains are missing"),
        ("[acme]\ndomains = [\"*.a.test\"]\naccept-terms = true\n", "not implemented"),
        (
            "[acme]\ndomains = [\"a.test\"]\n[tls]\ncertificate = \"a\"\nkey = \"b\"\n",
            "leave one of them out",
        ),
    ] {
        fs::write(&config, text).expect("written");
        let options = ["--config", &config.display().to_string()];
        let started = std::panic::catch_unwind(|| Running::ours(root.path(), &options));
        let panic = started.err().expect("it starts");
        let log = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(log.contains(want), "{text}: {log}");
    }
}
