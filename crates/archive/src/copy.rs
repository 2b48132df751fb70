//! Copying into and out of a container's root, and whole roots.

use std::{
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, readlinkat, statat,
    },
    io::Errno,
};

use crate::{
    ArchiveError, ExtractOptions, decompress, extract, metadata, pack,
    pack::Packer,
    root::{open_dir, open_in_root},
    walk::{Found, walk},
};

/// What a path inside a root is; Docker's `ContainerPathStat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// The last component.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// `st_mode`.
    pub mode: u32,
    /// Modification time.
    pub mtime: SystemTime,
    /// Where a symbolic link leads, as an absolute path inside the root; else empty.
    pub link_target: String,
}

impl PathStat {
    /// The mode in the bits of Go's `os.FileMode`, as the API has it.
    #[must_use]
    pub fn go_mode(&self) -> u32 {
        let kind = match FileType::from_raw_mode(self.mode) {
            FileType::Directory => 1 << 31,
            FileType::Symlink => 1 << 27,
            FileType::BlockDevice => 1 << 26,
            FileType::Fifo => 1 << 25,
            FileType::Socket => 1 << 24,
            FileType::CharacterDevice => 1 << 26 | 1 << 21,
            _ => 0,
        };
        let bit = |from: u32, to: u32| if self.mode & from != 0 { 1 << to } else { 0 };
        kind | self.mode & 0o777 | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }
}

/// Options of [`copy_in`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyIn {
    /// Refuse to put a file where a directory is, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
}

/// A path inside a root, resolved up to its last component.
struct Spot {
    parent: OwnedFd,
    /// Name in the parent; `.` for a directory that was named by `/` or `/.` at the end.
    name: Vec<u8>,
    /// What an archive of it calls it.
    archive_name: String,
    stat: Stat,
}

impl Spot {
    fn find(root: BorrowedFd<'_>, path: &str) -> Result<Self, ArchiveError> {
        let failed = |errno: Errno| ArchiveError::path(path, errno);
        if path.contains('\0') {
            return Err(failed(Errno::INVAL));
        }
        let trimmed = path.trim_end_matches('/');
        let last = trimmed.rsplit('/').next().unwrap_or_default();
        let follow = path.ends_with('/') || matches!(last, "" | "." | "..");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let (parent, name) = if follow {
            (open_in_root(root, path.as_bytes(), flags).map_err(failed)?, ".")
        } else {
            let above = &trimmed[..trimmed.len() - last.len()];
            (open_in_root(root, above.as_bytes(), flags).map_err(failed)?, last)
        };
        let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let archive_name = match last {
            "" => "/",
            ".." => ".",
            last => last,
        };
        Ok(Self {
            parent,
            name: name.as_bytes().to_vec(),
            archive_name: archive_name.to_owned(),
            stat,
        })
    }

    fn path_stat(&self, root: BorrowedFd<'_>, path: &str) -> Result<PathStat, ArchiveError> {
        let mtime = u64::try_from(self.stat.st_mtime).unwrap_or_default();
        let nanos = u32::try_from(self.stat.st_mtime_nsec).unwrap_or_default();
        let mut found = PathStat {
            name: self.archive_name.clone(),
            size_bytes: u64::try_from(self.stat.st_size).unwrap_or_default(),
            mode: self.stat.st_mode,
            mtime: SystemTime::UNIX_EPOCH + Duration::new(mtime, nanos),
            link_target: String::new(),
        };
        if FileType::from_raw_mode(self.stat.st_mode) == FileType::Symlink {
            found.link_target = self.link_target(root, path)?;
        }
        Ok(found)
    }

    /// Where the link leads in the end if that exists, else what it says.
    fn link_target(&self, root: BorrowedFd<'_>, path: &str) -> Result<String, ArchiveError> {
        if let Ok(end) = open_in_root(root, path.as_bytes(), OFlags::PATH)
            && let (Ok(end), Ok(root)) = (proc_path(end.as_fd()), proc_path(root))
            && let Some(inside) = end.strip_prefix(root.trim_end_matches('/'))
            && (inside.is_empty() || inside.starts_with('/'))
        {
            return Ok(if inside.is_empty() { "/".to_owned() } else { inside.to_owned() });
        }
        let target = readlinkat(&self.parent, self.name.as_slice(), Vec::new())
            .map_err(|errno| ArchiveError::path(path, errno))?;
        let target = target.to_string_lossy().into_owned();
        if target.starts_with('/') {
            return Ok(target);
        }
        let above = &path[..path.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1)];
        Ok(lexical(&format!("/{above}{target}")))
    }
}

fn proc_path(fd: BorrowedFd<'_>) -> Result<String, Errno> {
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    Ok(rustix::fs::readlink(link, Vec::new())?.to_string_lossy().into_owned())
}

fn lexical(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Looks at `path` inside `root`; a link at its end is not followed, but with `/` or `/.` behind it.
///
/// # Errors
/// [`ArchiveError::NoSuchPath`] when there is nothing.
pub fn stat(root: BorrowedFd<'_>, path: &str) -> Result<PathStat, ArchiveError> {
    Spot::find(root, path)?.path_stat(root, path)
}

/// Writes `path` inside `root` as a tar whose top name is the last component.
///
/// # Errors
/// [`ArchiveError::NoSuchPath`] when there is nothing, else as [`pack`](crate::pack()).
pub fn copy_out(
    root: BorrowedFd<'_>,
    path: &str,
    out: &mut dyn Write,
) -> Result<PathStat, ArchiveError> {
    let spot = Spot::find(root, path)?;
    let answer = spot.path_stat(root, path)?;
    let top = spot.archive_name.trim_matches('/').as_bytes();
    let prefix = if top.is_empty() { Vec::new() } else { [top, b"/"].concat() };
    let mut packer = Packer::new(out, b"", false);
    let failed = |errno| ArchiveError::path(path, errno);
    let is_directory = FileType::from_raw_mode(spot.stat.st_mode) == FileType::Directory;
    let dir = is_directory
        .then(|| open_dir(spot.parent.as_fd(), &spot.name))
        .transpose()
        .map_err(failed)?;
    let own = if top.is_empty() { b"." } else { top };
    let parent = spot.parent.as_fd();
    let dir = dir.as_ref().map(AsFd::as_fd);
    packer.found(&Found { parent, name: &spot.name, path: own, stat: spot.stat, dir })?;
    if let Some(dir) = dir {
        walk(dir, &mut |found| {
            let path = [&prefix, found.path].concat();
            packer.found(&Found { path: &path, ..*found })
        })?;
    }
    packer.finish()?;
    Ok(answer)
}

/// Extracts a tar of any compression into the directory `path` inside `root`.
///
/// # Errors
/// [`ArchiveError::NoSuchPath`] or [`ArchiveError::NotADirectory`] for a wrong `path`, else as
/// [`extract`](crate::extract()).
pub fn copy_in(
    root: BorrowedFd<'_>,
    path: &str,
    tar: Box<dyn Read + Send>,
    options: CopyIn,
) -> Result<(), ArchiveError> {
    let target = match open_in_root(root, path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOTDIR) => return Err(ArchiveError::NotADirectory { path: path.to_owned() }),
        result => result.map_err(|errno| ArchiveError::path(path, errno))?,
    };
    let (mut tar, _) = decompress(tar)?;
    let options = ExtractOptions {
        no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
        owner: options.owner,
        ..ExtractOptions::plain()
    };
    extract(&mut tar, target.as_fd(), &options).map(drop)
}

/// Writes all of `root` as a tar; `docker export`.
///
/// # Errors
/// As [`pack`](crate::pack()).
pub fn export(root: BorrowedFd<'_>, out: &mut dyn Write) -> Result<(), ArchiveError> {
    pack(root, b"", out)
}

/// Copies what is in one directory into another, with all metadata, and the directory's own.
///
/// # Errors
/// When something cannot be read or made.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), ArchiveError> {
    let (mut reader, mut writer) = std::io::pipe().map_err(ArchiveError::Write)?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || pack(from, b"", &mut writer));
        let extracted = extract(&mut reader, to, &ExtractOptions::plain());
        // Closed first, so that a failed extraction ends the packing too.
        drop(reader);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (extracted, packed) {
            // The reader's end is not the cause when the writer failed.
            (Err(ArchiveError::Read(_)), Err(error)) => Err(error),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(())) => Ok(()),
        }
    })?;
    copy_own_metadata(from, to).map_err(|errno| ArchiveError::pack(".", errno))
}

fn copy_own_metadata(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(from)?;
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    metadata::write(to, &metadata::read(from)?)?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_modes() {
        let stat = |mode| PathStat {
            name: String::new(),
            size_bytes: 0,
            mode,
            mtime: SystemTime::UNIX_EPOCH,
            link_target: String::new(),
        };
        for (mode, want) in [
            (0o100_644, 0o644),
            (0o040_755, 0x8000_01ed),
            (0o120_777, 0x0800_01ff),
            (0o041_777, 0x8010_01ff),
            (0o104_755, 0x0080_01ed),
            (0o020_620, 0x0420_0190),
        ] {
            assert_eq!(stat(mode).go_mode(), want, "{mode:o}");
        }
    }
}
