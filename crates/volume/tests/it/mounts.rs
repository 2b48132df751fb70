//! Local volumes whose options mount something. These need root.

use super::*;
use std::path::Path;

/// Whether something is mounted at a path, by the kernel's word.
fn mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.canonicalize().unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn tmpfs(name: &str) -> CreateVolume {
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=5,mode=750")];
    with_options(name, &options)
}

#[test]
fn a_device_is_there_from_the_first_user_to_the_last() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    volumes.create(tmpfs("mem")).unwrap();
    assert!(volumes.is_mounted_on_use("mem"));
    let path = volumes.mount("mem", "one").unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (5, 0o750));
    volumes.mount("mem", "one").unwrap();
    volumes.mount("mem", "two").unwrap();
    fs::write(path.join("file"), "x").unwrap();
    volumes.unmount("mem", "one").unwrap();
    assert!(mounted(&path) && path.join("file").exists(), "the second one still has it");
    let held = volumes.hold("mem").unwrap();
    volumes.unmount("mem", "two").unwrap();
    assert!(mounted(&path));
    drop(held);
    assert!(!mounted(&path));
    volumes.unmount("mem", "two").unwrap();
}

#[test]
fn the_next_daemon_finds_mounts_again() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    for name in ["used", "left"] {
        volumes.create(tmpfs(name)).unwrap();
        volumes.mount(name, "one").unwrap();
    }
    // Killed: nothing is unmounted.
    drop(volumes);
    let volumes = home.open();
    volumes.adopt_user("used", "one");
    volumes.settle();
    assert!(mounted(&volumes.mountpoint("used")));
    assert!(!mounted(&volumes.mountpoint("left")));
    volumes.unmount("used", "one").unwrap();
    assert!(!mounted(&volumes.mountpoint("used")));
}

#[test]
fn what_is_mounted_is_never_deleted() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    let host = home.dir.path().join("host");
    fs::create_dir_all(host.join("below")).unwrap();
    fs::write(host.join("below/precious"), "x").unwrap();
    let device = host.to_str().unwrap();
    let options = [("type", "none"), ("device", device), ("o", "bind,ro")];
    volumes.create(with_options("host", &options)).unwrap();
    let path = volumes.mount("host", "one").unwrap();
    assert!(path.join("below/precious").exists());
    let error = fs::write(path.join("below/new"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    volumes.remove("host", false, &nobody).unwrap();
    assert!(!mounted(home.dir.path()) && host.join("below/precious").exists());
    assert!(volumes.list().is_empty());
}

#[test]
fn a_mount_below_a_volume_survives_its_unmounting() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    let host = home.dir.path().join("host");
    fs::create_dir_all(host.join("below")).unwrap();
    let call = |source: &Path, target: &Path, flags| {
        rustix::mount::mount(source, target, "none", flags, c"").unwrap();
    };
    call(&host, &host, rustix::mount::MountFlags::BIND);
    rustix::mount::mount_change(&host, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    rustix::mount::mount("x", host.join("below"), "tmpfs", rustix::mount::MountFlags::empty(), c"")
        .unwrap();
    let options = [("type", "none"), ("device", host.to_str().unwrap()), ("o", "rbind")];
    volumes.create(with_options("host", &options)).unwrap();
    let path = volumes.mount("host", "one").unwrap();
    assert!(mounted(&path.join("below")));
    volumes.unmount("host", "one").unwrap();
    assert!(!mounted(&path));
    let stays = mounted(&host.join("below"));
    for path in [host.join("below"), host] {
        let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
    }
    assert!(stays, "the host's own mount went with the volume's");
}

#[test]
fn a_failed_mount_says_why_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    let none = [("type", "none"), ("device", "/does/not/exist"), ("o", "bind")];
    volumes.create(with_options("none", &none)).unwrap();
    let path = volumes.mountpoint("none").canonicalize().unwrap();
    let error = volumes.mount("none", "one").unwrap_err();
    let want = format!(
        "failed to mount local volume: mount /does/not/exist:{}, flags: 0x1000: no such file or directory",
        path.display()
    );
    assert_eq!(error.to_string(), want);
    let odd = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "bogus=1")];
    volumes.create(with_options("odd", &odd)).unwrap();
    let error = volumes.mount("odd", "one").unwrap_err();
    assert!(error.to_string().ends_with(", data: bogus=1: invalid argument"), "{error}");
    assert!(!mounted(&path) && !mounted(&volumes.mountpoint("odd")));
}

#[test]
fn a_size_is_a_tmpfs_own_limit_and_needs_quota_elsewhere() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("size", "64k"), ("mode", "700")];
    volumes.create(with_options("mem", &options)).unwrap();
    let held = volumes.hold("mem").unwrap();
    assert_eq!(fs::metadata(held.path()).unwrap().mode() & 0o777, 0o700);
    let error = fs::write(held.path().join("big"), vec![0; 128 << 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let open = gantry_archive::open_root(home.dir.path()).unwrap();
    if gantry_sys::quota::enforces_projects(open.as_fd()) {
        let made = volumes.create(with_options("disk", &[("size", "64k")])).unwrap().volume;
        assert!(made.project.is_some());
        let big = volumes.mountpoint("disk").join("big");
        assert!(fs::write(big, vec![0; 128 << 10]).is_err());
        volumes.remove("disk", false, &nobody).unwrap();
    } else {
        let error = volumes.create(with_options("disk", &[("size", "64k")])).unwrap_err();
        let words = "create disk: quota size requested but no quota support: mount the file system";
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(volumes.get("disk").is_err() && !volumes.mountpoint("disk").exists());
    }
}

#[test]
fn a_full_volume_is_an_error_of_its_own() {
    if !is_root() {
        return;
    }
    let home = home();
    let volumes = home.open();
    let small = home.dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("small", &small, "tmpfs", flags, c"size=64k").unwrap();
    let options = [("type", "none"), ("device", small.to_str().unwrap()), ("o", "bind")];
    volumes.create(with_options("small", &options)).unwrap();
    let image = home.dir.path().join("image");
    fs::create_dir(&image).unwrap();
    fs::write(image.join("big"), vec![1; 1 << 20]).unwrap();
    let open = gantry_archive::open_root(&image).unwrap();
    let error = volumes.copy_up("small", open.as_fd()).unwrap_err();
    let after = mounted(&volumes.mountpoint("small"));
    rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH).unwrap();
    let text = gantry_fault::chain(&error);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(!after, "it was unmounted all the same");
}
