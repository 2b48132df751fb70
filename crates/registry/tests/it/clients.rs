//! Clients that others wrote, where they are installed.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use gantry_oci::{Digest, image::media};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    fixture::{Document, image, noise},
    process::Running,
};

const SKOPEO: &str = "/usr/bin/skopeo";
/// It compresses layers otherwise.
const KEEP: &str = "--preserve-digests";

/// Writes an image as a directory that clients push from.
fn layout(root: &Path) -> Document {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("made");
    let layer = noise(1, 300_000);
    let diff = json!({ "type": "layers", "diff_ids": [Digest::of(&layer)] });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": diff });
    let config = serde_json::to_vec(&config).expect("JSON");
    let mut document = image(&config, &[&layer]);
    // Noise is no gzip, and these clients look.
    let text = String::from_utf8(document.bytes).expect("text");
    document.bytes = text.replace(media::LAYER_GZIP, media::LAYER).into_bytes();
    for data in [&layer, &config, &document.bytes] {
        fs::write(blobs.join(Digest::of(data).hex()), data).expect("written");
    }
    let entry = json!({
        "mediaType": media::MANIFEST,
        "digest": document.digest(),
        "size": document.bytes.len(),
        "annotations": { "org.opencontainers.image.ref.name": "v1" },
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(root.join("index.json"), index.to_string()).expect("written");
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    document
}

fn skopeo(home: &Path, args: &[&str]) -> Output {
    Command::new(SKOPEO)
        .arg("--insecure-policy")
        .args(args)
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .output()
        .expect("skopeo runs")
}

/// With a password, with a token that the client gets for it, and with a wrong one.
#[test]
fn skopeo_pushes_and_pulls() {
    if !Path::new(SKOPEO).exists() {
        eprintln!("skipped: {SKOPEO} is not installed");
        return;
    }
    for challenge in ["basic", "token"] {
        let root = TempDir::new().expect("a directory");
        let document = layout(&root.path().join("from"));
        let htpasswd = root.path().join("htpasswd");
        let line = format!("ann:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
        fs::write(&htpasswd, line).expect("written");
        let config = root.path().join("config.toml");
        let text = format!(
            "[auth]\nhtpasswd = {:?}\nchallenge = \"{challenge}\"\n",
            htpasswd.display().to_string()
        );
        fs::write(&config, text).expect("written");
        let config = config.display().to_string();
        let running = Running::ours(&root.path().join("data"), &["--config", &config]);
        let place = format!("docker://{}/team/app:v1", running.at.address);
        let from = format!("oci:{}:v1", root.path().join("from").display());
        let to = format!("oci:{}:v1", root.path().join("to").display());
        let run = |args: &[&str]| skopeo(root.path(), args);
        let wrong = ["copy", "--dest-tls-verify=false", "--dest-creds=ann:wrong", &from, &place];
        assert!(!run(&wrong).status.success(), "a wrong password is taken");
        for args in [
            ["copy", KEEP, "--dest-tls-verify=false", "--dest-creds=ann:secret", &from, &place],
            ["copy", KEEP, "--src-tls-verify=false", "--src-creds=ann:secret", &place, &to],
        ] {
            let output = run(&args);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{challenge} {args:?}: {errors}");
        }
        let manifest = root.path().join("to/blobs/sha256").join(document.digest().hex());
        assert_eq!(fs::read(manifest).expect("pulled"), document.bytes, "{challenge}");
    }
}
