//! Contexts: what is asked for, and what is kept.

use std::collections::BTreeMap;

use gantry_archive::{EntryKind, Header, TarWriter};
use gantry_build_proto::{BuildRequest, ContextSource};

use crate::{
    bed::{Bed, Planner, on_host, request},
    client::TestClient,
};

#[test]
fn of_many_files_the_one_that_changed_is_read() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        for folder in 0..40 {
            for file in 0..50 {
                client.put(&format!("src/{folder}/{file}"), &format!("{folder} {file}"));
            }
        }
        client.put("src/same/one", "the same");
        client.put("src/same/two", "the same");
        let plan = || {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy(base, context, "/src", "/src/");
            planner.plan(target)
        };
        bed.image(&client, request(), plan()).await;
        assert_eq!(client.reads.lock().unwrap().len(), 2002);
        client.forget();
        client.put("src/7/9", "changed");
        let image = bed.image(&client, request(), plan()).await;
        assert_eq!(*client.reads.lock().unwrap(), ["src/7/9"]);
        let lists = client.lists.lock().unwrap().clone();
        assert_eq!(lists, ["", "src", "src/7"], "only the directories above it");
        let files = bed.new_files(&image);
        assert_eq!(files.len(), 2002 + 41 + 1);
        assert!(files.contains(&"src/7/9 f 644 0:0 changed".to_owned()));
    });
}

#[test]
fn only_what_is_copied_is_read() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[
            ("wanted/a", "1"),
            ("wanted/deep/b", "2"),
            ("unwanted/huge", "3"),
            ("x.txt", "4"),
            ("y.md", "5"),
        ]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let copied = planner.copy(base, context, "/wanted", "/w/");
        let target = planner.copy(copied, context, "/*.txt", "/w/");
        let image = bed.image(&client, request(), planner.plan(target)).await;
        let mut reads = client.reads.lock().unwrap().clone();
        reads.sort();
        assert_eq!(reads, ["wanted/a", "wanted/deep/b", "x.txt"]);
        assert!(!client.lists.lock().unwrap().contains(&"unwanted".to_owned()));
        assert_eq!(bed.new_files(&image).len(), 5);
    });
}

#[test]
fn links_of_a_context_lead_nowhere_else() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("real/a", "inside"), ("passwd", "the context's")]);
        client.link("link", "real");
        client.link("out", "../../../../passwd");
        client.link("absolute", "/real/a");
        client.link("dangling", "/etc/shadow");
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let mut target = base;
        for name in ["link/a", "out", "absolute"] {
            target = planner.copy(
                target,
                context,
                &format!("/{name}"),
                &format!("/x/{}", name.replace('/', "-")),
            );
        }
        let image = bed.image(&client, request(), planner.plan(target)).await;
        let files = bed.new_files(&image);
        assert_eq!(
            files,
            [
                "x d 755 0:0 ",
                "x/absolute f 644 0:0 inside",
                "x/link-a f 644 0:0 inside",
                "x/out f 644 0:0 the context's",
            ]
        );
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let target = planner.copy(base, context, "/dangling", "/x");
        let failure = bed.failure(&client, request(), planner.plan(target)).await;
        assert!(failure.message.ends_with("\"/dangling\": not found"), "{failure:?}");
    });
}

#[test]
fn a_tar_is_a_context() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let mut tar = TarWriter::new(Vec::new());
        tar.data(&Header { uid: 7, gid: 8, ..Header::file(b"./dir/a", 0) }, b"content").unwrap();
        let link = Header {
            kind: EntryKind::Symlink,
            link: b"/etc/passwd",
            ..Header::file(b"dir/link", 0)
        };
        tar.data(&link, b"").unwrap();
        let tar = tar.finish().unwrap();
        let mut compressed = Vec::new();
        gantry_archive::compress(gantry_archive::Compression::Gzip, &mut compressed, &mut |out| {
            out.write_all(&tar).map_err(gantry_archive::ArchiveError::Write)
        })
        .unwrap();
        let plan = || {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy(base, context, "/dir", "/x/");
            planner.plan(target)
        };
        let want = ["x d 755 0:0 ", "x/a f 644 0:0 content", "x/link l 777 0:0 -> /etc/passwd"];
        // Given beforehand, and asked of the client.
        let taken = bed.builder.take(Box::new(std::io::Cursor::new(compressed.clone()))).unwrap();
        let of = |source| BuildRequest {
            contexts: BTreeMap::from([(String::new(), source)]),
            ..request()
        };
        let client = TestClient::new();
        let image = bed.image(&client, of(ContextSource::Taken(taken.number())), plan()).await;
        assert_eq!(bed.new_files(&image), want);
        *client.tar.lock().unwrap() = compressed;
        let again = bed.image(&client, of(ContextSource::ClientTar), plan()).await;
        assert_eq!(image.id, again.id, "the same files are the same layer");
        drop(taken);
        let begun = std::time::Instant::now();
        while std::fs::read_dir(dir.join("build/taken")).unwrap().count() > 0 {
            assert!(begun.elapsed().as_secs() < 5, "tars stay");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}
