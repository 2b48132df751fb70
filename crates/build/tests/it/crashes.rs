//! What a killed daemon leaves is swept; what it had finished is there.

use std::{fs, path::Path};

use gantry_build_proto::BuildRequest;
use gantry_store::Store;

use crate::{
    bed::{Bed, Planner, on_host, request},
    client::TestClient,
};

#[test]
fn leftovers_are_swept() {
    on_host(|dir| async move {
        {
            let bed = Bed::open(&dir);
            let client = TestClient::with(&[("a", "1")]);
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy(base, context, "/a", "/a");
            let tags = vec!["kept:1".to_owned()];
            bed.image(&client, BuildRequest { tags, ..request() }, planner.plan(target)).await;
            // As if it had been killed in the middle of everything.
            bed.snapshots.prepare("build-0123", &bed.base().lowers()).unwrap();
            std::mem::forget(bed.snapshots.begin_layer().unwrap());
            let taken = bed.builder.take(Box::new(std::io::Cursor::new(vec![0; 1024]))).unwrap();
            std::mem::forget(taken);
        }
        for (path, content) in [
            ("exec/steps/0123/ssh-0", "x"),
            ("exec/steps/0123/secrets/1", "secret"),
            ("build/git/0123/file", "x"),
            ("build/mirror/ingest/1-1", "half"),
            ("build/caches/0123/new-1-1", "half"),
            ("build/taken/77/file", "x"),
        ] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let bed = Bed::open(&dir);
        bed.snapshots.settle();
        assert!(bed.containers().is_empty());
        for empty in [
            "exec/steps",
            "build/git",
            "build/mirror/ingest",
            "build/taken",
            "snapshots/ingest",
            "build/caches/0123",
        ] {
            let left: Vec<_> = fs::read_dir(dir.join(empty)).unwrap().collect();
            assert!(left.is_empty(), "{empty}: {left:?}");
        }
        let image = bed.images.resolve("kept:1").unwrap();
        assert_eq!(bed.new_files(&image), ["a f 644 0:0 1"]);
    });
}

#[test]
fn layers_without_a_record_and_records_without_a_layer() {
    on_host(|dir| async move {
        let client = TestClient::new();
        let plan = |bed: &Bed| {
            let mut planner = Planner::default();
            let base = planner.base(bed);
            let target = planner.run(base, "echo x > /x");
            planner.plan(target)
        };
        let count = |dir: &Path| fs::read_dir(dir.join("snapshots/layers")).unwrap().count();
        {
            let bed = Bed::open(&dir);
            let only_cache = BuildRequest { outputs: Vec::new(), ..request() };
            bed.build(&client, only_cache, plan(&bed)).await.unwrap();
            bed.snapshots.settle();
        }
        assert_eq!(count(&dir), 2);
        // A layer that no record names: the daemon was killed between the two.
        let orphan = dir.join(format!("snapshots/layers/sha256-{}", "0".repeat(64)));
        fs::create_dir_all(orphan.join("diff")).unwrap();
        {
            let bed = Bed::open(&dir);
            bed.snapshots.settle();
            assert_eq!(count(&dir), 2, "the cache's layer is kept, the other is not");
            bed.executor.take_runs();
            bed.image(&client, request(), plan(&bed)).await;
            assert!(bed.executor.take_runs().is_empty());
            let images = bed.images.list();
            let made = images.iter().find(|image| image.names.is_empty()).unwrap();
            bed.images
                .remove(made.id.as_str(), gantry_image::RemoveOptions::default(), &|_| Vec::new())
                .unwrap();
        }
        // A record whose layer a power cut took.
        let layers: Vec<_> =
            fs::read_dir(dir.join("snapshots/layers")).unwrap().flatten().collect();
        let store = Store::open(&dir.join("store.db")).unwrap();
        drop(store);
        let base = {
            let bed = Bed::open(&dir);
            bed.base().lowers()[0].hex().to_owned()
        };
        for layer in layers {
            if !layer.file_name().to_string_lossy().contains(&base) {
                fs::remove_dir_all(layer.path()).unwrap();
            }
        }
        let bed = Bed::open(&dir);
        let image = bed.image(&client, request(), plan(&bed)).await;
        assert_eq!(bed.executor.take_runs(), ["echo x > /x"]);
        assert_eq!(bed.new_files(&image), ["x f 644 0:0 x\n"]);
    });
}

#[test]
fn a_disk_that_is_full_leaves_nothing_half_made() {
    on_host(|dir| async move {
        // A file system of its own, small enough to be filled.
        let (image, place) = (dir.join("disk"), dir.join("small"));
        fs::create_dir(&place).unwrap();
        let disk = fs::File::create(&image).unwrap();
        disk.set_len(48 << 20).unwrap();
        let run = |program: &str, args: &[&str]| {
            std::process::Command::new(program)
                .args(args)
                .output()
                .is_ok_and(|out| out.status.success())
        };
        let (image, mounted) = (image.display().to_string(), place.display().to_string());
        if !run("mkfs.ext4", &["-q", &image]) || !run("mount", &["-o", "loop", &image, &mounted]) {
            eprintln!("SKIPPED: needs mkfs.ext4 and a loop device");
            return;
        }
        {
            let bed = Bed::open(&place);
            let client = TestClient::new();
            client.put("big", &"x".repeat(30 << 20));
            let plan = || {
                let mut planner = Planner::default();
                let base = planner.base(&bed);
                let context = planner.context();
                let target = planner.copy(base, context, "/big", "/big");
                planner.plan(target)
            };
            let failure = bed.failure(&client, request(), plan()).await;
            assert!(failure.message.contains("No space left"), "{failure:?}");
            bed.snapshots.settle();
            assert_eq!(bed.images.list().len(), 1);
            assert_eq!(bed.snapshots.layers().unwrap().len(), 1);
            let regular = bed.builder.usage().await.unwrap();
            assert!(!regular.iter().any(|usage| usage.kind.name() == "regular"), "{regular:?}");
            let all = gantry_build::cache::Prune { all: true, ..Default::default() };
            bed.builder.prune(&all).await.unwrap();
            // With room again it goes on.
            client.put("big", "small");
            let image = bed.image(&client, request(), plan()).await;
            assert_eq!(bed.new_files(&image), ["big f 644 0:0 small"]);
            let _ = rustix::mount::unmount(
                place.join("exec/secrets"),
                rustix::mount::UnmountFlags::DETACH,
            );
        }
        assert!(run("umount", &["-l", &mounted]));
    });
}
