//! skeleton
use crate::ArchiveError;
use std::{
    io::{Read, Write},
    os::fd::BorrowedFd,
    time::SystemTime,
};
/// What a path inside a root is; Docker's `ContainerPathStat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last component.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// `st_mode`.
    pub mode: u32,
    /// Modification time.
    pub mtime: SystemTime,
    /// Where a symbolic link points, as a path inside the root; else empty.
    pub link_target: String,
}
impl PathStat {
    /// The mode in Go's `os.FileMode` bits, as the API has it.
    #[must_use]
    pub fn go_mode(&self) -> u32 {
        todo!()
    }
}
/// Options of [`copy_in`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyIn {
    /// Refuse to put a file where a directory is, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
}
/// Looks at `path` inside `root`; the last component is not followed unless it ends in `/` or `/.`.
///
/// # Errors
/// x
pub fn stat(root: BorrowedFd<'_>, path: &str) -> Result<PathStat, ArchiveError> {
    let _ = (root, path);
    todo!()
}
/// Writes `path` inside `root` as a tar whose top name is the last component.
///
/// # Errors
/// x
pub fn copy_out(
    root: BorrowedFd<'_>,
    path: &str,
    out: &mut dyn Write,
) -> Result<PathStat, ArchiveError> {
    let _ = (root, path, out);
    todo!()
}
/// Extracts a tar of any compression into the directory `path` inside `root`.
///
/// # Errors
/// x
pub fn copy_in(
    root: BorrowedFd<'_>,
    path: &str,
    tar: Box<dyn Read + Send>,
    options: CopyIn,
) -> Result<(), ArchiveError> {
    let _ = (root, path, tar, options);
    todo!()
}
/// Writes all of `root` as a tar.
///
/// # Errors
/// x
pub fn export(root: BorrowedFd<'_>, out: &mut dyn Write) -> Result<(), ArchiveError> {
    let _ = (root, out);
    todo!()
}
/// Copies what is in one directory into another, with all metadata.
///
/// # Errors
/// x
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), ArchiveError> {
    let _ = (from, to);
    todo!()
}
