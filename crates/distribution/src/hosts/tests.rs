use std::fs;

use tempfile::TempDir;

use super::*;

async fn of(registry: &str, files: &[(&str, &str)], mirrors: &[&str]) -> Result<String, String> {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let config = HostsConfig {
        insecure_registries: Vec::new(),
        nondistributable: Vec::new(),
        mirrors: mirrors.iter().map(|text| (*text).to_owned()).collect(),
        certs_dirs: vec![dir.path().join("none"), dir.path().to_owned()],
    };
    let hosts = Hosts::new(&config).map_err(|error| error.to_string())?;
    let show = |endpoint: &Endpoint| {
        let flags = [
            (endpoint.scheme == Scheme::Either, " either"),
            (endpoint.trust.skip_verify, " unverified"),
            (!endpoint.allows(Action::Push), " read-only"),
            (!endpoint.allows(Action::Resolve), " by digest"),
            (endpoint.is_own, " own"),
        ];
        let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        format!("{}{flags}\n", endpoint.at(&format!("/{}", endpoint.repository("library/app"))))
    };
    match hosts.endpoints(registry).await {
        Ok(endpoints) => Ok(endpoints.iter().map(show).collect()),
        Err(error) => Err(error.to_string().replace(dir.path().to_str().unwrap(), "DIR")),
    }
}

#[tokio::test]
async fn without_files() {
    for (registry, mirrors, want) in [
        ("docker.io", &[][..], "https://registry-1.docker.io/v2/library/app own\n"),
        (
            "docker.io",
            &["https://m.example/", "http://127.0.0.1:5000"],
            "https://m.example/v2/library/app read-only\n\
             http://127.0.0.1:5000/v2/library/app unverified read-only\n\
             https://registry-1.docker.io/v2/library/app own\n",
        ),
        ("r.example:5000", &["https://m.example"], "https://r.example:5000/v2/library/app own\n"),
        ("localhost:5000", &[], "https://localhost:5000/v2/library/app either unverified own\n"),
        ("[::1]:5000", &[], "https://[::1]:5000/v2/library/app either unverified own\n"),
    ] {
        assert_eq!(of(registry, &[], mirrors).await.unwrap(), want, "{registry} {mirrors:?}");
    }
    for (mirror, want) in [
        ("m.example", "a mirror is an http or https URL"),
        ("https://m.example/path", "a mirror's URL ends with its host"),
        ("https://me:secret@m.example", "a mirror's URL may hold no user"),
    ] {
        let error = of("docker.io", &[], &[mirror]).await.unwrap_err();
        assert!(error.ends_with(want) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn hosts_files() {
    let mirrors = r#"
        server = "https://registry-1.docker.io"
        [host."https://z.example"]
          capabilities = ["pull"]
        [host."a.example:5000/hub"]
          capabilities = ["pull", "resolve"]
          [host."a.example:5000/hub".rewrite]
            "^library/(.*)" = "copies/$1"
        [host."http://b.example/api"]
          override_path = true
          skip_verify = true
        [host."http://c.example:81"]
          skip_verify = true
    "#;
    let want = "https://z.example/v2/library/app?ns=docker.io read-only by digest\n\
         https://a.example:5000/hub/v2/copies/app?ns=docker.io read-only\n\
         http://b.example/api/library/app?ns=docker.io unverified\n\
         https://c.example:81/v2/library/app?ns=docker.io either unverified\n\
         https://registry-1.docker.io/v2/library/app own\n";
    assert_eq!(of("docker.io", &[("docker.io/hosts.toml", mirrors)], &[]).await.unwrap(), want);

    let only = "[host.\"https://m.example\"]\n";
    let want = "https://m.example/v2/library/app?ns=r.example%3A5000\n\
         https://r.example:5000/v2/library/app own\n";
    for name in ["r.example:5000/hosts.toml", "r.example_5000_/hosts.toml", "_default/hosts.toml"] {
        assert_eq!(of("r.example:5000", &[(name, only)], &[]).await.unwrap(), want, "{name}");
    }
    let elsewhere = "server = \"https://other.example\"\n";
    let want = "https://other.example/v2/library/app?ns=r.example\n";
    assert_eq!(of("r.example", &[("r.example/hosts.toml", elsewhere)], &[]).await.unwrap(), want);
}

#[tokio::test]
async fn wrong_files() {
    for (name, text, want) in [
        (
            "r.example/hosts.toml",
            "server = ",
            "DIR/r.example/hosts.toml: TOML parse error at line 1",
        ),
        (
            "r.example/hosts.toml",
            "capabilities = [\"fly\"]",
            "DIR/r.example/hosts.toml: unknown capability \"fly\"",
        ),
        ("r.example/hosts.toml", "ca = \"none.crt\"", "DIR/r.example/none.crt: No such file"),
        (
            "r.example/hosts.toml",
            "dial_timeout = \"x\"",
            "DIR/r.example/hosts.toml: dial_timeout \"x\" is no time",
        ),
        (
            "r.example/hosts.toml",
            "[host.\"ftp://x\"]",
            "DIR/r.example/hosts.toml: \"ftp://x\" is no server",
        ),
        ("r.example/ca.crt", "nothing", "DIR/r.example/ca.crt: no certificate"),
        ("r.example/us.cert", "nothing", "DIR/r.example/us.cert: its key is missing"),
        ("r.example/us.key", "nothing", "DIR/r.example/us.key: its certificate is missing"),
    ] {
        let error = of("r.example", &[(name, text)], &[]).await.unwrap_err();
        assert!(error.starts_with(want), "{error}\n{want}");
    }
}

#[test]
fn names_of_registries() {
    for (text, want) in [
        ("", Some("docker.io")),
        ("https://index.docker.io/v1/", Some("docker.io")),
        ("registry-1.docker.io", Some("docker.io")),
        ("r.example:5000", Some("r.example:5000")),
        ("https://r.example/v2/", Some("r.example")),
        ("../etc", None),
        ("https://", None),
        ("a b", None),
    ] {
        assert_eq!(registry_of(text).ok().as_deref(), want, "{text}");
    }
    assert_eq!(index_key("docker.io"), "https://index.docker.io/v1/");
    assert_eq!(index_key("r.example:5000"), "r.example:5000");
}
