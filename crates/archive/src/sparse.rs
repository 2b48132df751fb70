//! Maps of sparse files: old GNU headers, PAX formats 0.0, 0.1 and 1.0.
//!
//! Source: GNU tar manual, "Storing Sparse Files".

use std::io;

use crate::reader::{Raw, bad, parse_decimal};

/// Most pieces that a sparse file may have.
const PIECES_MAX: usize = 1 << 20;

type Map = Vec<(u64, u64)>;

/// The first pieces in an `S` header, the real size, and whether more blocks follow.
pub(crate) fn old_gnu(header: &Raw<'_>) -> io::Result<(Map, u64, bool)> {
    let mut map = Vec::new();
    pieces(header, 386, 4, &mut map)?;
    Ok((map, header.number(483, 12)?, header.field(482, 1) != [0]))
}

/// The pieces in a block behind an `S` header, and whether more follow.
pub(crate) fn old_gnu_more(block: &Raw<'_>, map: &mut Map) -> io::Result<bool> {
    pieces(block, 0, 21, map)?;
    Ok(block.field(504, 1) != [0])
}

fn pieces(block: &Raw<'_>, at: usize, count: usize, map: &mut Map) -> io::Result<()> {
    for index in 0..count {
        let at = at + index * 24;
        if block.field(at, 1) == [0] {
            break;
        }
        push(map, block.number(at, 12)?, block.number(at + 12, 12)?)?;
    }
    Ok(())
}

fn push(map: &mut Map, offset: u64, length: u64) -> io::Result<()> {
    if map.len() >= PIECES_MAX {
        return Err(bad("sparse map is too large"));
    }
    map.push((offset, length));
    Ok(())
}

/// PAX format 0.1 (one record, `offset,length,…`) or 0.0 (a record for each number).
pub(crate) fn from_records(map: Option<&[u8]>, records: &[(Vec<u8>, Vec<u8>)]) -> io::Result<Map> {
    let numbers: Option<Vec<u64>> = match map {
        Some([]) => Some(Vec::new()),
        Some(list) => list.split(|byte| *byte == b',').map(parse_decimal).collect(),
        None => records
            .iter()
            .filter(|(key, _)| key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes")
            .map(|(_, value)| parse_decimal(value))
            .collect(),
    };
    pairs(&numbers.ok_or_else(|| bad("bad sparse map"))?)
}

/// PAX format 1.0: decimal lines, the first tells the number of pieces; none if more is needed.
pub(crate) fn from_content(text: &[u8]) -> io::Result<Option<Map>> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut number = || match lines.next().and_then(|line| line.strip_suffix(b"\n")) {
        None => Ok(None),
        Some(digits) => parse_decimal(digits).map(Some).ok_or_else(|| bad("bad sparse map")),
    };
    let Some(count) = number()? else { return Ok(None) };
    let count = usize::try_from(count).ok().filter(|count| *count <= PIECES_MAX);
    let count = count.ok_or_else(|| bad("sparse map is too large"))?;
    let mut numbers = Vec::new();
    while numbers.len() < count * 2 {
        match number()? {
            Some(value) => numbers.push(value),
            None => return Ok(None),
        }
    }
    pairs(&numbers).map(Some)
}

fn pairs(numbers: &[u64]) -> io::Result<Map> {
    if !numbers.len().is_multiple_of(2) {
        return Err(bad("bad sparse map"));
    }
    let mut map = Vec::new();
    for pair in numbers.chunks_exact(2) {
        push(&mut map, pair[0], pair[1])?;
    }
    Ok(map)
}

/// Checks that the pieces are in order, inside the file, and as long as the content.
pub(crate) fn check(map: &[(u64, u64)], size: u64, content: u64) -> io::Result<()> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for (offset, length) in map {
        let piece_end =
            offset.checked_add(*length).filter(|piece_end| *offset >= end && *piece_end <= size);
        end = piece_end.ok_or_else(|| bad("bad sparse map"))?;
        total += length;
    }
    if total == content { Ok(()) } else { Err(bad("sparse map does not fit the content")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        assert_eq!(from_content(b"1\n0\n512\n\0\0").unwrap(), Some(vec![(0, 512)]));
        assert_eq!(from_content(b"1\n0\n51").unwrap(), None);
        assert!(from_content(b"x\n").is_err());
        assert!(from_content(b"99999999999\n").is_err());
        assert_eq!(from_records(Some(b"0,5,10,5"), &[]).unwrap(), [(0, 5), (10, 5)]);
        assert!(from_records(Some(b"0,5,10"), &[]).is_err());
        assert!(check(&[(0, 5), (4, 5)], 20, 10).is_err());
        assert!(check(&[(0, 5), (10, 5)], 20, 10).is_ok());
        assert!(check(&[(0, u64::MAX), (10, 5)], 20, 10).is_err());
    }
}
