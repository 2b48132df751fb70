//! Images in a bucket.

use std::{fs, path::Path, sync::atomic::Ordering, time::Duration};

use gantry_oci::Digest;
use tempfile::TempDir;

use crate::{
    collector::eventually,
    fixture::{begin, finish, noise, push_blob, push_image},
    http::{At, read},
    process::Running,
    s3::S3,
};

/// A registry over a bucket, with more configuration above its own.
fn over(s3: &S3, root: &Path, more: &str) -> Running {
    let config = root.join("config.toml");
    fs::write(&config, format!("{more}\n{}", s3.config())).expect("written");
    Running::ours(&root.join("data"), &["--config", &config.display().to_string()])
}

fn layer(at: &At, name: &str, seed: u64) -> bool {
    let layer = noise(seed, 1000);
    at.get(&format!("/v2/{name}/blobs/{}", Digest::of(&layer))).expect(200).body == layer
}

#[test]
fn a_lost_disk_loses_no_image() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    let at = &running.at;
    let first = push_image(at, "team/a", "v1", 1);
    let second = push_image(at, "team/a", "v2", 2);
    let third = push_image(at, "b", "v1", 3);
    push_image(at, "b", "gone", 4);
    at.delete("/v2/b/manifests/gone").expect(202);
    let dropped = push_image(at, "b", "dropped", 5);
    at.delete(&format!("/v2/b/manifests/{}", dropped.digest())).expect(202);
    running.kill();
    fs::remove_dir_all(root.path().join("data")).expect("removed");
    let running = over(&s3, root.path(), "");
    let at = &running.at;
    for (name, tag, document, seed) in
        [("team/a", "v1", &first, 1), ("team/a", "v2", &second, 2), ("b", "v1", &third, 3)]
    {
        let answer = at.get(&format!("/v2/{name}/manifests/{tag}")).expect(200);
        assert_eq!(answer.body, document.bytes);
        assert_eq!(answer.header("content-type"), Some(document.media_type));
        assert!(layer(at, name, seed), "{name}:{tag}");
    }
    assert_eq!(at.get("/v2/b/tags/list").expect(200).json()["tags"], serde_json::json!(["v1"]));
    at.get(&format!("/v2/b/manifests/{}", dropped.digest())).expect(404);
    at.get(&format!("/v2/b/blobs/{}", Digest::of(&noise(1, 1000)))).expect(404);
}

#[test]
fn large_blobs_go_in_parts_and_come_in_ranges() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    let at = &running.at;
    let data = noise(1, (20 << 20) + 17);
    let location = begin(at, "a");
    let next = at.send("PATCH", &location, &[], Some(&data[..7_000_001])).expect(202).location();
    running.kill();
    let running = over(&s3, root.path(), "");
    let at = &running.at;
    assert_eq!(at.get(&next).expect(204).header("range"), Some("0-7000000"));
    let digest = Digest::of(&data);
    finish(at, &next, &data[7_000_001..], &digest).expect(201);
    assert_eq!(s3.open_uploads(), 0);
    let path = format!("/v2/a/blobs/{digest}");
    assert!(at.get(&path).expect(200).body == data);
    let part = at.send("GET", &path, &[("Range", "bytes=9000000-9000009")], None).expect(206);
    assert_eq!(part.body, data[9_000_000..9_000_010]);
    let uploads = root.path().join("data/uploads");
    assert_eq!(fs::read_dir(uploads).expect("a directory").count(), 0, "files of uploads stay");
}

#[test]
fn a_bucket_that_fails_is_told_and_costs_nothing() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    let at = &running.at;
    push_image(at, "a", "v1", 1);
    at.get("/debug/health").expect(200);
    let data = noise(2, 12 << 20);
    let digest = Digest::of(&data);
    let location = begin(at, "a");
    s3.state().down.store(true, Ordering::Relaxed);
    let refused = finish(at, &location, &data, &digest).expect(503);
    assert_eq!(refused.code(), "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    let health = at.get("/debug/health").expect(503).json();
    assert!(health["storage"].as_str().is_some_and(|text| text.contains("bucket")), "{health}");
    let image = crate::fixture::image(b"{\"seed\":1}", &[&noise(1, 1000)]);
    crate::fixture::push(at, "a", "v2", &image).expect(503);
    at.get("/v2/a/manifests/v2").expect(404);
    at.delete("/v2/a/manifests/v1").expect(503);
    at.get("/v2/a/manifests/v1").expect(200);
    at.get(&format!("/v2/a/blobs/{}", Digest::of(&noise(1, 1000)))).expect(503);
    s3.state().down.store(false, Ordering::Relaxed);
    // What came is there still: only the end of the upload is asked for again.
    finish(at, &location, b"", &digest).expect(201);
    assert!(at.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == data);
    assert_eq!(s3.open_uploads(), 0, "parts are left");
    at.get("/debug/health").expect(200);
}

#[test]
fn single_refusals_are_nobodys_concern() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    for seed in 0..4 {
        s3.state().refusals.store(2, Ordering::Relaxed);
        push_image(&running.at, "a", &format!("v{seed}"), seed);
        assert!(layer(&running.at, "a", seed));
    }
}

#[test]
fn a_download_that_breaks_goes_on() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    let data = noise(1, 3 << 20);
    let digest = push_blob(&running.at, "a", &data);
    s3.state().cuts.store(2, Ordering::Relaxed);
    assert!(running.at.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == data);
    assert_eq!(s3.state().cuts.load(Ordering::Relaxed), 0, "nothing was cut");
}

#[test]
fn clients_are_led_to_the_bucket() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    let config = root.path().join("config.toml");
    let data = noise(1, 1000);
    let digest = push_blob(&running.at, "a", &data);
    running.kill();
    fs::write(&config, format!("{}redirect = true\n", s3.config())).expect("written");
    let config = config.display().to_string();
    let running = Running::ours(&root.path().join("data"), &["--config", &config]);
    let path = format!("/v2/a/blobs/{digest}");
    running.at.head(&path).expect(200);
    let away = running.at.get(&path).expect(307).location();
    let place = s3.endpoint.trim_start_matches("http://");
    assert!(away.starts_with("/images/reg/blobs/sha256/"), "{away}");
    let found = At::new(place).get(&away).expect(200);
    assert!(found.body == data);
    running.at.get(&format!("/v2/a/blobs/{}", Digest::of(b"not there"))).expect(404);
}

#[test]
fn what_nothing_needs_leaves_the_bucket() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "[collect]\nevery = \"1s\"\ngrace = \"1s\"\n");
    let at = &running.at;
    let lonely = push_blob(at, "a", b"nobody needs this");
    let dropped = push_image(at, "a", "v1", 1);
    push_image(at, "a", "v2", 2);
    at.delete(&format!("/v2/a/manifests/{}", dropped.digest())).expect(202);
    let there = |digest: &Digest| s3.keys().iter().any(|key| key.ends_with(digest.hex()));
    eventually("objects are gone", || {
        !there(&lonely) && !there(&Digest::of(&noise(1, 1000))) && !there(&dropped.digest())
    });
    assert!(layer(at, "a", 2));
}

#[test]
fn an_index_is_of_one_place() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    push_image(&running.at, "a", "v1", 1);
    running.kill();
    let data = root.path().join("data");
    let refused = |root: &Path, options: &[&str]| {
        let started = std::panic::catch_unwind(|| Running::ours(root, options));
        let panic = started.err().expect("it starts");
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    };
    let log = refused(&data, &[]);
    assert!(log.contains("no [s3]"), "{log}");
    let empty = S3::start();
    let config = root.path().join("other.toml");
    fs::write(&config, empty.config()).expect("written");
    let options = ["--config", &config.display().to_string()];
    let log = refused(&data, &options);
    assert!(log.contains("another registry has that, or it was emptied"), "{log}");
    let local = root.path().join("local");
    let running = Running::ours(&local, &[]);
    push_image(&running.at, "a", "v1", 1);
    running.kill();
    let log = refused(&local, &options);
    assert!(log.contains("empty root"), "{log}");
    assert!(empty.keys().is_empty());
}

/// Uploads of any size use the same memory, whatever the bucket's pace.
#[test]
fn memory_does_not_grow_with_blobs_in_a_bucket() {
    let (s3, root) = (S3::start(), TempDir::new().expect("a directory"));
    let running = over(&s3, root.path(), "");
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let at = &running.at;
            scope.spawn(move || {
                let data = noise(number, 24 << 20);
                let digest = Digest::of(&data);
                let path = format!("/v2/a/blobs/uploads/?digest={digest}");
                let length = Some(data.len() as u64);
                let mut stream = at.open("POST", &path, &[], length).expect("connected");
                std::io::Write::write_all(&mut stream, &data).expect("sent");
                read(stream, "POST").expect("an answer").expect(201);
            });
        }
    });
    std::thread::sleep(Duration::from_millis(10));
    let kib = running.peak_memory_kib();
    assert!(kib < 60 << 10, "peak memory is {kib} KiB for 192 MiB of uploads");
}
