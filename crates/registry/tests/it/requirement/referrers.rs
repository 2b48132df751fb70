//! end-12: referrers.

use gantry_oci::{Digest, image::media};
use serde_json::{Value, json};

use super::requirements;
use crate::{
    fixture::{artifact, image, push, push_blob, push_image},
    http::At,
};

requirements! {
    end_12a_none, not the reference: "2.8 has no referrers";
    end_12a_referrers, not the reference: "2.8 has no referrers";
    end_12a_before_their_subject, not the reference: "2.8 has no referrers";
    end_12a_invalid_digest, not the reference: "2.8 has no referrers";
    end_12b_by_type, not the reference: "2.8 has no referrers";
    fallback_tags_are_tags;
}

fn list(at: &At, name: &str, digest: &Digest, query: &str) -> Vec<Value> {
    let answer = at.get(&format!("/v2/{name}/referrers/{digest}{query}")).expect(200);
    assert_eq!(answer.header("content-type"), Some(media::INDEX));
    let value = answer.json();
    assert_eq!((&value["schemaVersion"], &value["mediaType"]), (&json!(2), &json!(media::INDEX)));
    value["manifests"].as_array().expect("a list").clone()
}

fn end_12a_none(at: &At) {
    let subject = push_image(at, "a", "v1", 1);
    assert_eq!(list(at, "a", &subject.digest(), ""), Vec::<Value>::new());
    assert_eq!(list(at, "a", &Digest::of(b"nobody"), ""), Vec::<Value>::new());
    assert_eq!(list(at, "nobody", &subject.digest(), ""), Vec::<Value>::new());
}

fn end_12a_referrers(at: &At) {
    let subject = push_image(at, "a", "v1", 1);
    push_blob(at, "a", b"{}");
    let signature = artifact(b"{}", &subject, "application/x.signature", "signed");
    let answer = push(at, "a", signature.digest().as_str(), &signature).expect(201);
    let subject_digest = subject.digest();
    assert_eq!(answer.header("oci-subject"), Some(subject_digest.as_str()));
    let listed = list(at, "a", &subject_digest, "");
    let want = json!([{
        "mediaType": media::MANIFEST,
        "digest": signature.digest(),
        "size": signature.bytes.len(),
        "artifactType": "application/x.signature",
        "annotations": { "note": "signed" },
    }]);
    assert_eq!(Value::from(listed), want);
    at.delete(&format!("/v2/a/manifests/{}", signature.digest())).expect(202);
    assert_eq!(list(at, "a", &subject_digest, ""), Vec::<Value>::new());
}

fn end_12a_before_their_subject(at: &At) {
    push_blob(at, "a", b"{}");
    let subject = image(b"{}", &[]);
    let early = artifact(b"{}", &subject, "", "early");
    push(at, "a", "early", &early).expect(201);
    let listed = list(at, "a", &subject.digest(), "");
    // Without a type of its own it has its configuration's.
    assert_eq!(listed[0]["artifactType"], json!(media::CONFIG));
    push(at, "a", "v1", &subject).expect(201);
    assert_eq!(list(at, "a", &subject.digest(), "").len(), 1);
    // Deleting the subject leaves what refers to it.
    at.delete(&format!("/v2/a/manifests/{}", subject.digest())).expect(202);
    assert_eq!(list(at, "a", &subject.digest(), "").len(), 1);
}

fn end_12a_invalid_digest(at: &At) {
    let answer = at.get("/v2/a/referrers/sha256:short").expect(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn end_12b_by_type(at: &At) {
    let subject = push_image(at, "a", "v1", 1);
    push_blob(at, "a", b"{}");
    for (kind, note) in [("x/a+json", "1"), ("x/a+json", "2"), ("x/b", "3")] {
        let one = artifact(b"{}", &subject, kind, note);
        push(at, "a", one.digest().as_str(), &one).expect(201);
    }
    let digest = subject.digest();
    assert_eq!(list(at, "a", &digest, "").len(), 3);
    assert_eq!(list(at, "a", &digest, "?artifactType=x%2Fa%2Bjson").len(), 2);
    assert_eq!(list(at, "a", &digest, "?artifactType=x/c").len(), 0);
    let answer = at.get(&format!("/v2/a/referrers/{digest}?artifactType=x/b")).expect(200);
    assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    let all = at.get(&format!("/v2/a/referrers/{digest}")).expect(200);
    assert_eq!(all.header("oci-filters-applied"), None);
}

/// Clients of registries without referrers keep them under a tag made of the digest.
fn fallback_tags_are_tags(at: &At) {
    let subject = push_image(at, "a", "v1", 1);
    let tag = subject.digest().as_str().replace(':', "-");
    push(at, "a", &tag, &subject).expect(201);
    let headers = [("Accept", media::MANIFEST)];
    let got = at.send("GET", &format!("/v2/a/manifests/{tag}"), &headers, None).expect(200);
    assert_eq!(got.body, subject.bytes);
}
