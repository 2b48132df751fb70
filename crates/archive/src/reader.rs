//! Reading tar: v7, ustar, PAX and GNU headers.
//!
//! Source: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Interchange Format"; GNU tar
//! manual, "Basic Tar Format" and "Storing Sparse Files".

use std::io::{self, BufRead, BufReader, Read};

use crate::sparse;

/// Size of a header and unit of padding.
pub(crate) const BLOCK: usize = 512;
/// Largest extension header (long name, PAX records) that is read into memory.
const EXTENSION_MAX: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// Anything else, by its type byte.
    Other(u8),
}

/// One entry's header, extensions applied.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name as it is in the archive.
    pub name: Vec<u8>,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with set-uid, set-gid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Size of the content, holes of a sparse file included.
    pub size: u64,
    /// Modification time, seconds since 1970.
    pub mtime_s: i64,
    /// Nanoseconds of the modification time.
    pub mtime_ns: u32,
    /// Device major number.
    pub major: u32,
    /// Device minor number.
    pub minor: u32,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The stored pieces of a sparse file: offset and length.
    pub(crate) sparse: Option<Vec<(u64, u64)>>,
    /// Bytes of content in the archive.
    stored: u64,
}

impl Entry {
    /// The name for messages.
    #[must_use]
    pub fn display_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// PAX records that apply to one entry.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extensions {
    fn value(&self, key: &str) -> Option<&[u8]> {
        // The last record of a key wins.
        self.pax.iter().rev().find(|(k, _)| k == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    fn number(&self, key: &str) -> io::Result<Option<u64>> {
        self.value(key)
            .map(|value| parse_decimal(value).ok_or_else(|| bad("bad number in PAX record")))
            .transpose()
    }
}

/// Reads a tar stream entry by entry.
pub struct Reader<R> {
    input: BufReader<R>,
    /// Content of the present entry that is not read yet.
    content: u64,
    /// Padding behind it.
    padding: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from a stream that is not compressed.
    pub fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(256 << 10, input), content: 0, padding: 0 }
    }

    /// The next entry; none at the end of the archive.
    ///
    /// What is left of the present entry's content is skipped.
    ///
    /// # Errors
    /// When the stream fails, breaks off or is no tar.
    #[expect(
        clippy::should_implement_trait,
        reason = "entries borrow nothing, but content is read between them"
    )]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let header = Raw(&block);
            let size = header.number(124, 12)?;
            match header.kind() {
                b'L' => extensions.name = Some(until_nul(&self.extension(size)?).to_vec()),
                b'K' => extensions.link = Some(until_nul(&self.extension(size)?).to_vec()),
                b'x' | b'X' => extensions.pax = parse_pax(&self.extension(size)?)?,
                // Global records have no use in layers; Docker skips them too.
                b'g' => drop(self.extension(size)?),
                _ => return self.entry(&header, size, &extensions).map(Some),
            }
        }
    }

    /// The rest of the present entry's content, as much as is buffered; empty at its end.
    ///
    /// # Errors
    /// When the stream fails or breaks off.
    pub fn fill(&mut self) -> io::Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let buffer = self.input.fill_buf()?;
        if buffer.is_empty() {
            return Err(truncated());
        }
        let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        Ok(&buffer[..length])
    }

    /// Marks `length` bytes of what [`Reader::fill`] gave as read.
    pub fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.content -= length as u64;
    }

    /// Reads the stream to its end, so that checksums behind the archive are verified.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn drain(&mut self) -> io::Result<()> {
        loop {
            let length = self.input.fill_buf()?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }

    fn entry(&mut self, header: &Raw<'_>, size: u64, extensions: &Extensions) -> io::Result<Entry> {
        let kind = match header.kind() {
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Char,
            b'4' => EntryKind::Block,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => EntryKind::Other(other),
        };
        let mut entry = Entry {
            name: extensions
                .value("path")
                .map(<[u8]>::to_vec)
                .or_else(|| extensions.name.clone())
                .unwrap_or_else(|| header.name()),
            link: extensions
                .value("linkpath")
                .map(<[u8]>::to_vec)
                .or_else(|| extensions.link.clone())
                .unwrap_or_else(|| until_nul(header.field(157, 100)).to_vec()),
            kind,
            mode: u32::try_from(header.number(100, 8)? & 0o7777).unwrap_or_default(),
            uid: extensions.number("uid")?.map_or_else(|| header.number(108, 8), Ok)?,
            gid: extensions.number("gid")?.map_or_else(|| header.number(116, 8), Ok)?,
            size: extensions.number("size")?.unwrap_or(size),
            mtime_s: header.signed(136, 12)?,
            mtime_ns: 0,
            major: header.device(329)?,
            minor: header.device(337)?,
            xattrs: xattrs(extensions),
            sparse: None,
            stored: 0,
        };
        if let Some(mtime) = extensions.value("mtime") {
            (entry.mtime_s, entry.mtime_ns) =
                parse_time(mtime).ok_or_else(|| bad("bad time in PAX record"))?;
        }
        // Only files have content; some writers give links a size without content behind it.
        entry.stored = if matches!(entry.kind, EntryKind::File | EntryKind::Other(_)) {
            entry.size
        } else {
            0
        };
        // Before POSIX a directory was a file whose name ends in a slash.
        if kind == EntryKind::File && entry.name.ends_with(b"/") {
            entry.kind = EntryKind::Directory;
        }
        self.content = entry.stored;
        self.padding = padding(entry.stored);
        if entry.kind == EntryKind::File {
            self.sparse(header, extensions, &mut entry)?;
        }
        Ok(entry)
    }

    /// Reads the map of a sparse file of any format.
    fn sparse(
        &mut self,
        header: &Raw<'_>,
        extensions: &Extensions,
        entry: &mut Entry,
    ) -> io::Result<()> {
        let map = if header.kind() == b'S' {
            let (mut map, real_size, mut more) = sparse::old_gnu(header)?;
            while more {
                let mut block = [0; BLOCK];
                self.input.read_exact(&mut block).map_err(eof)?;
                more = sparse::old_gnu_more(&Raw(&block), &mut map)?;
            }
            entry.size = real_size;
            map
        } else if extensions.value("GNU.sparse.major") == Some(b"1") {
            entry.size = extensions.number("GNU.sparse.realsize")?.unwrap_or_default();
            self.sparse_map_in_content()?
        } else if let Some(size) = extensions.number("GNU.sparse.size")? {
            entry.size = size;
            sparse::from_records(extensions.value("GNU.sparse.map"), &extensions.pax)?
        } else {
            return Ok(());
        };
        if let Some(name) = extensions.value("GNU.sparse.name") {
            name.clone_into(&mut entry.name);
        }
        sparse::check(&map, entry.size, self.content)?;
        entry.sparse = Some(map);
        Ok(())
    }

    /// PAX sparse format 1.0: the map is at the head of the content, in whole blocks.
    fn sparse_map_in_content(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut text = Vec::new();
        loop {
            if self.content < BLOCK as u64 || text.len() as u64 > EXTENSION_MAX {
                return Err(bad("bad sparse map"));
            }
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block).map_err(eof)?;
            self.content -= BLOCK as u64;
            text.extend_from_slice(&block);
            if let Some(map) = sparse::from_content(&text)? {
                return Ok(map);
            }
        }
    }

    /// The next header; none at a block of zeros or at the end of the stream.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(truncated()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Raw(&block).verify()?;
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION_MAX {
            return Err(bad("extension header is too large"));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        self.input.read_exact(&mut data).map_err(eof)?;
        self.padding = padding(size);
        Ok(data)
    }

    fn skip(&mut self) -> io::Result<()> {
        let (mut left, padding) = (self.content + self.padding, self.padding);
        (self.content, self.padding) = (0, 0);
        while left > 0 {
            let available = self.input.fill_buf()?.len();
            if available == 0 {
                // Docker's client ends an archive without the padding behind its last file.
                return if left <= padding { Ok(()) } else { Err(truncated()) };
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(available);
            self.input.consume(length);
            left -= length as u64;
        }
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads content of the present entry.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// A header block.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8; BLOCK]);

impl Raw<'_> {
    pub(crate) fn field(&self, at: usize, length: usize) -> &[u8] {
        &self.0[at..at + length]
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// An unsigned number, octal or base 256.
    pub(crate) fn number(&self, at: usize, length: usize) -> io::Result<u64> {
        u64::try_from(self.signed(at, length)?).map_err(|_| bad("negative number in header"))
    }

    fn signed(&self, at: usize, length: usize) -> io::Result<i64> {
        let field = self.field(at, length);
        if field[0] & 0x80 != 0 {
            return base256(field).ok_or_else(|| bad("number in header is too large"));
        }
        let text = until_nul(field).trim_ascii();
        let digits = text.iter().try_fold(0_i64, |value, byte| match byte {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
            _ => None,
        });
        digits.ok_or_else(|| bad("bad number in header"))
    }

    fn device(&self, at: usize) -> io::Result<u32> {
        if !self.field(257, 5).starts_with(b"ustar") {
            return Ok(0);
        }
        u32::try_from(self.number(at, 8)?).map_err(|_| bad("device number is too large"))
    }

    /// The name; only POSIX headers have a prefix, GNU ones keep times there.
    fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100));
        let prefix = until_nul(self.field(345, 155));
        if self.field(257, 6) != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    fn verify(&self) -> io::Result<()> {
        let want = self.number(148, 8)?;
        let bytes = || {
            self.0
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte })
        };
        let unsigned: u64 = bytes().map(u64::from).sum();
        // Old programs summed signed characters.
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        if unsigned == want || u64::try_from(signed) == Ok(want) {
            Ok(())
        } else {
            Err(bad("header has a wrong checksum"))
        }
    }
}

fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] == 0xff;
    let first = if negative { -1 } else { i64::from(field[0] & 0x7f) };
    field[1..]
        .iter()
        .try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// Cuts PAX records by their length, `"30 mtime=1350244992.023960108\n"`.
fn parse_pax(mut data: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !data.is_empty() && data[0] != 0 {
        let malformed = || bad("malformed PAX record");
        let space = data.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length = parse_decimal(&data[..space]).and_then(|length| usize::try_from(length).ok());
        let length = length
            .filter(|length| *length > space + 1 && *length <= data.len())
            .ok_or_else(malformed)?;
        let record = data[space + 1..length].strip_suffix(b"\n").ok_or_else(malformed)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        data = &data[length..];
    }
    Ok(records)
}

fn xattrs(extensions: &Extensions) -> Vec<(Vec<u8>, Vec<u8>)> {
    let named = |(key, value): &(Vec<u8>, Vec<u8>)| {
        key.strip_prefix(b"SCHILY.xattr.").map(|name| (name.to_vec(), value.clone()))
    };
    extensions.pax.iter().filter_map(named).collect()
}

pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// `[-]seconds[.fraction]`; the fraction counts towards the past for negative times.
fn parse_time(text: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.iter().position(|byte| *byte == 0).map_or(field, |end| &field[..end])
}

fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

pub(crate) fn bad(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of archive")
}

/// Gives the end of the stream our words; other errors stay.
fn eof(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { truncated() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_cut_by_length() {
        let value = b"a\nb=c\n";
        let record = [b"22 SCHILY.xattr.x=".as_slice(), value].concat();
        assert_eq!(record.len(), 24);
        let record = [b"25 SCHILY.xattr.x=".as_slice(), value, b"\n"].concat();
        let records = parse_pax(&record).unwrap();
        assert_eq!(records, [(b"SCHILY.xattr.x".to_vec(), value.to_vec())]);
        for broken in
            ["5 a=b", "99 a=b\n", "0 a=b\n", "x a=b\n", "6 ab\n", "18446744073709551616 a=b\n"]
        {
            assert!(parse_pax(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("1", Some((1, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("-1.25", Some((-2, 750_000_000))),
            ("1.0000000019", Some((1, 1))),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn numbers() {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(b"0000644\0");
        assert_eq!(Raw(&block).number(0, 8).unwrap(), 0o644);
        block[..8].copy_from_slice(&[0x80, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(Raw(&block).number(0, 8).unwrap(), 65536);
        block[..8].copy_from_slice(&[0xff; 8]);
        assert_eq!(Raw(&block).signed(0, 8).unwrap(), -1);
        block[..8].copy_from_slice(b"99999999");
        assert!(Raw(&block).number(0, 8).is_err());
    }

    #[test]
    fn endings() {
        for (data, want) in
            [(vec![], true), (vec![0; 1024], true), (vec![1; 100], false), (vec![7; 512], false)]
        {
            assert_eq!(Reader::new(data.as_slice()).next().is_ok(), want, "{} bytes", data.len());
        }
    }
}
