//! What can go wrong with the store.

use std::{io, path::PathBuf, sync::Arc};

use gantry_fault::{Fault, Kind};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory cannot be used.
    #[error("opening store {}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is no database of ours.
    #[error("opening database {}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// Another process has it open.
    #[error("store {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The whole store is of a newer program.
    #[error("store has format {found}, this program knows {known}")]
    Format {
        /// What the file says.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// Reading failed.
    #[error("reading store")]
    Read(#[source] Arc<rusqlite::Error>),
    /// Writing failed; nothing was kept.
    #[error("writing store")]
    Write(#[source] Arc<rusqlite::Error>),
    /// The log could not be brought to disk.
    #[error("syncing store")]
    Sync(#[source] Arc<io::Error>),
    /// A record is no JSON.
    #[error("encoding record {name}")]
    Encode {
        /// Table and key.
        name: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A record does not have its type's shape.
    #[error("decoding record {name}")]
    Decode {
        /// Table and key.
        name: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A record is of a newer program.
    #[error("record {name} has version {version}, this program knows {known}")]
    Newer {
        /// Table and key.
        name: String,
        /// What was found.
        version: u32,
        /// What this program writes.
        known: u32,
    },
    /// A record of an older version has no way up.
    #[error("upgrading record {name} from version {version}: {reason}")]
    Upgrade {
        /// Table and key.
        name: String,
        /// What was found.
        version: u32,
        /// Why it failed.
        reason: String,
    },
    /// The store's threads have ended.
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn read(source: rusqlite::Error) -> Self {
        Self::Read(Arc::new(source))
    }
}

impl StoreError {
    /// Whether there is no space left on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Read(source) | Self::Write(source) => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::Sync(source) => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse(_) => Kind::Conflict,
            Self::Decode { .. } => Kind::DataLoss,
            Self::Closed => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse(_) => Some("another daemon uses this data root; give it its own with --data-root".into()),
            Self::Format { .. } | Self::Newer { .. } => {
                Some("this data root was written by a newer version; run that version or another data root".into())
            }
            _ => None,
        }
    }
}
