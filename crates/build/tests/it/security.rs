//! Classes of escapes and bypasses that other builders had; `failures`, `mounts`, `contexts` and
//! `sources` have more of them, beside what they belong to.

use std::{path::Path, sync::Arc};

use gantry_archive::{EntryKind, Header, TarWriter};
use gantry_build::{
    graph::{
        ContextTree, Copy, CopyItem, Exec, HttpSource, ImageSource, InlineFile, MakeDirectory,
        Mode, MountKind, Op, Owner, Sharing, StepNetwork, VertexId,
    },
    plan::Plan,
};
use gantry_build_proto::BuildRequest;

use crate::{
    bed::{Bed, Planner, cache, digest, exec, logs, mount, on_host, request},
    client::TestClient,
};

/// Mount sources that climb, links in sources, links in caches: nothing of the host's is seen.
#[test]
fn mounts_show_nothing_of_the_host() {
    on_host(|dir| async move {
        std::fs::write(dir.join("canary"), "host's").unwrap();
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("d/a", "inside")]);
        client.link("up", "../../../../../../../../../../");
        client.link("host", dir.to_str().unwrap());
        let canary = dir.join("canary").display().to_string();
        let attempt = async |source: &str, prepare: &str| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let stage = planner.run(base, prepare);
            for from in [context, stage] {
                let mut planner = Planner { graph: planner.graph.clone() };
                let target = planner.run_with(
                    base,
                    &format!("cat /m{canary} /m/canary /m; ls /m"),
                    |exec| {
                        let source = source.to_owned();
                        exec.mounts =
                            vec![mount("/m", MountKind::Bind { from, source, writable: false })];
                        exec.allowed_exit_codes = (1..=2).collect();
                    },
                );
                client.forget();
                // A source that is not there is an error, which is as good.
                drop(bed.build(&client, request(), planner.plan(target)).await);
                assert!(!logs(&client).contains("host's"), "{source}: {}", logs(&client));
            }
        };
        let links = format!("ln -s {} /host; ln -s ../../../../../../../.. /up", dir.display());
        for source in
            ["../../../../../../..", "/..", "up", "host", "/up/", "host/canary", "d/../../.."]
        {
            attempt(source, &links).await;
        }
    });
}

/// A step that plants a link in a cache finds it there as it left it, and nothing behind it.
#[test]
fn caches_show_nothing_of_the_host() {
    on_host(|dir| async move {
        std::fs::write(dir.join("canary"), "host's").unwrap();
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        for command in [
            format!(
                "ln -s {} /c/link; rm -r /c/* ; ln -s {} /c/link",
                dir.display(),
                dir.display()
            ),
            "cat /c/link/canary; ls /c/link/".to_owned(),
        ] {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target = planner.run_with(base, &command, |exec| {
                exec.mounts = vec![mount("/c", cache("planted", Sharing::Shared))];
                exec.allowed_exit_codes = vec![1];
            });
            client.forget();
            bed.image(&client, request(), planner.plan(target)).await;
            assert!(!logs(&client).contains("host's") && !logs(&client).contains("snapshots"));
        }
        for id in ["../../escape", "/etc", "..", "a/b"] {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target =
                planner.run_with(base, &format!("touch /c/{}", digest(id).short()), |exec| {
                    exec.mounts = vec![mount("/c", cache(id, Sharing::Shared))];
                });
            bed.image(&client, request(), planner.plan(target)).await;
        }
        let caches = std::fs::read_dir(dir.join("build/caches")).unwrap().count();
        assert_eq!(caches, 5 + 1, "ids are no paths, the trash is one more");
        assert_eq!(std::fs::read_to_string(dir.join("canary")).unwrap(), "host's");
    });
}

/// A tar with a link `to` somewhere, and a file behind it.
fn link_and_file(target: &Path, file: &str) -> String {
    let target = target.display().to_string();
    let link = target.as_bytes();
    let mut tar = TarWriter::new(Vec::new());
    tar.data(&Header { kind: EntryKind::Symlink, link, ..Header::file(b"to", 0) }, b"").unwrap();
    tar.data(&Header::file(file.as_bytes(), 0), b"x").unwrap();
    String::from_utf8(tar.finish().unwrap()).unwrap()
}

/// What an archive's links name is below the directory that it is unpacked in.
#[test]
fn archives_write_inside() {
    on_host(|dir| async move {
        std::fs::create_dir(dir.join("target")).unwrap();
        let bed = Bed::open(&dir);
        let tar = link_and_file(&dir.join("target"), "to/from-tar");
        let client = TestClient::with(&[("through.tar", &*tar)]);
        let mut planner = Planner::default();
        let (base, context) = (planner.base(&bed), planner.context());
        let unpacked = planner.copy_with(base, context, &["/through.tar"], "/out/", |copy| {
            copy.items[0].unpack = true;
        });
        let failure = bed.failure(&client, request(), planner.plan(unpacked)).await;
        assert!(failure.message.contains("\"to/from-tar\": No such file"), "{failure:?}");
        let count = std::fs::read_dir(dir.join("target")).unwrap().count();
        assert_eq!(count, 0, "the host's is empty");
    });
}

/// Links in a stage, a base and an archive lead nowhere but into the image that is built.
#[test]
fn copies_write_and_read_inside() {
    on_host(|dir| async move {
        std::fs::write(dir.join("canary"), "host's").unwrap();
        std::fs::create_dir(dir.join("target")).unwrap();
        let bed = Bed::open(&dir);
        let tar = link_and_file(&dir.join("target"), "from-tar");
        let client = TestClient::with(&[("a", "1"), ("link.tar", &*tar)]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let links = format!(
            "ln -s {} /out; ln -s {}/canary /file; ln -s ../../../../../../.. /up",
            dir.join("target").display(),
            dir.display()
        );
        let stage = planner.run(base, &links);
        let through = planner.copy(stage, context, "/a", "/out/planted");
        let unpacked = planner.copy_with(through, context, &["/link.tar"], "/out/", |copy| {
            copy.items[0].unpack = true;
        });
        let made = planner.add(
            "WORKDIR",
            Op::MakeDirectory(MakeDirectory {
                base: unpacked,
                path: "/out/made".into(),
                owner: None,
                mode: 0o755,
                epoch_s: None,
            }),
        );
        let image = bed.image(&client, request(), planner.plan(made)).await;
        let inside = dir.join("target").display().to_string();
        let inside = inside.trim_start_matches('/');
        let files = bed.new_files(&image);
        for name in ["planted", "made", "to", "from-tar"] {
            assert!(
                files.iter().any(|file| file.starts_with(&format!("{inside}/{name} "))),
                "{name}: {files:?}"
            );
        }
        assert_eq!(
            std::fs::read_dir(dir.join("target")).unwrap().count(),
            0,
            "the host's is empty"
        );
        // And the other way: what a stage's links name is not the host's.
        for source in ["/file", "/up/canary", "/out/../canary", "/out/*"] {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let stage = planner.run(base, &links);
            let target = planner.copy(base, stage, source, "/got/");
            if let Ok(built) = bed.build(&client, request(), planner.plan(target)).await {
                let image = bed.images.resolve(&built.image).unwrap();
                let files = bed.files(&image);
                assert!(!files.iter().any(|file| file.contains("host's")), "{source}: {files:?}");
            }
        }
    });
}

/// Tars that are taken in, hostile in every way that is known.
#[test]
fn hostile_tars_stay_below_their_directory() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let entry = |name: &str, kind: EntryKind, link: &str| {
            let mut tar = TarWriter::new(Vec::new());
            let header = Header { kind, link: link.as_bytes(), ..Header::file(name.as_bytes(), 0) };
            let content: &[u8] = if kind == EntryKind::File { b"escaped" } else { b"" };
            tar.data(&header, content).unwrap();
            tar.data(&Header::file(b"l/escaped", 0), b"escaped").unwrap();
            tar.finish().unwrap()
        };
        for tar in [
            entry("../escaped", EntryKind::File, ""),
            entry("a/../../escaped", EntryKind::File, ""),
            entry("/../../escaped", EntryKind::File, ""),
            entry("l", EntryKind::Symlink, ".."),
            entry("l", EntryKind::Symlink, "../../../../../../../../../var/tmp"),
            entry("l", EntryKind::HardLink, "../../../store.db"),
            b"no tar at all".repeat(100),
        ] {
            // Refused or not, nothing is outside.
            drop(bed.builder.take(Box::new(std::io::Cursor::new(tar))));
        }
        for place in [dir.clone(), dir.join("build"), "/var/tmp".into(), "/".into()] {
            assert!(!place.join("escaped").exists(), "{}", place.display());
        }
    });
}

/// Copies with a wrong field each.
fn hostile_copies() -> Vec<Op> {
    let item = CopyItem {
        from: VertexId(1),
        source: "/a".into(),
        pivot: None,
        unpack: false,
        wildcards: false,
        may_be_absent: false,
    };
    let copy = Copy {
        base: Some(VertexId(0)),
        items: vec![item],
        destination: "/x".into(),
        owner: None,
        mode: None,
        parents: false,
        exclude: Vec::new(),
        epoch_s: None,
    };
    let copied = |change: &dyn Fn(&mut Copy)| {
        let mut copy = copy.clone();
        change(&mut copy);
        Op::Copy(Box::new(copy))
    };
    vec![
        copied(&|copy| copy.base = Some(VertexId(2))),
        copied(&|copy| copy.base = Some(VertexId(u32::MAX))),
        copied(&|copy| copy.base = Some(VertexId(1))),
        copied(&|copy| copy.items[0].from = VertexId(7)),
        copied(&|copy| copy.items[0].source = "a\0b".into()),
        copied(&|copy| copy.items[0].source = String::new()),
        copied(&|copy| copy.items[0].source = "/[".into()),
        copied(&|copy| copy.items[0].pivot = Some("/nothing".into())),
        copied(&|copy| copy.items[0].source = "/../".repeat(3000)),
        copied(&|copy| copy.destination = "relative".into()),
        copied(&|copy| copy.destination = "/x\0".into()),
        copied(&|copy| copy.destination = format!("/{}", "y".repeat(5000))),
        copied(&|copy| copy.mode = Some(Mode::Octal(0o10000))),
        copied(&|copy| {
            copy.owner = Some(Owner { user: "4294967295".into(), group: String::new() })
        }),
        copied(&|copy| copy.owner = Some(Owner { user: "-1".into(), group: "x".into() })),
        copied(&|copy| copy.exclude = vec!["[".into()]),
    ]
}

/// Steps with a wrong field each, or a wrong mount.
fn hostile_steps() -> Vec<Op> {
    let run = exec(VertexId(0), "true");
    let changed = |change: &dyn Fn(&mut Exec)| {
        let mut run = run.clone();
        change(&mut run);
        Op::Exec(Box::new(run))
    };
    let with_mount = |target: &str, kind: MountKind| {
        changed(&|run| run.mounts = vec![mount(target, kind.clone())])
    };
    let secret = |id: &str, variable: &str, mode, uid| MountKind::Secret {
        id: id.into(),
        file: true,
        variable: variable.into(),
        required: true,
        mode,
        uid,
        gid: 0,
    };
    let bind = |from: u32, source: &str| MountKind::Bind {
        from: VertexId(from),
        source: source.into(),
        writable: false,
    };
    vec![
        changed(&|run| run.base = VertexId(2)),
        changed(&|run| run.base = VertexId(1)),
        changed(&|run| run.args.clear()),
        changed(&|run| run.args = vec!["a\0".into()]),
        changed(&|run| run.env = vec!["A=\0".into()]),
        changed(&|run| run.working_directory = "x".into()),
        changed(&|run| run.insecure = true),
        changed(&|run| run.network = StepNetwork::Host),
        with_mount("/", MountKind::Tmpfs { size_bytes: 0 }),
        with_mount("", MountKind::Tmpfs { size_bytes: 0 }),
        with_mount("/..", MountKind::Tmpfs { size_bytes: 0 }),
        with_mount("/m\0", MountKind::Tmpfs { size_bytes: 0 }),
        with_mount("/m", bind(9, "")),
        with_mount("/m", bind(0, "/nothing")),
        with_mount("/m", bind(0, "\0")),
        with_mount("/m", secret("", "", 0o400, 0)),
        with_mount("/m", secret("x", "A=B", 0o400, 0)),
        with_mount("/m", secret("x", "", 0o77777, 0)),
        with_mount("/m", secret("x", "", 0o400, u32::MAX)),
    ]
}

/// Other operations with a wrong field each.
fn hostile_others() -> Vec<Op> {
    let directory = |base: u32, path: &str, mode| {
        Op::MakeDirectory(MakeDirectory {
            base: VertexId(base),
            path: path.into(),
            owner: None,
            mode,
            epoch_s: Some(i64::MAX),
        })
    };
    vec![
        directory(2, "/x", 0o755),
        directory(1, "/x", 0o755),
        directory(0, "x", 0o755),
        directory(0, "/x", u32::MAX),
        Op::Merge { lower: VertexId(0), upper: VertexId(5) },
        Op::Image(ImageSource { id: "sha256:nothing".into() }),
        Op::Image(ImageSource { id: String::new() }),
        Op::Context(ContextTree { name: "unknown".into() }),
        Op::Inline(vec![InlineFile { name: "../x".into(), content: String::new(), mode: 0 }]),
        Op::Inline(vec![InlineFile { name: String::new(), content: String::new(), mode: 0 }]),
        Op::Http(HttpSource {
            url: "http://127.0.0.1:1/".into(),
            checksum: "x".into(),
            name: "a/b".into(),
        }),
        Op::Http(HttpSource {
            url: "http://127.0.0.1:1/".into(),
            checksum: String::new(),
            name: "..".into(),
        }),
    ]
}

/// Every field of every operation, wrong: an error and never a panic, a run or a file.
#[test]
fn hostile_graphs_are_refused() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("a", "1")]);
        let image = Op::Image(ImageSource { id: bed.base().id.to_string() });
        for op in [hostile_copies(), hostile_steps(), hostile_others()].into_iter().flatten() {
            let shown = format!("{op:.200?}");
            let mut planner = Planner::default();
            planner.add("base", image.clone());
            planner.context();
            let target = planner.add("hostile", op);
            let built = bed.build(&client, request(), planner.plan(target)).await;
            assert!(built.is_err(), "{shown}");
            assert!(bed.executor.take_runs().is_empty(), "{shown}");
        }
        let mut planner = Planner::default();
        planner.add("base", image);
        for target in [VertexId(1), VertexId(u32::MAX)] {
            let planner = Planner { graph: planner.graph.clone() };
            assert!(bed.build(&client, request(), planner.plan(target)).await.is_err());
        }
        let empty = bed.build(&client, request(), Plan::default()).await;
        assert!(empty.is_ok(), "nothing to build is no error");
        assert!(bed.containers().is_empty());
    });
}

/// What a step is made of counts for its key: no other step's result is taken for it.
#[test]
fn results_are_taken_for_nothing_else() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let changes: [fn(&mut Exec); 8] = [
            |_| (),
            |exec| exec.env.push("A=1".into()),
            |exec| exec.user = "33".into(),
            |exec| exec.working_directory = "/tmp".into(),
            |exec| exec.hostname = "other".into(),
            |exec| exec.network = StepNetwork::None,
            |exec| exec.stdin = Some("input".into()),
            |exec| exec.add_hosts.push("a:127.0.0.1".into()),
        ];
        for round in 0..2 {
            for change in changes {
                let mut planner = Planner::default();
                let base = planner.base(&bed);
                let target = planner.run_with(base, "true", change);
                bed.image(&client, request(), planner.plan(target)).await;
            }
            let want = if round == 0 { changes.len() } else { 0 };
            assert_eq!(bed.executor.take_runs().len(), want);
        }
        // Proxies are no part of it, and nowhere in what is kept.
        let silent = |exec: &mut Exec| {
            exec.silent_env = vec!["HTTP_PROXY=http://user:pass-word@proxy".into()];
        };
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, "true", silent);
        bed.image(&client, request(), planner.plan(target)).await;
        assert!(bed.executor.take_runs().is_empty());
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run_with(base, "true # other", silent);
        let tags = vec!["silent:1".to_owned()];
        bed.image(&client, BuildRequest { tags, ..request() }, planner.plan(target)).await;
        let mut saved = Vec::new();
        bed.images.save(&["silent:1".to_owned()], &mut saved).unwrap();
        let database = std::fs::read(dir.join("store.db")).unwrap();
        let log = std::fs::read(dir.join("store.db-wal")).unwrap_or_default();
        for data in
            [saved, database, log, format!("{:?}", client.progress.lock().unwrap()).into_bytes()]
        {
            assert!(!data.windows(9).any(|window| window == b"pass-word"));
        }
        let _ = Arc::strong_count(&client);
    });
}
