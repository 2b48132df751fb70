//! Pushes to servers that break.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use gantry_distribution::{
    At, Client, Credentials, DistributionError, Limits, PushedHow, Repository, Source,
};
use gantry_oci::{Digest, image::media};

use crate::{
    bed::{blob, data, limits, name, repository, settings, text},
    liar::{Liar, Say, Seen},
};

/// An upload as a registry keeps it, that may be gone on with.
#[derive(Default)]
struct Kept(Mutex<Vec<u8>>);

impl Kept {
    fn answer(&self, seen: &Seen) -> Say {
        let mut kept = self.0.lock().unwrap();
        let told = |status, length: usize| {
            Say::new(status, "")
                .with("location", "/v2/library/app/blobs/uploads/1?state=x")
                .with("range", format!("0-{}", length.saturating_sub(1)))
        };
        match seen.method.as_str() {
            "HEAD" => Say::new(404, ""),
            "POST" => {
                kept.clear();
                told(202, 0)
            }
            "GET" if seen.target.contains("uploads") => told(204, kept.len()),
            "GET" => Say::new(200, "{}"),
            "PATCH" => {
                let range = seen.header("content-range");
                let start = range.split('-').next().unwrap_or_default();
                if !start.is_empty() && start != kept.len().to_string() {
                    return told(416, kept.len());
                }
                kept.extend(&seen.body);
                told(202, kept.len())
            }
            _ => {
                kept.extend(&seen.body);
                let digest = Digest::of(&kept).to_string().replace(':', "%3A");
                match seen.target.ends_with(&format!("digest={digest}")) {
                    true => Say::new(201, ""),
                    false => Say::new(
                        400,
                        r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#,
                    ),
                }
            }
        }
    }
}

async fn chunked(liar: &Liar, push_chunk_bytes: u64) -> Repository {
    let limits = Limits { push_chunk_bytes, monolithic_bytes: 1000, ..limits() };
    let client = Client::new(settings(None, limits)).unwrap();
    client.repository(&name(&liar.name()), &Credentials::Anonymous).await.unwrap()
}

fn patched(liar: &Liar) -> usize {
    let seen = liar.seen();
    seen.iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.body.len()).sum()
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke() {
    let good = data(1_000_000, 1);
    let kept = Arc::<Kept>::default();
    // Each connection dies behind 150,000 bytes of a chunk of 400,000.
    let own = Arc::clone(&kept);
    let liar = Liar::reading(150_000, move |seen| own.answer(seen));
    let repository = chunked(&liar, 400_000).await;
    let source = Bytes::from(good.clone());
    let pushed = repository.push_blob(source, Some(&blob(&good)), &[]).await.unwrap();
    assert_eq!((pushed.how, pushed.digest), (PushedHow::Uploaded, Digest::of(&good)));
    assert_eq!(*kept.0.lock().unwrap(), good);
    assert_eq!(patched(&liar), 1_000_000, "nothing is sent twice");
    assert_eq!(liar.seen().iter().filter(|seen| seen.method == "POST").count(), 1);
}

#[tokio::test]
async fn an_upload_that_is_lost_begins_anew() {
    let good = data(10_000, 2);
    let kept = Kept::default();
    let lost = AtomicBool::new(false);
    let liar = Liar::new(move |seen| {
        let second = seen.header("content-range").starts_with("4000-");
        if second && !lost.swap(true, Ordering::SeqCst) {
            return Say::new(
                404,
                r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}"#,
            );
        }
        kept.answer(seen)
    });
    let repository = chunked(&liar, 4000).await;
    let source = Bytes::from(good.clone());
    repository.push_blob(source, Some(&blob(&good)), &[]).await.unwrap();
    assert_eq!(liar.seen().iter().filter(|seen| seen.method == "POST").count(), 2);
}

#[tokio::test]
async fn a_registry_that_keeps_nothing_is_given_up() {
    let good = data(10_000, 3);
    let liar = Liar::new(|seen| match seen.method.as_str() {
        "HEAD" => Say::new(404, ""),
        "PATCH" => Say::new(202, "").with("location", "/x").with("range", "0-0"),
        _ => Say::new(202, "").with("location", "/x"),
    });
    let repository = chunked(&liar, 4000).await;
    let pushed = repository.push_blob(Bytes::from(good.clone()), Some(&blob(&good)), &[]).await;
    let error = text(&pushed.unwrap_err());
    assert!(error.contains("nothing behind byte 0 was kept"), "{error}");
}

#[tokio::test]
async fn small_blobs_take_one_request_and_its_answer_may_be_lost() {
    let good = data(500, 4);
    let kept = Kept::default();
    let there = AtomicBool::new(false);
    let liar = Liar::new(move |seen| match (seen.method.as_str(), there.load(Ordering::SeqCst)) {
        ("HEAD", true) => Say::new(200, "").with("content-length", 500),
        ("PUT", _) => {
            there.store(kept.answer(seen).status == 201, Ordering::SeqCst);
            Say { status: 0, ..Say::default() }
        }
        _ => kept.answer(seen),
    });
    let repository = chunked(&liar, 4000).await;
    repository.push_blob(Bytes::from(good.clone()), Some(&blob(&good)), &[]).await.unwrap();
    let methods: Vec<String> = liar.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods.join(" "), "HEAD POST PUT HEAD");
}

#[tokio::test]
async fn a_blob_may_be_made_while_it_is_sent() {
    struct Made(Vec<u8>, AtomicUsize);
    impl Source for Made {
        fn open(&self, offset: u64) -> std::io::Result<Box<dyn std::io::Read + Send>> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Bytes::from(self.0.clone()).open(offset)
        }

        fn identity(&self) -> std::io::Result<(Digest, u64)> {
            Ok((Digest::of(&self.0), self.0.len() as u64))
        }
    }
    let good = data(700_000, 5);
    let kept = Arc::<Kept>::default();
    let own = Arc::clone(&kept);
    let liar = Liar::new(move |seen| own.answer(seen));
    let made = Made(good.clone(), AtomicUsize::new(0));
    let pushed = chunked(&liar, 4000).await.push_blob(made, None, &[]).await.unwrap();
    assert_eq!((pushed.digest, pushed.size), (Digest::of(&good), 700_000));
    assert!(*kept.0.lock().unwrap() == good);
    let seen = liar.seen();
    let patch = seen.iter().find(|seen| seen.method == "PATCH").unwrap();
    assert_eq!(patch.header("transfer-encoding"), "chunked");
}

#[tokio::test]
async fn a_source_that_fails_is_said_to_have_failed() {
    struct Torn;
    impl Source for Torn {
        fn open(&self, _: u64) -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Err(std::io::Error::other("the disk is gone"))
        }

        fn identity(&self) -> std::io::Result<(Digest, u64)> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let kept = Kept::default();
    let liar = Liar::new(move |seen| kept.answer(seen));
    for promise in [Some(blob(&[1; 5000])), None] {
        let pushed = chunked(&liar, 4000).await.push_blob(Torn, promise.as_ref(), &[]).await;
        let error = pushed.unwrap_err();
        assert!(matches!(error, DistributionError::Source { .. }), "{error:?}");
        assert!(text(&error).ends_with("the disk is gone"), "{}", text(&error));
    }
    // One that is shorter than it was said to be.
    let short = Bytes::from_static(b"short");
    let pushed = chunked(&liar, 4000).await.push_blob(short, Some(&blob(&[1; 5000])), &[]).await;
    let error = text(&pushed.unwrap_err());
    assert!(error.contains("bytes are missing"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_arrives_changed() {
    let liar = Liar::new(|_| {
        Say::new(201, "").with("docker-content-digest", Digest::of(b"something else"))
    });
    let repository = repository(&liar.name()).await;
    let at = At::Tag("v1".to_owned());
    let pushed = repository.push_manifest(Bytes::from_static(b"{}"), media::MANIFEST, &at).await;
    let error = pushed.unwrap_err();
    assert!(matches!(error, DistributionError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_push_that_is_refused_reads_as_in_docker() {
    let liar = Liar::new(|seen| match seen.method.as_str() {
        "HEAD" => Say::new(404, ""),
        _ => Say::new(
            403,
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
        ),
    });
    let repository = repository(&liar.name()).await;
    let pushed = repository.push_blob(Bytes::from_static(b"x"), Some(&blob(b"x")), &[]).await;
    assert_eq!(text(&pushed.unwrap_err()), "denied: requested access to the resource is denied");
}
