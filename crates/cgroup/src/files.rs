//! Reading and writing the small files of a group.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::CgroupError;

/// Writes a value in one `write(2)`, as the kernel's parsers want it. Never makes a file.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    write_raw(path, value).map_err(|source| CgroupError::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Writes a limit; a missing file means that the host cannot do it.
pub(crate) fn set(path: &Path, value: &str, setting: &str) -> Result<(), CgroupError> {
    match write_raw(path, value) {
        Err(error) if is_missing(&error) => Err(unsupported(path, setting)),
        Err(source) => {
            Err(CgroupError::Write { path: path.to_owned(), value: value.to_owned(), source })
        }
        Ok(()) => Ok(()),
    }
}

/// The error for a limit whose file is missing.
pub(crate) fn unsupported(path: &Path, setting: &str) -> CgroupError {
    let file = path.file_name().unwrap_or(path.as_os_str());
    CgroupError::Unsupported {
        setting: setting.to_owned(),
        needs: file.to_string_lossy().into_owned(),
    }
}

pub(crate) fn write_raw(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(value.as_bytes())
}

/// A file's text.
pub(crate) fn read(path: &Path) -> Result<String, CgroupError> {
    read_raw(path).map_err(|source| CgroupError::Read { path: path.to_owned(), source })
}

/// A file's text, or nothing where it is missing: not all hosts count everything.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, CgroupError> {
    match read_raw(path) {
        Ok(text) => Ok(Some(text)),
        // EOPNOTSUPP: the file is there, what it would tell is switched off.
        Err(error) if is_missing(&error) || is(&error, rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(source) => Err(CgroupError::Read { path: path.to_owned(), source }),
    }
}

/// A file that holds one number; `None` where it is missing, and for `max`.
pub(crate) fn number(path: &Path) -> Result<Option<u64>, CgroupError> {
    Ok(read_optional(path)?.and_then(|text| text.trim().parse().ok()))
}

fn read_raw(path: &Path) -> io::Result<String> {
    // The kernel reports these files as empty or 4096 bytes long, so asking for a size is no use.
    let mut text = String::with_capacity(512);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The directories right below one; none when it is gone.
pub(crate) fn children(path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = match entry {
            Err(error) if is_missing(&error) => break,
            entry => entry?,
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether an error says that the file or the group is not there (any more).
pub(crate) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || is(error, rustix::io::Errno::NODEV)
}

pub(crate) fn is(error: &io::Error, errno: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
