//! Servers that break off, wait, or want to be asked less.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gantry_distribution::{At, Client, Credentials, DistributionError, Limits, Memory};
use gantry_fault::{Fault, Kind};

use crate::{
    bed::{Counted, blob, client, data, limits, name, repository, settings, text},
    liar::{Liar, Say},
};

/// Breaks off each answer behind what `cut` says of its number.
fn breaking(data: Vec<u8>, cut: impl Fn(usize) -> Option<usize> + Send + Sync + 'static) -> Liar {
    let number = AtomicUsize::new(0);
    Liar::new(move |seen| {
        let cut = cut(number.fetch_add(1, Ordering::SeqCst));
        Say { cut, ..Say::part(seen, &data) }
    })
}

#[tokio::test]
async fn a_stream_may_die_at_any_byte() {
    let good = data(257, 1);
    for at in 0..good.len() {
        let liar = breaking(good.clone(), move |number| (number == 0).then_some(at));
        let found = repository(&liar.name()).await.blob(&blob(&good), Memory::default()).await;
        assert_eq!(found.unwrap().0, good, "cut behind {at} bytes");
        assert_eq!(liar.sent(), 257, "cut behind {at} bytes");
    }
}

#[tokio::test]
async fn ten_cuts_fetch_nothing_twice() {
    let good = data(4 << 20, 2);
    let liar = breaking(good.clone(), |number| (number < 10).then_some(100_000 + number * 7919));
    let sink = Counted::default();
    let (taken, restarts) = (Arc::clone(&sink.taken), Arc::clone(&sink.restarts));
    let found = repository(&liar.name()).await.blob(&blob(&good), sink).await.unwrap();
    assert_eq!(found.inner.0, good);
    assert_eq!(liar.sent(), 4 << 20);
    assert_eq!((taken.load(Ordering::SeqCst), restarts.load(Ordering::SeqCst)), (4 << 20, 0));
}

#[tokio::test]
async fn ranges_side_by_side_survive_cuts() {
    let good = data(3_000_000, 3);
    let own = good.clone();
    let limits = Limits {
        ranges_from_bytes: 1 << 20,
        range_bytes: 100_000,
        range_connections: 4,
        ..limits()
    };
    let client = Client::new(settings(None, limits)).unwrap();
    let (flying, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (number, seen_most) = (AtomicUsize::new(0), Arc::clone(&most));
    let liar = Liar::new(move |seen| {
        let now = flying.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        flying.fetch_sub(1, Ordering::SeqCst);
        let number = number.fetch_add(1, Ordering::SeqCst);
        let cut = (number % 3 == 0).then_some(33_333);
        Say { cut, ..Say::part(seen, &own) }
    });
    let repository = client.repository(&name(&liar.name()), &Credentials::Anonymous).await.unwrap();
    // It goes on behind what is there already.
    let sink = Memory(good[..12_345].to_vec());
    assert_eq!(repository.blob(&blob(&good), sink).await.unwrap().0, good);
    assert_eq!(liar.sent(), 3_000_000 - 12_345);
    let most = seen_most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at a time");
}

#[tokio::test]
async fn a_server_without_ranges_is_read_over() {
    let good = data(2 << 20, 4);
    let own = good.clone();
    let number = AtomicUsize::new(0);
    let liar = Liar::new(move |_| {
        let first = number.fetch_add(1, Ordering::SeqCst) == 0;
        Say { cut: first.then_some(1 << 20), ..Say::new(200, own.clone()) }
    });
    for ranges_from_bytes in [1, u64::MAX] {
        let limits = Limits { ranges_from_bytes, ..limits() };
        let client = Client::new(settings(None, limits)).unwrap();
        let repository =
            client.repository(&name(&liar.name()), &Credentials::Anonymous).await.unwrap();
        let found = repository.blob(&blob(&good), Memory::default()).await.unwrap();
        assert!(found.0 == good);
    }
}

#[tokio::test]
async fn a_server_that_only_breaks_is_given_up() {
    let good = data(1000, 5);
    let liar = breaking(good.clone(), |_| Some(0));
    let found = repository(&liar.name()).await.blob(&blob(&good), Memory::default()).await;
    let error = found.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(text(&error).contains("/blobs/sha256:"), "{}", text(&error));
    assert_eq!(liar.seen().iter().filter(|seen| seen.target.contains("/blobs/")).count(), 4);
}

#[tokio::test]
async fn silence_has_an_end() {
    let head = Liar::new(|seen| match seen.target.contains("/v2/library") {
        true => Say { status: 0, hang: true, ..Say::default() },
        false => Say::new(200, "{}"),
    });
    let since = Instant::now();
    let error = repository(&head.name()).await.manifest(&At::Tag("v1".to_owned())).await;
    assert!(text(&error.unwrap_err()).ends_with("no answer within 1 s"));
    assert!(since.elapsed() < Duration::from_secs(4));

    // One that sends a byte and falls silent: what it sent is kept, and it is asked for the rest.
    let good = data(1000, 6);
    let own = good.clone();
    let number = AtomicUsize::new(0);
    let slow = Liar::new(move |seen| {
        let first = number.fetch_add(1, Ordering::SeqCst) == 0;
        Say { cut: first.then_some(1), hang: first, ..Say::part(seen, &own) }
    });
    let found = repository(&slow.name()).await.blob(&blob(&good), Memory::default()).await;
    assert_eq!(found.unwrap().0, good);
    assert_eq!(slow.seen().last().unwrap().header("range"), "bytes=1-");
}

#[tokio::test]
async fn busy_servers_are_asked_again() {
    for (status, headers, want_ok) in [
        (503, vec![], true),
        (500, vec![], true),
        (429, vec![("retry-after", "0")], true),
        (429, vec![("retry-after", "3600")], false),
        (
            429,
            vec![("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600")],
            false,
        ),
    ] {
        let number = AtomicUsize::new(0);
        let shown = headers.clone();
        let liar = Liar::new(move |seen| {
            if !seen.target.contains("/manifests/") || number.fetch_add(1, Ordering::SeqCst) > 1 {
                return Say::new(200, r#"{"schemaVersion":2}"#);
            }
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
            let body = if status == 429 { body } else { "" };
            headers.iter().fold(Say::new(status, body), |say, (name, value)| say.with(name, value))
        });
        let found = repository(&liar.name()).await.manifest(&At::Tag("v1".to_owned())).await;
        match found {
            Ok(_) => assert!(want_ok, "{status} {shown:?}"),
            Err(error) => {
                assert!(!want_ok, "{status} {shown:?}: {error}");
                assert!(matches!(error, DistributionError::RateLimited(_)), "{error}");
                assert_eq!(text(&error), "toomanyrequests: You have reached your pull rate limit.");
                let hint = error.hint().unwrap();
                assert!(hint.contains("log in"), "{hint}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_there() {
    let gone = Liar::new(|_| Say::new(200, "")).name();
    // The port is free again when the server is dropped; give its thread the moment it needs.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = repository(&gone).await.manifest(&At::Tag("v1".to_owned())).await.unwrap_err();
    let want = format!("Get \"http://{gone}/v2/\": dial tcp {gone}: connect: connection refused");
    assert_eq!(text(&error), want);
}

#[tokio::test]
async fn a_download_that_is_given_up_stops() {
    let good = data(8 << 20, 7);
    let own = good.clone();
    let liar =
        Liar::new(move |seen| Say { hang: true, cut: Some(1 << 20), ..Say::part(seen, &own) });
    let repository =
        client().repository(&name(&liar.name()), &Credentials::Anonymous).await.unwrap();
    let sink = Counted::default();
    let taken = Arc::clone(&sink.taken);
    let blob = blob(&good);
    let download = repository.blob(&blob, sink);
    assert!(tokio::time::timeout(Duration::from_millis(500), download).await.is_err());
    // The sink is dropped by its thread.
    let gone = async {
        while Arc::strong_count(&taken) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 1 << 20);
}
