//! What an upper directory changes against the layers below it; `docker diff`.
//!
//! Upper and lower directories are walked side by side by descriptors, as overlayfs merges them: a
//! whiteout, a file or an opaque directory ends the search through the lower layers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Stat, fstat, statat},
    io::Errno,
};

use crate::{
    ArchiveError,
    extract::is_whiteout,
    metadata,
    root::{names, open_dir},
};

/// How deep directories may be nested.
const DEPTH_MAX: usize = 256;

/// What happened to a path; the numbers are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Modified.
    Modified = 0,
    /// Added.
    Added = 1,
    /// Deleted.
    Deleted = 2,
}

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute path inside the container.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// Lists what `upper` changes against `lowers` (top first), parents before children.
///
/// A directory is listed as modified if its own metadata differs or something in it is listed.
///
/// # Errors
/// When a directory cannot be read.
pub fn changes(upper: BorrowedFd<'_>, lowers: &[OwnedFd]) -> Result<Vec<Change>, ArchiveError> {
    let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
    let mut found = Vec::new();
    directory(upper, &lowers, false, "", 0, &mut found)?;
    Ok(found)
}

fn directory(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    opaque: bool,
    path: &str,
    depth: usize,
    found: &mut Vec<Change>,
) -> Result<(), ArchiveError> {
    let failed = |errno| ArchiveError::pack(path, errno);
    if depth > DEPTH_MAX {
        return Err(failed(Errno::NAMETOOLONG));
    }
    let upper_names = names(upper).map_err(failed)?;
    let mut all: Vec<(Vec<u8>, bool)> = upper_names.into_iter().map(|name| (name, true)).collect();
    if opaque {
        // Recreated: what the layers below have and it has not is gone.
        for name in merged_names(lowers).map_err(failed)? {
            if !all.iter().any(|(own, _)| *own == name) {
                all.push((name, false));
            }
        }
        all.sort_unstable();
    }
    for (name, present) in all {
        let path = format!("{path}/{}", String::from_utf8_lossy(&name));
        if present {
            entry(upper, lowers, &name, &path, depth, found)?;
        } else {
            found.push(Change { path, kind: ChangeKind::Deleted });
        }
    }
    Ok(())
}

fn entry(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    name: &[u8],
    path: &str,
    depth: usize,
    found: &mut Vec<Change>,
) -> Result<(), ArchiveError> {
    let failed = |errno| ArchiveError::pack(path, errno);
    let stat = match statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        result => result.map_err(failed)?,
    };
    let mut change = |kind| found.push(Change { path: path.to_owned(), kind });
    let below = Below::find(lowers, name).map_err(failed)?;
    if is_whiteout(&stat) {
        if below.stat.is_some() {
            change(ChangeKind::Deleted);
        }
        return Ok(());
    }
    let kind = if below.stat.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        change(kind);
        return Ok(());
    }
    let dir = match open_dir(upper, name) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        result => result.map_err(failed)?,
    };
    let opaque = metadata::is_opaque(dir.as_fd());
    let at = found.len();
    found.push(Change { path: path.to_owned(), kind });
    let lowers: Vec<BorrowedFd<'_>> = below.dirs.iter().map(AsFd::as_fd).collect();
    directory(dir.as_fd(), &lowers, opaque, path, depth + 1, found)?;
    let untouched = below.stat.is_some_and(|below| same_directory(&stat, &below));
    if untouched && !opaque && found.len() == at + 1 {
        found.truncate(at);
    }
    Ok(())
}

fn same_directory(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid, a.st_mtime, a.st_mtime_nsec)
        == (b.st_mode, b.st_uid, b.st_gid, b.st_mtime, b.st_mtime_nsec)
}

/// What the layers below have under a name.
struct Below {
    stat: Option<Stat>,
    /// The directories that are merged there.
    dirs: Vec<OwnedFd>,
}

impl Below {
    fn find(lowers: &[BorrowedFd<'_>], name: &[u8]) -> Result<Self, Errno> {
        let mut below = Self { stat: None, dirs: Vec::new() };
        for lower in lowers {
            let stat = match statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                result => result?,
            };
            if is_whiteout(&stat) {
                break;
            }
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if !is_directory && below.stat.is_some() {
                break;
            }
            below.stat.get_or_insert(stat);
            if !is_directory {
                break;
            }
            let dir = open_dir(*lower, name)?;
            let opaque = metadata::is_opaque(dir.as_fd());
            below.dirs.push(dir);
            if opaque {
                break;
            }
        }
        Ok(below)
    }
}

/// All names that a merged directory shows.
fn merged_names(lowers: &[BorrowedFd<'_>]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut all = Vec::new();
    for lower in lowers {
        fstat(lower)?;
        all.append(&mut names(*lower)?);
    }
    all.sort_unstable();
    all.dedup();
    let visible =
        |name: &Vec<u8>| Below::find(lowers, name).is_ok_and(|below| below.stat.is_some());
    all.retain(visible);
    Ok(all)
}
