//! How long the way of `run` takes, printed; the limit is loose, since debug builds are slow.

use std::time::{Duration, Instant};

use gantry_engine::{RemoveOptions, WaitCondition};

use crate::bed::{create, on_host, script};

#[test]
fn create_start_wait_remove() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut steps: [Vec<Duration>; 4] = Default::default();
        for _ in 0..20 {
            let mut began = Instant::now();
            let mut lap = |step: usize| {
                steps[step].push(began.elapsed());
                began = Instant::now();
            };
            let container = create(&engine, script("exit 0", |_| {})).await;
            lap(0);
            let ended = container.wait(WaitCondition::NextExit);
            container.start().await.unwrap();
            lap(1);
            ended.await;
            lap(2);
            container.remove(RemoveOptions::default()).await.unwrap();
            lap(3);
        }
        let medians = steps.map(|mut step| {
            step.sort_unstable();
            step[step.len() / 2]
        });
        eprintln!("create, start, wait, remove: {medians:?}");
        assert!(medians.iter().sum::<Duration>() < Duration::from_millis(500));
        engine.shutdown().await;
    });
}
