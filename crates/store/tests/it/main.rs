//! The store against killed processes and many writers.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use gantry_store::{Durability, Record, Store, StoreError};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    number: u64,
    text: String,
}

impl Record for Thing {
    const TABLE: &'static str = "thing";
    const VERSION: u32 = 2;

    fn upgrade(from: u32, mut value: serde_json::Value) -> Result<serde_json::Value, String> {
        if from != 1 {
            return Err(format!("version {from} is unknown"));
        }
        value["text"] = "upgraded".into();
        Ok(value)
    }
}

#[derive(Serialize, Deserialize)]
struct OldThing {
    number: u64,
}

impl Record for OldThing {
    const TABLE: &'static str = "thing";
    const VERSION: u32 = 1;
}

fn thing(number: u64) -> Thing {
    Thing { number, text: "x".repeat(2000) }
}

fn put(store: &Store, key: &str, number: u64, durability: Durability) {
    let mut batch = store.batch();
    batch.put(key, &thing(number));
    store.commit(batch, durability).unwrap();
}

#[test]
fn records_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = Store::open(&path).unwrap();
    let mut batch = store.batch();
    batch
        .put("b", &thing(2))
        .put("a", &thing(1))
        .put("c", &OldThing { number: 3 })
        .put("d", &thing(4))
        .delete::<Thing>("d");
    store.commit(batch, Durability::Durable).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
    drop(store);
    let store = Store::open(&path).unwrap();
    let keys: Vec<String> =
        store.list::<Thing>().unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(store.get::<Thing>("a").unwrap(), Some(thing(1)));
    assert_eq!(store.get::<Thing>("c").unwrap().unwrap().text, "upgraded");
    assert_eq!(store.get::<Thing>("d").unwrap(), None);
    assert!(matches!(store.get::<OldThing>("a"), Err(StoreError::Newer { .. })));
}

#[test]
fn what_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    std::fs::write(&path, "this is no database, but long enough to be looked at as if it were one")
        .unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(
        gantry_fault::chain(&error).contains("not a database"),
        "{}",
        gantry_fault::chain(&error)
    );
}

/// Runs in a process of its own, started by the test below: writes until it is killed, and says
/// what was acknowledged.
#[test]
#[ignore = "the child of kill_loses_nothing"]
fn child_writes() {
    let Ok(path) = std::env::var("GANTRY_STORE_CHILD") else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    let start = store.list::<Thing>().unwrap().len() as u64;
    for number in start.. {
        let durability = if number % 50 == 0 { Durability::Durable } else { Durability::Relaxed };
        put(&store, &format!("{number:08}"), number, durability);
        println!("acknowledged {number}");
    }
}

#[test]
fn kill_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes", "--ignored", "--nocapture"])
            .env("GANTRY_STORE_CHILD", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let number = |line: &String| {
            line.split("acknowledged ").nth(1).and_then(|n| n.trim().parse::<u64>().ok())
        };
        let mut last =
            lines.by_ref().filter_map(|line| number(&line)).nth(200 + round * 137).unwrap();
        child.kill().unwrap();
        // What it said before it died counts too; a last line may be cut off.
        let mut rest: Vec<String> = lines.collect();
        rest.pop();
        last = rest.iter().filter_map(number).max().unwrap_or(last).max(last);
        child.wait().unwrap();
        let store = Store::open(&path).unwrap();
        let found = store.list::<Thing>().unwrap();
        assert!(
            found.len() as u64 > last,
            "round {round}: {last} acknowledged, {} found",
            found.len()
        );
        for (at, (_, record)) in found.iter().enumerate() {
            assert_eq!(*record, thing(at as u64));
        }
    }
}

#[test]
fn concurrent_durable_commits_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.db")).unwrap();
    let time = |threads: u64, each: u64, durability| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let store = &store;
                scope.spawn(move || {
                    (0..each).for_each(|n| put(store, &format!("{thread}-{n}"), n, durability))
                });
            }
        });
        start.elapsed() / u32::try_from(threads * each).unwrap()
    };
    let alone = time(1, 100, Durability::Durable);
    let together = time(16, 100, Durability::Durable);
    let relaxed = time(1, 2000, Durability::Relaxed);
    println!(
        "a commit: durable alone {alone:?}, sixteen together {together:?}, relaxed {relaxed:?}"
    );
    assert!(together < alone, "sixteen together {together:?}, alone {alone:?}");
    assert_eq!(store.list::<Thing>().unwrap().len(), 16 * 100 + 1900);
}

#[test]
fn async_commits_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut batch = store.batch();
        batch.put("a", &thing(1));
        store.commit_async(batch, Durability::Durable).await.unwrap();
        assert_eq!(store.get::<Thing>("a").unwrap(), Some(thing(1)));
    });
}
