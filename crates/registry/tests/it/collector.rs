//! Garbage collection while everything else goes on.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gantry_oci::Digest;
use tempfile::TempDir;

use crate::{
    fixture::{Document, begin, finish, image, noise, push, push_blob, push_image},
    http::At,
    process::Running,
};

/// How long the crowd pushes and deletes.
const CROWD_TIME: Duration = Duration::from_secs(6);

/// What was acknowledged and not deleted: tag, manifest, blobs.
type Kept = (String, Document, Vec<Vec<u8>>);

/// A registry that collects all the time.
fn collecting(root: &Path, rest: &str) -> Running {
    let config = root.join("config.toml");
    let text = format!("[collect]\nevery = \"1s\"\n{rest}");
    fs::write(&config, text).expect("written");
    Running::ours(&root.join("data"), &["--config", &config.display().to_string()])
}

/// Waits until `done`, for some seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not yet: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn file_of(root: &Path, digest: &Digest) -> bool {
    root.join("data/blobs/sha256").join(digest.hex()).exists()
}

#[test]
fn what_nothing_needs_goes_and_the_rest_stays() {
    let root = TempDir::new().expect("a directory");
    let running = collecting(root.path(), "grace = \"1s\"\n");
    let at = &running.at;
    let lonely = push_blob(at, "a", b"nobody needs this");
    let kept = push_image(at, "a", "v1", 1);
    let dropped = push_image(at, "a", "v2", 2);
    at.delete(&format!("/v2/a/manifests/{}", dropped.digest())).expect(202);
    let layer_of_dropped = Digest::of(&noise(2, 1000));
    eventually("files are gone", || {
        !file_of(root.path(), &lonely) && !file_of(root.path(), &layer_of_dropped)
    });
    at.head(&format!("/v2/a/blobs/{lonely}")).expect(404);
    assert_eq!(at.get("/v2/a/manifests/v1").expect(200).body, kept.bytes);
    let layer = Digest::of(&noise(1, 1000));
    at.get(&format!("/v2/a/blobs/{layer}")).expect(200);
}

#[test]
fn a_blob_stays_for_whoever_was_told_of_it() {
    let root = TempDir::new().expect("a directory");
    let running = collecting(root.path(), "grace = \"3s\"\n");
    let at = &running.at;
    let layer = push_blob(at, "a", b"a layer");
    push_blob(at, "a", b"{}");
    // Twice the grace period passes, and all the while the client asks.
    for _ in 0..6 {
        at.head(&format!("/v2/a/blobs/{layer}")).expect(200);
        at.head(&format!("/v2/a/blobs/{}", Digest::of(b"{}"))).expect(200);
        std::thread::sleep(Duration::from_secs(1));
    }
    push(at, "a", "v1", &image(b"{}", &[b"a layer"])).expect(201);
}

#[test]
fn uploads_that_nobody_goes_on_with_end() {
    let root = TempDir::new().expect("a directory");
    let running = collecting(root.path(), "uploads-after = \"2s\"\n");
    let at = &running.at;
    let (idle, used) = (begin(at, "a"), begin(at, "a"));
    at.send("PATCH", &idle, &[], Some(b"data")).expect(202);
    let orphan = root.path().join("data/uploads/00000000-0000-4000-8000-000000000000");
    fs::write(&orphan, b"left").expect("written");
    for _ in 0..5 {
        at.get(&used).expect(204);
        std::thread::sleep(Duration::from_secs(1));
    }
    at.get(&idle).expect(404);
    let files = || fs::read_dir(root.path().join("data/uploads")).expect("read").count();
    assert_eq!(files(), 1, "only the one in use is left");
    finish(at, &used, b"data", &Digest::of(b"data")).expect(201);
}

/// Many push and delete the same few things while garbage is collected; what was acknowledged and
/// not deleted by its pusher afterwards is there at the end, whole.
#[test]
fn a_crowd_loses_nothing_that_was_acknowledged() {
    let root = TempDir::new().expect("a directory");
    let running = collecting(root.path(), "grace = \"2s\"\n");
    let at = &running.at;
    let stop = AtomicBool::new(false);
    let kept: Mutex<Vec<Kept>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (stop, kept) = (&stop, &kept);
            scope.spawn(move || {
                let mut round = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    one_round(at, worker, round, kept);
                }
            });
        }
        std::thread::sleep(CROWD_TIME);
        stop.store(true, Ordering::Relaxed);
    });
    // Two runs more find nothing to take either.
    std::thread::sleep(Duration::from_secs(5));
    let kept = kept.into_inner().expect("not poisoned");
    assert!(kept.len() > 10, "only {} rounds", kept.len());
    for (tag, document, blobs) in &kept {
        assert_eq!(at.get(&format!("/v2/crowd/manifests/{tag}")).expect(200).body, document.bytes);
        for blob in blobs {
            let got = at.get(&format!("/v2/crowd/blobs/{}", Digest::of(blob))).expect(200);
            assert!(got.body == *blob, "{tag}: a layer differs");
        }
    }
}

/// Pushes an image of layers that others push, too; keeps it or deletes it.
fn one_round(at: &At, worker: u64, round: u64, kept: &Mutex<Vec<Kept>>) {
    let shared = noise(100 + round % 5, 20_000);
    let own = noise(worker * 1_000_000 + round, 3_000);
    let config = format!("{{\"worker\":{worker},\"round\":{round}}}").into_bytes();
    let mut blobs = vec![config.clone(), shared.clone(), own.clone()];
    for blob in &blobs {
        let digest = Digest::of(blob);
        // As clients do: ask first, push what is not there.
        if at.head(&format!("/v2/crowd/blobs/{digest}")).status != 200 {
            push_blob(at, "crowd", blob);
        }
    }
    let document = image(&config, &[&shared, &own]);
    let tag = format!("w{worker}-{round}");
    push(at, "crowd", &tag, &document).expect(201);
    if round.is_multiple_of(2) {
        at.delete(&format!("/v2/crowd/manifests/{}", document.digest())).expect(202);
        at.get(&format!("/v2/crowd/manifests/{tag}")).expect(404);
    } else {
        blobs.truncate(3);
        kept.lock().expect("not poisoned").push((tag, document, blobs));
    }
}

#[test]
fn retention_takes_old_tags_and_what_has_none() {
    let root = TempDir::new().expect("a directory");
    let rules = r#"
grace = "1s"
[[retention]]
repository = "ci/*"
tags = "pr-*"
keep = 1
older-than = "2s"
untagged-older-than = "2s"
[[protect]]
tags = "pr-gold"
"#;
    let running = collecting(root.path(), rules);
    let at = &running.at;
    let mut documents = Vec::new();
    for (seed, tag) in (1..).zip(["pr-gold", "pr-1", "pr-2", "pr-3", "main"]) {
        documents.push(push_image(at, "ci/app", tag, seed));
        std::thread::sleep(Duration::from_millis(1100));
    }
    push_image(at, "other/app", "pr-1", 9);
    eventually("old tags are gone", || {
        at.get("/v2/ci/app/tags/list").json()["tags"]
            == serde_json::json!(["main", "pr-3", "pr-gold"])
    });
    eventually("what had them is gone", || {
        at.head(&format!("/v2/ci/app/manifests/{}", documents[1].digest())).status == 404
    });
    at.head("/v2/other/app/manifests/pr-1").expect(200);
    at.head("/v2/ci/app/manifests/pr-gold").expect(200);
}
