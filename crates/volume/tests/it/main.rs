//! Volumes on a real file system.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

use std::{fs, os::fd::AsFd, os::unix::fs::MetadataExt, time::Duration};

use gantry_store::Store;
use gantry_volume::{CreateVolume, PluginConfig, Volume, VolumeError, Volumes};

mod content;
mod mounts;
mod plugins;

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn open(&self) -> Volumes {
        let store = Store::open(&self.dir.path().join("store.db")).unwrap();
        let plugins = self.plugins();
        Volumes::open_with(&self.dir.path().join("volumes"), store, plugins).unwrap()
    }

    fn plugins(&self) -> PluginConfig {
        PluginConfig {
            sockets: self.dir.path().join("plugins"),
            specs: vec![self.dir.path().join("specs")],
            activation_limit: Duration::from_millis(500),
            call_limit: Duration::from_millis(500),
            work_limit: Duration::from_millis(500),
        }
    }
}

fn home() -> Home {
    Home { dir: tempfile::tempdir().unwrap() }
}

fn named(name: &str) -> CreateVolume {
    CreateVolume { name: Some(name.to_owned()), ..CreateVolume::default() }
}

fn with_options(name: &str, options: &[(&str, &str)]) -> CreateVolume {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    CreateVolume { options: Some(options), ..named(name) }
}

fn nobody(_: &str) -> Vec<String> {
    Vec::new()
}

#[test]
fn volumes_live_and_die() {
    let home = home();
    let volumes = home.open();
    let labels = Some([("a".to_owned(), "b".to_owned())].into());
    let data = volumes.create(CreateVolume { labels: labels.clone(), ..named("data") }).unwrap();
    assert!(data.is_new);
    let again = volumes.create(with_options("data", &[("foo", "bar")])).unwrap();
    assert!(!again.is_new);
    assert_eq!(again.volume, data.volume, "creating again changes nothing");
    let anonymous = volumes.create(CreateVolume::default()).unwrap().volume;
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    fs::write(volumes.mountpoint("data").join("file"), "12345").unwrap();
    assert_eq!(volumes.usage("data").unwrap(), 5);
    drop(volumes);
    let volumes = home.open();
    assert_eq!(volumes.get("data").unwrap().labels, labels);
    let error = volumes.remove("data", false, &|_| vec!["c1".into(), "c2".into()]).unwrap_err();
    assert_eq!(error.to_string(), "remove data: volume is in use - [c1, c2]");
    let (pruned, freed) = volumes.prune(&|volume| volume.anonymous, &|_| false).unwrap();
    assert_eq!((pruned, freed), (vec![anonymous.name], 0));
    volumes.remove("data", false, &|_| Vec::new()).unwrap();
    assert!(!volumes.mountpoint("data").exists());
    assert_eq!(volumes.get("data").unwrap_err().to_string(), "get data: no such volume");
    assert!(volumes.remove("data", false, &|_| Vec::new()).is_err());
    assert!(volumes.remove("data", true, &|_| Vec::new()).is_ok());
}

#[test]
fn wrong_requests_are_named() {
    let home = home();
    let volumes = home.open();
    let driver = |name: &str| CreateVolume { driver: name.into(), ..named("ab") };
    for (create, want) in [
        (named("a"), "volume name is too short"),
        (named("../x"), "includes invalid characters for a local volume name"),
        (
            driver("nodriver"),
            "create ab: error looking up volume plugin nodriver: plugin \"nodriver\" not found",
        ),
        (driver("../x"), "plugin \"../x\" not found"),
        (with_options("ab", &[("type", "tmpfs")]), "missing required option: \"device\""),
        (with_options("ab", &[("zz", "")]), "invalid option: \"zz\""),
    ] {
        let error = volumes.create(create).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
    assert!(volumes.list().is_empty());
    assert_eq!(fs::read_dir(home.dir.path().join("volumes")).unwrap().count(), 0);
}

#[test]
fn owners_and_modes_are_options() {
    let home = home();
    let volumes = home.open();
    let options = [("uid", "12"), ("gid", "34"), ("mode", "2770")];
    volumes.create(with_options("own", &options)).unwrap();
    let seen = || {
        let meta = fs::metadata(volumes.mountpoint("own")).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(seen(), (12, 34, 0o2770));
    let source = tempfile::tempdir().unwrap();
    let open = gantry_archive::open_root(source.path()).unwrap();
    volumes.copy_up("own", open.as_fd()).unwrap();
    assert_eq!(seen(), (12, 34, 0o2770), "an image's own does not come over it");
}

#[test]
fn prune_leaves_what_has_options() {
    let home = home();
    let volumes = home.open();
    volumes.create(named("plain")).unwrap();
    volumes.create(with_options("own", &[("uid", "0")])).unwrap();
    let (pruned, _) = volumes.prune(&|_| true, &|_| false).unwrap();
    assert_eq!(pruned, ["plain"]);
    assert!(volumes.list().iter().map(|volume: &Volume| &volume.name).eq(["own"]));
}

#[test]
fn data_without_a_record_is_taken_in() {
    let home = home();
    let lost = home.dir.path().join("volumes/lost/_data");
    fs::create_dir_all(&lost).unwrap();
    fs::write(lost.join("file"), "x").unwrap();
    fs::create_dir_all(home.dir.path().join("volumes/.trash-1-1/_data")).unwrap();
    let volumes = home.open();
    assert_eq!(volumes.list().len(), 1);
    assert!(!volumes.get("lost").unwrap().anonymous);
    assert!(volumes.mountpoint("lost").join("file").exists());
}

#[test]
fn images_fill_empty_volumes() {
    let home = home();
    let volumes = home.open();
    let source = home.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "image").unwrap();
    fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o1770)).unwrap();
    let open = gantry_archive::open_root(&source).unwrap();
    volumes.create(named("data")).unwrap();
    volumes.copy_up("data", open.as_fd()).unwrap();
    let target = volumes.mountpoint("data");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o1770);
    fs::write(target.join("file"), "mine").unwrap();
    volumes.copy_up("data", open.as_fd()).unwrap();
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "mine");
    fs::write(home.dir.path().join("volumes/data/filling"), "").unwrap();
    volumes.copy_up("data", open.as_fd()).unwrap();
    assert_eq!(
        fs::read_to_string(target.join("file")).unwrap(),
        "image",
        "an interrupted copy is done again"
    );
    assert!(matches!(volumes.get("other"), Err(VolumeError::NotFound(_))));
}
