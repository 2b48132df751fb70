//! What a container's log is: its driver and that driver's options, checked in Docker's words.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where and how a container's output is kept.
///
/// [`LogConfig::from_docker`] checks what a user wrote; [`LogConfig::at`] and
/// [`LogConfig::with_attrs`] add what only the container's start knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum LogConfig {
    /// Nothing is kept.
    #[default]
    None,
    /// Docker's `json-file`: one JSON object a line.
    JsonFile(LogFile),
    /// Docker's `local`: a compact format of our own, rotated and compressed by default.
    Local(LogFile),
}

/// One log file and its rotated predecessors (`<path>.1` is the youngest of them).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogFile {
    /// The file that is written.
    pub path: PathBuf,
    /// The size in bytes at which it is rotated; absent never rotates.
    pub max_size_bytes: Option<u64>,
    /// How many files are kept, the written one included; at least 1.
    pub max_files: u32,
    /// Whether rotated files are compressed (gzip, `.gz`).
    pub compress: bool,
    /// Attributes that every line carries (`--details`): resolved labels, environment and tag.
    pub attrs: BTreeMap<String, String>,
    /// Which attributes the options ask for.
    pub keys: AttrKeys,
}

/// The options that select attributes; the engine resolves them against the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttrKeys {
    /// Labels by name.
    pub labels: Vec<String>,
    /// Labels by regular expression.
    pub labels_regex: Option<String>,
    /// Environment variables by name.
    pub env: Vec<String>,
    /// Environment variables by regular expression.
    pub env_regex: Option<String>,
    /// A Go template that makes the attribute `tag`.
    pub tag: Option<String>,
}

/// Why log options were refused; the text is Docker's.
///
/// Dockerd finds all but [`LogConfigError::Value`] when a container is created, and that one only
/// when it is started: the words are kept, the time is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogConfigError {
    /// No such driver.
    #[error("error looking up logging plugin {0}: plugin {0:?} not found")]
    Driver(String),
    /// An option that `json-file` does not have.
    #[error("unknown log opt '{0}' for json-file log driver")]
    JsonFileOption(String),
    /// An option that `local` does not have.
    #[error("unknown log opt '{0}' for log driver local")]
    LocalOption(String),
    /// An option `mode` that there is not.
    #[error("logger: logging mode not supported: {0}")]
    Mode(String),
    /// A buffer without the mode that has one.
    #[error("logger: max-buffer-size option is only supported with 'mode=non-blocking'")]
    BufferSize,
    /// A value that cannot be read, or does not go with another.
    #[error("failed to initialize logging driver: {0}")]
    Value(String),
}

impl LogConfig {
    /// Checks a driver's name and options as a user gives them (`--log-driver`, `--log-opt`).
    ///
    /// # Errors
    /// [`LogConfigError`] with the text that dockerd answers.
    pub fn from_docker(
        driver: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<LogConfig, LogConfigError> {
        crate::options::check_mode(options)?;
        match driver {
            "none" => Ok(LogConfig::None),
            "" | "json-file" => crate::options::json_file(options).map(LogConfig::JsonFile),
            "local" => crate::options::local(options).map(LogConfig::Local),
            other => Err(LogConfigError::Driver(other.to_owned())),
        }
    }

    /// Sets the file that is written.
    #[must_use]
    pub fn at(mut self, path: PathBuf) -> LogConfig {
        if let LogConfig::JsonFile(file) | LogConfig::Local(file) = &mut self {
            file.path = path;
        }
        self
    }

    /// Sets the attributes that every line carries.
    #[must_use]
    pub fn with_attrs(mut self, attrs: BTreeMap<String, String>) -> LogConfig {
        if let LogConfig::JsonFile(file) | LogConfig::Local(file) = &mut self {
            file.attrs = attrs;
        }
        self
    }

    /// The file, for drivers that have one.
    #[must_use]
    pub fn file(&self) -> Option<&LogFile> {
        match self {
            LogConfig::None => None,
            LogConfig::JsonFile(file) | LogConfig::Local(file) => Some(file),
        }
    }
}
