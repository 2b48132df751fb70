//! Names, removal, prune, import, commit.

use std::{fs, io::Cursor};

use gantry_image::{
    Commit, ImageUser, Import, LayerFile, Prune, RemoveOptions, Removed, ResolveError,
};
use gantry_oci::{ChainId, Digest, ImageConfig};

use crate::{Home, busybox_layers, docker_archive, gzip, name, root, tar};

fn loaded() -> (Home, Digest) {
    let home = Home::new();
    let layers = busybox_layers();
    let id = home.load(&docker_archive("busybox:1", &layers, &layers)).unwrap().images[0].0.clone();
    home.told();
    (home, id)
}

const FORCE: RemoveOptions = RemoveOptions { force: true, no_prune: false };

fn user(running: bool) -> impl Fn(&Digest) -> Vec<ImageUser> {
    move |_| vec![ImageUser { container_id: "c0ffee".repeat(10), running }]
}

fn nobody(_: &Digest) -> Vec<ImageUser> {
    Vec::new()
}

#[test]
fn names_resolve() {
    let (home, id) = loaded();
    home.images.tag(&id, &name("localhost:5000/a/b:c")).unwrap();
    for text in [
        "busybox:1",
        "docker.io/library/busybox:1",
        "localhost:5000/a/b:c",
        id.as_str(),
        id.hex(),
        id.short(),
        &id.as_str()[..12],
        &format!("busybox@{id}"),
    ] {
        assert_eq!(home.images.resolve(text).unwrap().id, id, "{text}");
    }
    for (text, want) in [
        ("busybox", "No such image: busybox:latest"),
        ("other:2", "No such image: other:2"),
        ("sha256:0000", "No such image: sha256:0000"),
        ("Bad", "invalid reference format: repository name (library/Bad) must be lowercase"),
        ("", "invalid reference format"),
    ] {
        assert_eq!(home.images.resolve(text).unwrap_err().to_string(), want);
    }
    let other =
        home.images.import(Box::new(Cursor::new(tar(&[("x", b"")]))), &Import::default()).unwrap();
    home.images.tag(&other, &name("busybox:1")).unwrap();
    assert_eq!(home.images.resolve("busybox:1").unwrap().id, other, "a name moves");
    assert_eq!(home.images.get(&id).unwrap().names, [name("localhost:5000/a/b:c")]);
    let home = home.reopen();
    assert_eq!(home.images.resolve("busybox:1").unwrap().id, other);
    assert!(home.images.tag(&id, &format!("a@{id}").parse().unwrap()).is_err());
}

#[test]
fn removal_in_dockers_words() {
    let (home, id) = loaded();
    let (plain, short) = (RemoveOptions::default(), id.short().to_owned());
    let refused = |text: &str, options, running| {
        home.images.remove(text, options, &user(running)).unwrap_err().to_string()
    };
    assert_eq!(
        refused("busybox:1", plain, false),
        format!(
            "conflict: unable to remove repository reference \"busybox:1\" (must force) - container c0ffeec0ffee is using its referenced image {short}"
        )
    );
    assert_eq!(
        refused(&short, FORCE, true),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container c0ffeec0ffee"
        )
    );
    assert_eq!(
        refused(&short, plain, false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container c0ffeec0ffee"
        )
    );
    let (_, lease) = home.images.resolve_leased("busybox:1").unwrap();
    assert!(
        home.images
            .remove(&short, FORCE, &nobody)
            .unwrap_err()
            .to_string()
            .contains("cannot be forced")
    );
    drop(lease);
    home.images.tag(&id, &name("other:2")).unwrap();
    home.told();
    assert_eq!(
        home.images.remove(&short, plain, &nobody).unwrap_err().to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    let untagged = home.images.remove("other:2", plain, &user(true)).unwrap();
    assert_eq!(untagged, [Removed::Untagged("other:2".into())]);
    assert_eq!(home.told(), [format!("untag {id}")]);
    let layers: Vec<Digest> = busybox_layers().iter().map(|layer| Digest::of(layer)).collect();
    let removed = home.images.remove("busybox:1", plain, &nobody).unwrap();
    let chain = |count| Removed::Deleted(ChainId::of(&layers[..count]).unwrap().0.to_string());
    assert_eq!(
        removed,
        [
            Removed::Untagged("busybox:1".into()),
            Removed::Deleted(id.to_string()),
            chain(2),
            chain(1)
        ]
    );
    assert_eq!(home.told(), [format!("untag {id}"), format!("delete {id}")]);
    assert_eq!(home.counts(), (0, 0));
    assert!(home.reopen().images.list().is_empty());
}

#[test]
fn force_keeps_what_a_container_needs() {
    if !root() {
        return;
    }
    let (home, id) = loaded();
    let lowers = home.images.get(&id).unwrap().lowers();
    home.snapshots.prepare("stopped", &lowers).unwrap();
    home.images.remove(id.hex(), FORCE, &user(false)).unwrap();
    assert_eq!(home.counts(), (0, 2), "its layers stay");
    assert!(home.snapshots.mount_detached(&home.snapshots.rootfs("stopped").unwrap()).is_ok());
}

#[test]
fn prune_takes_what_is_unused() {
    let (home, id) = loaded();
    let import = |data: &[u8]| {
        home.images.import(Box::new(Cursor::new(tar(&[("x", data)]))), &Import::default()).unwrap()
    };
    let (dangling, used) = (import(b"one"), import(b"three"));
    let users = |image: &Digest| if *image == used { user(false)(image) } else { Vec::new() };
    let prune = |dangling_only| {
        home.images.prune(&Prune { dangling_only, wanted: &|_| true, users: &users }).unwrap()
    };
    let (removed, freed) = prune(true);
    assert_eq!((removed.len(), freed), (2, 3));
    assert!(home.images.get(&dangling).is_none() && home.images.get(&used).is_some());
    let (removed, _) = prune(false);
    assert_eq!(removed[0], Removed::Untagged("busybox:1".into()));
    assert!(home.images.get(&id).is_none());
    assert_eq!(home.images.list().len(), 1);
}

#[test]
fn imports_and_commits() {
    if !root() {
        return;
    }
    let home = Home::new();
    let import = Import {
        changes: vec!["CMD [\"sh\"]".into(), "ENV A=b".into()],
        message: "mine".into(),
        reference: Some(name("base:1")),
        platform: None,
    };
    let base =
        home.images.import(Box::new(Cursor::new(gzip(&busybox_layers()[0]))), &import).unwrap();
    assert_eq!(home.told(), ["tag base:1".to_owned(), format!("import {base}")]);
    let image = home.images.get(&base).unwrap();
    let config = image.config.config.clone().unwrap();
    assert_eq!((config.cmd.unwrap(), config.env), (vec!["sh".to_owned()], vec!["A=b".to_owned()]));
    assert_eq!(image.layers[0].diff_id, Digest::of(&busybox_layers()[0]));
    let bad = Import { changes: vec!["RUN x".into()], ..Import::default() };
    let error = home.images.import(Box::new(Cursor::new(Vec::new())), &bad).unwrap_err();
    assert_eq!(error.to_string(), "run is not a valid change command");

    let rootfs = home.snapshots.prepare("c1", &image.lowers()).unwrap();
    fs::write(rootfs.upper.join("fresh"), "12345").unwrap();
    let commit = Commit {
        container_id: "c1".into(),
        parent: Some(base.clone()),
        comment: "why".into(),
        author: "who".into(),
        created_by: "sh -c x".into(),
        reference: Some(name("top")),
        ..Commit::default()
    };
    let top = home.images.commit(&commit).unwrap();
    let image = home.images.resolve("top").unwrap();
    assert_eq!(
        (image.id.clone(), image.parent.clone(), image.layers.len()),
        (top.clone(), Some(base.clone()), 2)
    );
    assert_eq!(image.layers[1].unpacked_size_bytes, 5);
    let history = home.images.history(&image);
    let ids: Vec<&str> = history.iter().map(|line| line.id.as_str()).collect();
    assert_eq!(ids, [top.as_str(), base.as_str()]);
    assert_eq!((history[0].comment.as_str(), history[0].created_by.as_str()), ("why", "sh -c x"));
    assert!(home.images.has_children(&base));
    let error = home.images.remove(base.hex(), FORCE, &nobody).unwrap_err().to_string();
    assert!(error.ends_with("(cannot be forced) - image has dependent child images"), "{error}");
    fs::remove_file(rootfs.upper.join("fresh")).unwrap();
    let same = home.images.commit(&Commit { reference: None, ..commit }).unwrap();
    assert_eq!(home.images.get(&same).unwrap().layers.len(), 1, "no changes, no layer");
    assert!(matches!(home.images.resolve("gone"), Err(ResolveError::NotFound(_))));
}

#[test]
fn built_in_images_are_stable() {
    let home = Home::new();
    let files = [LayerFile { path: "bin/hello".into(), mode: 0o755, data: b"program".to_vec() }];
    let put = || {
        home.images
            .put_single_layer(&name("hello-gantry"), &ImageConfig::default(), &files)
            .unwrap()
    };
    let id = put();
    assert_eq!(put(), id);
    assert_eq!(home.images.list().len(), 1);
    let layer = home.snapshots.layer_path(&home.images.get(&id).unwrap().lowers()[0]);
    assert_eq!(fs::read(layer.join("bin/hello")).unwrap(), b"program");
    let files = [LayerFile { path: "bin/hello".into(), mode: 0o755, data: b"newer".to_vec() }];
    let newer = home
        .images
        .put_single_layer(&name("hello-gantry"), &ImageConfig::default(), &files)
        .unwrap();
    assert_eq!(home.images.resolve("hello-gantry").unwrap().id, newer);
}

#[test]
fn layers_that_were_lost_are_unpacked_again() {
    let (home, id) = loaded();
    let lowers = home.images.get(&id).unwrap().lowers();
    home.snapshots.remove_layer(&lowers[0]).unwrap();
    let home = home.reopen();
    assert!(home.snapshots.has_layer(&lowers[0]));
    home.snapshots.remove_layer(&lowers[0]).unwrap();
    home.content.remove(&lowers[0]).unwrap();
    let home = home.reopen();
    assert!(home.images.list().is_empty(), "an image that cannot be had any more is dropped");
    assert_eq!(home.counts(), (0, 0));
}
