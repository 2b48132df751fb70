//! A task's directory: names, what is saved in it, its removal.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_shim_proto::{EXIT_FILE, ExitStatus, STATE_FILE, SavedState};
use serde::de::DeserializeOwned;

use crate::{Exit, TaskError};

const MAX_ID_BYTES: usize = 128;

/// Refuses ids that are no plain file name.
pub(crate) fn check_id(id: &str) -> Result<(), TaskError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let good =
        !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.starts_with('.') && id.bytes().all(plain);
    if good { Ok(()) } else { Err(TaskError::InvalidId(id.to_owned())) }
}

/// Makes a directory for the owner alone.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// How the task ended, if its shim wrote that down.
pub(crate) fn saved_exit(directory: &Path) -> Option<Exit> {
    read::<ExitStatus>(&directory.join(EXIT_FILE)).map(Exit::from)
}

/// What the shim noted when the task began.
pub(crate) fn saved_state(directory: &Path) -> Option<SavedState> {
    read(&directory.join(STATE_FILE))
}

/// The exit of a task whose shim was killed: the kernel kills the first process with it.
pub(crate) fn killed() -> Exit {
    Exit { code: 137, signal: Some(9), oom_killed: false, exited_at_ns: gantry_logs::now_ns() }
}

/// Removes the directory and all that is in it; a missing one is no error.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The names of the directories in `path`.
pub(crate) fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            ids.push(name);
        }
    }
    ids.sort();
    Ok(ids)
}

/// The last line that the shim wrote to its error file, for a message.
pub(crate) fn last_words(file: &PathBuf) -> Option<String> {
    let text = fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::check_id;

    #[test]
    fn ids_are_file_names() {
        for (id, good) in [
            ("a", true),
            ("web_1.x-2", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(check_id(id).is_ok(), good, "{id:?}");
        }
        assert!(check_id(&"a".repeat(129)).is_err());
    }
}
