//! Images, archives and files.

use std::{collections::BTreeMap, io::Cursor};

use gantry_build::{graph::Copy, plan::Plan};
use gantry_build_proto::{BuildRequest, OutputKind, OutputSpec};

use crate::{
    bed::{Bed, Planner, list_tar, on_host, request},
    client::TestClient,
};

fn plan(bed: &Bed, change: fn(&mut Copy)) -> Plan {
    let mut planner = Planner::default();
    let base = planner.base(bed);
    let context = planner.context();
    let one = planner.copy_with(base, context, &["/a"], "/d/a", change);
    let two = planner.copy_with(one, context, &["/b"], "/d/b", change);
    let target = planner.copy_with(two, context, &["/b"], "/d/a", change);
    planner.plan(target)
}

fn to(kind: OutputKind, attributes: &[(&str, &str)]) -> OutputSpec {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    OutputSpec { kind, attributes: attributes.iter().map(text).collect() }
}

fn files() -> std::sync::Arc<TestClient> {
    TestClient::with(&[("a", "A"), ("b", "B")])
}

const FILES: [&str; 3] = ["d d 755 0:0 ", "d/a f 644 0:0 B", "d/b f 644 0:0 B"];

#[test]
fn an_image_is_its_layers_where_they_are() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        let before: u64 = bed.content.list().unwrap().iter().map(|(_, size)| size).sum();
        bed.base();
        let base: u64 = bed.content.list().unwrap().iter().map(|(_, size)| size).sum();
        let tags = vec!["made:1".to_owned(), "made:2".to_owned()];
        let request = BuildRequest { tags, ..request() };
        let built = bed.build(&client, request, plan(&bed, |_| ())).await.unwrap();
        let after: u64 = bed.content.list().unwrap().iter().map(|(_, size)| size).sum();
        assert!(after - base < 4096, "no layer is copied: {before} {base} {after}");
        assert_eq!(built.names, ["made:1", "made:2"]);
        let image = bed.images.resolve("made:2").unwrap();
        assert_eq!(image.id.as_str(), built.image);
        assert_eq!(bed.new_files(&image), FILES);
        assert_eq!(image.config.history.len(), 3);
        assert!(image.config.created.is_some());
        assert_eq!(built.metadata["containerimage.config.digest"], built.image);
        // Its blobs are made when they are wanted, and are the same elsewhere.
        let mut archive = Vec::new();
        bed.images.save(&["made:1".to_owned()], &mut archive).unwrap();
        let other = dir.join("other");
        std::fs::create_dir(&other).unwrap();
        let other = Bed::open(&other);
        let loaded = other.images.load(Box::new(Cursor::new(archive)), &mut |_| {}).unwrap();
        assert_eq!(loaded.images, [(image.id.clone(), vec!["made:1".to_owned()])]);
        let there = other.images.resolve("made:1").unwrap();
        assert_eq!(other.new_files(&there), FILES);
        // And the next start still has it.
        drop(bed);
        let bed = Bed::open(&dir);
        assert_eq!(bed.new_files(&bed.images.resolve("made:1").unwrap()), FILES);
    });
}

#[test]
fn archives_can_be_loaded() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        let outputs = vec![
            to(OutputKind::Docker, &[]),
            to(OutputKind::Oci, &[("name", "other:3")]),
            to(OutputKind::Oci, &[("compression", "zstd")]),
            to(OutputKind::Oci, &[("compression", "uncompressed")]),
        ];
        let tags = vec!["made:1".to_owned()];
        let request = BuildRequest { outputs, tags, ..request() };
        bed.build(&client, request, plan(&bed, |_| ())).await.unwrap();
        assert!(bed.images.resolve("made:1").is_err(), "it is in no list");
        let outputs = client.outputs.lock().unwrap().clone();
        assert_eq!(outputs.len(), 4);
        let docker = list_tar(&outputs[&0]);
        assert!(docker.iter().any(|file| file.starts_with("manifest.json")));
        assert!(!list_tar(&outputs[&1]).iter().any(|file| file.starts_with("manifest.json")));
        let mut ids = Vec::new();
        for (index, archive) in outputs {
            let other = dir.join(index.to_string());
            std::fs::create_dir(&other).unwrap();
            let other = Bed::open(&other);
            let loaded = other.images.load(Box::new(Cursor::new(archive)), &mut |_| {}).unwrap();
            let (id, names) = &loaded.images[0];
            assert!(names.contains(&"made:1".to_owned()), "{names:?}");
            assert_eq!(names.contains(&"other:3".to_owned()), index == 1, "{names:?}");
            assert_eq!(other.new_files(&other.images.get(id).unwrap()), FILES);
            ids.push(id.clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        // Nothing of the compressed blobs stays.
        bed.images.sweep().unwrap();
        assert_eq!(bed.content.list().unwrap().len(), 2, "the base's");
    });
}

#[test]
fn files_are_sent_as_a_tar() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        let outputs = vec![to(OutputKind::Local, &[]), to(OutputKind::Tar, &[])];
        let request = BuildRequest { outputs, ..request() };
        bed.build(&client, request, plan(&bed, |_| ())).await.unwrap();
        let outputs = client.outputs.lock().unwrap().clone();
        assert_eq!(outputs[&0], outputs[&1]);
        let files = list_tar(&outputs[&0]);
        for file in FILES {
            assert!(files.contains(&file.to_owned()), "{files:?}");
        }
        assert!(files.iter().any(|file| file.starts_with("bin/busybox f 755")));
    });
}

#[test]
fn nothing_comes_of_a_build_for_the_cache() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        for outputs in [vec![], vec![to(OutputKind::CacheOnly, &[])]] {
            let request = BuildRequest { outputs, ..request() };
            let built = bed.build(&client, request, plan(&bed, |_| ())).await.unwrap();
            assert!(built.image.is_empty());
        }
        assert_eq!(bed.images.list().len(), 1);
    });
}

#[test]
fn new_layers_become_one() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        let squashed = |commands: [&str; 3]| {
            let mut planner = Planner::default();
            let mut target = planner.base(&bed);
            for command in commands {
                target = planner.run(target, command);
            }
            planner.plan(target)
        };
        let request = || BuildRequest { squash: true, ..request() };
        let commands = [
            "mkdir -p /d/e; echo 1 > /d/e/f; echo 1 > /gone; ln /d/e/f /d/hard",
            "rm /gone; rm -r /d/e; mkdir /d/e; echo 2 > /d/e/g; rm /etc/group",
            "rm -r /tmp; echo file > /tmp; mkdir /etc/group",
        ];
        let image = bed.image(&client, request(), squashed(commands)).await;
        assert_eq!(image.layers.len(), bed.base().layers.len() + 1);
        assert_eq!(
            bed.new_files(&image),
            [
                "d d 755 0:0 ",
                "d/e d 755 0:0 ",
                "d/e/g f 644 0:0 2\n",
                "d/hard f 644 0:0 1\n",
                "etc/group d 755 0:0 ",
                "tmp f 644 0:0 file\n",
            ]
        );
        let empty: Vec<bool> = image.config.history.iter().map(|entry| entry.empty_layer).collect();
        assert_eq!(empty, [true, true, true, false]);
    });
}

#[test]
fn the_same_on_another_machine() {
    on_host(|dir| async move {
        let mut ids = Vec::new();
        for name in ["one", "two"] {
            let dir = dir.join(name);
            std::fs::create_dir(&dir).unwrap();
            let bed = Bed::open(&dir);
            let client = files();
            let args = BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned())]);
            let outputs = vec![to(OutputKind::Image, &[("rewrite-timestamp", "true")])];
            let request = BuildRequest { args, outputs, ..request() };
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let copied = planner.copy_with(base, context, &["/a"], "/new/place/", |copy| {
                copy.epoch_s = Some(1_700_000_000);
            });
            let target = planner.run(copied, "mkdir /ran; echo x > /ran/file; ln -s x /ran/link");
            let mut plan = planner.plan(target);
            // The base has its own time here and there.
            for target in &mut plan.targets {
                target.config.history.iter_mut().for_each(|entry| entry.created = None);
            }
            let image = bed.image(&client, request, plan).await;
            assert_eq!(image.config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
            ids.push((image.lowers(), image.config.history.clone()));
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        assert_eq!(ids[0], ids[1]);
    });
}

#[test]
fn a_layer_with_everything_comes_back() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = files();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let command = "mkdir -p /w/x; touch /w/x/a; ln /w/x/a /w/x/b; ln -s a /w/x/l; chmod 4755 /w/x/a; \
                       mkdir -m 1777 /w/t; rm /etc/group; rm -r /usr; mkdir -p /usr/new; \
                       dd if=/dev/zero of=/w/sparse bs=1 count=1 seek=2000000 2>/dev/null || true";
        let target = planner.run(base, command);
        let tags = vec!["all:1".to_owned()];
        let image =
            bed.image(&client, BuildRequest { tags, ..request() }, planner.plan(target)).await;
        let mut archive = Vec::new();
        bed.images.save(&["all:1".to_owned()], &mut archive).unwrap();
        let other = dir.join("other");
        std::fs::create_dir(&other).unwrap();
        let other = Bed::open(&other);
        other.images.load(Box::new(Cursor::new(archive)), &mut |_| {}).unwrap();
        let there = other.images.resolve("all:1").unwrap();
        assert_eq!(bed.files(&image), other.files(&there));
        // What came from elsewhere packs to the same, too.
        let mut again = Vec::new();
        other.images.save(&["all:1".to_owned()], &mut again).unwrap();
        assert!(!other.files(&there).iter().any(|file| file.starts_with("usr/lib")));
    });
}
