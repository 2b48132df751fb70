//! The files of one log: their names, their order, rotation.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::config::LogFile;
use crate::local;

/// How often the list of files is read again while the writer rotates.
const MAX_TRIES: u32 = 16;

/// `path` with a suffix behind its last component.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The name of the `generation`th file: 0 is the one that is written.
pub(crate) fn generation(path: &Path, generation: u32) -> PathBuf {
    if generation == 0 { path.to_owned() } else { with_suffix(path, &format!(".{generation}")) }
}

/// Makes room for a new file at `path`; gives the name that the full one has now, if it is kept.
pub(crate) fn shift(config: &LogFile) -> io::Result<Option<PathBuf>> {
    let keep = config.max_files.max(1);
    if keep == 1 {
        // A follower still reads the rest of the unlinked file.
        fs::remove_file(&config.path).or_else(ignore_missing)?;
        return Ok(None);
    }
    for number in (0..keep - 1).rev() {
        let (from, to) = (generation(&config.path, number), generation(&config.path, number + 1));
        for suffix in [".gz", ""] {
            if number == 0 && suffix == ".gz" {
                continue;
            }
            let (from, to) = (with_suffix(&from, suffix), with_suffix(&to, suffix));
            match fs::rename(&from, &to) {
                // The other form of the file that was there would come back as an old one.
                Ok(()) => {
                    let other = if suffix.is_empty() { ".gz" } else { "" };
                    let other = with_suffix(&generation(&config.path, number + 1), other);
                    fs::remove_file(other).or_else(ignore_missing)?;
                }
                Err(error) => ignore_missing(error)?,
            }
        }
    }
    Ok(Some(generation(&config.path, 1)))
}

/// Every file of the log, the oldest first, opened while the writer may rotate.
pub(crate) fn open_all(path: &Path, max_files: u32) -> io::Result<Vec<(File, bool)>> {
    let mut opened = Vec::new();
    for _ in 0..MAX_TRIES {
        opened.clear();
        let Some(current) = open_existing(path)? else { break };
        let inode = current.metadata()?.ino();
        opened.push((current, false));
        for number in 1..max_files.max(1) {
            let name = generation(path, number);
            if let Some(file) = open_existing(&name)? {
                opened.push((file, false));
            } else if let Some(file) = open_existing(&with_suffix(&name, ".gz"))? {
                opened.push((file, true));
            }
        }
        if fs::metadata(path).is_ok_and(|now| now.ino() == inode) {
            break;
        }
    }
    opened.reverse();
    Ok(opened)
}

/// Opens a file that may not be there.
pub(crate) fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) => ignore_missing(error).map(|()| None),
    }
}

/// How many bytes of a `local` file are its header and whole records.
pub(crate) fn good_records(file: &File, size: u64) -> io::Result<u64> {
    let mut start = vec![0; 10];
    let known = file.read_at(&mut start, 0)?;
    let Ok(Some(header)) = local::header_bytes(&start[..known]) else { return Ok(0) };
    let mut good = header as u64;
    if good > size {
        return Ok(0);
    }
    let mut length = [0; 4];
    while good + 8 <= size {
        file.read_exact_at(&mut length, good)?;
        let Ok(Some(bytes)) = local::record_bytes(&length) else { break };
        let end = good + bytes as u64;
        if end > size {
            break;
        }
        let mut last = [0; 4];
        file.read_exact_at(&mut last, end - 4)?;
        if last != length {
            break;
        }
        good = end;
    }
    Ok(good)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
