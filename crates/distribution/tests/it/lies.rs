//! Servers that say what is not so.

use gantry_distribution::{At, DistributionError, Memory, Sink};
use gantry_fault::{Fault, Kind};
use gantry_oci::{Digest, image::media};

use crate::{
    bed::{self, blob, data, repository, text},
    liar::{Liar, Say},
};

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;

fn tag() -> At {
    At::Tag("v1".to_owned())
}

#[tokio::test]
async fn wrong_blobs() {
    let good = data(100_000, 1);
    let mut bad = good.clone();
    bad[70_000] ^= 1;
    let chunked = |body: &[u8]| {
        let mut framed = format!("{:x}\r\n", body.len()).into_bytes();
        framed.extend(body);
        framed.extend(b"\r\n0\r\n\r\n");
        Say::new(200, framed).with("transfer-encoding", "chunked")
    };
    let long = [good.as_slice(), b"more"].concat();
    for (what, say, want) in [
        ("digest", Say::new(200, bad.clone()), "digest is sha256:"),
        ("longer", Say::new(200, long.clone()), "size is 100004, expected 100000 bytes"),
        ("longer, unsaid", chunked(&long), "size is 100004, expected 100000 bytes"),
        ("shorter", Say::new(200, &good[..9]), "size is 9, expected 100000 bytes"),
        ("shorter, unsaid", chunked(&good[..9]), "size is 9, expected 100000 bytes"),
        ("empty", Say::new(200, ""), "size is 0, expected 100000 bytes"),
        ("page", Say::new(404, "<html>"), "404 Not Found"),
        ("nothing", Say::new(204, ""), "204 No Content"),
        (
            "another range",
            Say::new(206, &good[..10]).with("content-range", "bytes 90-99/100000"),
            "it sends bytes from 90 on, not from 0",
        ),
        (
            "another size",
            Say::new(206, &good[..10]).with("content-range", "bytes 0-9/10"),
            "size is 10, expected 100000 bytes",
        ),
    ] {
        let liar = Liar::new(move |_| say.clone());
        let found = repository(&liar.name()).await.blob(&blob(&good), Memory::default()).await;
        let error = text(&found.unwrap_err());
        assert!(error.contains(want) && error.contains("127.0.0.1:"), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_range_in_place_of_all_goes_on() {
    let good = data(1000, 2);
    let own = good.clone();
    let liar = Liar::new(move |seen| {
        let start = seen.range(own.len()).map_or(0, |(start, _)| start);
        let end = (start + 99).min(own.len() - 1);
        Say::new(206, &own[start..=end]).with("content-range", format!("bytes {start}-{end}/*"))
    });
    let found = repository(&liar.name()).await.blob(&blob(&good), Memory::default()).await;
    assert_eq!(found.unwrap().0, good);
    assert_eq!(liar.sent(), 1000);
}

#[tokio::test]
async fn wrong_manifests() {
    let own = Digest::of(MANIFEST.as_bytes());
    let other = Digest::of(b"other");
    let say = |body: &str, media: &str| Say::new(200, body).with("content-type", media);
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (what, at, say, want) in [
        (
            "digest of a tag",
            tag(),
            say(MANIFEST, media::MANIFEST).with("docker-content-digest", &other),
            format!("digest is {own}, expected {other}"),
        ),
        (
            "digest",
            At::Digest(other.clone()),
            say(MANIFEST, media::MANIFEST).with("docker-content-digest", &own),
            format!("digest is {own}, expected {other}"),
        ),
        (
            "type",
            tag(),
            say(MANIFEST, media::INDEX),
            format!("media type is {:?}, expected {:?}", media::MANIFEST, media::INDEX),
        ),
        (
            "schema 1",
            tag(),
            say("{\"schemaVersion\":1}", schema_1),
            "manifest.v1+prettyjws".to_owned(),
        ),
        (
            "schema 1, unsaid",
            tag(),
            say("{\"schemaVersion\":1}", ""),
            "manifest.v1+json".to_owned(),
        ),
        ("page", tag(), say("<html>", "text/html"), "media type is \"text/html\"".to_owned()),
        ("list", tag(), say("[]", media::INDEX), "expected \"a manifest\"".to_owned()),
    ] {
        let liar = Liar::new(move |_| say.clone());
        let error = repository(&liar.name()).await.manifest(&at).await.unwrap_err();
        assert_eq!(error.kind(), Kind::DataLoss, "{what}");
        let error = text(&error);
        assert!(error.contains(&want) && error.contains("127.0.0.1:"), "{what}: {error}\n{want}");
    }
}

#[tokio::test]
async fn manifests_of_any_json_type_are_known() {
    for (header, want) in [
        ("application/json", media::MANIFEST),
        ("", media::MANIFEST),
        ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", media::MANIFEST),
    ] {
        let liar = Liar::new(move |_| Say::new(200, MANIFEST).with("content-type", header));
        let repository = repository(&liar.name()).await;
        let document = repository.manifest(&tag()).await.unwrap();
        assert_eq!(document.descriptor.media_type, want, "{header}");
        assert_eq!(document.bytes, MANIFEST.as_bytes());
        // HEAD tells no digest here, and what GET gives is what counts.
        assert_eq!(repository.resolve(&tag()).await.unwrap(), document.descriptor);
    }
}

#[tokio::test]
async fn a_manifest_of_a_gibibyte_is_not_read() {
    let announced = Liar::new(|_| {
        Say { repeat: 1024, ..Say::new(200, vec![b' '; 1 << 20]) }
            .with("content-length", 1_u64 << 30)
    });
    let endless = Liar::new(|_| {
        let mut framed = b"100000\r\n".to_vec();
        framed.extend(vec![b' '; 1 << 20]);
        framed.extend(b"\r\n");
        Say { repeat: 1024, ..Say::new(200, framed) }.with("transfer-encoding", "chunked")
    });
    for (what, liar) in [("announced", announced), ("endless", endless)] {
        let error = repository(&liar.name()).await.manifest(&tag()).await.unwrap_err();
        assert!(matches!(error, DistributionError::TooLarge { limit: 4_194_304, .. }), "{error}");
        assert!(liar.sent() < 32 << 20, "{what}: {} bytes were taken", liar.sent());
    }
}

#[tokio::test]
async fn endless_lists() {
    let liar = Liar::new(|seen| {
        let page = Say::new(200, r#"{"name":"a","tags":["v1"]}"#);
        if seen.target.contains("loop") {
            return page.with("link", "</v2/library/app/tags/list?loop>; rel=\"next\"");
        }
        page.with("link", "</v2/library/app/tags/list?loop>; rel=\"next\"")
    });
    let error = repository(&liar.name()).await.tags().await.unwrap_err();
    assert!(text(&error).contains("the list has no end"), "{error}");
    assert_eq!(liar.seen().iter().filter(|seen| seen.target.contains("tags")).count(), 2);
}

#[tokio::test]
async fn redirects() {
    for (to, want) in [
        ("/again", "stopped after 10 redirects"),
        ("ftp://elsewhere/x", "it is no URL"),
        ("http://u:p@elsewhere/x", "it is no URL"),
    ] {
        let liar = Liar::new(move |_| Say::new(307, "").with("location", to));
        let repository = repository(&liar.name()).await;
        let error = text(&repository.manifest(&tag()).await.unwrap_err());
        assert!(error.contains(want), "{to}: {error}");
        let found = repository.blob(&blob(b"x"), Memory::default()).await;
        let error = text(&found.unwrap_err());
        assert!(error.contains(want), "{to}: {error}");
        assert!(liar.seen().len() < 30, "{}", liar.seen().len());
    }
}

#[tokio::test]
async fn what_was_there_before_is_not_believed() {
    let good = data(50_000, 3);
    let own = good.clone();
    let liar = Liar::new(move |seen| Say::part(seen, &own));
    let repository = repository(&liar.name()).await;
    // Right: only the rest is fetched.
    let found = repository.blob(&blob(&good), Memory(good[..20_000].to_vec())).await.unwrap();
    assert_eq!((found.0 == good, liar.sent()), (true, 30_000));
    // Damaged: fetched anew, once.
    let found = repository.blob(&blob(&good), Memory(vec![7; 20_000])).await.unwrap();
    assert_eq!((found.0 == good, liar.sent()), (true, 30_000 + 30_000 + 50_000));
    // Too long.
    let found = repository.blob(&blob(&good), Memory(vec![7; 60_000])).await.unwrap();
    assert_eq!((found.0 == good, liar.sent()), (true, 160_000));
    // All there: nothing is asked.
    let before = liar.seen().len();
    let found = repository.blob(&blob(&good), Memory(good.clone())).await.unwrap();
    assert_eq!((found.offset(), liar.seen().len()), (50_000, before));
}

#[tokio::test]
async fn no_blob_is_larger_than_is_wanted() {
    let liar = Liar::new(|_| Say::new(200, "abc"));
    let repository = repository(&liar.name()).await;
    assert_eq!(repository.read_blob(&blob(b"abc"), 3).await.unwrap().as_ref(), b"abc");
    let error = repository.read_blob(&blob(b"abcd"), 3).await.unwrap_err();
    assert!(matches!(error, DistributionError::TooLarge { limit: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_full_disk_ends_the_download() {
    let good = data(3 << 20, 4);
    let own = good.clone();
    let liar = Liar::new(move |seen| Say::part(seen, &own));
    let sink = bed::Small { inner: Memory::default(), room: 1 << 20 };
    let found = repository(&liar.name()).await.blob(&blob(&good), sink).await;
    let error = found.map(drop).unwrap_err();
    assert!(matches!(error, DistributionError::Sink { .. }), "{error}");
    assert_eq!(liar.seen().iter().filter(|seen| seen.target.contains("blobs")).count(), 1);
}
