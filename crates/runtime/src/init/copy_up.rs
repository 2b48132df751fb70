//! `tmpcopyup`: a tmpfs that starts with the files it covers.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid};
use rustix::io::Errno;

/// Directories below directories that are followed: a limit for images made to hurt.
const MAX_DEPTH: u32 = 256;

/// Copies everything below `from` to `to`: kinds, modes, owners, times. No link is followed.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    copy_directory(from, to, MAX_DEPTH)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::LOOP);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(from, c".", flags, Mode::empty())?;
    for entry in Dir::read_from(&from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: u32,
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
            let target = rustix::fs::openat(to, name, flags, Mode::empty())?;
            copy_directory(source.as_fd(), target.as_fd(), depth - 1)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(target.as_c_str(), to, name)?;
        }
        FileType::RegularFile => copy_file(from, to, name, mode)?,
        kind => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    finish(to, name, &stat, kind)
}

fn copy_file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    mode: Mode,
) -> Result<(), Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let target = rustix::fs::openat(to, name, flags, mode)?;
    while rustix::fs::sendfile(&target, &source, None, 1 << 30)? > 0 {}
    Ok(())
}

fn finish(to: BorrowedFd<'_>, name: &CStr, stat: &Stat, kind: FileType) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(to, name, Some(uid), Some(gid), flags)?;
    if kind != FileType::Symlink {
        // A change of owner takes the set-user-id bit away.
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    let time = |seconds, nanoseconds: u64| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::utimensat(to, name, &times, flags)
}
