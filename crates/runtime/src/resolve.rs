//! Paths of the container, resolved beneath its root by descriptors.
//!
//! Every path that the image or a volume can influence goes through here: `openat2(2)` with
//! `RESOLVE_IN_ROOT` takes `..` and absolute symbolic links for what they mean inside, and never
//! follows magic links such as `/proc/self/root`. A descriptor that was checked is what is used
//! afterwards, so that a swap in between changes nothing.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Times that a resolution is tried again when a rename elsewhere disturbed it (`EAGAIN`).
const MAX_RETRIES: u32 = 128;
/// Dangling symbolic links followed when a path is made.
const MAX_LINKS: u32 = 40;

/// What is to be at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A directory.
    Directory,
    /// A file of any other kind.
    File,
}

/// Opens a path beneath `root`, following links inside it.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    open_with(root, path, flags, ResolveFlags::empty())
}

/// The same, refusing any symbolic link on the way.
pub(crate) fn open_plain(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    open_with(root, path, flags, ResolveFlags::NO_SYMLINKS)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    extra: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | extra;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..MAX_RETRIES {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The names of a path, with `.` dropped and `..` taken back, as seen from the root.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut names = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => {
                names.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}

/// Opens (`O_PATH`) what a path names, making missing directories and the last name on the way.
pub(crate) fn ensure(root: BorrowedFd<'_>, path: &Path, want: Want) -> Result<OwnedFd, Errno> {
    let mut path = normal(path);
    for _ in 0..MAX_LINKS {
        match open(root, &path, OFlags::PATH) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        match make(root, &path, want)? {
            Made::Done(fd) => return Ok(fd),
            Made::Again(target) => path = target,
        }
    }
    Err(Errno::LOOP)
}

enum Made {
    Done(OwnedFd),
    /// A dangling link was met: this path means the same.
    Again(PathBuf),
}

/// Makes the missing part of `path`, whose names are normal.
fn make(root: BorrowedFd<'_>, path: &Path, want: Want) -> Result<Made, Errno> {
    let names: Vec<_> = path.components().collect();
    let mut at = open(root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
    let mut walked = PathBuf::new();
    for (index, name) in names.iter().enumerate() {
        let parent = walked.clone();
        walked.push(name);
        match open(root, &walked, OFlags::PATH) {
            Ok(fd) => {
                at = fd;
                continue;
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let name: &Path = name.as_ref();
        let last = index + 1 == names.len();
        let made = if last && want == Want::File {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&at, name, flags | OFlags::WRONLY, Mode::from(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(&at, name, Mode::from(0o755))
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                if let Some(target) = link_target(at.as_fd(), name, &parent)? {
                    let rest: PathBuf = names[index + 1..].iter().collect();
                    return Ok(Made::Again(normal(&target.join(rest))));
                }
            }
            Err(errno) => return Err(errno),
        }
        // What was just made is a plain name in a directory that is already open.
        at = open_plain(at.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW)?;
    }
    Ok(Made::Done(at))
}

/// Where a symbolic link in `parent` points, as a path from the root; `None` if it is no link.
fn link_target(at: BorrowedFd<'_>, name: &Path, parent: &Path) -> Result<Option<PathBuf>, Errno> {
    match rustix::fs::readlinkat(at, name, Vec::new()) {
        Ok(target) => {
            // An absolute target replaces the parent: that is what `join` does.
            Ok(Some(Path::new("/").join(parent).join(OsString::from_vec(target.into_bytes()))))
        }
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens the directory that holds the last name of `path`, making missing ones; answers that name.
pub(crate) fn ensure_parent(
    root: BorrowedFd<'_>,
    path: &Path,
) -> Result<(OwnedFd, OsString), Errno> {
    let path = normal(path);
    let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
    let parent = path.parent().unwrap_or(Path::new(""));
    Ok((ensure(root, parent, Want::Directory)?, name))
}

/// Whether a descriptor is of the character device with these numbers.
pub(crate) fn is_char_device(fd: impl AsFd, major: u32, minor: u32) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (major, minor)
    })
}

/// Whether a descriptor is of a directory.
pub(crate) fn is_directory(fd: impl AsFd) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}

/// Opens the host's `/proc` and makes sure that it is one: what is written through it (security
/// labels, scores) must reach the kernel and not a file that somebody has put there.
pub(crate) fn host_proc() -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::openat(CWD, "/proc", flags, Mode::empty())?;
    if rustix::fs::fstatfs(&proc)?.f_type != PROC_MAGIC || !is_mount_root(proc.as_fd())? {
        return Err(Errno::NODEV);
    }
    Ok(proc)
}

/// `f_type` of procfs.
pub(crate) const PROC_MAGIC: rustix::fs::FsWord = 0x9fa0;
/// `f_type` of devpts.
pub(crate) const DEVPTS_MAGIC: rustix::fs::FsWord = 0x1cd1;

/// Whether a descriptor is of the root directory of a mount.
pub(crate) fn is_mount_root(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mask = rustix::fs::StatxFlags::empty();
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, mask)?;
    Ok(stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_climb_out() {
        for (path, want) in
            [("/a/./b", "a/b"), ("../../etc", "etc"), ("/a/../../b", "b"), ("/", ""), ("", "")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(want), "{path}");
        }
    }

    #[test]
    fn links_are_taken_for_what_they_mean_inside() {
        let root = std::env::temp_dir().join(format!("gantry-resolve-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        for (target, link) in [("/etc/passwd", "absolute"), ("../../../up", "relative")] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        let fd = rustix::fs::open(&root, OFlags::PATH, Mode::empty()).unwrap();
        ensure(fd.as_fd(), Path::new("/absolute"), Want::File).unwrap();
        ensure(fd.as_fd(), Path::new("/relative/x/y"), Want::Directory).unwrap();
        let made = (root.join("etc/passwd").is_file(), root.join("up/x/y").is_dir());
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(made, (true, true));
    }
}
