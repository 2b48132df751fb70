//! What can go wrong with archives.

use std::io;

use gantry_fault::{Fault, Kind};

/// An error of reading or writing an archive; entries are named as the archive names them.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The compressed stream could not be opened.
    #[error("opening compressed archive")]
    Compression(#[source] io::Error),
    /// The stream broke off or is no tar.
    #[error("reading archive")]
    Read(#[source] io::Error),
    /// The stream broke off inside an entry.
    #[error("reading archive entry {name:?}")]
    ReadEntry {
        /// The entry.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A name that leads out of the root.
    #[error("archive entry {0:?} is outside of the root")]
    Outside(String),
    /// A link that leads out of the root.
    #[error("archive entry {name:?} links to {target:?} outside of the root")]
    LinkOutside {
        /// The entry.
        name: String,
        /// Where it points.
        target: String,
    },
    /// A name that no file can have.
    #[error("archive entry {name:?}: {reason}")]
    BadEntry {
        /// The entry.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An entry of a type that no file has.
    #[error("archive entry {name:?} has unknown type {kind:#04x}")]
    UnknownType {
        /// The entry.
        name: String,
        /// The type byte.
        kind: u8,
    },
    /// More of something than is let in.
    #[error("archive has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are let in.
        limit: u64,
    },
    /// A directory stands where a file should go, and that was forbidden.
    #[error("cannot overwrite directory {path:?} with non-directory {path:?}")]
    DirWithNonDir {
        /// The path.
        path: String,
    },
    /// A file stands where a directory should go, and that was forbidden.
    #[error("cannot overwrite non-directory {path:?} with directory {path:?}")]
    NonDirWithDir {
        /// The path.
        path: String,
    },
    /// An entry could not be made.
    #[error("{step} {name:?}")]
    Entry {
        /// What was being done.
        step: &'static str,
        /// The entry.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file could not be read while packing.
    #[error("packing {path:?}")]
    Pack {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("writing archive")]
    Write(#[source] io::Error),
    /// A path inside a root that does not exist.
    #[error("lstat {path}: no such file or directory")]
    NoSuchPath {
        /// The path.
        path: String,
    },
    /// A path inside a root that must be a directory.
    #[error("extraction point is not a directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A path inside a root could not be opened.
    #[error("opening {path:?}")]
    Path {
        /// The path.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ArchiveError {
    pub(crate) fn entry(step: &'static str, name: &str, source: impl Into<io::Error>) -> Self {
        Self::Entry { step, name: name.to_owned(), source: source.into() }
    }

    pub(crate) fn pack(path: &str, source: impl Into<io::Error>) -> Self {
        Self::Pack { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn path(path: &str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if source.kind() == io::ErrorKind::NotFound {
            Self::NoSuchPath { path: path.to_owned() }
        } else {
            Self::Path { path: path.to_owned(), source }
        }
    }
}

impl Fault for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchPath { .. } => Kind::NotFound,
            Self::Write(_) | Self::Pack { .. } | Self::Entry { .. } | Self::Path { .. } => {
                Kind::Internal
            }
            _ => Kind::InvalidArgument,
        }
    }
}
