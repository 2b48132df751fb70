//! skeleton
use crate::ArchiveError;
use std::io::Read;
/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}
/// Opens a stream of any compression.
///
/// # Errors
/// x
pub fn decompress(
    input: Box<dyn Read + Send>,
) -> Result<(Box<dyn Read + Send>, Compression), ArchiveError> {
    let _ = input;
    todo!()
}
