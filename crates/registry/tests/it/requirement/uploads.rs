//! end-4, end-5, end-6, end-11, end-13, end-14: uploads and mounts.

use std::io::Write;

use gantry_oci::Digest;

use super::requirements;
use crate::{
    fixture::{BYTES, begin, finish, noise, push_blob, sha512, with},
    http::{self, At},
};

requirements! {
    end_4a_post_then_put;
    end_4b_post_only, not the reference: "it answers 202 and takes no data with a POST";
    end_4b_post_only_with_a_wrong_digest, not the reference: "it answers 202 and takes no data with a POST";
    end_4b_a_digest_without_data;
    end_4c_sha512, not the reference: "its uploads are SHA-256 alone";
    end_4c_unknown_algorithm, not the reference: "it does not read digest-algorithm";
    end_5_chunks;
    end_5_stream;
    end_5_chunk_out_of_order, not the reference: "2.8 does not look at Content-Range";
    end_6_last_chunk_with_put;
    end_6_wrong_digest;
    end_6_invalid_digest;
    end_6_unknown_upload;
    end_11_mount;
    end_11_mount_of_what_is_not_there;
    end_11_anonymous_mount, not the reference: "it mounts from named repositories alone";
    end_13_status, not the reference: "2.8 answers 0-0 however much has come";
    end_13_unknown, not the reference: "2.8 calls an upload without its own state invalid";
    end_14_cancel;
    an_upload_is_of_one_repository;
    two_uploads_of_one_blob;
}

fn end_4a_post_then_put(at: &At) {
    let data = noise(1, 700_000);
    let digest = Digest::of(&data);
    let started = at.post("/v2/a/b/blobs/uploads/").expect(202);
    assert!(started.header("docker-upload-uuid").is_some());
    assert_eq!(started.header("range"), Some("0-0"));
    let done = finish(at, &started.location(), &data, &digest).expect(201);
    assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(done.location(), format!("/v2/a/b/blobs/{digest}"));
    assert!(at.get(&done.location()).expect(200).body == data);
}

fn end_4b_post_only(at: &At) {
    for data in [noise(1, 300_000), Vec::new()] {
        let digest = Digest::of(&data);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let done = at.send("POST", &path, &[("Content-Type", BYTES)], Some(&data)).expect(201);
        assert!(at.get(&done.location()).expect(200).body == data);
    }
}

fn end_4b_post_only_with_a_wrong_digest(at: &At) {
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(b"another"));
    let answer = at.send("POST", &path, &[("Content-Type", BYTES)], Some(b"data")).expect(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn end_4b_a_digest_without_data(at: &At) {
    let digest = Digest::of(b"data");
    let location = at.post(&format!("/v2/a/blobs/uploads/?digest={digest}")).expect(202).location();
    finish(at, &location, b"data", &digest).expect(201);
}

fn end_4c_sha512(at: &At) {
    let data = noise(4, 100_000);
    let digest = sha512(&data);
    for path in ["/v2/a/blobs/uploads/?digest-algorithm=sha512", "/v2/a/blobs/uploads/"] {
        let location = at.post(path).expect(202).location();
        let done = finish(at, &location, &data, &digest).expect(201);
        assert_eq!(done.header("docker-content-digest"), Some(digest.as_str()));
        let got = at.get(&format!("/v2/a/blobs/{digest}")).expect(200);
        assert!(got.body == data);
        at.delete(&format!("/v2/a/blobs/{digest}")).expect(202);
    }
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    at.send("POST", &path, &[], Some(&data)).expect(201);
}

fn end_4c_unknown_algorithm(at: &At) {
    let answer = at.post("/v2/a/blobs/uploads/?digest-algorithm=md5").expect(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn end_5_chunks(at: &At) {
    let data = noise(5, 250_000);
    let digest = Digest::of(&data);
    let mut location = begin(at, "a");
    let mut from = 0;
    for chunk in data.chunks(100_000) {
        let range = format!("{from}-{}", from + chunk.len() - 1);
        let headers = [("Content-Type", BYTES), ("Content-Range", range.as_str())];
        let answer = at.send("PATCH", &location, &headers, Some(chunk)).expect(202);
        from += chunk.len();
        let want = format!("0-{}", from - 1);
        assert_eq!(answer.header("range"), Some(want.as_str()));
        location = answer.location();
    }
    let done = finish(at, &location, b"", &digest).expect(201);
    assert!(at.get(&done.location()).expect(200).body == data);
}

/// A body whose length is not told before.
fn end_5_stream(at: &At) {
    let data = noise(6, 1_500_000);
    let location = begin(at, "a");
    let headers = [("Content-Type", BYTES), ("Transfer-Encoding", "chunked")];
    let mut stream = at.open("PATCH", &location, &headers, None).expect("connected");
    for piece in data.chunks(70_000) {
        write!(stream, "{:x}\r\n", piece.len()).expect("sent");
        stream.write_all(piece).expect("sent");
        stream.write_all(b"\r\n").expect("sent");
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    let answer = http::read(stream, "PATCH").expect("an answer").expect(202);
    assert_eq!(answer.header("range"), Some("0-1499999"));
    let done = finish(at, &answer.location(), b"", &Digest::of(&data)).expect(201);
    assert!(at.get(&done.location()).expect(200).body == data);
}

fn end_5_chunk_out_of_order(at: &At) {
    let location = begin(at, "a");
    let first = [("Content-Type", BYTES), ("Content-Range", "0-4")];
    let location = at.send("PATCH", &location, &first, Some(b"01234")).expect(202).location();
    for (range, data) in [("10-14", b"56789"), ("0-4", b"01234")] {
        let headers = [("Content-Type", BYTES), ("Content-Range", range)];
        at.send("PATCH", &location, &headers, Some(data)).expect(416);
    }
    let status = at.get(&location).expect(204);
    assert_eq!(status.header("range"), Some("0-4"));
    let next = [("Content-Type", BYTES), ("Content-Range", "5-9")];
    let location =
        at.send("PATCH", &status.location(), &next, Some(b"56789")).expect(202).location();
    finish(at, &location, b"", &Digest::of(b"0123456789")).expect(201);
}

fn end_6_last_chunk_with_put(at: &At) {
    let location = begin(at, "a");
    let location = at.send("PATCH", &location, &[], Some(b"01234")).expect(202).location();
    let digest = Digest::of(b"0123456789");
    let path = with(&location, &format!("digest={digest}"));
    let headers = [("Content-Type", BYTES), ("Content-Range", "5-9")];
    let done = at.send("PUT", &path, &headers, Some(b"56789")).expect(201);
    assert_eq!(at.get(&done.location()).expect(200).body, b"0123456789");
}

fn end_6_wrong_digest(at: &At) {
    let digest = Digest::of(b"another");
    let answer = finish(at, &begin(at, "a"), b"data", &digest).expect(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
    for digest in [digest, Digest::of(b"data")] {
        at.head(&format!("/v2/a/blobs/{digest}")).expect(404);
    }
}

fn end_6_invalid_digest(at: &At) {
    for digest in ["sha256:short", "md5:d41d8cd98f00b204e9800998ecf8427e", "x", ""] {
        let path = with(&begin(at, "a"), &format!("digest={digest}"));
        let answer = at.put(&path, BYTES, b"data").expect(400);
        assert_eq!(answer.code(), "DIGEST_INVALID", "{digest}");
    }
}

fn end_6_unknown_upload(at: &At) {
    let location = begin(at, "a");
    finish(at, &location, b"data", &Digest::of(b"data")).expect(201);
    let answer = finish(at, &location, b"data", &Digest::of(b"data")).expect(404);
    assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN");
}

fn end_11_mount(at: &At) {
    let digest = push_blob(at, "from/here", b"data");
    let path = format!("/v2/to/there/blobs/uploads/?mount={digest}&from=from/here");
    let done = at.post(&path).expect(201);
    assert_eq!(done.location(), format!("/v2/to/there/blobs/{digest}"));
    assert_eq!(at.get(&done.location()).expect(200).body, b"data");
    at.delete(&format!("/v2/from/here/blobs/{digest}")).expect(202);
    assert_eq!(at.get(&done.location()).expect(200).body, b"data");
}

fn end_11_mount_of_what_is_not_there(at: &At) {
    push_blob(at, "from", b"other");
    let digest = Digest::of(b"data");
    for from in ["from", "nobody"] {
        let path = format!("/v2/to/blobs/uploads/?mount={digest}&from={from}");
        let location = at.post(&path).expect(202).location();
        finish(at, &location, b"data", &digest).expect(201);
        at.delete(&format!("/v2/to/blobs/{digest}")).expect(202);
    }
}

fn end_11_anonymous_mount(at: &At) {
    let digest = push_blob(at, "from", b"data");
    let done = at.post(&format!("/v2/to/blobs/uploads/?mount={digest}")).expect(201);
    assert_eq!(at.get(&done.location()).expect(200).body, b"data");
    let path = format!("/v2/to/blobs/uploads/?mount={}", Digest::of(b"nowhere"));
    at.post(&path).expect(202);
}

fn end_13_status(at: &At) {
    let location = begin(at, "a");
    at.get(&location).expect(204);
    let location = at.send("PATCH", &location, &[], Some(b"0123456789")).expect(202).location();
    let answer = at.get(&location).expect(204);
    assert_eq!(answer.header("range"), Some("0-9"));
    assert!(answer.header("docker-upload-uuid").is_some());
    assert_eq!(answer.location(), location);
}

fn end_13_unknown(at: &At) {
    let answer = at.get("/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000").expect(404);
    assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN");
}

fn end_14_cancel(at: &At) {
    let location = begin(at, "a");
    let location = at.send("PATCH", &location, &[], Some(b"data")).expect(202).location();
    at.delete(&location).expect(204);
    at.get(&location).expect(404);
    assert_eq!(
        finish(at, &location, b"", &Digest::of(b"data")).expect(404).code(),
        "BLOB_UPLOAD_UNKNOWN"
    );
}

fn an_upload_is_of_one_repository(at: &At) {
    let location = begin(at, "a");
    let elsewhere = location.replacen("/v2/a/", "/v2/b/", 1);
    finish(at, &elsewhere, b"data", &Digest::of(b"data")).expect(404);
    at.get(&location).expect(204);
}

fn two_uploads_of_one_blob(at: &At) {
    let data = noise(7, 500_000);
    let digest = Digest::of(&data);
    let (first, second) = (begin(at, "a"), begin(at, "a"));
    std::thread::scope(|scope| {
        for location in [&first, &second] {
            let (data, digest) = (&data, &digest);
            scope.spawn(move || finish(at, location, data, digest).expect(201));
        }
    });
    assert!(at.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == data);
}
