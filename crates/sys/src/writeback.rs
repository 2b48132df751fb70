//! Bringing written pages to disk ahead of the call that waits for them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Begins to write a part of a file to disk and does not wait: `sync_file_range(2)`.
///
/// It promises nothing; `fsync(2)` is still needed, and finds less to do.
///
/// # Errors
/// `EINVAL` for a range that is no file offset; `ESPIPE` for what is no file.
pub fn begin(file: impl AsFd, offset_bytes: u64, length_bytes: u64) -> io::Result<()> {
    let range = |bytes: u64| i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput);
    let (offset, length) = (range(offset_bytes)?, range(length_bytes)?);
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor stays open for the call, which touches no memory of ours.
    let rc = unsafe { libc::sync_file_range(fd, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_take_it_and_pipes_do_not() {
        let path = std::env::temp_dir().join(format!("writeback-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"data").unwrap();
        let begun = begin(&file, 0, 4);
        std::fs::remove_file(&path).unwrap();
        begun.unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        assert!(begin(&reader, 0, 4).is_err());
    }
}
