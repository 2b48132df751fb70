//! Quotas, protection, switches.

use std::fs;

use gantry_oci::Digest;
use tempfile::TempDir;

use crate::{
    fixture::{begin, finish, image, noise, push, push_blob, push_image},
    process::Running,
};

fn configured(root: &TempDir, text: &str) -> Running {
    let config = root.path().join("config.toml");
    fs::write(&config, text).expect("written");
    Running::ours(&root.path().join("data"), &["--config", &config.display().to_string()])
}

#[test]
fn a_repository_holds_no_more_than_its_quota() {
    let root = TempDir::new().expect("a directory");
    let text = "[[quotas]]\nrepository = \"small/*\"\nbytes = 100000\n";
    let running = configured(&root, text);
    let at = &running.at;
    let (first, second) = (noise(1, 60_000), noise(2, 60_000));
    let digest = push_blob(at, "small/a", &first);
    let denied = finish(at, &begin(at, "small/a"), &second, &Digest::of(&second)).expect(403);
    assert_eq!(denied.code(), "DENIED");
    at.head(&format!("/v2/small/a/blobs/{}", Digest::of(&second))).expect(404);
    // What it has already costs nothing, others have their own, and room comes back.
    push_blob(at, "small/a", &first);
    push_blob(at, "small/b", &second);
    push_blob(at, "large", &second);
    let path = format!("/v2/small/b/blobs/uploads/?mount={digest}&from=small/a");
    at.post(&path).expect(403);
    at.delete(&format!("/v2/small/a/blobs/{digest}")).expect(202);
    push_blob(at, "small/a", &second);
}

#[test]
fn protected_tags_stay() {
    let root = TempDir::new().expect("a directory");
    let text = "[[protect]]\ntags = \"v*\"\n[[protect]]\ntags = \"latest\"\nimmutable = false\n";
    let running = configured(&root, text);
    let at = &running.at;
    let (first, second) = (push_image(at, "a", "v1", 1), push_image(at, "a", "latest", 2));
    for reference in ["v1".to_owned(), "latest".to_owned(), first.digest().to_string()] {
        let answer = at.delete(&format!("/v2/a/manifests/{reference}")).expect(403);
        assert_eq!(answer.code(), "DENIED", "{reference}");
    }
    assert_eq!(push(at, "a", "v1", &second).expect(403).code(), "DENIED");
    push(at, "a", "v1", &first).expect(201);
    push(at, "a", "latest", &first).expect(201);
    push(at, "a", "edge", &second).expect(201);
    at.delete("/v2/a/manifests/edge").expect(202);
    assert_eq!(at.get("/v2/a/manifests/v1").expect(200).body, first.bytes);
}

#[test]
fn deletion_can_be_turned_off() {
    let root = TempDir::new().expect("a directory");
    let running = configured(&root, "[delete]\nenabled = false\n");
    let at = &running.at;
    let document = push_image(at, "a", "v1", 1);
    let layer = Digest::of(&noise(1, 1000));
    for path in [
        "/v2/a/manifests/v1".to_owned(),
        format!("/v2/a/manifests/{}", document.digest()),
        format!("/v2/a/blobs/{layer}"),
    ] {
        assert_eq!(at.delete(&path).expect(405).code(), "UNSUPPORTED", "{path}");
    }
}

#[test]
fn sparse_indexes_can_be_allowed() {
    let root = TempDir::new().expect("a directory");
    let running = configured(&root, "sparse = true\n");
    push(&running.at, "a", "v1", &image(b"{}", &[b"not there"])).expect(201);
    running.at.get("/v2/a/manifests/v1").expect(200);
}

#[test]
fn limits_and_hints() {
    let root = TempDir::new().expect("a directory");
    let text = "warning = \"moving on \\\"Monday\\\"\"\n[limits]\nblob-bytes = 1000\nchunk-min-bytes = 512\nmanifest-bytes = 200\n";
    let running = configured(&root, text);
    let at = &running.at;
    let started = at.post("/v2/a/blobs/uploads/").expect(202);
    assert_eq!(started.header("oci-chunk-min-length"), Some("512"));
    assert_eq!(started.header("warning"), Some("299 - \"moving on 'Monday'\""));
    let large = noise(1, 1001);
    let answer = finish(at, &started.location(), &large, &Digest::of(&large)).expect(413);
    assert_eq!(answer.code(), "SIZE_INVALID");
    push_blob(at, "a", &noise(2, 1000));
    push_blob(at, "a", b"{}");
    push(at, "a", "v1", &image(b"{}", &[])).expect(413);
}

#[test]
fn a_configuration_that_is_wrong_is_named() {
    for (text, words) in [
        ("no-such-key = 1\n", "no-such-key"),
        ("[collect]\nevery = \"soon\"\n", "soon"),
        ("[auth]\nhtpasswd = \"/nowhere/htpasswd\"\n", "/nowhere/htpasswd"),
        ("[[auth.rights]]\nuser = \"a\"\nactions = [\"own\"]\n", "own"),
        ("[tls]\ncertificate = \"/nowhere/cert\"\nkey = \"/nowhere/key\"\n", "/nowhere/cert"),
    ] {
        let root = TempDir::new().expect("a directory");
        let started =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| configured(&root, text)));
        let Err(panic) = started else { panic!("{text} is taken") };
        let log = panic.downcast_ref::<String>().expect("a text");
        assert!(log.contains(words), "{text}: {log}");
    }
}
