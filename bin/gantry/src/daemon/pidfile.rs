//! The file that holds the daemon's process id, and keeps a second daemon from the same place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the process id could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    #[error("failed to start daemon, ensure no other daemon is running or delete {0}")]
    Running(PathBuf),
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A written process id file; removed when dropped.
///
/// The lock, not the number in it, says whether a daemon runs: a number may be reused after a crash.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl PidFile {
    /// Writes this process's id.
    pub(crate) fn write(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::Write { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| PidFileError::Running(path.to_owned()))?;
        file.set_len(0).map_err(failed)?;
        file.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), _locked: file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
