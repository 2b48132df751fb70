//! What a registry is told: a TOML file, and the options of the command line over it.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The whole configuration; every part has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where everything is kept; empty for the default.
    pub root: PathBuf,
    /// Indexes and manifests may refer to what is not here.
    pub sparse: bool,
    /// Sizes.
    pub limits: Limits,
    /// Deletion.
    pub delete: Delete,
}

/// Limits of sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Largest manifest.
    pub manifest_bytes: usize,
    /// Largest blob.
    pub blob_bytes: u64,
    /// Least length that clients are asked to send chunks in; shorter ones are taken too.
    pub chunk_min_bytes: u64,
    /// Memory for manifests that were asked for lately.
    pub cache_bytes: usize,
}

/// What may be deleted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Delete {
    /// Whether clients may delete at all.
    pub enabled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            root: PathBuf::new(),
            sparse: false,
            limits: Limits::default(),
            delete: Delete::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            blob_bytes: 1 << 40,
            chunk_min_bytes: 0,
            cache_bytes: 32 << 20,
        }
    }
}

impl Default for Delete {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is no TOML, or holds what nobody knows.
    #[error("{}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, or holds what is not known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}
