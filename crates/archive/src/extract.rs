//! skeleton
use crate::ArchiveError;
use std::{io::Read, os::fd::BorrowedFd};
/// How whiteouts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An image layer: whiteouts become overlayfs'.
    Layer,
    /// A plain archive.
    Plain,
}
/// What an archive may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Device nodes.
    pub devices: u64,
}
/// Options of [`extract`].
#[derive(Clone, Copy, Debug)]
pub struct ExtractOptions {
    /// Whiteouts.
    pub mode: Mode,
    /// Limits.
    pub limits: Limits,
    /// x
    pub no_overwrite_dir_non_dir: bool,
    /// x
    pub owner: Option<(u32, u32)>,
}
/// What was extracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Entries.
    pub entries: u64,
    /// Bytes of file content.
    pub size_bytes: u64,
}
/// Extracts a tar that is not compressed beneath `root`.
///
/// # Errors
/// x
pub fn extract(
    tar: &mut dyn Read,
    root: BorrowedFd<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let _ = (tar, root, options);
    todo!()
}
