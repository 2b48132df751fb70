//! Lists as registries give them that Debian's does not: referrers, search, pages.

use bytes::Bytes;
use gantry_distribution::{At, Credentials};
use gantry_oci::{Digest, image::media};
use serde_json::json;

use crate::{
    bed::{client, repository},
    liar::{Liar, Say},
};

fn entry(text: &str, artifact_type: &str) -> serde_json::Value {
    json!({"mediaType": media::MANIFEST, "digest": Digest::of(text.as_bytes()), "size": text.len(),
           "artifactType": artifact_type})
}

#[tokio::test]
async fn referrers() {
    let subject = Digest::of(b"subject");
    let path = format!("/v2/library/app/referrers/{subject}");
    let own = path.clone();
    let liar = Liar::new(move |seen| {
        if !seen.target.starts_with(&own) {
            return Say::new(404, "");
        }
        let page = |entries: serde_json::Value| {
            Say::new(200, json!({"schemaVersion": 2, "manifests": entries}).to_string())
        };
        match seen.target.contains("page=2") {
            true => page(json!([entry("b", "x/sig"), entry("c", "x/sbom")])),
            false => page(json!([entry("a", "x/sig")]))
                .with("link", format!("<{own}?page=2>; rel=\"next\"")),
        }
    });
    let repository = repository(&liar.name()).await;
    assert_eq!(repository.referrers(&subject, None).await.unwrap().len(), 3);
    let found = repository.referrers(&subject, Some("x/sig")).await.unwrap();
    let digests: Vec<Digest> = found.into_iter().map(|found| found.descriptor.digest).collect();
    assert_eq!(digests, [Digest::of(b"a"), Digest::of(b"b")]);
    assert!(liar.seen().iter().any(|seen| seen.target == format!("{path}?artifactType=x%2Fsig")));
}

#[tokio::test]
async fn a_registry_that_notes_the_subject_needs_no_tag() {
    let manifest = json!({"schemaVersion": 2, "subject": entry("s", "x")}).to_string();
    for (notes, puts) in [(true, 1), (false, 2)] {
        let liar = Liar::new(move |seen| match seen.method.as_str() {
            "PUT" if notes => Say::new(201, "").with("oci-subject", Digest::of(b"s")),
            "PUT" => Say::new(201, ""),
            _ => Say::new(404, ""),
        });
        let repository = repository(&liar.name()).await;
        let bytes = Bytes::from(manifest.clone());
        let at = At::Digest(Digest::of(&bytes));
        repository.push_manifest(bytes, media::MANIFEST, &at).await.unwrap();
        let seen = liar.seen();
        let put: Vec<_> = seen.iter().filter(|seen| seen.method == "PUT").collect();
        assert_eq!(put.len(), puts);
        if !notes {
            let tag = Digest::of(b"s").to_string().replace(':', "-");
            assert_eq!(put[1].target, format!("/v2/library/app/manifests/{tag}"));
            assert_eq!(put[1].header("content-type"), media::INDEX);
        }
    }
}

#[tokio::test]
async fn search() {
    let liar = Liar::new(|seen| {
        if !seen.target.starts_with("/v1/search?q=busy+box&n=2") {
            return Say::new(404, "");
        }
        let found = json!({"num_results": 3, "results": [
            {"name": "a/busybox", "description": null, "star_count": 7, "is_official": true},
            {"name": "b", "description": "text"}, {"name": "c"}]});
        Say::new(200, found.to_string())
    });
    let term = format!("{}/busy box", liar.name());
    let found = client().search(&term, 2, &Credentials::Anonymous).await.unwrap();
    let shown: Vec<_> =
        found.iter().map(|f| (f.name.clone(), f.star_count, f.is_official)).collect();
    let [a, b] = ["a/busybox", "b"].map(|name| format!("{}/{name}", liar.name()));
    assert_eq!(shown, [(a, 7, true), (b, 0, false)]);
}

#[tokio::test]
async fn tags_in_pages() {
    let liar = Liar::new(|seen| match seen.target.split_once("last=") {
        None => Say::new(200, r#"{"name":"library/app","tags":["a","b"]}"#)
            .with("link", "</v2/library/app/tags/list?last=b&n=2>; rel=\"next\""),
        Some(("/v2/library/app/tags/list?", "b&n=2")) => {
            Say::new(200, r#"{"name":"library/app","tags":["c"]}"#)
        }
        Some(_) => Say::new(200, r#"{"name":"library/app","tags":null}"#),
    });
    let tags = repository(&liar.name()).await.tags().await.unwrap();
    assert_eq!(tags, ["a", "b", "c"]);
}
