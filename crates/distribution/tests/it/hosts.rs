//! Mirrors, `hosts.toml`, proxies.

use std::{fs, path::Path};

use gantry_distribution::{
    At, Client, Credentials, HostsConfig, Memory, Proxies, Repository, Settings,
};
use gantry_oci::{Digest, Reference};
use tempfile::TempDir;

use crate::{
    bed::{basic, blob, limits, settings, text},
    liar::{Liar, Say},
};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

fn tag() -> At {
    At::Tag("v1".to_owned())
}

fn write(dir: &Path, registry: &str, text: &str) {
    fs::create_dir_all(dir.join(registry)).unwrap();
    fs::write(dir.join(registry).join("hosts.toml"), text).unwrap();
}

async fn repository(dir: &TempDir, name: &str, credentials: &Credentials) -> Repository {
    let client = Client::new(settings(Some(dir.path()), limits())).unwrap();
    client.repository(&name.parse().unwrap(), credentials).await.unwrap()
}

#[tokio::test]
async fn mirrors_are_asked_in_order() {
    let good = b"layer".as_slice();
    let empty = Liar::new(|_| Say::new(404, ""));
    let lying = Liar::new(|seen| match seen.target.contains("/blobs/") {
        true => Say::new(200, "LAYER"),
        false => Say::new(500, ""),
    });
    let own = Liar::new(move |seen| match seen.target.contains("/blobs/") {
        true => Say::new(200, good),
        false => Say::new(200, MANIFEST),
    });
    let dir = TempDir::new().unwrap();
    let hosts = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\n[host.\"http://{}\"]\n",
        own.name(),
        empty.name(),
        lying.name()
    );
    write(dir.path(), &own.name(), &hosts);
    let repository = repository(&dir, &format!("{}/a/b", own.name()), &basic()).await;
    let document = repository.manifest(&tag()).await.unwrap();
    assert_eq!(document.bytes, MANIFEST.as_bytes());
    let found = repository.blob(&blob(good), Memory::default()).await.unwrap();
    assert_eq!(found.0, good);
    let ns = own.name().replace(':', "%3A");
    assert_eq!(empty.seen()[0].target, format!("/v2/a/b/manifests/v1?ns={ns}"));
    assert!(lying.seen().iter().any(|seen| seen.target.contains("/blobs/")));
    assert_eq!(own.seen().len(), 2);
    for seen in empty.seen().iter().chain(&lying.seen()) {
        assert!(!seen.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn the_file_decides() {
    let mirror = Liar::new(|_| Say::new(200, MANIFEST));
    let digest = At::Digest(Digest::of(MANIFEST.as_bytes()));
    let dir = TempDir::new().unwrap();
    let hosts = format!(
        "server = \"http://127.0.0.1:1\"\ncapabilities = [\"push\"]\n\
         [host.\"http://{0}/mirror\"]\ncapabilities = [\"pull\"]\noverride_path = true\n\
         [host.\"http://{0}/mirror\".header]\nx-team = [\"a\", \"b\"]\n\
         [host.\"http://{0}/mirror\".rewrite]\n\"^library/(.*)\" = \"copies/$1\"\n",
        mirror.name()
    );
    write(dir.path(), "docker.io", &hosts);
    let repository = repository(&dir, "busybox", &Credentials::Anonymous).await;
    repository.manifest(&digest).await.unwrap();
    let seen = &mirror.seen()[0];
    let path = format!(
        "/mirror/copies/busybox/manifests/{}?ns=docker.io",
        Digest::of(MANIFEST.as_bytes())
    );
    assert_eq!((seen.target.as_str(), seen.header("x-team")), (path.as_str(), "b"));
    let error = text(&repository.manifest(&tag()).await.unwrap_err());
    assert_eq!(error, "no host of docker.io is configured for resolve");
}

#[tokio::test]
async fn registry_mirrors_serve_docker_hub() {
    let mirror = Liar::new(|_| Say::new(200, MANIFEST));
    let hosts = HostsConfig {
        mirrors: vec![format!("http://{}", mirror.name())],
        certs_dirs: Vec::new(),
        ..HostsConfig::default()
    };
    let client = Client::new(Settings { hosts, limits: limits(), ..Settings::default() }).unwrap();
    let repository = client.repository(&"busybox".parse().unwrap(), &basic()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(mirror.seen()[0].target, "/v2/library/busybox/manifests/v1");
    assert_eq!(mirror.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn tls_where_there_is_none() {
    let plain = Liar::new(|_| Say::new(200, MANIFEST));
    let dir = TempDir::new().unwrap();
    write(dir.path(), &plain.name(), &format!("server = \"https://{}\"\n", plain.name()));
    let name = format!("{}/a", plain.name());
    let repository = repository(&dir, &name, &Credentials::Anonymous).await;
    let want = format!(
        "Get \"https://{}/v2/a/manifests/v1\": http: server gave HTTP response to HTTPS client",
        plain.name()
    );
    assert_eq!(text(&repository.manifest(&tag()).await.unwrap_err()), want);
}

#[tokio::test]
async fn names_that_nobody_has() {
    let client = Client::new(settings(None, limits())).unwrap();
    let name: Reference = "registry.invalid/a".parse().unwrap();
    let repository = client.repository(&name, &Credentials::Anonymous).await.unwrap();
    let error = text(&repository.manifest(&tag()).await.unwrap_err());
    let want = "Get \"https://registry.invalid/v2/\": \
                dial tcp: lookup registry.invalid: no such host";
    assert_eq!(error, want);
}

#[tokio::test]
async fn proxies() {
    let proxy = Liar::new(|seen| match seen.method.as_str() {
        "CONNECT" => Say::new(403, ""),
        _ => Say::new(200, MANIFEST),
    });
    let dir = TempDir::new().unwrap();
    write(dir.path(), "plain.invalid:5000", "server = \"http://plain.invalid:5000\"\n");
    let of = |no_proxy: &str| {
        let url = Some(format!("http://me:secret@{}", proxy.name()));
        let no_proxy = Some(no_proxy.to_owned());
        let proxies = Proxies { http: url.clone(), https: url, no_proxy };
        Client::new(Settings { proxies, ..settings(Some(dir.path()), limits()) }).unwrap()
    };
    let manifest = async |client: Client, name: &str| {
        let name: Reference = name.parse().unwrap();
        let repository = client.repository(&name, &basic()).await.unwrap();
        repository.manifest(&tag()).await
    };
    manifest(of(""), "plain.invalid:5000/a").await.unwrap();
    let seen = &proxy.seen()[0];
    assert_eq!(seen.target, "http://plain.invalid:5000/v2/a/manifests/v1");
    assert_eq!(seen.header("proxy-authorization"), "Basic bWU6c2VjcmV0");

    let error = text(&manifest(of(""), "tls.invalid/a").await.unwrap_err());
    assert!(error.contains("proxyconnect: HTTP/1.1 403"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(proxy.seen()[1].target, "tls.invalid:443");

    let error = text(&manifest(of(".invalid"), "tls.invalid/a").await.unwrap_err());
    assert!(error.contains("no such host"), "{error}");
    assert_eq!(proxy.seen().len(), 2);
}
