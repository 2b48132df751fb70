//! end-3, end-7, end-9: manifests.

use gantry_oci::{Digest, image::media};
use serde_json::json;

use super::requirements;
use crate::{
    fixture::{
        Document, descriptor, image, image_value, index, noise, push, push_blob, push_image, sha512,
    },
    http::At,
};

requirements! {
    end_3_get_by_tag_and_digest;
    end_3_head;
    end_3_unknown;
    end_7a_put_by_tag;
    end_7a_put_by_digest;
    end_7a_put_by_sha512, not the reference: "it has manifests by SHA-256 alone";
    end_7a_a_tag_moves;
    end_7a_index;
    end_7a_docker_types;
    end_7a_wrong_digest;
    end_7a_missing_blob;
    end_7a_missing_manifest_of_an_index;
    end_7a_wrong_size, not the reference: "it does not look at sizes";
    end_7a_too_large, not the reference: "it answers 400";
    end_7b_tags_as_parameters, not the reference: "it does not read tag parameters";
    end_9_delete_by_digest;
    end_9_delete_by_tag, not the reference: "it deletes by digest alone";
    end_9_delete_unknown;
    data_custom_fields_and_bytes_stay;
    data_without_layers;
    data_artifact;
    data_index_of_indexes;
    data_foreign_layers;
    data_field_of_a_descriptor;
    not_modified, not the reference: "it does not tell so for manifests asked by a list of tags";
}

fn path(name: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

fn end_3_get_by_tag_and_digest(at: &At) {
    let document = push_image(at, "a/b", "v1", 1);
    let digest = document.digest();
    for reference in ["v1", digest.as_str()] {
        let headers = [("Accept", document.media_type)];
        let answer = at.send("GET", &path("a/b", reference), &headers, None).expect(200);
        assert_eq!(answer.body, document.bytes, "{reference}");
        assert_eq!(answer.header("content-type"), Some(document.media_type));
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    }
}

fn end_3_head(at: &At) {
    let document = push_image(at, "a", "v1", 1);
    let digest = document.digest();
    let length = document.bytes.len().to_string();
    for reference in ["v1", digest.as_str()] {
        let headers = [("Accept", document.media_type)];
        let answer = at.send("HEAD", &path("a", reference), &headers, None).expect(200);
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        assert_eq!(answer.header("content-type"), Some(document.media_type));
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    }
}

fn end_3_unknown(at: &At) {
    push_image(at, "a", "v1", 1);
    for reference in ["v2".to_owned(), Digest::of(b"other").to_string()] {
        at.head(&path("a", &reference)).expect(404);
        assert_eq!(at.get(&path("a", &reference)).expect(404).code(), "MANIFEST_UNKNOWN");
    }
    at.get(&path("nobody", "v1")).expect(404);
}

fn end_7a_put_by_tag(at: &At) {
    push_blob(at, "a", b"{}");
    let document = image(b"{}", &[]);
    let answer = push(at, "a", "v1", &document).expect(201);
    let digest = document.digest();
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(answer.location(), path("a", &digest));
}

fn end_7a_put_by_digest(at: &At) {
    push_blob(at, "a", b"{}");
    let document = image(b"{}", &[]);
    let digest = document.digest();
    push(at, "a", digest.as_str(), &document).expect(201);
    let headers = [("Accept", document.media_type)];
    let got = at.send("GET", &path("a", &digest), &headers, None).expect(200);
    assert_eq!(got.body, document.bytes);
    // It has no tag.
    let tags = at.get("/v2/a/tags/list");
    assert!(tags.status == 404 || tags.json()["tags"].as_array().is_none_or(Vec::is_empty));
}

fn end_7a_put_by_sha512(at: &At) {
    push_blob(at, "a", b"{}");
    let document = image(b"{}", &[]);
    let digest = sha512(&document.bytes);
    let target = format!("{}?tag=long", path("a", &digest));
    let answer = at.put(&target, document.media_type, &document.bytes).expect(201);
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(at.get(&path("a", &digest)).expect(200).body, document.bytes);
    let by_tag = at.head(&path("a", "long")).expect(200);
    assert_eq!(by_tag.header("docker-content-digest"), Some(digest.as_str()));
}

fn end_7a_a_tag_moves(at: &At) {
    let first = push_image(at, "a", "latest", 1);
    let second = push_image(at, "a", "latest", 2);
    let headers = [("Accept", media::MANIFEST)];
    let got = at.send("GET", &path("a", "latest"), &headers, None).expect(200);
    assert_eq!(got.body, second.bytes);
    at.send("GET", &path("a", first.digest()), &headers, None).expect(200);
}

fn end_7a_index(at: &At) {
    let (first, second) = (push_image(at, "a", "one", 1), push_image(at, "a", "two", 2));
    let both = index(&[&first, &second]);
    push(at, "a", "both", &both).expect(201);
    let headers = [("Accept", media::INDEX)];
    let got = at.send("GET", &path("a", "both"), &headers, None).expect(200);
    assert_eq!((got.body, got.status), (both.bytes, 200));
}

fn end_7a_docker_types(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["mediaType"] = json!(media::DOCKER_MANIFEST);
    value["config"]["mediaType"] = json!(media::DOCKER_CONFIG);
    let manifest = Document {
        bytes: serde_json::to_vec(&value).expect("JSON"),
        media_type: media::DOCKER_MANIFEST,
    };
    push(at, "a", "v1", &manifest).expect(201);
    let mut entry = descriptor(media::DOCKER_MANIFEST, &manifest.bytes);
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let value =
        json!({ "schemaVersion": 2, "mediaType": media::DOCKER_INDEX, "manifests": [entry] });
    let list = Document {
        bytes: serde_json::to_vec(&value).expect("JSON"),
        media_type: media::DOCKER_INDEX,
    };
    push(at, "a", "list", &list).expect(201);
    for (tag, document) in [("v1", &manifest), ("list", &list)] {
        let headers = [("Accept", document.media_type)];
        let got = at.send("GET", &path("a", tag), &headers, None).expect(200);
        assert_eq!(got.header("content-type"), Some(document.media_type));
        assert_eq!(got.body, document.bytes);
    }
}

fn end_7a_wrong_digest(at: &At) {
    push_blob(at, "a", b"{}");
    let answer = push(at, "a", Digest::of(b"other").as_str(), &image(b"{}", &[])).expect(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn end_7a_missing_blob(at: &At) {
    push_blob(at, "a", b"{}");
    let lacking = image(b"{}", &[b"not there"]);
    assert_eq!(code_in(&push(at, "a", "v1", &lacking).expect(400)), "MANIFEST_BLOB_UNKNOWN");
    at.get(&path("a", "v1")).expect(404);
    // A blob of another repository is not there either.
    push_blob(at, "b", b"not there");
    push(at, "a", "v1", &lacking).expect(400);
}

fn end_7a_missing_manifest_of_an_index(at: &At) {
    let there = push_image(at, "a", "v1", 1);
    let lacking = index(&[&there, &image(b"{}", &[])]);
    assert_eq!(code_in(&push(at, "a", "both", &lacking).expect(400)), "MANIFEST_BLOB_UNKNOWN");
}

/// Whichever of the errors says what is lacking.
fn code_in(answer: &crate::http::Answer) -> String {
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    let codes: Vec<_> = errors.iter().filter_map(|error| error["code"].as_str()).collect();
    let wanted = codes.iter().find(|code| **code == "MANIFEST_BLOB_UNKNOWN");
    (*wanted.unwrap_or(&codes[0])).to_owned()
}

fn end_7a_wrong_size(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["config"]["size"] = json!(3);
    let bytes = serde_json::to_vec(&value).expect("JSON");
    let answer = at.put(&path("a", "v1"), media::MANIFEST, &bytes).expect(400);
    assert_eq!(answer.code(), "SIZE_INVALID");
}

fn end_7a_too_large(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["annotations"] = json!({ "long": "x".repeat((4 << 20) - 2000) });
    let fits = serde_json::to_vec(&value).expect("JSON");
    assert!(fits.len() <= 4 << 20);
    at.put(&path("a", "fits"), media::MANIFEST, &fits).expect(201);
    assert!(at.get(&path("a", "fits")).expect(200).body == fits);
    value["annotations"] = json!({ "long": "x".repeat(4 << 20) });
    let large = serde_json::to_vec(&value).expect("JSON");
    let answer = at.put(&path("a", "large"), media::MANIFEST, &large).expect(413);
    assert_eq!(answer.code(), "SIZE_INVALID");
    // One that does not tell its length is no way around.
    let mut body = format!("{:x}\r\n", large.len()).into_bytes();
    body.extend_from_slice(&large);
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    let headers = [("Content-Type", media::MANIFEST), ("Transfer-Encoding", "chunked")];
    let mut stream = at.open("PUT", &path("a", "large"), &headers, None).expect("connected");
    let _ = std::io::Write::write_all(&mut stream, &body);
    crate::http::read(stream, "PUT").expect("an answer").expect(413);
    at.get(&path("a", "large")).expect(404);
}

fn end_7b_tags_as_parameters(at: &At) {
    push_blob(at, "a", b"{}");
    let document = image(b"{}", &[]);
    let target = format!("{}?tag=one&tag=two", path("a", document.digest()));
    let answer = at.put(&target, document.media_type, &document.bytes).expect(201);
    assert_eq!(answer.all("oci-tag").collect::<Vec<_>>(), ["one", "two"]);
    for tag in ["one", "two"] {
        assert_eq!(at.get(&path("a", tag)).expect(200).body, document.bytes);
    }
    let wrong = format!("{}?tag=three&tag=..", path("a", document.digest()));
    at.put(&wrong, document.media_type, &document.bytes).expect(400);
    at.get(&path("a", "three")).expect(404);
}

fn end_9_delete_by_digest(at: &At) {
    let document = push_image(at, "a", "v1", 1);
    at.delete(&path("a", document.digest())).expect(202);
    let headers = [("Accept", document.media_type)];
    for reference in ["v1".to_owned(), document.digest().to_string()] {
        at.send("GET", &path("a", reference), &headers, None).expect(404);
    }
}

fn end_9_delete_by_tag(at: &At) {
    let document = push_image(at, "a", "v1", 1);
    push(at, "a", "v2", &document).expect(201);
    at.delete(&path("a", "v1")).expect(202);
    at.get(&path("a", "v1")).expect(404);
    for reference in ["v2".to_owned(), document.digest().to_string()] {
        at.get(&path("a", reference)).expect(200);
    }
    at.delete(&path("a", "v1")).expect(404);
}

fn end_9_delete_unknown(at: &At) {
    push_image(at, "a", "v1", 1);
    let answer = at.delete(&path("a", Digest::of(b"other"))).expect(404);
    assert_eq!(answer.code(), "MANIFEST_UNKNOWN");
}

fn data_custom_fields_and_bytes_stay(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["org.example.field"] = json!({ "deep": [1, "ü\u{2028}"] });
    let text = format!("\n  {}\n", serde_json::to_string(&value).expect("JSON"));
    at.put(&path("a", "v1"), media::MANIFEST, text.as_bytes()).expect(201);
    let headers = [("Accept", media::MANIFEST)];
    let got = at.send("GET", &path("a", "v1"), &headers, None).expect(200);
    assert_eq!(got.body, text.as_bytes());
}

fn data_without_layers(at: &At) {
    push_blob(at, "a", b"{}");
    push(at, "a", "v1", &image(b"{}", &[])).expect(201);
}

fn data_artifact(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    value["artifactType"] = json!("application/vnd.example.thing");
    let bytes = serde_json::to_vec(&value).expect("JSON");
    at.put(&path("a", "v1"), media::MANIFEST, &bytes).expect(201);
    let headers = [("Accept", media::MANIFEST)];
    assert_eq!(at.send("GET", &path("a", "v1"), &headers, None).expect(200).body, bytes);
}

fn data_index_of_indexes(at: &At) {
    let inner = index(&[&push_image(at, "a", "one", 1)]);
    let digest = inner.digest();
    push(at, "a", digest.as_str(), &inner).expect(201);
    let outer = index(&[&inner]);
    push(at, "a", "outer", &outer).expect(201);
    let headers = [("Accept", media::INDEX)];
    for (reference, want) in [("outer", &outer.bytes), (digest.as_str(), &inner.bytes)] {
        let got = at.send("GET", &path("a", reference), &headers, None).expect(200);
        assert_eq!(got.body, *want, "{reference}");
    }
}

fn data_foreign_layers(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[b"elsewhere"]);
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    value["layers"][0]["mediaType"] = json!(foreign);
    value["layers"][0]["urls"] = json!(["https://elsewhere.invalid/layer"]);
    let bytes = serde_json::to_vec(&value).expect("JSON");
    at.put(&path("a", "v1"), media::MANIFEST, &bytes).expect(201);
}

fn data_field_of_a_descriptor(at: &At) {
    push_blob(at, "a", b"{}");
    let mut value = image_value(b"{}", &[]);
    value["config"]["data"] = json!("e30=");
    let bytes = serde_json::to_vec(&value).expect("JSON");
    at.put(&path("a", "v1"), media::MANIFEST, &bytes).expect(201);
    let headers = [("Accept", media::MANIFEST)];
    let got = at.send("GET", &path("a", "v1"), &headers, None).expect(200);
    assert_eq!(got.body, bytes);
}

fn not_modified(at: &At) {
    let document = push_image(at, "a", "v1", 1);
    let layer = Digest::of(&noise(1, 1000));
    for target in [path("a", "v1"), format!("/v2/a/blobs/{layer}")] {
        let known = at.head(&target).expect(200).header("etag").expect("an ETag").to_owned();
        let known = format!("W/\"other\", {known}");
        let answer = at.send("GET", &target, &[("If-None-Match", known.as_str())], None);
        assert_eq!((answer.status, answer.body.len()), (304, 0));
    }
    at.send("GET", &path("a", "v1"), &[("If-None-Match", "\"other\"")], None).expect(200);
    assert_eq!(at.get(&path("a", "v1")).expect(200).body, document.bytes);
}
