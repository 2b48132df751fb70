//! Looking at one directory.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use base64::Engine as _;
use gantry_build_proto::{Entry, EntryKind};
use gantry_dockerfile::Matched;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, lgetxattr, llistxattr, readlinkat, statat};
use rustix::io::Errno;

use super::{Tree, failed, hash, join};
use crate::build::hidden::Sight;

/// Longest list of names of extended attributes that the kernel gives (`XATTR_LIST_MAX`).
const XATTR_LIST_MAX: usize = 64 << 10;
/// Longest value of an extended attribute (`XATTR_SIZE_MAX`).
const XATTR_VALUE_MAX: usize = 64 << 10;
/// Extended attributes that are offered.
const CAPABILITY: &str = "security.capability";
const USER: &str = "user.";

/// A directory's own entries. Directories in it have no hash yet.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) path: String,
    pub(super) entries: Vec<Entry>,
    /// Names of directories that are hidden, but may hold what is not.
    pub(super) half_hidden: Vec<String>,
    /// It is one of those itself.
    pub(super) only_if_filled: bool,
}

/// Buffers that are used again for each entry.
pub(super) struct Buffers {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { names: vec![0; XATTR_LIST_MAX], value: vec![0; XATTR_VALUE_MAX] }
    }
}

/// Looks at a directory.
pub(super) fn scan(tree: &Tree, path: &str, buffers: &mut Buffers) -> Result<Scanned, String> {
    let directory = tree
        .open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|errno| failed("open", path, errno))?;
    let read = |errno| failed("read", path, errno);
    let mut scanned = Scanned { path: path.to_owned(), ..Scanned::default() };
    let known = tree.hidden.enter(path);
    let mut list = Dir::read_from(&directory).map_err(read)?;
    while let Some(found) = list.read() {
        let found = found.map_err(read)?;
        let name = found.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            let at = At { tree, directory: &directory, known: &known };
            one(&at, name, &mut scanned, buffers)?;
        }
    }
    scanned.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(scanned)
}

/// The directory that is looked at.
struct At<'a> {
    tree: &'a Tree,
    directory: &'a OwnedFd,
    /// What the ignore file says of it.
    known: &'a Matched,
}

fn one(
    at: &At<'_>,
    name: &CStr,
    scanned: &mut Scanned,
    buffers: &mut Buffers,
) -> Result<(), String> {
    let (tree, directory) = (at.tree, at.directory);
    let shown = name.to_string_lossy();
    let path = join(&scanned.path, &shown);
    let sight = tree.hidden.look(at.known, &path);
    if sight == Sight::Hidden {
        return Ok(());
    }
    let hidden = sight == Sight::Maybe;
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        // It went away since it was listed.
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed("lstat", &path, errno)),
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if hidden && kind != FileType::Directory {
        return Ok(());
    }
    let Ok(name) = name.to_str() else {
        let bytes = name.to_bytes().escape_ascii();
        let path = join(&scanned.path, &bytes.to_string());
        return Err(format!("\"{path}\": the name is not UTF-8; hide it with .dockerignore"));
    };
    let mut entry = entry(name, &stat);
    match kind {
        FileType::RegularFile => entry.hash = hash::of_file(&stat),
        FileType::Directory => {
            entry.kind = EntryKind::Directory;
            entry.size_bytes = 0;
            if hidden {
                scanned.half_hidden.push(name.to_owned());
            }
        }
        FileType::Symlink => {
            entry.kind = EntryKind::Symlink;
            entry.target = match readlinkat(directory, name, Vec::new()) {
                Ok(target) => target.into_string().map_err(|error| {
                    let target = error.into_cstring();
                    let target = target.to_bytes().escape_ascii();
                    format!("{path}: the target \"{target}\" is not UTF-8")
                })?,
                Err(errno) => return Err(failed("readlink", &path, errno)),
            };
            entry.hash = hash::of_file(&stat);
        }
        other => {
            tree.leave_out(word(other), &path);
            return Ok(());
        }
    }
    if kind != FileType::Symlink {
        entry.xattrs = xattrs(directory, name, buffers);
    }
    scanned.entries.push(entry);
    Ok(())
}

fn entry(name: &str, stat: &Stat) -> Entry {
    const SECOND_NS: i64 = 1_000_000_000;
    let part = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Entry {
        name: name.to_owned(),
        kind: EntryKind::File,
        mode: stat.st_mode & 0o7777,
        size_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
        mtime_ns: stat.st_mtime.saturating_mul(SECOND_NS).saturating_add(part),
        target: String::new(),
        hash: String::new(),
        xattrs: BTreeMap::new(),
    }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Socket => "the socket",
        FileType::Fifo => "the named pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "the device",
        _ => "the special file",
    }
}

/// The attributes that are offered; none where they cannot be read.
fn xattrs(directory: &OwnedFd, name: &str, buffers: &mut Buffers) -> BTreeMap<String, String> {
    // There is no `listxattrat(2)` before Linux 6.13; this leads to the same inode.
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let Ok(length) = llistxattr(path.as_str(), &mut buffers.names[..]) else {
        return BTreeMap::new();
    };
    let mut all = BTreeMap::new();
    let names = buffers.names[..length].split(|byte| *byte == 0);
    for name in names.filter_map(|name| std::str::from_utf8(name).ok()) {
        if name != CAPABILITY && !name.starts_with(USER) {
            continue;
        }
        if let Ok(length) = lgetxattr(path.as_str(), name, &mut buffers.value[..]) {
            let value = base64::engine::general_purpose::STANDARD.encode(&buffers.value[..length]);
            all.insert(name.to_owned(), value);
        }
    }
    all
}
