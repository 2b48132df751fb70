//! skeleton
use crate::ArchiveError;
use std::{io::Write, os::fd::BorrowedFd};
/// Options of [`pack`].
#[derive(Clone, Debug, Default)]
pub struct PackOptions {
    /// Name put before every entry.
    pub prefix: String,
}
/// Writes tar entries.
#[derive(Debug)]
pub struct TarWriter;
/// x
///
/// # Errors
/// x
pub fn pack(
    root: BorrowedFd<'_>,
    out: &mut dyn Write,
    options: &PackOptions,
) -> Result<(), ArchiveError> {
    let _ = (root, out, options);
    todo!()
}
/// x
///
/// # Errors
/// x
pub fn pack_upper(upper: BorrowedFd<'_>, out: &mut dyn Write) -> Result<(), ArchiveError> {
    let _ = (upper, out);
    todo!()
}
