//! end-1, end-2, end-10: the base, blobs, and their deletion.

use gantry_oci::Digest;

use super::requirements;
use crate::{
    fixture::{noise, push_blob},
    http::At,
};

requirements! {
    end_1_ping;
    end_2_get;
    end_2_get_of_an_empty_blob;
    end_2_head;
    end_2_range;
    end_2_range_outside;
    end_2_unknown;
    end_2_not_of_another_repository;
    end_10_delete;
    end_10_delete_unknown;
}

fn end_1_ping(at: &At) {
    for path in ["/v2/", "/v2/"] {
        let answer = at.get(path).expect(200);
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
    at.get("/v1/").expect(404);
}

fn end_2_get(at: &At) {
    // Larger than any buffer on the way.
    let data = noise(1, 3_000_001);
    let digest = push_blob(at, "a/b", &data);
    let answer = at.get(&format!("/v2/a/b/blobs/{digest}")).expect(200);
    assert_eq!(answer.header("content-length"), Some("3000001"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert!(answer.body == data, "the bytes differ");
}

fn end_2_get_of_an_empty_blob(at: &At) {
    let digest = push_blob(at, "a", b"");
    let answer = at.get(&format!("/v2/a/blobs/{digest}")).expect(200);
    assert_eq!((answer.header("content-length"), answer.body.len()), (Some("0"), 0));
}

fn end_2_head(at: &At) {
    let digest = push_blob(at, "a", b"some data");
    let answer = at.head(&format!("/v2/a/blobs/{digest}")).expect(200);
    assert_eq!(answer.header("content-length"), Some("9"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
}

fn end_2_range(at: &At) {
    let data = noise(2, 100_000);
    let digest = push_blob(at, "a", &data);
    for (range, from, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=99990-", 99_990, 100_000),
        ("bytes=5-200000", 5, 100_000),
        ("bytes=-7", 99_993, 100_000),
    ] {
        let path = format!("/v2/a/blobs/{digest}");
        let answer = at.send("GET", &path, &[("Range", range)], None).expect(206);
        let want = format!("bytes {from}-{}/100000", end - 1);
        assert_eq!(answer.header("content-range"), Some(want.as_str()), "{range}");
        assert!(answer.body == data[from..end], "{range}");
    }
}

fn end_2_range_outside(at: &At) {
    let digest = push_blob(at, "a", b"0123456789");
    let path = format!("/v2/a/blobs/{digest}");
    let answer = at.send("GET", &path, &[("Range", "bytes=10-20")], None).expect(416);
    assert_eq!(answer.header("content-range"), Some("bytes */10"));
}

fn end_2_unknown(at: &At) {
    push_blob(at, "a", b"there");
    let path = format!("/v2/a/blobs/{}", Digest::of(b"not there"));
    at.head(&path).expect(404);
    assert_eq!(at.get(&path).expect(404).code(), "BLOB_UNKNOWN");
}

fn end_2_not_of_another_repository(at: &At) {
    let digest = push_blob(at, "a", b"of a");
    push_blob(at, "b", b"of b");
    at.get(&format!("/v2/b/blobs/{digest}")).expect(404);
}

fn end_10_delete(at: &At) {
    let digest = push_blob(at, "a", b"some data");
    let path = format!("/v2/a/blobs/{digest}");
    at.delete(&path).expect(202);
    at.head(&path).expect(404);
    at.get(&path).expect(404);
    // Deleted is not forbidden.
    push_blob(at, "a", b"some data");
    assert_eq!(at.get(&path).expect(200).body, b"some data");
}

fn end_10_delete_unknown(at: &At) {
    push_blob(at, "a", b"there");
    let answer = at.delete(&format!("/v2/a/blobs/{}", Digest::of(b"not there"))).expect(404);
    assert_eq!(answer.code(), "BLOB_UNKNOWN");
}
