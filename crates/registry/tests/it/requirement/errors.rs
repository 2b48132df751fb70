//! Codes that no other file asks for, and methods that are not there.

use gantry_oci::{Digest, image::media};

use super::requirements;
use crate::{
    fixture::{BYTES, begin, finish, push_blob, push_image},
    http::At,
};

requirements! {
    code_manifest_invalid;
    code_manifest_invalid_when_ambiguous, not the reference: "2.8.2 takes some of these";
    code_name_invalid, not the reference: "its router answers 404 for what is no name";
    code_digest_invalid;
    code_unsupported_method;
    code_blob_upload_invalid, not the reference: "2.8 does not look at Content-Range";
    code_too_many_requests, not the reference: "2.8 lets requests on one upload collide";
    errors_are_json;
}

fn code_manifest_invalid(at: &At) {
    push_blob(at, "a", b"{}");
    for text in ["", "{", "[]"] {
        let answer = at.put("/v2/a/manifests/v1", media::MANIFEST, text.as_bytes()).expect(400);
        assert_eq!(answer.code(), "MANIFEST_INVALID", "{text}");
    }
    at.get("/v2/a/manifests/v1").expect(404);
}

fn code_manifest_invalid_when_ambiguous(at: &At) {
    let document = push_image(at, "a", "v1", 1);
    let text = String::from_utf8(document.bytes).expect("text");
    let both = text.replacen('{', "{\"manifests\":[],", 1);
    let empty = "{\"schemaVersion\":2}".to_owned();
    let other = text.replace(media::MANIFEST, media::DOCKER_MANIFEST);
    for (text, media_type) in [
        (&empty, media::MANIFEST),
        (&both, media::MANIFEST),
        (&other, media::MANIFEST),
        (&text, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (&text, "text/plain"),
    ] {
        let answer = at.put("/v2/a/manifests/v2", media_type, text.as_bytes()).expect(400);
        assert_eq!(answer.code(), "MANIFEST_INVALID", "{media_type} {text}");
    }
}

fn code_name_invalid(at: &At) {
    for name in ["A", "a_", "a/../b", "-a", "a//b"] {
        let answer = at.get(&format!("/v2/{name}/tags/list")).expect(400);
        assert_eq!(answer.code(), "NAME_INVALID", "{name}");
    }
}

fn code_digest_invalid(at: &At) {
    push_blob(at, "a", b"{}");
    let short = "sha256:0123456789abcdef0123456789abcdef";
    let answer = at.get(&format!("/v2/a/blobs/{short}"));
    assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn code_unsupported_method(at: &At) {
    push_image(at, "a", "v1", 1);
    for (method, path) in [
        ("POST", "/v2/a/manifests/v1"),
        ("DELETE", "/v2/a/tags/list"),
        ("PATCH", "/v2/a/manifests/v1"),
    ] {
        at.send(method, path, &[], Some(b"")).expect(405);
    }
}

fn code_blob_upload_invalid(at: &At) {
    let location = begin(at, "a");
    for wrong in ["rubbish", "5-1", "0-"] {
        let headers = [("Content-Type", BYTES), ("Content-Range", wrong)];
        let answer = at.send("PATCH", &location, &headers, Some(b"data")).expect(416);
        assert_eq!(answer.code(), "BLOB_UPLOAD_INVALID", "{wrong}");
    }
    finish(at, &location, b"data", &Digest::of(b"data")).expect(201);
}

fn code_too_many_requests(at: &At) {
    let location = begin(at, "a");
    // One is under way for as long as the other is patient.
    let _slow =
        at.open("PATCH", &location, &[("Content-Type", BYTES)], Some(4)).expect("connected");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let answer = finish(at, &location, b"data", &Digest::of(b"data")).expect(429);
    assert_eq!(answer.code(), "TOOMANYREQUESTS");
}

fn errors_are_json(at: &At) {
    let answer = at.get("/v2/nobody/tags/list").expect(404);
    let kind = answer.header("content-type").unwrap_or_default().to_owned();
    assert!(kind.starts_with("application/json"), "{kind}");
    let error = &answer.json()["errors"][0];
    assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
}
