//! Snapshots with real overlay mounts. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

use std::{
    fs,
    io::Cursor,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::PathBuf,
};

use gantry_archive::{ChangeKind, EntryKind, Header, TarWriter};
use gantry_oci::Digest;
use gantry_snapshot::{SnapshotError, Snapshots};

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}

fn open() -> (tempfile::TempDir, Snapshots) {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(&dir.path().join("snapshots")).unwrap();
    (dir, snapshots)
}

fn layer(snapshots: &Snapshots, entries: &[(&str, &str)]) -> Digest {
    let mut tar = TarWriter::new(Vec::new());
    for (name, data) in entries {
        let header = match (name.ends_with('/'), data.strip_prefix("-> ")) {
            (true, _) => Header::directory(name.as_bytes()),
            (_, Some(target)) => {
                let header = Header {
                    kind: EntryKind::Symlink,
                    link: target.as_bytes(),
                    ..Header::file(name.as_bytes(), 0)
                };
                tar.data(&header, b"").unwrap();
                continue;
            }
            _ => Header::file(name.as_bytes(), 0),
        };
        tar.data(&header, data.as_bytes()).unwrap();
    }
    let tar = tar.finish().unwrap();
    let digest = Digest::of(&tar);
    snapshots.unpack_layer(&digest, Box::new(Cursor::new(tar))).unwrap();
    digest
}

/// A path below a mount that is attached nowhere.
fn below(mount: &impl AsFd, path: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{path}", mount.as_fd().as_raw_fd()).into()
}

#[test]
fn containers_over_layers() {
    if !root() {
        return;
    }
    let (dir, snapshots) = open();
    let base = layer(
        &snapshots,
        &[("etc/", ""), ("etc/hosts", "own"), ("a", "1"), ("b", "2"), ("d/", ""), ("d/x", "x")],
    );
    let top = layer(
        &snapshots,
        &[(".wh.a", ""), ("b", "two"), ("d/", ""), ("d/.wh..wh..opq", ""), ("d/y", "y")],
    );
    assert_eq!(snapshots.layer_size(&base), Some(6));
    let layers = [base.clone(), top.clone()];
    let rootfs = snapshots.prepare("c1", &layers).unwrap();
    assert_eq!(snapshots.rootfs("c1").unwrap(), rootfs);
    assert!(matches!(snapshots.prepare("c1", &layers), Err(SnapshotError::Exists(_))));
    assert!(matches!(snapshots.prepare("c2", &[Digest::of(b"?")]), Err(SnapshotError::NoLayer(_))));
    assert!(matches!(snapshots.prepare("../c", &layers), Err(SnapshotError::BadId(_))));
    let mount = snapshots.mount_detached(&rootfs).unwrap();
    for (path, want) in [
        ("a", None),
        ("b", Some("two")),
        ("d/x", None),
        ("d/y", Some("y")),
        ("etc/hosts", Some("own")),
        ("etc/resolv.conf", Some("")),
    ] {
        assert_eq!(fs::read_to_string(below(&mount, path)).ok().as_deref(), want, "{path}");
    }
    for path in ["proc", "sys", "dev/pts", "dev/shm"] {
        assert!(below(&mount, path).is_dir(), "{path}");
    }
    assert_eq!(fs::read_link(below(&mount, "etc/mtab")).unwrap().to_str(), Some("/proc/mounts"));
    assert_eq!(fs::metadata(below(&mount, "")).unwrap().mode() & 0o7777, 0o755);
    assert!(snapshots.changes("c1").unwrap().is_empty(), "mount points are no changes");
    fs::write(below(&mount, "etc/new"), "12345").unwrap();
    fs::remove_file(below(&mount, "b")).unwrap();
    drop(mount);
    let changes = snapshots.changes("c1").unwrap();
    let changes: Vec<_> =
        changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    assert_eq!(
        changes,
        [
            ("/b", ChangeKind::Deleted),
            ("/etc", ChangeKind::Modified),
            ("/etc/new", ChangeKind::Added)
        ]
    );
    assert_eq!(snapshots.usage("c1").unwrap().size_bytes, 5);
    let mut tar = Vec::new();
    snapshots.pack_upper("c1", &mut tar).unwrap();
    assert!(String::from_utf8_lossy(&tar).contains(".wh.b"));
    snapshots.remove("c1").unwrap();
    snapshots.remove("c1").unwrap();
    snapshots.prepare("c1", &layers).unwrap();
    snapshots.settle();
    assert_eq!(fs::read_dir(dir.path().join("snapshots/trash")).unwrap().count(), 0);
    let mode = fs::metadata(dir.path().join("snapshots")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn odd_images() {
    if !root() {
        return;
    }
    let (_dir, snapshots) = open();
    let rootfs = snapshots.prepare("empty", &[]).unwrap();
    assert!(below(&snapshots.mount_detached(&rootfs).unwrap(), "proc").is_dir());
    let linked = layer(&snapshots, &[("real/", ""), ("etc", "-> real"), ("proc", "file")]);
    let rootfs = snapshots.prepare("linked", std::slice::from_ref(&linked)).unwrap();
    let mount = snapshots.mount_detached(&rootfs).unwrap();
    assert!(fs::symlink_metadata(below(&mount, "etc")).unwrap().is_symlink(), "a link stays one");
    assert!(below(&mount, "proc").is_file());
    assert!(below(&snapshots.mount_layers(&[linked]).unwrap(), "real").is_dir());
}

#[test]
fn many_layers() {
    if !root() {
        return;
    }
    let (_dir, snapshots) = open();
    let names: Vec<String> = (0..150).map(|n| format!("file{n}")).collect();
    let layers: Vec<Digest> = names.iter().map(|name| layer(&snapshots, &[(name, name)])).collect();
    let rootfs = snapshots.prepare("deep", &layers).unwrap();
    let mount = snapshots.mount_detached(&rootfs).unwrap();
    assert_eq!(fs::read_to_string(below(&mount, "file0")).unwrap(), "file0");
    assert_eq!(fs::read_to_string(below(&mount, "file149")).unwrap(), "file149");
}

#[test]
fn leftovers_and_damage_go() {
    let (dir, snapshots) = open();
    let home = dir.path().join("snapshots");
    let [good, bad] = [layer(&snapshots, &[("a", "1")]), layer(&snapshots, &[("b", "2")])];
    let broken =
        snapshots.unpack_layer(&Digest::of(b"?"), Box::new(Cursor::new(b"no tar".to_vec())));
    assert!(broken.is_err());
    drop(snapshots);
    fs::create_dir_all(home.join("ingest/1-1/diff")).unwrap();
    fs::create_dir_all(home.join("trash/7/diff")).unwrap();
    let name = bad.as_str().replace(':', "-");
    fs::write(home.join("layers").join(name).join("unsynced"), "another boot").unwrap();
    let snapshots = Snapshots::open(&home).unwrap();
    snapshots.settle();
    assert!(snapshots.has_layer(&good) && !snapshots.has_layer(&bad));
    for sub in ["ingest", "trash"] {
        assert_eq!(fs::read_dir(home.join(sub)).unwrap().count(), 0, "{sub}");
    }
    snapshots.sync().unwrap();
    assert!(!snapshots.layer_path(&good).with_file_name("unsynced").exists());
}

#[test]
fn ext4_is_asked_to_spread_layers() {
    let (dir, _snapshots) = open();
    let ingest = fs::File::open(dir.path().join("snapshots/ingest")).unwrap();
    // Also `EXT2_SUPER_MAGIC`.
    let ext4 = rustix::fs::fstatfs(&ingest).unwrap().f_type == 0xef53;
    let flags = rustix::fs::ioctl_getflags(&ingest).unwrap_or(rustix::fs::IFlags::empty());
    assert_eq!(flags.contains(rustix::fs::IFlags::TOPDIR), ext4);
}
