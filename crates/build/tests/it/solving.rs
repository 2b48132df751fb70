//! What is run, when, and how often.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use gantry_build_proto::Progress;

use crate::{
    bed::{Bed, Planner, ends, logs, on_host, request},
    client::TestClient,
};

#[test]
fn only_what_is_needed_runs_once_and_at_the_same_time() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let stages: Vec<_> = (0..3)
            .map(|stage| planner.run(base, &format!("sleep 1; echo {stage} > /{stage}")))
            .collect();
        planner.run(base, "echo nobody needs this");
        let mut target = base;
        for (number, stage) in stages.iter().enumerate() {
            target = planner.copy(target, *stage, &format!("/{number}"), "/out/");
        }
        let begun = Instant::now();
        let image = bed.image(&client, request(), planner.plan(target)).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(2500), "one after the other: {took:?}");
        assert_eq!(bed.executor.take_runs().len(), 3);
        let files = bed.new_files(&image);
        assert_eq!(
            files,
            ["out d 755 0:0 ", "out/0 f 644 0:0 0\n", "out/1 f 644 0:0 1\n", "out/2 f 644 0:0 2\n"]
        );
        let ends = ends(&client);
        assert!(!ends.iter().any(|end| end.contains("nobody")), "{ends:?}");
        assert_eq!(ends.iter().filter(|end| end.ends_with(": miss")).count(), 6, "{ends:?}");
    });
}

#[test]
fn vertices_are_told_in_order_and_ended_once() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("a", "1")]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let copied = planner.copy(base, context, "/a", "/a");
        let target = planner.run(copied, "cat /a; echo told >&2");
        bed.image(&client, request(), planner.plan(target)).await;
        assert!(logs(&client).contains('1') && logs(&client).contains("told"), "{}", logs(&client));
        let progress = client.progress.lock().unwrap();
        let mut told = Vec::new();
        let (mut started, mut ended) = (Vec::new(), Vec::new());
        for event in progress.iter() {
            match event {
                Progress::Vertex(vertex) => told.push(vertex.id),
                Progress::Started(begun) => started.push(begun.vertex),
                Progress::Completed(done) => {
                    assert!(started.contains(&done.vertex), "{} was never started", done.vertex);
                    ended.push(done.vertex);
                }
                Progress::Log(log) => assert!(!ended.contains(&log.vertex), "a word after the end"),
                _ => {}
            }
        }
        assert!(told.is_sorted(), "{told:?}");
        let unique = |list: &[u32]| list.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!((unique(&started), unique(&ended)), (started.len(), ended.len()));
        assert_eq!(unique(&told), unique(&ended));
    });
}

#[test]
fn builds_share_what_is_under_way() {
    on_host(|dir| async move {
        let bed = Arc::new(Bed::open(&dir));
        let plan = |name: &str| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let slow = planner.run(base, "echo shared; sleep 1; echo done > /done");
            let own = planner.run(slow, &format!("echo {name} > /name"));
            planner.plan(own)
        };
        let (first, second) = (plan("first"), plan("second"));
        let clients = [TestClient::new(), TestClient::new()];
        let begin = |client: &Arc<TestClient>, plan| {
            let (bed, client) = (Arc::clone(&bed), Arc::clone(client));
            tokio::spawn(async move { bed.build(&client, request(), plan).await.map(|_| ()) })
        };
        let one = begin(&clients[0], first);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = begin(&clients[1], second);
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Whoever began it goes; it goes on for the other.
        one.abort();
        other.await.unwrap().unwrap_or_else(|failed| panic!("{:?}", failed.failure));
        assert_eq!(
            bed.executor.take_runs(),
            ["echo second > /name", "echo shared; sleep 1; echo done > /done"]
        );
        assert!(logs(&clients[1]).contains("shared"), "who comes later hears all");
    });
}

#[test]
fn a_cancelled_build_leaves_nothing_running() {
    on_host(|dir| async move {
        let bed = Arc::new(Bed::open(&dir));
        for by_drop in [true, false] {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target = planner.run(base, &format!("sleep 40; echo {by_drop}"));
            let plan = planner.plan(target);
            let (own, client) = (Arc::clone(&bed), TestClient::new());
            let build = tokio::spawn(async move { own.build(&client, request(), plan).await });
            while bed.executor.running.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let begun = Instant::now();
            if by_drop {
                build.abort();
                assert!(build.await.unwrap_err().is_cancelled());
            } else {
                // The bed gives builds numbers.
                assert!((0..100).any(|id| bed.builder.cancel(&id.to_string())));
                let failed = build.await.unwrap().unwrap_err();
                assert!(failed.failure.cancelled);
            }
            while bed.executor.running.load(Ordering::SeqCst) > 0 || !bed.containers().is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(1), "still there");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let left: Vec<_> = std::fs::read_dir(dir.join("exec/steps")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_client_that_falls_silent_is_cancelled_too() {
    on_host(|dir| async move {
        let bed = Arc::new(Bed::open(&dir));
        let client = TestClient::with(&[("a", "1")]);
        *client.silent.lock().unwrap() = true;
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let target = planner.copy(base, context, "/a", "/a");
        let plan = planner.plan(target);
        let (own, client) = (Arc::clone(&bed), client);
        let build = tokio::spawn(async move { own.build(&client, request(), plan).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        assert!((0..100).any(|id| bed.builder.cancel(&id.to_string())));
        assert!(build.await.unwrap().unwrap_err().failure.cancelled);
        assert!(begun.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_failure_ends_what_else_is_under_way() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let slow = planner.run(base, "sleep 40");
        let wrong = planner.run(base, "sleep 0.3; exit 7");
        let target = planner.copy(slow, wrong, "/bin", "/x/");
        let begun = Instant::now();
        let failure = bed.failure(&client, request(), planner.plan(target)).await;
        assert_eq!(failure.exit_code, 7);
        assert!(begun.elapsed() < Duration::from_secs(3));
        while bed.executor.running.load(Ordering::SeqCst) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "still running");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ends = ends(&client);
        assert!(ends.contains(&"RUN sleep 40: context canceled".to_owned()), "{ends:?}");
    });
}
