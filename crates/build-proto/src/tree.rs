//! Trees of files that the client offers.
//!
//! A directory's hash is over the names, metadata and hashes of all below it, so that a daemon that
//! knows it need not ask for what is in it: of 50,000 files with one changed it lists the
//! directories above that one, and reads one file.

use serde::{Deserialize, Serialize};

/// What a directory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The directory's own hash.
    pub hash: String,
    /// Its entries, sorted by name as bytes; none if the asker knows this hash.
    pub entries: Option<Vec<Entry>>,
}

/// A file, directory or link. Others (sockets, devices) are not offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name. Names that are not UTF-8 are refused by the client, by name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with set-id and sticky ones.
    pub mode: u32,
    /// Bytes of a file.
    pub size_bytes: u64,
    /// When it was changed, ns since 1970.
    pub mtime_ns: i64,
    /// Target of a symbolic link.
    pub target: String,
    /// What changes when the content may have: of a directory the hash of its listing, of a file
    /// one over its metadata that the client sees (size, times, inode).
    pub hash: String,
    /// Extended attributes `security.capability` and `user.*`, as base64, by name.
    #[serde(default)]
    pub xattrs: std::collections::BTreeMap<String, String>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}
