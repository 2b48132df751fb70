//! Against Debian's registry (package docker-registry), if it is installed.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gantry_distribution::{
    At, Client, Credentials, FileSource, Limits, Memory, Proxies, PushedHow, Settings,
};
use gantry_fault::{Fault, Kind};
use gantry_oci::{Descriptor, Digest, Manifest, image::media};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::bed::{self, basic, blob, client, data, limits, name, settings, text};

const PROGRAM: &str = "docker-registry";
/// bcrypt of the password in `bed`.
const HTPASSWD: &str = "alice:$2b$04$M..0EcdNq/Hd9WdnPSikYOhMiF95FNTqYCeO7tkrTLYXk8vaX4kOO\n";

struct Registry {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Registry {
    /// Starts one; nothing, and a line that says so, where it is not installed.
    fn start(more: impl FnOnce(&Path) -> String) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let more = more(dir.path());
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, \
                 delete: {{enabled: true}}}}\n{}",
                dir.path().join("data").display(),
                more.replace("ADDRESS", &format!("addr: 127.0.0.1:{port}"))
            );
            fs::write(dir.path().join("config.yml"), config).unwrap();
            let child = Command::new(PROGRAM)
                .arg("serve")
                .arg(dir.path().join("config.yml"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(child) = child else {
                eprintln!("SKIPPED: {PROGRAM} is not installed");
                return None;
            };
            let mut registry = Self { child, port, dir: TempDir::new().unwrap() };
            if registry.is_up() {
                registry.dir = dir;
                return Some(registry);
            }
        }
        panic!("{PROGRAM} does not start");
    }

    fn plain() -> Option<Self> {
        Self::start(|_| "http: {ADDRESS}\n".to_owned())
    }

    fn is_up(&mut self) -> bool {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(25));
        }
        false
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn manifest(layers: &[Descriptor], subject: Option<&Descriptor>) -> Bytes {
    let mut config = blob(b"{}");
    media::CONFIG.clone_into(&mut config.media_type);
    let manifest = Manifest {
        schema_version: 2,
        media_type: media::MANIFEST.to_owned(),
        config,
        layers: layers.to_vec(),
        annotations: std::collections::BTreeMap::new(),
    };
    let mut value = serde_json::to_value(manifest).unwrap();
    if let Some(subject) = subject {
        value["subject"] = serde_json::to_value(subject).unwrap();
        value["artifactType"] = "application/x.signature".into();
    }
    Bytes::from(value.to_string())
}

fn settings_for(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut limits =
        Limits { answer: Duration::from_secs(20), stall: Duration::from_secs(20), ..limits() };
    change(&mut limits);
    settings(None, limits)
}

#[tokio::test]
async fn push_and_pull() {
    let Some(registry) = Registry::plain() else { return };
    // Chunks for the push and ranges for the pull, of a size that gives many.
    let client = Client::new(settings_for(|limits| {
        limits.push_chunk_bytes = 1 << 20;
        limits.ranges_from_bytes = 1 << 20;
        limits.range_bytes = 300_000;
    }))
    .unwrap();
    let name = name(&registry.name());
    let repository = client.repository(&name, &Credentials::Anonymous).await.unwrap();
    let (small, large) = (data(5000, 1), data(7_654_321, 2));
    let file = registry.dir.path().join("layer");
    fs::write(&file, &large).unwrap();
    let [first, second] = [blob(&small), blob(&large)];
    let push = async |how: PushedHow| {
        let source = Bytes::from(small.clone());
        let pushed = repository.push_blob(source, Some(&first), &[]).await.unwrap();
        assert_eq!(pushed.how, how);
        let source = FileSource(file.clone());
        let pushed = repository.push_blob(source, Some(&second), &[]).await.unwrap();
        assert_eq!((pushed.how, pushed.size), (how, 7_654_321));
        repository.push_blob(Bytes::from_static(b"{}"), Some(&blob(b"{}")), &[]).await.unwrap();
    };
    assert_eq!(repository.has_blob(&second.digest).await.unwrap(), None);
    push(PushedHow::Uploaded).await;
    push(PushedHow::Exists).await;
    assert_eq!(repository.has_blob(&second.digest).await.unwrap(), Some(7_654_321));

    let bytes = manifest(&[first.clone(), second.clone()], None);
    let at = At::of(&name);
    let pushed = repository.push_manifest(bytes.clone(), media::MANIFEST, &at).await.unwrap();
    assert_eq!(pushed.digest, Digest::of(&bytes));
    let found = repository.resolve(&at).await.unwrap();
    assert_eq!(found, Descriptor::new(media::MANIFEST, pushed.digest.clone(), bytes.len() as u64));
    for at in [at.clone(), At::Digest(pushed.digest.clone())] {
        let document = repository.manifest(&at).await.unwrap();
        assert_eq!((&document.bytes, &document.descriptor), (&bytes, &found));
    }
    for (blob, want) in [(&first, &small), (&second, &large)] {
        let half = want[..want.len() / 2].to_vec();
        for sink in [Memory::default(), Memory(half)] {
            assert!(repository.blob(blob, sink).await.unwrap().0 == *want);
        }
    }

    repository.delete_manifest(&At::Digest(pushed.digest.clone())).await.unwrap();
    let error = repository.manifest(&at).await.unwrap_err();
    let want = format!("manifest for {name} not found: manifest unknown: manifest unknown");
    assert_eq!((text(&error), error.kind()), (want.clone(), Kind::NotFound));
    assert_eq!(text(&repository.resolve(&at).await.unwrap_err()), want);
    repository.delete_blob(&first.digest).await.unwrap();
    assert_eq!(repository.has_blob(&first.digest).await.unwrap(), None);
}

#[tokio::test]
async fn mounts_and_lists() {
    let Some(registry) = Registry::plain() else { return };
    let client = client();
    let of = async |path: &str| {
        let name = format!("{}/{path}", registry.name()).parse().unwrap();
        client.repository(&name, &Credentials::Anonymous).await.unwrap()
    };
    let (one, two) = (of("team/one").await, of("team/two").await);
    let layer = data(20_000, 3);
    let source = || Bytes::from(layer.clone());
    one.push_blob(source(), Some(&blob(&layer)), &[]).await.unwrap();
    let from = ["team/none".to_owned(), "team/one".to_owned()];
    let pushed = two.push_blob(source(), Some(&blob(&layer)), &from).await.unwrap();
    assert_eq!(pushed.how, PushedHow::Mounted { from: "team/one".to_owned() });
    let config = Bytes::from_static(b"{}");
    // Not anywhere: what begins with the attempt to mount is gone on with.
    let pushed = two.push_blob(config.clone(), Some(&blob(b"{}")), &from).await.unwrap();
    assert_eq!(pushed.how, PushedHow::Uploaded);
    // Digest unknown until it is sent.
    let pushed = one.push_blob(config, None, &[]).await.unwrap();
    assert_eq!(pushed.digest, Digest::of(b"{}"));

    let bytes = manifest(&[blob(&layer)], None);
    for number in 0..25 {
        let at = At::Tag(format!("v{number:02}"));
        one.push_manifest(bytes.clone(), media::MANIFEST, &at).await.unwrap();
    }
    let mut tags = one.tags().await.unwrap();
    // This registry has no order.
    tags.sort();
    assert_eq!((tags.len(), tags[0].as_str(), tags[24].as_str()), (25, "v00", "v24"));
    let error = of("team/none").await.tags().await.unwrap_err();
    let want = format!("repository {}/team/none not found", registry.name());
    assert!(text(&error).starts_with(&want), "{}", text(&error));
    let all = client.catalog(&registry.name(), &Credentials::Anonymous).await.unwrap();
    assert_eq!(all, ["team/one", "team/two"]);
    let found = client
        .search(&format!("{}/one", registry.name()), 10, &Credentials::Anonymous)
        .await
        .unwrap();
    let names: Vec<String> = found.into_iter().map(|found| found.name).collect();
    assert_eq!(names, [format!("{}/team/one", registry.name())]);

    // This registry keeps no referrers: they are kept in a tag.
    let subject = one.resolve(&At::Tag("v00".to_owned())).await.unwrap();
    assert_eq!(one.referrers(&subject.digest, None).await.unwrap(), []);
    let about = manifest(&[], Some(&subject));
    for _ in 0..2 {
        let at = At::Digest(Digest::of(&about));
        one.push_manifest(about.clone(), media::MANIFEST, &at).await.unwrap();
    }
    let referrers = one.referrers(&subject.digest, Some("application/x.signature")).await.unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0].descriptor.digest, Digest::of(&about));
    assert_eq!(one.referrers(&subject.digest, Some("application/x.other")).await.unwrap(), []);
}

#[tokio::test]
async fn passwords() {
    let started = Registry::start(|dir| {
        fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        let path = dir.join("htpasswd");
        format!("http: {{ADDRESS}}\nauth: {{htpasswd: {{realm: r, path: {}}}}}\n", path.display())
    });
    let Some(registry) = started else { return };
    let client = client();
    client.login(&registry.name(), &basic()).await.unwrap();
    let nobody = Credentials::Basic {
        username: "nobody".to_owned(),
        password: gantry_distribution::Secret::new(bed::PASSWORD.to_owned()),
    };
    let error = client.login(&registry.name(), &nobody).await.unwrap_err();
    let url = format!("http://{}/v2/", registry.name());
    let want = format!("login attempt to {url} failed with status: 401 Unauthorized");
    assert_eq!(text(&error), want);
    let repository = client.repository(&name(&registry.name()), &basic()).await.unwrap();
    let source = Bytes::from_static(b"{}");
    repository.push_blob(source, Some(&blob(b"{}")), &[]).await.unwrap();
    let large = data(6 << 20, 4);
    repository.push_blob(Bytes::from(large.clone()), Some(&blob(&large)), &[]).await.unwrap();
    let anonymous =
        client.repository(&name(&registry.name()), &Credentials::Anonymous).await.unwrap();
    let error = text(&anonymous.read_blob(&blob(b"{}"), 10).await.unwrap_err());
    assert!(error.ends_with("no basic auth credentials"), "{error}");
}

/// An authority, and certificates that it signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a test's authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A certificate for a host, and its key.
    fn sign(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", key.serialized_der()))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn tls(certificate: &str, key: &str, client_authority: Option<&str>) -> Option<Registry> {
    Registry::start(|dir| {
        fs::write(dir.join("server.crt"), certificate).unwrap();
        fs::write(dir.join("server.key"), key).unwrap();
        let mut tls = format!("certificate: {0}/server.crt, key: {0}/server.key", dir.display());
        if let Some(authority) = client_authority {
            fs::write(dir.join("clients.crt"), authority).unwrap();
            tls.push_str(&format!(", clientcas: [{}/clients.crt]", dir.display()));
        }
        format!("http: {{ADDRESS, tls: {{{tls}}}}}\n")
    })
}

/// Loopback registries are not checked unless a file says that they are.
async fn push_with(registry: &Registry, files: &[(&str, &str)]) -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    let own = dir.path().join(registry.name());
    fs::create_dir(&own).unwrap();
    for (name, text) in files {
        fs::write(own.join(name), text).unwrap();
    }
    let client = Client::new(settings(Some(dir.path()), limits())).unwrap();
    let push = async {
        let anonymous = Credentials::Anonymous;
        let repository = client.repository(&name(&registry.name()), &anonymous).await?;
        repository.push_blob(Bytes::from_static(b"{}"), Some(&blob(b"{}")), &[]).await
    };
    push.await.map(drop).map_err(|error| text(&error))
}

#[tokio::test]
async fn certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.sign("127.0.0.1");
    let Some(registry) = tls(&certificate, &key, None) else { return };
    let server = format!("server = \"https://{}\"\n", registry.name());
    let checked = format!("{server}ca = \"ca.pem\"\n");
    push_with(&registry, &[]).await.unwrap();
    push_with(&registry, &[("hosts.toml", &checked), ("ca.pem", &authority.pem())]).await.unwrap();
    let skipping = format!("{server}skip_verify = true\n");
    push_with(&registry, &[("hosts.toml", &skipping)]).await.unwrap();
    let unknown =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    for files in [
        &[("hosts.toml", server.as_str())][..],
        &[("hosts.toml", checked.as_str()), ("ca.pem", stranger.pem().as_str())][..],
    ] {
        let error = push_with(&registry, files).await.unwrap_err();
        assert!(error.contains(unknown), "{error}");
        assert!(error.starts_with("Head \"https://127.0.0.1:"), "{error}");
    }

    let (other, key) = authority.sign("elsewhere.example");
    let registry = tls(&other, &key, None).unwrap();
    let checked = format!("server = \"https://{}\"\nca = \"ca.pem\"\n", registry.name());
    let files = [("hosts.toml", checked.as_str()), ("ca.pem", &authority.pem())];
    let error = push_with(&registry, &files).await.unwrap_err();
    let want = "x509: certificate is valid for elsewhere.example, not 127.0.0.1";
    assert!(error.ends_with(want), "{error}");
}

#[tokio::test]
async fn a_certificate_that_signs_itself() {
    for (from, want) in [(2020, None), (1999, Some("expired"))] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(if from < 2000 { 2001 } else { 2100 }, 1, 1);
        let certificate = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
        let key = pem("PRIVATE KEY", key.serialized_der());
        let Some(registry) = tls(&certificate, &key, None) else { return };
        let hosts = format!("server = \"https://{}\"\nca = \"ca.pem\"\n", registry.name());
        let files = [("hosts.toml", hosts.as_str()), ("ca.pem", certificate.as_str())];
        match (push_with(&registry, &files).await, want) {
            (Ok(()), None) => {}
            (Err(error), Some(want)) => assert!(error.contains(want), "{error}"),
            (other, want) => panic!("{other:?}, expected {want:?}"),
        }
    }
}

#[tokio::test]
async fn certificates_of_clients() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("127.0.0.1");
    let Some(registry) = tls(&certificate, &key, Some(&authority.pem())) else { return };
    let (us, our_key) = authority.sign("client");
    // As Docker has it: three files and no hosts.toml.
    let docker =
        [("ca.crt", authority.pem()), ("us.cert", us.clone()), ("us.key", our_key.clone())];
    let docker = docker.each_ref().map(|(name, text)| (*name, text.as_str()));
    push_with(&registry, &docker).await.unwrap();
    let both = format!("{us}{our_key}");
    let pairs = "client = [[\"us.cert\", \"us.key\"]]";
    for (client, files) in [
        ("client = \"both.pem\"", vec![("both.pem", both.as_str())]),
        ("client = [\"both.pem\"]", vec![("both.pem", both.as_str())]),
        (pairs, vec![("us.cert", us.as_str()), ("us.key", our_key.as_str())]),
    ] {
        let hosts =
            format!("server = \"https://{}\"\nca = [\"ca.pem\"]\n{client}\n", registry.name());
        let authority = authority.pem();
        let mut files = files;
        files.extend([("hosts.toml", hosts.as_str()), ("ca.pem", authority.as_str())]);
        push_with(&registry, &files).await.unwrap();
    }
    assert!(push_with(&registry, &[("ca.crt", &authority.pem())]).await.is_err());
}

/// A proxy that opens one tunnel after the other to a port of this machine.
fn tunnels(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        // It ends with the test's process: the client decides how many it opens.
        for stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                (&stream).read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"CONNECT registry.invalid:443 HTTP/1.1\r\n"));
            (&stream).write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            for (mut from, mut to) in
                [(stream.try_clone().unwrap(), server.try_clone().unwrap()), (server, stream)]
            {
                thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            }
        }
    });
    own
}

#[tokio::test]
async fn through_a_tunnel() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("registry.invalid");
    let Some(registry) = tls(&certificate, &key, None) else { return };
    let proxy = tunnels(registry.port);
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("registry.invalid")).unwrap();
    fs::write(dir.path().join("registry.invalid/ca.crt"), authority.pem()).unwrap();
    let https = Some(format!("http://127.0.0.1:{proxy}"));
    let proxies = Proxies { https, ..Proxies::default() };
    let client = Client::new(Settings { proxies, ..settings(Some(dir.path()), limits()) }).unwrap();
    let repository =
        client.repository(&name("registry.invalid"), &Credentials::Anonymous).await.unwrap();
    let source = Bytes::from_static(b"{}");
    let pushed = repository.push_blob(source, Some(&blob(b"{}")), &[]).await.unwrap();
    assert_eq!(pushed.how, PushedHow::Uploaded);
}
