//! Backup, restore, clone.

use super::*;
use gantry_archive::Compression;
use std::os::unix::fs::{PermissionsExt, symlink};

fn filled(volumes: &Volumes, name: &str) {
    volumes.create(named(name)).unwrap();
    let path = volumes.mountpoint(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1750)).unwrap();
    fs::write(path.join("file"), "content").unwrap();
    fs::hard_link(path.join("file"), path.join("same")).unwrap();
    symlink("file", path.join("link")).unwrap();
    let sparse = fs::File::create(path.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
}

fn check(volumes: &Volumes, name: &str) {
    let path = volumes.mountpoint(name);
    let meta = |file: &str| fs::symlink_metadata(path.join(file)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o1750, "{name}");
    assert_eq!(fs::read_to_string(path.join("link")).unwrap(), "content");
    assert_eq!(meta("file").ino(), meta("same").ino(), "{name}: hard links stay");
    assert!(meta("link").is_symlink());
    assert_eq!(meta("sparse").len(), 8 << 20);
    assert!(meta("sparse").blocks() < 64, "{name}: holes stay");
}

#[test]
fn a_backup_is_restored_as_it_was() {
    let home = home();
    let volumes = home.open();
    filled(&volumes, "data");
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Zstd,
        Compression::Xz,
        Compression::Bzip2,
    ] {
        let mut tar = Vec::new();
        volumes.backup("data", compression, &mut tar).unwrap();
        assert_eq!(Compression::detect(&tar), compression);
        let name = format!("copy-{compression:?}");
        volumes.create(named(&name)).unwrap();
        let reader = || Box::new(std::io::Cursor::new(tar.clone()));
        volumes.restore(&name, false, reader(), &nobody).unwrap();
        check(&volumes, &name);
        let error = volumes.restore(&name, false, reader(), &nobody).unwrap_err();
        assert_eq!(error.to_string(), format!("restore {name}: volume is not empty"));
        fs::write(volumes.mountpoint(&name).join("more"), "").unwrap();
        let error = volumes.restore(&name, true, reader(), &|_| vec!["c1".into()]).unwrap_err();
        assert!(error.to_string().contains("volume is in use - [c1]"), "{error}");
        volumes.restore(&name, true, reader(), &nobody).unwrap();
        check(&volumes, &name);
        assert!(!volumes.mountpoint(&name).join("more").exists());
    }
}

#[test]
fn a_broken_archive_leaves_an_empty_volume() {
    let home = home();
    let volumes = home.open();
    filled(&volumes, "data");
    volumes.create(named("copy")).unwrap();
    let mut tar = Vec::new();
    volumes.backup("data", Compression::None, &mut tar).unwrap();
    tar.truncate(2000);
    let broken = Box::new(std::io::Cursor::new(tar));
    assert!(volumes.restore("copy", false, broken, &nobody).is_err());
    assert_eq!(fs::read_dir(volumes.mountpoint("copy")).unwrap().count(), 0);
}

#[test]
fn a_clone_is_a_volume_of_its_own() {
    let home = home();
    let volumes = home.open();
    filled(&volumes, "data");
    volumes.duplicate("data", "copy").unwrap();
    check(&volumes, "copy");
    fs::write(volumes.mountpoint("copy").join("file"), "changed").unwrap();
    check(&volumes, "data");
    let error = volumes.duplicate("data", "copy").unwrap_err();
    assert_eq!(error.to_string(), "create copy: volume already exists");
    assert!(matches!(volumes.duplicate("none", "other"), Err(VolumeError::NotFound(_))));
}
