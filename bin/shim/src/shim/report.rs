//! Words for the shim's error file, and files written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// Writes a line to the error file.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "gantry-shim: {text}");
}

/// Writes a JSON file so that a reader sees all of it or nothing.
pub(super) fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
