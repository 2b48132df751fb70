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

#[test]
fn many_at_once() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let began = Instant::now();
        let lanes = (0..8).map(|lane| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for turn in 0..5 {
                    let script_text = format!("exit {}", lane * 8 + turn);
                    let container = create(&engine, script(&script_text, |_| {})).await;
                    let ended = container.wait(WaitCondition::NextExit);
                    container.start().await.unwrap();
                    assert_eq!(ended.await.status_code, lane * 8 + turn);
                    container.remove(RemoveOptions::default()).await.unwrap();
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
        eprintln!("40 containers, 8 at once: {:?}", began.elapsed());
        engine.shutdown().await;
        assert!(engine.containers().is_empty());
        assert_eq!(engine.parts().tasks.leftovers().unwrap(), Vec::<String>::new());
        assert_eq!(engine.parts().snapshots.containers().unwrap(), Vec::<String>::new());
    });
}
