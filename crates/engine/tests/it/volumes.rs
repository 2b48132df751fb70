//! Volumes in containers: mounted while they run, found again, and what goes wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;

use gantry_api_types::host_config::{BindOptions, Mount, VolumeOptions};
use gantry_engine::{Engine, RemoveOptions};
use gantry_volume::CreateVolume;

use crate::bed::{create, host, on_host, run, script};

fn mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

fn volume(engine: &Engine, name: &str, options: &[(&str, &str)]) {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let create = CreateVolume {
        name: Some(name.to_owned()),
        options: Some(options),
        ..CreateVolume::default()
    };
    engine.volumes().create(create).unwrap();
}

fn mount(kind: &str, source: &str, target: &str) -> Mount {
    let (kind, source, target) = (kind.to_owned(), source.to_owned(), target.to_owned());
    Mount { kind, source, target, ..Mount::default() }
}

#[test]
fn a_volume_is_mounted_from_the_first_start_to_the_last_end() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        volume(&engine, "mem", &[("type", "tmpfs"), ("device", "tmpfs")]);
        let path = engine.volumes().mountpoint("mem");
        let ask =
            |text: &str| script(text, |body| host(body).binds = Some(vec!["mem:/data".to_owned()]));
        let first = create(&engine, ask("echo > /data/first; exec sleep 100")).await;
        assert!(!mounted(&path), "nobody runs with it");
        first.start().await.unwrap();
        let (code, out) = run(&engine, ask("while ! ls /data | grep first; do :; done")).await;
        assert_eq!((code, out.as_str()), (0, "first\n"));
        assert!(mounted(&path));
        // Killed: the next daemon counts the one that runs.
        engine.shutdown().await;
        drop((first, engine));
        let engine = bed.engine().await;
        assert!(mounted(&path));
        for container in engine.containers() {
            container.remove(RemoveOptions { force: true, ..Default::default() }).await.unwrap();
        }
        engine.shutdown().await;
        assert!(!mounted(&path));
    });
}

#[test]
fn a_volume_that_cannot_be_mounted_fails_the_start_alone() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        volume(&engine, "mem", &[("type", "tmpfs"), ("device", "tmpfs")]);
        volume(&engine, "none", &[("type", "none"), ("device", "/no/such"), ("o", "bind")]);
        let ask = script("true", |body| {
            host(body).binds = Some(vec!["mem:/a".to_owned(), "none:/b".to_owned()]);
        });
        let container = create(&engine, ask).await;
        let error = gantry_fault::chain(&container.start().await.unwrap_err());
        let path = engine.volumes().mountpoint("none");
        let want = format!(
            "error while mounting volume '{0}': failed to mount local volume: mount /no/such:{0}, flags: 0x1000: no such file or directory",
            path.display()
        );
        assert_eq!(error, want);
        assert!(!mounted(&engine.volumes().mountpoint("mem")), "the other one is released");
        container.remove(RemoveOptions::default()).await.unwrap();
        engine.shutdown().await;
    });
}

#[test]
fn a_volume_too_small_for_the_image_fails_the_creation() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let small = bed.root().join("small");
        fs::create_dir(&small).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("small", &small, "tmpfs", flags, c"size=64k").unwrap();
        let device = small.to_str().unwrap();
        volume(&engine, "small", &[("type", "none"), ("device", device), ("o", "bind")]);
        let before = fs::read_dir(bed.root().join("data/containers")).unwrap().count();
        // The image's /bin has two copies of busybox.
        let refused = engine
            .create(script("true", |body| {
                host(body).binds = Some(vec!["small:/bin".to_owned(), "fresh:/x".to_owned()]);
            }))
            .await;
        let error = gantry_fault::chain(&refused.unwrap_err());
        let path = engine.volumes().mountpoint("small");
        let after = mounted(&path);
        rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH).unwrap();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(!after);
        assert!(engine.volumes().get("fresh").is_err(), "what was made with it is taken back");
        assert_eq!(fs::read_dir(bed.root().join("data/containers")).unwrap().count(), before);
        assert!(engine.containers().is_empty());
        engine.shutdown().await;
    });
}

#[test]
fn a_part_of_a_volume_stays_in_the_volume() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        volume(&engine, "data", &[]);
        let path = engine.volumes().mountpoint("data");
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), "below").unwrap();
        symlink("/a", path.join("inside")).unwrap();
        symlink("../../../../../../etc", path.join("outside")).unwrap();
        let ask = |below: &str| {
            let mut mount = mount("volume", "data", "/x");
            let options = VolumeOptions { subpath: below.to_owned(), ..VolumeOptions::default() };
            mount.volume_options = Some(options);
            script("cat /x/file", |body| host(body).mounts = vec![mount])
        };
        assert_eq!(run(&engine, ask("inside/b")).await, (0, "below".to_owned()));
        for below in ["outside", "nothing"] {
            let container = create(&engine, ask(below)).await;
            let error = container.start().await.unwrap_err().to_string();
            let want = format!(
                "cannot access path {}: no such file or directory",
                path.join(below).display()
            );
            assert_eq!(error, want);
        }
        let left = fs::read_dir(bed.root().join("exec/subpaths"));
        assert_eq!(left.map_or(0, Iterator::count), 0, "its places are taken away");
        engine.shutdown().await;
    });
}

#[test]
fn files_of_another_owner_are_the_containers_own() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let source = bed.root().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("theirs"), "").unwrap();
        fs::write(source.join("roots"), "").unwrap();
        chown(source.join("theirs"), Some(1234), Some(4321)).unwrap();
        chown(&source, Some(1234), Some(4321)).unwrap();
        let look = "cd /x && /bin/busybox stat -c %u:%g theirs roots && echo > new";
        let text = source.display().to_string();
        let bind = script(look, |body| {
            host(body).binds = Some(vec![format!("{text}:/x:idmap=1234:4321")]);
        });
        let (code, out) = run(&engine, bind).await;
        assert_eq!((code, out.as_str()), (0, "0:0\n65534:65534\n"));
        let owner = |path: &Path| {
            let meta = fs::metadata(path).unwrap();
            (meta.uid(), meta.gid())
        };
        assert_eq!(owner(&source.join("new")), (1234, 4321));
        // The user of the container, by the Mounts API.
        let mut wanted = mount("bind", &text, "/x");
        let options = BindOptions { id_map: "1234:4321".into(), ..BindOptions::default() };
        wanted.bind_options = Some(options);
        let as_user = script("/bin/busybox stat -c %u:%g /x/theirs && echo > /x/web", |body| {
            body.config.user = "web".into();
            host(body).mounts = vec![wanted];
        });
        assert_eq!(run(&engine, as_user).await, (0, "33:33\n".to_owned()));
        assert_eq!(owner(&source.join("web")), (1234, 4321));
        // A volume.
        let in_volume = script("echo > /v/file", |body| {
            host(body).binds = Some(vec!["data:/v:idmap=7".to_owned()]);
        });
        let made = create(&engine, in_volume).await;
        chown(engine.volumes().mountpoint("data"), Some(7), Some(7)).unwrap();
        made.start().await.unwrap();
        let _ = made.wait(gantry_engine::WaitCondition::NotRunning).await;
        assert_eq!(owner(&engine.volumes().mountpoint("data").join("file")), (7, 7));
        engine.shutdown().await;
    });
}

#[test]
fn a_source_that_is_gone_at_start_is_named() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let source = bed.root().join("source");
        fs::create_dir(&source).unwrap();
        let text = source.display().to_string();
        let ask = script("true", |body| host(body).mounts = vec![mount("bind", &text, "/x")]);
        let container = create(&engine, ask).await;
        fs::remove_dir(&source).unwrap();
        let error = container.start().await.unwrap_err().to_string();
        let want = format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {text}"
        );
        assert_eq!(error, want);
        assert!(!source.exists());
        engine.shutdown().await;
    });
}
