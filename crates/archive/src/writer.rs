//! Writing tar: ustar headers, PAX records where ustar is too small.

use std::io::{self, Read, Write};

use crate::{EntryKind, reader::BLOCK};

/// What goes into an entry's header.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// The name; directories end in a slash.
    pub name: &'a [u8],
    /// Target of a hard or symbolic link.
    pub link: &'a [u8],
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size of the content that follows.
    pub size: u64,
    /// Modification time, seconds since 1970.
    pub mtime_s: i64,
    /// Nanoseconds of it.
    pub mtime_ns: u32,
    /// Device major number.
    pub major: u32,
    /// Device minor number.
    pub minor: u32,
    /// Extended attributes.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> Header<'a> {
    /// A file of root's, mode 0644, of the year 1970.
    #[must_use]
    pub fn file(name: &'a [u8], size: u64) -> Self {
        Self {
            name,
            link: b"",
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            mtime_s: 0,
            mtime_ns: 0,
            major: 0,
            minor: 0,
            xattrs: &[],
        }
    }

    /// A directory of root's, mode 0755.
    #[must_use]
    pub fn directory(name: &'a [u8]) -> Self {
        Self { kind: EntryKind::Directory, mode: 0o755, ..Self::file(name, 0) }
    }
}

/// Writes a tar stream; the same input gives the same bytes.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `out`, which should buffer.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry and its content, padded with zeros if the content ends early.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub fn entry(&mut self, header: &Header<'_>, content: &mut dyn Read) -> io::Result<()> {
        self.header(header)?;
        let copied = io::copy(&mut content.take(header.size), &mut self.out)?;
        self.zeros(header.size - copied)?;
        self.pad(header.size)
    }

    /// Writes an entry with its content in memory.
    ///
    /// # Errors
    /// When writing fails.
    pub fn data(&mut self, header: &Header<'_>, content: &[u8]) -> io::Result<()> {
        self.entry(&Header { size: content.len() as u64, ..header.clone() }, &mut &*content)
    }

    /// Writes an entry whose content `write` writes: exactly the header's size.
    ///
    /// # Errors
    /// Those of `write`, or when it writes another number of bytes.
    pub fn written<E: From<io::Error>>(
        &mut self,
        header: &Header<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.header(header)?;
        let mut counted = Counted { out: &mut self.out, left: header.size };
        write(&mut counted)?;
        if counted.left > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(self.pad(header.size)?)
    }

    /// Ends the archive and gives the output back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, header: &Header<'_>) -> io::Result<()> {
        let records = pax_records(header);
        if !records.is_empty() {
            let pax = Header::file(b"PaxHeaders/entry", records.len() as u64);
            self.out.write_all(&block(&pax, b'x'))?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let kind = match header.kind {
            EntryKind::File => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::Char => b'3',
            EntryKind::Block => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
            EntryKind::Other(kind) => kind,
        };
        self.out.write_all(&block(header, kind))
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let block = BLOCK as u64;
        self.zeros((block - size % block) % block)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out).map(drop)
    }
}

/// Takes no more bytes than were promised.
struct Counted<'a, W> {
    out: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "content is longer than told"));
        }
        let written = self.out.write(data)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Records for everything that the fixed fields cannot hold.
fn pax_records(header: &Header<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    if header.name.len() > 100 && split_name(header.name).is_none() || !header.name.is_ascii() {
        record(&mut records, b"path", header.name);
    }
    if header.link.len() > 100 || !header.link.is_ascii() {
        record(&mut records, b"linkpath", header.link);
    }
    for (key, value, digits) in
        [("size", header.size, 11), ("uid", header.uid.into(), 7), ("gid", header.gid.into(), 7)]
    {
        if value >= 1 << (3 * digits) {
            record(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    if header.mtime_ns != 0 || !(0..1 << 33).contains(&header.mtime_s) {
        record(&mut records, b"mtime", time_text(header.mtime_s, header.mtime_ns).as_bytes());
    }
    for (name, value) in header.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Appends a record, whose length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn time_text(seconds: i64, nanos: u32) -> String {
    match (seconds, nanos) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ 0.., nanos) => format!("{seconds}.{nanos:09}"),
        (seconds, nanos) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
    }
}

/// Splits a long name at a slash into ustar's prefix and name.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let cut = |slash: &usize| {
        *slash <= 155 && (1..=100).contains(&(name.len() - slash - 1)) && *slash > 0
    };
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.rev().find(cut).map(|slash| (&name[..slash], &name[slash + 1..]))
}

fn block(header: &Header<'_>, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (prefix, name) = if header.name.len() > 100 {
        split_name(header.name).unwrap_or((b"", &header.name[..100]))
    } else {
        (b"".as_slice(), header.name)
    };
    put(&mut block, 0, name);
    put(&mut block, 345, prefix);
    put(&mut block, 157, &header.link[..header.link.len().min(100)]);
    octal(&mut block, 100, 7, header.mode.into());
    octal(&mut block, 108, 7, header.uid.into());
    octal(&mut block, 116, 7, header.gid.into());
    octal(&mut block, 124, 11, header.size);
    octal(&mut block, 136, 11, u64::try_from(header.mtime_s).unwrap_or_default());
    if matches!(header.kind, EntryKind::Char | EntryKind::Block) {
        octal(&mut block, 329, 7, header.major.into());
        octal(&mut block, 337, 7, header.minor.into());
    }
    block[156] = kind;
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 148, b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block, 148, 6, sum);
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes `digits` octal digits; too large a value is in a PAX record and zero here.
fn octal(block: &mut [u8; BLOCK], at: usize, digits: usize, value: u64) {
    let value = if value >= 1 << (3 * digits) { 0 } else { value };
    put(block, at, format!("{value:0digits$o}\0").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    #[test]
    fn headers_round_trip() {
        let long = "d/".repeat(200) + "x";
        let xattrs = [(b"user.a".to_vec(), b"1\n2".to_vec())];
        for (name, uid, mtime) in [
            ("a", 0, (0, 0)),
            (long.as_str(), 3_000_000_000, (-5, 999_999_999)),
            (&long[..179], 65534, (1 << 34, 1)),
            ("\u{e4}", 1, (7, 500)),
        ] {
            let header = Header {
                uid,
                mtime_s: mtime.0,
                mtime_ns: mtime.1,
                xattrs: &xattrs,
                mode: 0o4755,
                ..Header::file(name.as_bytes(), 0)
            };
            let mut writer = TarWriter::new(Vec::new());
            writer.data(&header, b"content").unwrap();
            let bytes = writer.finish().unwrap();
            assert_eq!(bytes.len() % BLOCK, 0);
            let mut reader = Reader::new(bytes.as_slice());
            let entry = reader.next().unwrap().unwrap();
            let got = (entry.name.as_slice(), entry.uid, entry.mtime_s, entry.mtime_ns, entry.mode);
            assert_eq!(got, (name.as_bytes(), uid.into(), mtime.0, mtime.1, 0o4755));
            assert_eq!(entry.xattrs, xattrs);
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            assert_eq!(content, "content");
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn record_lengths_count_themselves() {
        for size in [0, 85, 86, 87, 88, 89, 90, 91, 92, 983, 984, 985, 986] {
            let mut records = Vec::new();
            record(&mut records, b"k", &vec![b'v'; size]);
            let length: usize =
                String::from_utf8_lossy(&records).split_once(' ').unwrap().0.parse().unwrap();
            assert_eq!(length, records.len(), "value of {size}");
        }
    }
}
