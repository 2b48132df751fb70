//! What the cache has, why, and for how long.

use std::collections::BTreeMap;

use gantry_build::{
    Options,
    cache::{Prune, RecordKind},
    graph::{Op, VertexId},
    plan::Plan,
};
use gantry_build_proto::{BuildRequest, CacheSpec, Progress};

use crate::{
    bed::{Bed, Planner, ends, on_host, request},
    client::TestClient,
};

/// RUN, COPY of the context, RUN.
fn plan(bed: &Bed, first: &str, last: &str) -> Plan {
    let mut planner = Planner::default();
    let base = planner.base(bed);
    let context = planner.context();
    let ran = planner.run(base, first);
    let copied = planner.copy(ran, context, "/src", "/src");
    let target = planner.run(copied, last);
    planner.plan(target)
}

fn why(client: &TestClient, instruction: &str) -> String {
    let progress = client.progress.lock().unwrap();
    let id = progress.iter().find_map(|event| match event {
        Progress::Vertex(vertex) if vertex.instruction == instruction => Some(vertex.id),
        _ => None,
    });
    let why = progress.iter().find_map(|event| match event {
        Progress::Completed(done) if Some(done.vertex) == id => Some(done.why.clone()),
        _ => None,
    });
    why.unwrap()
}

#[test]
fn the_same_build_gives_the_same_image_without_work() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "1"), ("src/b", "2")]);
        let image = bed.image(&client, request(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert_eq!(bed.executor.take_runs().len(), 2);
        client.forget();
        let again = bed.image(&client, request(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert_eq!(image.id, again.id);
        assert!(bed.executor.take_runs().is_empty());
        assert!(client.reads.lock().unwrap().is_empty());
        let ends = ends(&client);
        for step in ["RUN echo 1 > /one: hit", "COPY /src /src: hit", "RUN cat /src/a: hit"] {
            assert!(ends.contains(&step.to_owned()), "{ends:?}");
        }
    });
}

#[test]
fn it_outlives_the_daemon() {
    on_host(|dir| async move {
        let client = TestClient::with(&[("src/a", "1")]);
        let image = {
            let bed = Bed::open(&dir);
            bed.image(&client, request(), plan(&bed, "echo 1 > /one", "true")).await
        };
        let bed = Bed::open(&dir);
        client.forget();
        let again = bed.image(&client, request(), plan(&bed, "echo 1 > /one", "true")).await;
        assert_eq!(image.id, again.id);
        assert!(bed.executor.take_runs().is_empty());
        assert!(client.reads.lock().unwrap().is_empty(), "contents are kept too");
    });
}

#[test]
fn what_changed_is_what_is_done() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "1"), ("other", "1")]);
        let explain = || BuildRequest { explain: true, ..request() };
        bed.image(&client, explain(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert_eq!(why(&client, "RUN echo 1 > /one"), "there is no result of this instruction yet");
        bed.executor.take_runs();
        // What is not copied does not count.
        client.put("other", "2");
        client.forget();
        bed.image(&client, explain(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert!(bed.executor.take_runs().is_empty());
        // What is copied does, and what comes after it.
        client.put("src/a", "2");
        client.forget();
        bed.image(&client, explain(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert_eq!(bed.executor.take_runs(), ["cat /src/a"]);
        assert_eq!(why(&client, "COPY /src /src"), "changed: files of /src");
        // The mode of a file counts, its time does not.
        client.put_mode("src/a", "2", 0o755);
        client.forget();
        bed.image(&client, explain(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert_eq!(bed.executor.take_runs(), ["cat /src/a"]);
        client.put_mode("src/a", "2", 0o755);
        client.forget();
        bed.image(&client, explain(), plan(&bed, "echo 1 > /one", "cat /src/a")).await;
        assert!(bed.executor.take_runs().is_empty());
    });
}

#[test]
fn steps_made_anew_that_are_the_same_change_nothing_after_them() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let plan = |comment: &str| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let made = planner.run(base, &format!("echo same > /x; echo x > /junk # {comment}"));
            let copied = planner.copy(base, made, "/x", "/x");
            let target = planner.run(copied, "cat /x > /y");
            planner.plan(target)
        };
        bed.image(&client, request(), plan("one")).await;
        bed.executor.take_runs();
        client.forget();
        bed.image(&client, request(), plan("two")).await;
        assert_eq!(bed.executor.take_runs(), ["echo same > /x; echo x > /junk # two"]);
        let ends = ends(&client);
        assert!(ends.contains(&"COPY /x /x: hit".to_owned()), "{ends:?}");
        assert!(ends.contains(&"RUN cat /x > /y: hit".to_owned()), "{ends:?}");
    });
}

#[test]
fn no_cache_is_for_what_it_says() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "1")]);
        bed.image(&client, request(), plan(&bed, "echo 1 > /one", "true")).await;
        bed.executor.take_runs();
        let mut again = plan(&bed, "echo 1 > /one", "true");
        for vertex in &mut again.graph.vertices {
            vertex.no_cache = matches!(&vertex.op, Op::Exec(exec) if exec.base == VertexId(0));
        }
        bed.image(&client, request(), again).await;
        let runs = bed.executor.take_runs();
        assert!(runs.contains(&"echo 1 > /one".to_owned()), "{runs:?}");
        // A new time makes another layer, so that what comes after is made anew too.
        assert!(runs.contains(&"true".to_owned()), "{runs:?}");
    });
}

#[test]
fn records_are_pruned_and_images_stay() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "1")]);
        let tagged = BuildRequest { tags: vec!["kept:1".to_owned()], ..request() };
        let image = bed.image(&client, tagged, plan(&bed, "echo 1 > /one", "echo 2 > /two")).await;
        let uncached = BuildRequest { outputs: Vec::new(), ..request() };
        bed.build(&client, uncached, plan(&bed, "echo 3 > /three", "true")).await.unwrap();
        let usage = bed.builder.usage().await.unwrap();
        let kinds: Vec<_> = usage.iter().map(|usage| usage.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == RecordKind::Regular).count(), 6);
        assert!(kinds.contains(&RecordKind::SourceLocal));
        let shared = usage.iter().filter(|usage| usage.shared).count();
        assert_eq!(shared, 3, "the layers of the image");
        let filtered = Prune {
            filters: BTreeMap::from([("until".to_owned(), vec!["1h".to_owned()])]),
            all: true,
            ..Prune::default()
        };
        assert!(bed.builder.prune(&filtered).await.unwrap().records.is_empty());
        let wrong = Prune {
            filters: BTreeMap::from([("colour".to_owned(), vec!["red".to_owned()])]),
            ..Prune::default()
        };
        assert!(bed.builder.prune(&wrong).await.is_err());
        let pruned = bed.builder.prune(&Prune::default()).await.unwrap();
        assert!(pruned.freed_bytes >= 4, "{pruned:?}");
        assert!(!pruned.records.iter().any(|usage| usage.shared));
        bed.builder.prune(&Prune { all: true, ..Prune::default() }).await.unwrap();
        assert!(bed.builder.usage().await.unwrap().is_empty());
        bed.snapshots.settle();
        assert_eq!(bed.snapshots.layers().unwrap().len(), 4, "the base and the image's own");
        assert_eq!(bed.new_files(&image).len(), 4);
    });
}

#[test]
fn the_budget_is_held() {
    on_host(|dir| async move {
        let options = Options { cache_bytes_max: 3 << 20, ..Options::default() };
        let bed = Bed::open_with(&dir, options);
        let client = TestClient::new();
        for number in 0..6 {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let command = format!("dd if=/bin/busybox of=/{number} bs=1024 count=1024");
            let target = planner.run(base, &command);
            let request = BuildRequest { outputs: Vec::new(), ..request() };
            bed.build(&client, request, planner.plan(target)).await.unwrap();
        }
        let begun = std::time::Instant::now();
        loop {
            let usage = bed.builder.usage().await.unwrap();
            let total: u64 = usage.iter().map(|usage| usage.size_bytes).sum();
            if total <= 3 << 20 {
                let newest = usage.last().unwrap();
                assert!(newest.description.contains("/5"), "the oldest go: {usage:?}");
                break;
            }
            assert!(begun.elapsed().as_secs() < 5, "{total}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_cache_goes_to_a_directory_and_comes_back() {
    on_host(|dir| async move {
        let exported = {
            let dir = dir.join("one");
            std::fs::create_dir(&dir).unwrap();
            let bed = Bed::open(&dir);
            let client = TestClient::with(&[("src/a", "1")]);
            let attributes = BTreeMap::from([("mode".to_owned(), "max".to_owned())]);
            let cache_to = vec![CacheSpec { kind: "local".to_owned(), attributes }];
            let request = BuildRequest { cache_to, ..request() };
            bed.image(&client, request, plan(&bed, "echo 1 > /one", "cat /src/a > /two")).await;
            client.cache_outputs.lock().unwrap().remove(&0).unwrap()
        };
        let files = tar_files(&exported);
        assert!(files.contains_key("index.json"), "{:?}", files.keys());
        for (broken, runs) in [(false, 0), (true, 2)] {
            let dir = dir.join(format!("two-{broken}"));
            std::fs::create_dir(&dir).unwrap();
            let bed = Bed::open(&dir);
            let client = TestClient::with(&[("src/a", "1")]);
            let mut files = files.clone();
            if broken {
                // Layers that are not what they are called are not taken.
                let layers = files.iter_mut().filter(|(_, data)| data.starts_with(&[0x1f, 0x8b]));
                layers.for_each(|(_, data)| *data = gzip_of_nothing());
            }
            client.directories.lock().unwrap().insert("cache".to_owned(), files);
            let attributes = BTreeMap::from([("context".to_owned(), "cache".to_owned())]);
            let cache_from = vec![CacheSpec { kind: "local".to_owned(), attributes }];
            let request = BuildRequest { cache_from, ..request() };
            let plan = plan(&bed, "echo 1 > /one", "cat /src/a > /two");
            let built = bed.build(&client, request, plan).await;
            if broken {
                let failed = built.unwrap_err();
                let words = &failed.failure.message;
                assert!(words.contains("from the cache in cache: the blob is not of"), "{words}");
                continue;
            }
            let image = bed.images.resolve(&built.unwrap().image).unwrap();
            assert_eq!(bed.executor.take_runs().len(), runs);
            let names: Vec<String> = bed.new_files(&image);
            assert!(names.contains(&"two f 644 0:0 1".to_owned()), "{names:?}");
            // It is in the cache from now on.
            let again = self::plan(&bed, "echo 1 > /one", "cat /src/a > /two");
            bed.image(&client, self::request(), again).await;
            assert!(bed.executor.take_runs().is_empty());
        }
    });
}

#[test]
fn an_image_carries_its_cache() {
    on_host(|dir| async move {
        let archive = {
            let dir = dir.join("one");
            std::fs::create_dir(&dir).unwrap();
            let bed = Bed::open(&dir);
            let client = TestClient::with(&[("src/a", "1")]);
            let cache_to = vec![CacheSpec { kind: "inline".to_owned(), ..CacheSpec::default() }];
            let tags = vec!["carrier:1".to_owned()];
            let request = BuildRequest { cache_to, tags, ..request() };
            bed.image(&client, request, plan(&bed, "echo 1 > /one", "cat /src/a > /two")).await;
            let mut archive = Vec::new();
            bed.images.save(&["carrier:1".to_owned()], &mut archive).unwrap();
            archive
        };
        let dir = dir.join("two");
        std::fs::create_dir(&dir).unwrap();
        let bed = Bed::open(&dir);
        bed.images.load(Box::new(std::io::Cursor::new(archive)), &mut |_| {}).unwrap();
        let client = TestClient::with(&[("src/a", "1")]);
        let attributes = BTreeMap::from([("ref".to_owned(), "carrier:1".to_owned())]);
        let cache_from = vec![CacheSpec { kind: "registry".to_owned(), attributes }];
        let request = BuildRequest { cache_from, ..request() };
        bed.image(&client, request, plan(&bed, "echo 1 > /one", "cat /src/a > /two")).await;
        assert!(bed.executor.take_runs().is_empty());
    });
}

#[test]
fn caches_that_are_not_there_or_not_done() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "1")]);
        let attributes = BTreeMap::from([("ref".to_owned(), "127.0.0.1:1/no".to_owned())]);
        let spec = |kind: &str| CacheSpec { kind: kind.to_owned(), attributes: attributes.clone() };
        let request = BuildRequest { cache_from: vec![spec("registry"), spec("gha")], ..request() };
        bed.image(&client, request, plan(&bed, "true", "true")).await;
        let ends = ends(&client);
        assert!(ends.iter().any(|end| end.contains("127.0.0.1:1: connect:")), "{ends:?}");
        assert!(ends.iter().any(|end| end.contains("type gha are not implemented")), "{ends:?}");
        for (kind, want) in [
            ("gha", "cache exports of type gha are not implemented"),
            ("registry", "pushing the cache to 127.0.0.1:1/no:latest: "),
        ] {
            let request = BuildRequest { cache_to: vec![spec(kind)], ..self::request() };
            let failure = bed.failure(&client, request, plan(&bed, "true", "true")).await;
            assert!(failure.message.starts_with(want), "{}", failure.message);
        }
    });
}

fn tar_files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut reader = gantry_archive::Reader::new(tar);
    let mut files = BTreeMap::new();
    while let Some(entry) = reader.next().unwrap() {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
        files.insert(entry.display_name(), content);
    }
    files
}

fn gzip_of_nothing() -> Vec<u8> {
    let mut out = Vec::new();
    gantry_archive::compress(gantry_archive::Compression::Gzip, &mut out, &mut |out| {
        out.write_all(&[0; 1024]).map_err(gantry_archive::ArchiveError::Write)
    })
    .unwrap();
    out
}
