//! The `local` format: a header with the attributes, then records with their length at both ends.
//!
//! ```text
//! file   = "GLOG1\n" attrs_len:u32 attrs:JSON record*
//! record = len:u32 stream:u8 time_ns:i64 line len:u32      len counts stream, time and line
//! ```
//! All numbers are little-endian. The length behind a record lets `tail` walk backwards and tells
//! a record that a crash cut short.

use std::collections::BTreeMap;

use crate::entry::{Decoded, Stream};
use crate::json_file;

/// The first bytes of a file.
pub(crate) const MAGIC: &[u8; 6] = b"GLOG1\n";
/// The longest record taken: a piece of a line is 16 KiB.
pub(crate) const MAX_RECORD_BYTES: usize = 64 * 1024;
/// The longest attributes taken.
pub(crate) const MAX_ATTRS_BYTES: usize = 1024 * 1024;
const FIXED_BYTES: usize = 9;

/// The header of a file.
pub(crate) fn header(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut json = Vec::new();
    if !attrs.is_empty() {
        json_file::append_attrs(attrs, &mut json);
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&json);
    out
}

/// Appends one record.
pub(crate) fn append(stream: Stream, time_ns: i64, line: &[u8], out: &mut Vec<u8>) {
    // Lines are at most 16 KiB, see `lines`.
    let length = u32::try_from(FIXED_BYTES + line.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out.push(u8::from(stream == Stream::Stderr));
    out.extend_from_slice(&time_ns.to_le_bytes());
    out.extend_from_slice(line);
    out.extend_from_slice(&length);
}

/// The size of the whole record that starts with these bytes, if they are enough to tell.
///
/// # Errors
/// `Err(())` if no record starts so.
pub(crate) fn record_bytes(start: &[u8]) -> Result<Option<usize>, ()> {
    let Some(length) = start.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if (FIXED_BYTES..=MAX_RECORD_BYTES).contains(&length) { Ok(Some(length + 8)) } else { Err(()) }
}

/// The size of the header that starts with these bytes, if they are enough to tell.
///
/// # Errors
/// `Err(())` if it is another kind of file.
pub(crate) fn header_bytes(start: &[u8]) -> Result<Option<usize>, ()> {
    let known = start.len().min(MAGIC.len());
    if start[..known] != MAGIC[..known] {
        return Err(());
    }
    let Some(length) = start.get(MAGIC.len()..MAGIC.len() + 4) else { return Ok(None) };
    let length = length.iter().rev().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    if length > MAX_ATTRS_BYTES { Err(()) } else { Ok(Some(MAGIC.len() + 4 + length)) }
}

/// Takes a whole record apart; false if its two lengths differ.
pub(crate) fn decode(record: &[u8], attrs: &[u8], out: &mut Decoded) -> bool {
    let Some((first, rest)) = record.split_first_chunk::<4>() else { return false };
    let Some((body, last)) = rest.split_last_chunk::<4>() else { return false };
    let Some((stream, rest)) = body.split_first() else { return false };
    let Some((time, line)) = rest.split_first_chunk::<8>() else { return false };
    out.stream = if *stream == 0 { Stream::Stdout } else { Stream::Stderr };
    out.time_ns = i64::from_le_bytes(*time);
    out.line.clear();
    out.line.extend_from_slice(line);
    out.attrs.clear();
    out.attrs.extend_from_slice(attrs);
    first == last
}
