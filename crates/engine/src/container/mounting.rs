//! The host side of a container's mounts: made ready before a start, released after the end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_fault::chain;
use gantry_volume::VolumeError;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::StartError;
use crate::engine::Inner;
use crate::error::Invalid;
use crate::record::{ContainerRecord, MountKind, MountRecord};

/// Mounts with the host path of each.
pub(crate) type Sources = Vec<(MountRecord, PathBuf)>;

/// Finds the host path of each mount: makes missing sources of `-v`, mounts volumes. What is
/// mounted is released again when something fails.
pub(super) async fn ready(
    engine: &Arc<Inner>,
    record: &Arc<ContainerRecord>,
) -> Result<Sources, StartError> {
    let volumes = &engine.parts.volumes;
    let waits = |mount: &MountRecord| {
        mount.kind == MountKind::Volume
            && (!mount.subpath.is_empty() || volumes.is_mounted_on_use(&mount.source))
    };
    if !record.mounts.iter().any(waits) {
        return sources(engine, record);
    }
    // What is mounted may be a server's, or a plugin's that takes its time.
    let (engine, record) = (Arc::clone(engine), Arc::clone(record));
    let found = tokio::task::spawn_blocking(move || {
        let found = sources(&engine, &record);
        if found.is_err() {
            release(&engine, &record);
        }
        found
    });
    found.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Unmounts the volumes that a run had; those that others use stay. Blocks.
pub(crate) fn release(engine: &Inner, record: &ContainerRecord) {
    release_subpaths(engine, record);
    let volumes = &engine.parts.volumes;
    let mut names: Vec<&str> = record.volumes().map(|mount| mount.source.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if volumes.is_mounted_on_use(name)
            && let Err(error) = volumes.unmount(name, &record.id)
        {
            tracing::error!(id = record.id, error = chain(&error), "unmounting volume {name}");
        }
    }
}

/// The same, off the reactor when it may block.
pub(crate) async fn release_behind(engine: &Arc<Inner>, record: &Arc<ContainerRecord>) {
    let volumes = &engine.parts.volumes;
    let waits = record
        .volumes()
        .any(|mount| !mount.subpath.is_empty() || volumes.is_mounted_on_use(&mount.source));
    if waits {
        let (engine, record) = (Arc::clone(engine), Arc::clone(record));
        // A panic in it was logged by the runtime.
        let _ = tokio::task::spawn_blocking(move || release(&engine, &record)).await;
    }
}

fn sources(engine: &Inner, record: &ContainerRecord) -> Result<Sources, StartError> {
    let mut sources = Sources::with_capacity(record.mounts.len());
    for (number, mount) in record.mounts.iter().enumerate() {
        let mut mount = mount.clone();
        let source = match mount.kind {
            MountKind::Tmpfs => PathBuf::new(),
            MountKind::Bind => {
                let source = bind(&mount)?;
                propagate(&mut mount, &source, &engine.config.data_root)?;
                source
            }
            MountKind::Volume => volume(engine, record, &mount, number)?,
        };
        sources.push((mount, source));
    }
    Ok(sources)
}

fn bind(mount: &MountRecord) -> Result<PathBuf, StartError> {
    let path = PathBuf::from(&mount.source);
    if path.symlink_metadata().is_ok() {
        return Ok(path);
    }
    if !mount.create_source {
        return Err(Invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            mount.source
        ))
        .into());
    }
    let failed = |source| StartError::File { step: "creating", path: path.clone(), source };
    fs::create_dir_all(&path).map_err(failed)?;
    Ok(path)
}

fn volume(
    engine: &Inner,
    record: &ContainerRecord,
    mount: &MountRecord,
    number: usize,
) -> Result<PathBuf, StartError> {
    let volumes = &engine.parts.volumes;
    let path = volumes.mount(&mount.source, &record.id).map_err(|source| match source {
        VolumeError::Mount(_) | VolumeError::PluginMount(_) => {
            StartError::VolumeMount { path: volumes.mountpoint(&mount.source), source }
        }
        source => StartError::Volume(source),
    })?;
    if mount.subpath.is_empty() {
        return Ok(path);
    }
    let at = subpath_dir(engine, &record.id).join(number.to_string());
    bind_subpath(&path, &mount.subpath, &at).map_err(|cause| StartError::Subpath {
        path: path.join(&mount.subpath),
        why: plain(&cause),
    })?;
    Ok(at)
}

/// Where parts of volumes, and mounts of steps, are bound while a container or step starts.
fn subpath_dir(engine: &Inner, id: &str) -> PathBuf {
    engine.config.exec_root.join("subpaths").join(id)
}

/// Binds a part of a volume to a place of ours. Its name is resolved inside the volume once, and
/// never again: a container that has the volume could swap a link in between.
fn bind_subpath(volume: &Path, below: &str, at: &Path) -> io::Result<()> {
    let root = fs::File::open(volume)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found: OwnedFd = rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve)?;
    let flags = COPY | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(&found, "", flags)?;
    attach(tree, at)
}

/// A detached copy of what a descriptor is of.
const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// Binds what a descriptor is of to a place of ours; `number` tells the places of one id apart.
///
/// # Errors
/// The kernel's.
pub(crate) fn bind_descriptor(
    engine: &Inner,
    id: &str,
    number: usize,
    found: OwnedFd,
) -> io::Result<PathBuf> {
    let at = subpath_dir(engine, id).join(number.to_string());
    let tree = match rustix::mount::open_tree(&found, "", COPY) {
        // Before Linux 6.15 what is attached nowhere cannot be copied: it is attached itself.
        Err(rustix::io::Errno::INVAL) => found,
        tree => tree?,
    };
    // It is to be as the container's root, whatever the file system that it is on is mounted with.
    let clear = gantry_sys::mount::NOEXEC | gantry_sys::mount::NOSUID | gantry_sys::mount::NODEV;
    let change = gantry_sys::mount::Change { clear, ..Default::default() };
    gantry_sys::mount::change(tree.as_fd(), change, false)?;
    attach(tree, &at)?;
    Ok(at)
}

/// Attaches a detached mount to a place of ours, which is made.
fn attach(tree: OwnedFd, at: &Path) -> io::Result<()> {
    if let Some(parent) = at.parent() {
        // What is mounted there is for nobody else on the host.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let stat = rustix::fs::fstat(&tree)?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => fs::create_dir(at)?,
        _ => drop(fs::File::create_new(at)?),
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree.as_fd(), "", rustix::fs::CWD, at, flags)?)
}

/// Takes the parts away again: the container has its own mounts of them.
pub(crate) fn release_subpaths(engine: &Inner, record: &ContainerRecord) {
    if record.volumes().any(|mount| !mount.subpath.is_empty()) {
        remove_subpaths(engine, &record.id);
    }
}

/// Takes away what is bound for a container or step.
pub(crate) fn remove_subpaths(engine: &Inner, id: &str) {
    let dir = subpath_dir(engine, id);
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        let path = entry.path();
        // One that was not mounted yet is as good.
        let _ = rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        let _ = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => fs::remove_dir(&path),
            false => fs::remove_file(&path),
        };
    }
    let _ = fs::remove_dir(&dir);
}

/// Takes away the parts that an earlier daemon left.
pub(crate) fn release_all_subpaths(engine: &Inner) {
    let dir = engine.config.exec_root.join("subpaths");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        remove_subpaths(engine, &entry.file_name().to_string_lossy());
    }
}

/// Checks that the host's mount can give what a mount's propagation asks for.
fn propagate(mount: &mut MountRecord, source: &Path, data_root: &Path) -> Result<(), StartError> {
    let slave = match mount.propagation.as_str() {
        "shared" | "rshared" => false,
        "slave" | "rslave" => true,
        _ => return Ok(()),
    };
    let failed =
        |cause| StartError::File { step: "resolving", path: source.to_owned(), source: cause };
    let real = source.canonicalize().map_err(failed)?;
    let table = fs::read("/proc/self/mountinfo").map_err(failed)?;
    let Some(holder) = holder(&table, &real) else { return Ok(()) };
    if holder.shared || (slave && holder.slave) {
        return Ok(());
    }
    // We may have asked for it ourselves: such a bind comes up all the same.
    if slave && (source.starts_with(data_root) || data_root.starts_with(source)) {
        mount.propagation.clear();
        return Ok(());
    }
    let what = if slave { "shared or slave" } else { "shared" };
    Err(Invalid(format!(
        "path {} is mounted on {} but it is not a {what} mount",
        source.display(),
        holder.point.display()
    ))
    .into())
}

/// A mount of the host.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    point: PathBuf,
    shared: bool,
    slave: bool,
}

/// The mount that a path is on: `proc_pid_mountinfo(5)`, fifth column and optional fields. Of
/// several at one place the last one is seen.
fn holder(table: &[u8], path: &Path) -> Option<Holder> {
    let mut best: Option<Holder> = None;
    for line in table.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let Some(point) = fields.nth(4) else { continue };
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        let longest = best.as_ref().map_or(0, |best| best.point.as_os_str().len());
        if !path.starts_with(&point) || point.as_os_str().len() < longest {
            continue;
        }
        let optional: Vec<&[u8]> = fields.skip(1).take_while(|field| *field != b"-").collect();
        let has = |prefix: &[u8]| optional.iter().any(|field| field.starts_with(prefix));
        best = Some(Holder { point, shared: has(b"shared:"), slave: has(b"master:") });
    }
    best
}

/// Blanks in a mount point are written as octal numbers.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let octal = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &behind[3..] } else { behind };
    }
    plain
}

/// The kernel's words in lower case and without a number, as Docker has them.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_path_is_found() {
        let table = b"1 0 0:1 / / rw - ext4 x rw\n\
            2 1 0:2 / /a\\040b rw shared:5 - tmpfs x rw\n\
            3 2 0:3 / /a\\040b/c rw master:5 - tmpfs x rw\n";
        for (path, point, shared, slave) in [
            ("/x", "/", false, false),
            ("/a b", "/a b", true, false),
            ("/a b/d", "/a b", true, false),
            ("/a b/c/d", "/a b/c", false, true),
        ] {
            let want = Holder { point: point.into(), shared, slave };
            assert_eq!(holder(table, Path::new(path)), Some(want), "{path}");
        }
    }
}
