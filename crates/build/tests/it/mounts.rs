//! `RUN --mount`, of every kind.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use gantry_build::graph::{Mount, MountKind, Sharing, VertexId};
use gantry_build_proto::BuildRequest;

use crate::{
    bed::{Bed, Planner, cache, logs, mount, on_host, request},
    client::TestClient,
};

fn bind(from: VertexId, source: &str, writable: bool) -> MountKind {
    MountKind::Bind { from, source: source.to_owned(), writable }
}

fn secret(id: &str, required: bool) -> MountKind {
    MountKind::Secret {
        id: id.to_owned(),
        file: true,
        variable: "TOKEN".to_owned(),
        required,
        mode: 0o400,
        uid: 0,
        gid: 0,
    }
}

#[test]
fn binds_show_files_and_keep_nothing() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("src/a", "context"), ("other", "not wanted")]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let stage = planner.run(base, "mkdir -p /deep/x; echo stage > /deep/x/file; cat /bin/busybox > /deep/x/busybox; chmod 755 /deep/x/busybox");
        let command = "cat /ctx/a /deep/file; /deep/busybox echo executed; \
                       echo no > /ctx/new && echo ctx-written; \
                       echo no > /deep/new && echo deep-written; \
                       echo yes > /rw/new && cat /rw/new; ls /whole/bin/sh; true";
        let target = planner.run_with(base, command, |exec| {
            exec.mounts = vec![
                mount("/ctx", bind(context, "/src", false)),
                mount("/deep", bind(stage, "/deep/x", false)),
                mount("/rw", bind(stage, "deep/x", true)),
                mount("/whole", bind(stage, "", false)),
            ];
        });
        let image = bed.image(&client, request(), planner.plan(target)).await;
        let printed = logs(&client);
        for want in ["context", "stage\n", "executed\n", "yes\n", "/whole/bin/sh"] {
            assert!(printed.contains(want), "{want}: {printed}");
        }
        assert!(!printed.contains("written"), "{printed}");
        let files = bed.new_files(&image);
        assert!(
            !files.iter().any(|file| file.contains("new") || file.contains("stage")),
            "{files:?}"
        );
        assert_eq!(*client.reads.lock().unwrap(), ["src/a"]);
        // The same files again, and then others.
        bed.executor.take_runs();
        let again = |client: Arc<TestClient>| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.run_with(base, "cat /ctx/a", |exec| {
                exec.mounts = vec![mount("/ctx", bind(context, "/src", false))];
            });
            let plan = planner.plan(target);
            let bed = &bed;
            async move { bed.image(&client, request(), plan).await }
        };
        again(Arc::clone(&client)).await;
        again(Arc::clone(&client)).await;
        assert_eq!(bed.executor.take_runs().len(), 1);
        client.put("src/a", "changed");
        again(Arc::clone(&client)).await;
        assert_eq!(bed.executor.take_runs().len(), 1);
    });
}

#[test]
fn a_cache_stays_from_build_to_build() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let build = async |command: &str, mounts: Vec<Mount>| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target = planner.run_with(base, command, |exec| exec.mounts = mounts);
            bed.image(&client, request(), planner.plan(target)).await
        };
        build("echo kept > /c/file", vec![mount("/c", cache("one", Sharing::Shared))]).await;
        let image = build(
            "cat /c/file; ls /d",
            vec![
                mount("/c", cache("one", Sharing::Locked)),
                mount("/d", cache("two", Sharing::Shared)),
            ],
        )
        .await;
        assert!(logs(&client).contains("kept"));
        assert!(!bed.new_files(&image).iter().any(|file| file.contains("kept")));
        let usage = bed.builder.usage().await.unwrap();
        let mounts = usage.iter().filter(|usage| usage.kind.name() == "exec.cachemount");
        assert_eq!(mounts.count(), 2);
        drop(bed);
        let bed = Bed::open(&dir);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, "cat /c/file # again", |exec| {
            exec.mounts = vec![mount("/c", cache("one", Sharing::Private))];
        });
        client.forget();
        bed.image(&client, request(), planner.plan(target)).await;
        assert!(logs(&client).contains("kept"), "it outlives the daemon");
    });
}

#[test]
fn a_cache_begins_with_what_it_is_told() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let stage = planner.run(base, "mkdir -p /seed/d; echo seeded > /seed/d/file");
        let target = planner.run_with(base, "cat /c/d/file; stat -c '%a %u' /c", |exec| {
            exec.mounts = vec![mount(
                "/c",
                MountKind::Cache {
                    id: "seeded".into(),
                    sharing: Sharing::Shared,
                    from: Some(stage),
                    source: "/seed".into(),
                    read_only: false,
                    mode: 0o750,
                    uid: 33,
                    gid: 34,
                },
            )];
        });
        bed.image(&client, request(), planner.plan(target)).await;
        assert!(logs(&client).contains("seeded\n750 33"), "{}", logs(&client));
    });
}

#[test]
fn who_locks_a_cache_is_alone_in_it() {
    on_host(|dir| async move {
        let bed = Arc::new(Bed::open(&dir));
        let build = |name: &str| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            // Two caches, asked for in both orders.
            let mut mounts = vec![
                mount("/c", cache("c", Sharing::Locked)),
                mount("/d", cache("d", Sharing::Locked)),
            ];
            if name == "b" {
                mounts.reverse();
            }
            let command = format!(
                "test ! -e /c/lock || exit 9; touch /c/lock; sleep 0.5; rm /c/lock # {name}"
            );
            let target = planner.run_with(base, &command, |exec| exec.mounts = mounts);
            let (bed, plan) = (Arc::clone(&bed), planner.plan(target));
            tokio::spawn(
                async move { bed.build(&TestClient::new(), request(), plan).await.map(|_| ()) },
            )
        };
        let begun = Instant::now();
        let (a, b) = (build("a"), build("b"));
        for build in [a, b] {
            build.await.unwrap().unwrap_or_else(|failed| panic!("{:?}", failed.failure));
        }
        assert!(begun.elapsed() >= Duration::from_secs(1), "they were in it at once");
    });
}

#[test]
fn secrets_are_nowhere_but_in_their_step() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let value = "hush-3f9a1c";
        client.secrets.lock().unwrap().insert("token".to_owned(), value.as_bytes().to_vec());
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let command = "test \"$(cat /run/secrets/token)\" = \"$TOKEN\" && stat -c %a /run/secrets/token; \
                       wc -c < /run/secrets/token; test ! -e /run/secrets/none && env | head -c 0";
        let target = planner.run_with(base, command, |exec| {
            exec.mounts = vec![
                mount("/run/secrets/token", secret("token", true)),
                mount("/run/secrets/none", secret("none", false)),
            ];
        });
        let tagged = BuildRequest { tags: vec!["secret:1".to_owned()], ..request() };
        bed.image(&client, tagged, planner.plan(target)).await;
        assert!(logs(&client).contains("400\n11\n"), "{}", logs(&client));
        assert!(bed.executor.env.lock().unwrap().contains(&format!("TOKEN={value}")));
        // Nothing that is left, shown or sent has it.
        let left: Vec<_> = std::fs::read_dir(dir.join("exec/steps")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        bed.snapshots.settle();
        let mut archive = Vec::new();
        bed.images.save(&["secret:1".to_owned()], &mut archive).unwrap();
        assert!(!contains(&archive, value.as_bytes()), "the image has it");
        let told = format!("{:?}", client.progress.lock().unwrap());
        assert!(!told.contains(value), "the progress has it");
        assert_eq!(files_with(&dir, value.as_bytes()), Vec::<String>::new());
        // Its value counts for nothing.
        bed.executor.take_runs();
        client.secrets.lock().unwrap().insert("token".to_owned(), b"another".to_vec());
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, command, |exec| {
            exec.mounts = vec![
                mount("/run/secrets/token", secret("token", true)),
                mount("/run/secrets/none", secret("none", false)),
            ];
        });
        bed.image(&client, request(), planner.plan(target)).await;
        assert!(bed.executor.take_runs().is_empty());
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, "true", |exec| {
            exec.mounts = vec![mount("/s", secret("missing", true))];
        });
        let failure = bed.failure(&client, request(), planner.plan(target)).await;
        assert_eq!(failure.message, "secret missing: not found");
        assert!(bed.containers().is_empty());
    });
}

/// Files below a directory that have some bytes in them.
fn files_with(dir: &std::path::Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in std::fs::read_dir(&path).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() && contains(&std::fs::read(entry.path()).unwrap(), bytes) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

fn contains(data: &[u8], bytes: &[u8]) -> bool {
    data.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn an_agent_answers_in_the_step() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let agent =
            |required| MountKind::Ssh { id: String::new(), required, mode: 0o600, uid: 0, gid: 0 };
        let plan = |required| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let command = "echo $SSH_AUTH_SOCK; stat -c %a $SSH_AUTH_SOCK; echo hello | nc -w 1 local:$SSH_AUTH_SOCK";
            let target = planner.run_with(base, command, |exec| {
                exec.mounts = vec![mount("/run/agent", agent(required))];
                exec.allowed_exit_codes = vec![1];
            });
            planner.plan(target)
        };
        let failure = bed.failure(&client, request(), plan(true)).await;
        assert_eq!(failure.message, "unset ssh forward key default");
        let request = BuildRequest { ssh: vec!["default".to_owned()], ..request() };
        bed.image(&client, request, plan(true)).await;
        let printed = logs(&client);
        // What the program says beside may come between.
        for line in ["/run/agent", "600"] {
            assert!(printed.lines().any(|printed| printed == line), "{line} in {printed}");
        }
        if printed.contains("agent heard: hello") {
            assert_eq!(client.agents.load(Ordering::Relaxed), 1);
        } else {
            eprintln!("SKIPPED: this busybox's nc speaks to no socket file: {printed}");
        }
        let left: Vec<_> = std::fs::read_dir(dir.join("exec/steps")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn memory_is_a_mount_too() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, "echo gone > /m/file; cat /m/file", |exec| {
            exec.mounts = vec![mount("/m", MountKind::Tmpfs { size_bytes: 0 })];
        });
        let image = bed.image(&client, request(), planner.plan(target)).await;
        assert!(logs(&client).contains("gone"));
        assert!(!bed.new_files(&image).iter().any(|file| file.contains("gone")));
    });
}
