//! Pulls that do not come to their end at once.

use std::time::{Duration, Instant};

use gantry_image::transfer::Events;

use super::bed::{Bed, name};
use crate::{Home, docker_archive, gzip, tar};

/// Bytes of a range in these tests: what may come twice for each cut.
const RANGE: u64 = 256 << 10;

/// Two layers of noise, 6 MB and 3 MB.
fn noise() -> Vec<Vec<u8>> {
    let data = |seed: u64, bytes: usize| {
        let mut state = seed;
        let next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(next).flatten().take(bytes).collect::<Vec<u8>>()
    };
    vec![tar(&[("a", &data(0x9e37, 6_000_000))]), tar(&[("b", &data(0x79b9, 3_000_000))])]
}

/// An image of noise in the registry; its layers' bytes there.
fn pushed(bed: &Bed, tag: &str) -> u64 {
    let here = Home::new();
    let layers = noise();
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    here.load(&docker_archive(tag, &layers, &packed)).unwrap();
    bed.push(&here, tag).unwrap();
    packed.iter().map(|layer| layer.len() as u64).sum()
}

#[test]
fn a_pull_that_is_cut_ten_times_fetches_little_twice() {
    let Some(bed) = Bed::start() else { return };
    let tag = format!("{}/cut:1", bed.registry());
    let bytes = pushed(&bed, &tag);
    let home = Home::new();
    let before = bed.proxy.received();
    let mut state = 12_345_u64;
    bed.proxy.cut_after((0..10).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        100_000 + (state >> 33) % 700_000
    }));
    let mut failures = 0;
    while let Err(error) = bed.pull(&home, &tag) {
        failures += 1;
        assert!(failures < 10, "it comes forward: {error}");
    }
    assert_eq!(bed.proxy.cuts(), 10);
    // What the cut connection had brought of its range comes again.
    let extra = bed.proxy.received() - before - bytes;
    let allowed = 10 * RANGE + (64 << 10);
    assert!(extra < allowed, "{extra} bytes came twice in 10 cuts");
    let image = home.images.resolve(&tag).unwrap();
    assert_eq!(image.size_bytes(), 9_000_000);
    assert!(home.reopen().images.resolve(&tag).is_ok());
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let Some(bed) = Bed::start() else { return };
    let tag = format!("{}/killed:1", bed.registry());
    let bytes = pushed(&bed, &tag);
    let mut home = Home::new();
    let before = bed.proxy.received();
    for _ in 0..3 {
        let transfers = bed.transfers(&home);
        let from = bed.proxy.received();
        let pull = Bed::wish(&tag);
        bed.run(async {
            let events = Events::unheard();
            let whole = transfers.pull(&pull, &events);
            let enough = async {
                while bed.proxy.received() - from < 2_000_000 {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            };
            tokio::select! { _ = whole => {}, () = enough => {} }
        });
        drop(transfers);
        // What was under way may still hold its partial file.
        std::thread::sleep(Duration::from_millis(300));
        home = home.reopen();
    }
    bed.pull(&home, &tag).unwrap();
    let received = bed.proxy.received() - before;
    assert!(received < bytes + 3 * 8 * RANGE + (1 << 20), "{received} of {bytes} came");
    assert_eq!(home.images.resolve(&tag).unwrap().size_bytes(), 9_000_000);
    assert_eq!(std::fs::read_dir(home.path("content/ingest")).unwrap().count(), 0);
}

#[test]
fn many_who_ask_get_one_download() {
    let Some(bed) = Bed::start() else { return };
    let tag = format!("{}/shared:1", bed.registry());
    let bytes = pushed(&bed, &tag);
    let home = Home::new();
    let transfers = bed.transfers(&home);
    let before = bed.proxy.received();
    let pull = Bed::wish(&tag);
    let ended = bed.run(async {
        let events = Events::unheard();
        let all = (0..8).map(|_| transfers.pull(&pull, &events));
        futures_util::future::join_all(all).await
    });
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let received = bed.proxy.received() - before;
    assert!(received < bytes + (256 << 10), "{received} of {bytes} came");
}

#[test]
fn what_unfinished_pulls_left_can_be_pruned() {
    let Some(bed) = Bed::start() else { return };
    let tag = format!("{}/left:1", bed.registry());
    pushed(&bed, &tag);
    let home = Home::new();
    let transfers = bed.transfers(&home);
    let before = bed.proxy.received();
    let pull = Bed::wish(&tag);
    bed.run(async {
        let events = Events::unheard();
        let whole = transfers.pull(&pull, &events);
        let enough = async {
            while bed.proxy.received() - before < 2_000_000 {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        tokio::select! { _ = whole => {}, () = enough => {} }
    });
    // The download ends behind the asker that left; until then nothing is pruned.
    let begin = Instant::now();
    while transfers.prune_partial().unwrap() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing is left to prune");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(std::fs::read_dir(home.path("content/ingest")).unwrap().count(), 0);
    assert_eq!(home.counts(), (0, 0));
    assert!(home.images.resolve(&name(&tag).canonical()).is_err());
}
