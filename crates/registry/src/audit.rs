//! Who did what: one JSON document a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use jiff::Timestamp;
use serde::Serialize;

/// What was done, or tried.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    /// Name of the user; empty if nobody was asked, or said.
    pub(crate) user: &'a str,
    /// Where the request came from.
    pub(crate) peer: String,
    /// HTTP's method.
    pub(crate) method: &'a str,
    /// What it was about: blob, manifest, upload, ...
    pub(crate) object: &'a str,
    pub(crate) repository: &'a str,
    /// Digest, tag or id as it was asked for.
    pub(crate) reference: &'a str,
    /// Digest of what was stored or removed, where there is one.
    pub(crate) digest: &'a str,
    pub(crate) status: u16,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Audit {
    file: File,
    /// Whether reading is noted, too.
    pub(crate) reads: bool,
}

impl Audit {
    /// Opens or makes the file; what is in it stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(path: &Path, reads: bool) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(Self { file, reads })
    }

    /// Writes a line, in one piece.
    pub(crate) fn note(&self, entry: &Entry<'_>) {
        let line = Line { time: Timestamp::now().to_string(), entry };
        let written = serde_json::to_vec(&line).map_err(io::Error::other).and_then(|mut text| {
            text.push(b'\n');
            (&self.file).write_all(&text)
        });
        if let Err(error) = written {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}
