//! Archives that `ADD` unpacks, told by their content.

use std::{fs::File, io::Seek, os::fd::AsFd};

use gantry_archive::{ExtractOptions, Reader, decompress, extract, open_in_root};
use gantry_oci::Digest;
use gantry_snapshot::LayerWriter;
use rustix::fs::OFlags;

use super::OpError;
use crate::trees::shown;

/// Whether a file is a tar, compressed or not. Its position is at its beginning afterwards.
pub(crate) fn is_archive(file: &mut File) -> Result<bool, OpError> {
    let copy = file.try_clone().map_err(OpError::io("reading a file"))?;
    let found = match decompress(Box::new(copy)) {
        Ok((stream, _)) => matches!(Reader::new(stream).next(), Ok(Some(_))),
        Err(_) => false,
    };
    file.rewind().map_err(OpError::io("reading a file"))?;
    Ok(found)
}

/// Where an archive goes.
pub(crate) struct Place<'a> {
    /// The layer that is being written.
    pub writer: &'a LayerWriter,
    /// The layers below it.
    pub base: &'a [Digest],
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
    let target = open_in_root(merged.root(), place.directory, flags).map_err(|errno| {
        OpError::Mount { target: shown(place.directory), source: errno.into() }
    })?;
    let options =
        ExtractOptions { owner: place.owner, root: true, ..ExtractOptions::plain() };
    extract(&mut tar, target.as_fd(), &options)?;
    Ok(())
}
