//! The files of this machine's distribution, for images that are to weigh what real ones do.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Larger ones are left out: an image of a few of them says nothing of many files.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Writes a tar of about `files` installed files to `out`, of `bytes` altogether: the same ones on
/// the same machine, below a directory named `top`.
///
/// They are spread evenly over all that are installed. Where there are too few or too small ones,
/// they come again in other directories.
///
/// # Errors
/// When the files cannot be read, or `out` cannot be written.
pub fn files(out: impl Write, files: usize, bytes: u64, top: &str) -> io::Result<()> {
    let all = installed(Path::new("/usr"))?;
    if all.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no files are installed in /usr"));
    }
    let stride = (all.len() / files).max(1);
    let mut tar = tar::Builder::new(out);
    let mut left_bytes = bytes;
    for round in 0.. {
        for (path, size) in all.iter().skip(round % stride).step_by(stride) {
            if left_bytes == 0 {
                return tar.finish();
            }
            // The last one is cut.
            let size = (*size).min(left_bytes);
            left_bytes -= size;
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            header.set_size(size);
            let name =
                Path::new(top).join(round.to_string()).join(path.strip_prefix("/").unwrap_or(path));
            tar.append_data(&mut header, name, io::Read::take(fs::File::open(path)?, size))?;
        }
    }
    Ok(())
}

/// The regular files below a directory that are no larger than [`FILE_MAX_BYTES`], in the order of
/// their paths, with their sizes in bytes.
fn installed(top: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() && (1..=FILE_MAX_BYTES).contains(&metadata.size()) {
                found.push((entry.path(), metadata.size()));
            }
        }
    }
    found.sort();
    Ok(found)
}
