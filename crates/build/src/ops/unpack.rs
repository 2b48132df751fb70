//! Archives that `ADD` unpacks, told by their content.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
};

use gantry_archive::{ExtractOptions, Reader, decompress, extract, names, open_dir, open_in_root};
use gantry_oci::Digest;
use gantry_snapshot::LayerWriter;
use rustix::{
    fs::{OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, futimens},
    io::Errno,
};

use super::OpError;
use crate::trees::{DEPTH_MAX, shown};

/// Whether a file is a tar, compressed or not. Its position stays where it is.
pub(crate) fn is_archive(file: &File) -> Result<bool, OpError> {
    let file = file.try_clone().map_err(OpError::io("reading a file"))?;
    Ok(match decompress(Box::new(Positioned { file, position: 0 })) {
        Ok((stream, _)) => matches!(Reader::new(stream).next(), Ok(Some(_))),
        Err(_) => false,
    })
}

/// Reads a file from its beginning without moving the position that it shares with its duplicates:
/// a decompressor's thread goes on for a while after nobody listens to it any more.
struct Positioned {
    file: File,
    position: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Where an archive goes.
pub(crate) struct Place<'a> {
    /// The layer that is being written.
    pub writer: &'a LayerWriter,
    /// The layers below it.
    pub base: &'a [Digest],
    /// Their files.
    pub below: Option<BorrowedFd<'a>>,
    /// The directory, which is in the layer.
    pub directory: &'a [u8],
    /// Who gets everything; none for those that the archive names.
    pub owner: Option<(u32, u32)>,
}

/// Unpacks an archive, in the way in which it would be on the base with the layer on it.
pub(crate) fn unpack(file: File, place: &Place<'_>) -> Result<(), OpError> {
    let (mut tar, _) = decompress(Box::new(file))?;
    let merged = place.writer.merged(place.base)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let target = open_in_root(merged.root(), place.directory, flags)
        .map_err(|errno| OpError::Mount { target: shown(place.directory), source: errno.into() })?;
    let options = ExtractOptions { owner: place.owner, root: true, ..ExtractOptions::plain() };
    let since = now();
    extract(&mut tar, target.as_fd(), &options)?;
    drop((target, merged));
    settle(place.writer.dir(), place.below, since, 0)
        .map_err(|errno| OpError::Io { step: "setting times of directories", source: errno.into() })
}

/// Gives directories that only were on the way the times that they have below: the kernel has taken
/// them into the layer and changed them since, and the same archive is to give the same layer.
fn settle(
    layer: BorrowedFd<'_>,
    below: Option<BorrowedFd<'_>>,
    since: (i64, i64),
    depth: usize,
) -> Result<(), Errno> {
    let Some(below) = below.filter(|_| depth < DEPTH_MAX) else { return Ok(()) };
    for name in names(layer)? {
        let (Ok(dir), Ok(like)) = (open_dir(layer, &name), open_dir(below, &name)) else {
            continue;
        };
        settle(dir.as_fd(), Some(like.as_fd()), since, depth + 1)?;
        let stat = fstat(&dir)?;
        if changed(&stat) >= since {
            let (tv_sec, tv_nsec) = changed(&fstat(&like)?);
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let last_modification = Timespec { tv_sec, tv_nsec };
            futimens(&dir, &Timestamps { last_access, last_modification })?;
        }
    }
    Ok(())
}

/// When a file was changed: s since 1970, and ns of it.
fn changed(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default())
}

/// The kernel's coarse clock, by which it sets files' times.
fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use gantry_archive::{ArchiveError, Compression, Header, TarWriter, compress};

    use super::*;

    #[test]
    fn asking_whether_a_file_is_an_archive_leaves_its_position() {
        let mut tar = TarWriter::new(Vec::new());
        tar.data(&Header::file(b"f", 0), b"data").expect("a tar");
        let tar = tar.finish().expect("a tar");
        for compression in [Compression::Bzip2, Compression::Xz, Compression::Gzip] {
            let mut bytes = Vec::new();
            compress(compression, &mut bytes, &mut |out| {
                out.write_all(&tar).map_err(ArchiveError::Write)
            })
            .expect("compressed");
            for _ in 0..50 {
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(&bytes).expect("written");
                file.rewind().expect("at its beginning");
                assert!(is_archive(&file).expect("looked at"));
                let mut read = Vec::new();
                file.read_to_end(&mut read).expect("read");
                assert_eq!(read, bytes, "{compression:?}");
            }
        }
    }
}
