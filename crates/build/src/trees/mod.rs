//! Trees of files that copies and mounts take from: contexts, layers, files of a Dockerfile.
//!
//! A path in a tree is relative to its top and canonical: no `.`, no `..`, no link in it but perhaps
//! its last component. Links are followed by [`resolve`], which never leaves the tree.

pub(crate) mod any;
pub(crate) mod digest;
pub(crate) mod directory;
pub(crate) mod inline;
pub(crate) mod mirror;
pub(crate) mod pattern;
pub(crate) mod select;

use std::{fs::File, io};

pub(crate) use gantry_archive::Xattrs;
use gantry_oci::Digest;
use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};

/// Links followed on the way to one file, as the kernel has it.
const LINKS_MAX: usize = 40;
/// How deep directories may be nested.
pub(crate) const DEPTH_MAX: usize = 512;

/// What something in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket, which is copied nowhere.
    Socket,
}

/// Something in a tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permissions, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it was changed, s since 1970, and ns of it.
    pub mtime: (i64, u32),
    /// Where a symbolic link leads.
    pub link: Vec<u8>,
    /// Number of a device.
    pub device: u64,
    /// The same for all names of a file that has several.
    pub inode: Option<(u64, u64)>,
}

/// Files below one top.
pub(crate) trait Tree: Send + Sync {
    /// What is at `path`; the top is the empty path.
    fn node(&self, path: &[u8]) -> Result<Option<Node>, TreeError>;

    /// What is in a directory, sorted by name.
    fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, TreeError>;

    /// Opens a regular file.
    fn open(&self, path: &[u8]) -> Result<File, TreeError>;

    /// Extended attributes of a file or directory.
    fn xattrs(&self, path: &[u8]) -> Result<Xattrs, TreeError>;

    /// Digest of a file's content.
    fn content(&self, path: &[u8]) -> Result<Digest, TreeError>;

    /// Tells that everything below a directory will be looked at.
    fn expect_all(&self, directory: &[u8]) -> Result<(), TreeError> {
        let _ = directory;
        Ok(())
    }

    /// The digest of everything below a directory, if the tree remembers it.
    fn known_digest(&self, directory: &[u8]) -> Option<Digest> {
        let _ = directory;
        None
    }

    /// Tells that digest, once it is known.
    fn keep_digest(&self, directory: &[u8], digest: &Digest) {
        let _ = (directory, digest);
    }
}

/// Why a tree does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// It has not been sent yet. The tree remembers what; ask again when it was fetched.
    #[error("not here yet")]
    Absent,
    /// There is nothing.
    #[error("{path:?}: not found")]
    NotFound {
        /// As it was asked for.
        path: String,
    },
    /// Something is no directory.
    #[error("{path:?}: not a directory")]
    NotADirectory {
        /// What.
        path: String,
    },
    /// Links lead in a circle, or directories are nested without end.
    #[error("{path:?}: {reason}")]
    Endless {
        /// Where.
        path: String,
        /// Which.
        reason: &'static str,
    },
    /// A pattern is none.
    #[error("{0:?}: syntax error in pattern")]
    Pattern(String),
    /// It could not be read.
    #[error("{step} {path:?}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    pub(crate) fn io<E: Into<io::Error>>(step: &'static str, path: &[u8]) -> impl Fn(E) -> Self {
        let path = shown(path);
        move |source| Self::Io { step, path: path.clone(), source: source.into() }
    }

    pub(crate) fn not_found(path: &[u8]) -> Self {
        Self::NotFound { path: shown(path) }
    }
}

impl Node {
    /// What a file of the host's is; its link is still to be read.
    pub(crate) fn of(stat: &Stat) -> Result<Self, Errno> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => return Err(Errno::INVAL),
        };
        let several = kind != Kind::Directory && stat.st_nlink > 1;
        Ok(Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            link: Vec::new(),
            device: if matches!(kind, Kind::Char | Kind::Block) { stat.st_rdev } else { 0 },
            inode: several.then_some((stat.st_dev, stat.st_ino)),
        })
    }

    /// A directory of root's that was always there.
    pub(crate) fn top() -> Self {
        Self {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            link: Vec::new(),
            device: 0,
            inode: None,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// A path as messages show it: from the top, with a slash.
pub(crate) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// A name in a directory.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

/// Directory and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Components of a path, without empty ones and `.`.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// Finds what a path leads to, links followed as a process whose root the tree is would; `..` stays
/// inside. The answer is canonical.
pub(crate) fn resolve(tree: &dyn Tree, path: &[u8]) -> Result<(Vec<u8>, Node), TreeError> {
    let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
    let mut at = Vec::new();
    let mut node = tree.node(b"")?.unwrap_or_else(Node::top);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == b".." {
            at.truncate(split(&at).0.len());
            node = tree.node(&at)?.ok_or_else(|| TreeError::not_found(path))?;
            continue;
        }
        if !node.is_directory() {
            return Err(TreeError::not_found(path));
        }
        let next = join(&at, &part);
        node = tree.node(&next)?.ok_or_else(|| TreeError::not_found(path))?;
        if node.kind != Kind::Symlink {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            let reason = "too many levels of symbolic links";
            return Err(TreeError::Endless { path: shown(path), reason });
        }
        if node.link.first() == Some(&b'/') {
            at.clear();
        }
        todo.extend(components(&node.link).rev().map(<[u8]>::to_vec));
        node = tree.node(&at)?.ok_or_else(|| TreeError::not_found(path))?;
    }
    Ok((at, node))
}

#[cfg(test)]
mod tests {
    use super::{inline::InlineTree, *};

    #[test]
    fn links_stay_inside() {
        let mut tree = InlineTree::default();
        tree.add(b"dir/file", b"x", 0o644);
        for (link, target) in [
            ("abs", "/dir"),
            ("rel", "dir/../dir/file"),
            ("out", "../../../../dir/file"),
            ("deep/up", "../abs/file"),
            ("loop", "loop"),
            ("gone", "nothing"),
        ] {
            tree.add_link(link.as_bytes(), target.as_bytes());
        }
        for (path, want) in [
            ("", Some("")),
            ("/", Some("")),
            ("..", Some("")),
            ("./dir//file", Some("dir/file")),
            ("abs/file", Some("dir/file")),
            ("rel", Some("dir/file")),
            ("out", Some("dir/file")),
            ("deep/up", Some("dir/file")),
            ("../../dir/file", Some("dir/file")),
            ("dir/file/x", None),
            ("loop", None),
            ("gone", None),
            ("no", None),
        ] {
            let found = resolve(&tree, path.as_bytes()).ok().map(|(path, _)| path);
            assert_eq!(found.as_deref(), want.map(str::as_bytes), "{path}");
        }
    }
}
