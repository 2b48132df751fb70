//! What was acknowledged survives, whatever happens.

use std::{io::Write, time::Duration};

use gantry_oci::Digest;
use tempfile::TempDir;

use crate::{
    fixture::{begin, finish, noise, push, push_blob, push_image},
    process::Running,
};

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let data = noise(1, 2_000_000);
    let digest = push_blob(&running.at, "a/b", &data);
    let document = push_image(&running.at, "a/b", "v1", 2);
    let deleted = push_image(&running.at, "a/b", "v0", 3);
    running.at.delete(&format!("/v2/a/b/manifests/{}", deleted.digest())).expect(202);
    running.kill();
    let running = Running::ours(root.path(), &[]);
    let at = &running.at;
    assert!(at.get(&format!("/v2/a/b/blobs/{digest}")).expect(200).body == data);
    assert_eq!(at.get("/v2/a/b/manifests/v1").expect(200).body, document.bytes);
    at.get("/v2/a/b/manifests/v0").expect(404);
    at.get(&format!("/v2/a/b/manifests/{}", deleted.digest())).expect(404);
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let data = noise(2, 5_000_000);
    let location = begin(&running.at, "a");
    let first = &data[..2_000_000];
    let location = running.at.send("PATCH", &location, &[], Some(first)).expect(202).location();
    // The next chunk is under way when the registry is killed.
    let mut stream = running.at.open("PATCH", &location, &[], Some(3_000_000)).expect("connected");
    stream.write_all(&data[2_000_000..3_000_000]).expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    running.kill();
    let running = Running::ours(root.path(), &[]);
    let status = running.at.get(&location).expect(204);
    let range = status.header("range").expect("a range").to_owned();
    let last: usize = range.strip_prefix("0-").expect("a range").parse().expect("a number");
    assert!(last + 1 >= 2_000_000, "acknowledged data is gone: {range}");
    assert!(last < 3_000_000, "{range}");
    let digest = Digest::of(&data);
    finish(&running.at, &location, &data[last + 1..], &digest).expect(201);
    assert!(running.at.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == data);
}

#[test]
fn an_upload_goes_on_after_a_broken_connection() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let at = &running.at;
    let data = noise(3, 3_000_000);
    let location = begin(at, "a");
    let mut stream = at.open("PATCH", &location, &[], Some(3_000_000)).expect("connected");
    stream.write_all(&data[..1_500_000]).expect("sent");
    drop(stream);
    let come = || {
        let status = at.get(&location).expect(204);
        let last = status.header("range").and_then(|range| range.strip_prefix("0-"));
        last.expect("a range").parse::<usize>().expect("a number") + 1
    };
    // On a busy machine the question may be there before what was sent is.
    crate::collector::eventually("what came is kept", || come() == 1_500_000);
    let come = come();
    let digest = Digest::of(&data);
    finish(at, &location, &data[come..], &digest).expect(201);
}

#[test]
fn nothing_half_made_is_visible() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let at = &running.at;
    let data = noise(4, 1_000_000);
    let digest = Digest::of(&data);
    let location = begin(at, "a");
    at.send("PATCH", &location, &[], Some(&data)).expect(202);
    at.head(&format!("/v2/a/blobs/{digest}")).expect(404);
    at.get("/v2/_catalog").expect(200);
    assert_eq!(at.get("/v2/_catalog").json()["repositories"], serde_json::json!([]));
}

#[test]
fn a_told_end_is_clean_and_requests_finish() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let data = noise(5, 1_000_000);
    let location = begin(&running.at, "a");
    let digest = Digest::of(&data);
    let path = format!("{location}?digest={digest}");
    let mut stream = running.at.open("PUT", &path, &[], Some(1_000_000)).expect("connected");
    stream.write_all(&data[..10]).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    let at = running.at.clone();
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(&data[10..]).expect("sent");
        crate::http::read(stream, "PUT").expect("an answer").expect(201);
    });
    assert_eq!(running.terminate(), Some(0));
    sender.join().expect("the request finished");
    assert!(at.try_send("GET", "/v2/", &[], None).is_err(), "nobody listens any more");
    let running = Running::ours(root.path(), &[]);
    running.at.head(&format!("/v2/a/blobs/{digest}")).expect(200);
}

#[test]
fn a_root_is_used_by_one_registry() {
    let root = TempDir::new().expect("a directory");
    let _running = Running::ours(root.path(), &[]);
    let second = std::panic::catch_unwind(|| Running::ours(root.path(), &[]));
    assert!(second.is_err());
}

/// Uploads of any size use the same memory.
#[test]
fn memory_does_not_grow_with_blobs() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let piece = noise(6, 1 << 20);
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let (at, piece) = (&running.at, &piece);
            scope.spawn(move || {
                let location = begin(at, "a");
                let mut stream =
                    at.open("PATCH", &location, &[], Some(24 << 20)).expect("connected");
                for _ in 0..24 {
                    let mut piece = piece.clone();
                    piece[0] = number;
                    stream.write_all(&piece).expect("sent");
                }
                crate::http::read(stream, "PATCH").expect("an answer").expect(202);
            });
        }
    });
    let kib = running.peak_memory_kib();
    assert!(kib < 60 << 10, "peak memory is {kib} KiB for 192 MiB of uploads");
    let document = push_image(&running.at, "b", "v1", 7);
    push(&running.at, "b", "v2", &document).expect(201);
}
