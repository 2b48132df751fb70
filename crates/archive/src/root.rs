//! Paths below a root, by descriptors.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat},
    io::Errno,
};

use crate::ArchiveError;

/// Longest path below a root; what one system call takes.
pub(crate) const PATH_MAX: usize = 4095;
/// How deep a tree is removed before its rest is moved up.
const DEPTH_MAX: usize = 64;

/// Opens a directory to be used as a root.
///
/// # Errors
/// When it is missing or no directory.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens `path` below `root` as a process whose root it is would; nothing leads outside.
///
/// # Errors
/// The kernel's, `EAGAIN` if something below is renamed without end.
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something below was renamed while ".." was resolved.
    for _ in 0..64 {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens a directory that must not be a link.
///
/// # Errors
/// The kernel's: `ENOTDIR` or `ELOOP` for what is none.
pub fn open_dir(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// A name without `.`, `..` and needless slashes, relative to the root; empty is the root.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let text = || String::from_utf8_lossy(name).into_owned();
    let bad = |reason| ArchiveError::BadEntry { name: text(), reason };
    if name.contains(&0) {
        return Err(bad("name has a NUL byte"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or_else(|| ArchiveError::Outside(text()))?),
            part if part.len() > 255 => return Err(bad("file name too long")),
            part => parts.push(part),
        }
    }
    let clean = parts.join(&b'/');
    if clean.len() > PATH_MAX { Err(bad("path too long")) } else { Ok(clean) }
}

/// Directory and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Names in a directory, sorted by bytes.
///
/// # Errors
/// The kernel's.
pub fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !is_dot(entry.file_name()) {
            names.push(entry.file_name().to_bytes().to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Removes a file or a whole tree; a missing one is no error.
///
/// Links are removed, never followed. Trees of any depth are taken: parts that lie too deep are
/// moved up first, so that neither descriptors nor the stack run out.
///
/// # Errors
/// The first error met; the rest of the tree is removed all the same.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let top = match open_dir(parent, name) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut removal = Removal { top: top.as_fd(), moved: 0, first_error: None };
    removal.empty(top.as_fd(), 0);
    // Parts that were moved up lie in the top directory now.
    let mut done = 0;
    while done < removal.moved {
        let moved = moved_name(done);
        if let Ok(dir) = open_dir(top.as_fd(), moved.as_bytes()) {
            removal.empty(dir.as_fd(), 0);
            removal.note(unlinkat(top.as_fd(), moved.as_bytes(), AtFlags::REMOVEDIR));
        }
        done += 1;
    }
    removal.note(unlinkat(parent, name, AtFlags::REMOVEDIR));
    removal.first_error.map_or(Ok(()), |errno| Err(errno.into()))
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    moved: usize,
    first_error: Option<Errno>,
}

fn moved_name(number: usize) -> String {
    format!(".gantry-removing-{number}")
}

impl Removal<'_> {
    fn note(&mut self, result: Result<(), Errno>) {
        if let Err(errno) = result
            && errno != Errno::NOENT
        {
            self.first_error.get_or_insert(errno);
        }
    }

    fn empty(&mut self, dir: BorrowedFd<'_>, depth: usize) {
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(errno) => return self.note(Err(errno)),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return self.note(Err(errno)),
            };
            let name = entry.file_name();
            let moved_here = depth == 0 && name.to_bytes().starts_with(b".gantry-removing-");
            if is_dot(name) || moved_here && self.moved > 0 {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                self.directory(dir, name, depth);
            } else {
                self.note(unlinkat(dir, name, AtFlags::empty()));
            }
        }
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) {
        if unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok() {
            return;
        }
        if depth >= DEPTH_MAX {
            let moved = rustix::fs::renameat(parent, name, self.top, moved_name(self.moved));
            self.moved += usize::from(moved.is_ok());
            return self.note(moved);
        }
        match open_dir(parent, name.to_bytes()) {
            Ok(dir) => self.empty(dir.as_fd(), depth + 1),
            Err(errno) => return self.note(Err(errno)),
        }
        self.note(unlinkat(parent, name, AtFlags::REMOVEDIR));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_names() {
        for (name, want) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/a", Some("a")),
            ("a/../b", Some("b")),
            ("./", Some("")),
            ("..", None),
            ("a/../../b", None),
            ("/..", None),
            ("a\0b", None),
        ] {
            let got = clean(name.as_bytes()).ok();
            assert_eq!(got.as_deref(), want.map(str::as_bytes), "{name}");
        }
        assert!(clean(&b"x".repeat(256)).is_err());
        assert!(clean("x/".repeat(3000).as_bytes()).is_err());
    }

    #[test]
    fn removes_deep_trees() {
        let base = tempfile::tempdir().unwrap();
        let root = open_root(base.path()).unwrap();
        rustix::fs::mkdirat(&root, "deep", Mode::RWXU).unwrap();
        let mut dir = open_dir(root.as_fd(), b"deep").unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
            std::os::unix::fs::symlink(
                "/etc/passwd",
                format!("/proc/self/fd/{}/l", std::os::fd::AsRawFd::as_raw_fd(&dir)),
            )
            .unwrap();
            dir = open_dir(dir.as_fd(), b"d").unwrap();
        }
        remove_tree(root.as_fd(), b"deep").unwrap();
        assert!(names(root.as_fd()).unwrap().is_empty());
        assert!(Path::new("/etc/passwd").exists());
    }
}
