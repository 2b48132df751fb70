//! Loading and saving.

use std::io::Cursor;

use gantry_image::LoadEvent;
use gantry_oci::Digest;

use crate::{Home, busybox_layers, config, docker_archive, gzip, root, tar};

#[test]
fn archives_of_all_kinds_load() {
    if !root() {
        return;
    }
    let layers = busybox_layers();
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let plain = docker_archive("busybox:1", &layers, &layers);
    for (kind, archive) in [
        ("plain", plain.clone()),
        ("gzip", gzip(&plain)),
        ("layers gzip", docker_archive("busybox:1", &layers, &packed)),
    ] {
        let home = Home::new();
        let mut done = 0;
        let loaded = home
            .images
            .load(Box::new(Cursor::new(archive)), &mut |event| {
                done += usize::from(matches!(event, LoadEvent::LayerDone { .. }))
            })
            .unwrap();
        assert_eq!(done, 2, "{kind}");
        assert_eq!(loaded.images[0].1, ["busybox:1"], "{kind}");
        let image = home.images.resolve("busybox:1").unwrap();
        assert_eq!(image.id, Digest::of(&config(&layers)), "{kind}");
        assert_eq!(
            image.lowers(),
            layers.iter().map(|layer| Digest::of(layer)).collect::<Vec<_>>()
        );
        home.snapshots.prepare("c", &image.lowers()).unwrap();
        let top = home.snapshots.layer_path(&image.lowers()[1]);
        assert_eq!(std::fs::read_to_string(top.join("etc/motd")).unwrap(), "hello\n");
        assert_eq!(home.told(), [format!("load {}", image.id)], "{kind}");
        assert_eq!(home.counts(), (3, 2), "{kind}");
        let history = home.images.history(&image);
        let lines: Vec<_> =
            history.iter().map(|line| (line.created_by.as_str(), line.size_bytes)).collect();
        assert_eq!((lines[0], lines[1]), (("ADD top", 6), ("CMD sh", 0)));
        assert_eq!(
            (history[0].id.as_str(), history[1].id.as_str()),
            (image.id.as_str(), "<missing>")
        );
        // Saved blobs are the ones that came.
        let again = Home::new();
        let saved = home.save(&["busybox:1"]);
        assert_eq!(saved, home.save(&["busybox:1"]), "{kind}: the same bytes each time");
        again.load(&saved).unwrap();
        assert_eq!(again.images.resolve("busybox:1").unwrap().layers, image.layers, "{kind}");
        assert_eq!(again.save(&["busybox:1"]), saved, "{kind}");
        // Loading what is there already changes nothing; the manifest came too.
        again.load(&saved).unwrap();
        assert_eq!(again.counts(), (4, 2), "{kind}");
        let home = home.reopen();
        assert_eq!(home.images.resolve("busybox:1").unwrap().layers, image.layers, "{kind}");
    }
}

#[test]
fn broken_archives_leave_nothing() {
    let layers = busybox_layers();
    let whole = docker_archive("busybox:1", &layers, &layers);
    let other = vec![layers[0].clone(), tar(&[("x", b"y")])];
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 1;
    let packed = gzip(&whole);
    for (kind, archive, want) in [
        ("empty", Vec::new(), "neither manifest.json nor index.json"),
        ("text", b"this is no archive at all".to_vec(), "unexpected end of archive"),
        ("cut", whole[..whole.len() / 3].to_vec(), "unexpected end of archive"),
        ("cut gzip", packed[..packed.len() / 2].to_vec(), ""),
        ("flipped bit", flipped, "invalid diffID for layer 0"),
        ("wrong layer", docker_archive("busybox:1", &layers, &other), "invalid diffID for layer 1"),
        (
            "missing layer",
            docker_archive("busybox:1", &layers, &layers[..1]),
            "layers length mismatch: expected 2, got 1",
        ),
        ("bad tag", docker_archive("Bad", &layers, &layers), "invalid tag \"Bad\""),
        (
            "no layer",
            docker_archive("busybox:1", &layers, &[layers[0].clone(), b"{}".to_vec()]),
            "is missing",
        ),
        ("no table", tar(&[("x", b"y")]), "neither manifest.json nor index.json"),
        ("bad table", tar(&[("manifest.json", b"{")]), "reading manifest.json"),
        (
            "escaping layer",
            {
                let evil = vec![tar(&[("../../evil", b"x")])];
                docker_archive("evil", &evil, &evil)
            },
            "outside of the root",
        ),
    ] {
        let home = Home::new();
        let error = home.load(&archive).unwrap_err();
        let text = gantry_fault::chain(&error);
        assert!(text.contains(want), "{kind}: {text}");
        assert!(home.images.list().is_empty(), "{kind}");
        assert_eq!(home.counts(), (0, 0), "{kind}");
        assert_eq!(std::fs::read_dir(home.path("content/ingest")).unwrap().count(), 0, "{kind}");
        home.snapshots.settle();
        assert_eq!(std::fs::read_dir(home.path("snapshots/ingest")).unwrap().count(), 0, "{kind}");
    }
}

#[test]
fn lying_blob_names_are_found() {
    let layers = busybox_layers();
    let (config, honest, lie) = (config(&layers), Digest::of(&layers[1]), Digest::of(b"lie"));
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    for (kind, config_name, layer_name, fine) in [
        ("honest", Digest::of(&config), honest.clone(), true),
        ("layer", Digest::of(&config), lie.clone(), false),
        ("configuration", lie, honest, false),
    ] {
        let below = path(&Digest::of(&layers[0]));
        let (config_path, layer_path) = (path(&config_name), path(&layer_name));
        let table = format!(
            r#"[{{"Config":"{config_path}","RepoTags":null,"Layers":["{below}","{layer_path}"]}}]"#
        );
        let archive = tar(&[
            (&config_path, &config),
            (&below, &layers[0]),
            (&layer_path, &layers[1]),
            ("manifest.json", table.as_bytes()),
        ]);
        let home = Home::new();
        let result = home.load(&archive);
        assert_eq!(result.is_ok(), fine, "{kind}: {result:?}");
        assert_eq!(home.images.list().is_empty(), !fine, "{kind}");
    }
}
