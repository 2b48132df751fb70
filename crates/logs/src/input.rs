//! One file of a log as a sequence of records.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use flate2::read::MultiGzDecoder;

use crate::entry::Decoded;
use crate::{json_file, local};

const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line than this is none of ours and is passed over.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// How records are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Json,
    Local,
}

#[derive(Debug)]
enum Bytes {
    Plain(File),
    Gzip(Box<MultiGzDecoder<File>>),
}

/// Reads records from a plain or compressed file.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Bytes,
    layout: Layout,
    buffer: Vec<u8>,
    /// What of `buffer` is not yet given, and up to where it was searched.
    start: usize,
    searched: usize,
    /// Inside a line that is too long.
    skipping: bool,
    /// `local` only: where the attributes are kept once the header was read.
    header: Option<Vec<u8>>,
    /// `local` only: nothing more can be made out.
    damaged: bool,
}

impl Input {
    pub(crate) fn new(file: File, compressed: bool, layout: Layout) -> Input {
        let bytes = if compressed {
            Bytes::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else {
            Bytes::Plain(file)
        };
        Input {
            bytes,
            layout,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
            header: None,
            damaged: false,
        }
    }

    /// Reads the next sound record into `out`; false at the end of what is there. With `closed`
    /// nobody writes on, so that a last line without its newline is taken too.
    pub(crate) fn next(&mut self, closed: bool, out: &mut Decoded) -> io::Result<bool> {
        while let Some(range) = self.next_raw(closed)? {
            let record = &self.buffer[range];
            let sound = match self.layout {
                Layout::Json => json_file::decode(record, out),
                Layout::Local => {
                    local::decode(record, self.header.as_deref().unwrap_or_default(), out)
                }
            };
            if sound {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes over `count` records, sound or not; gives how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut passed = 0;
        while passed < count && self.next_raw(true)?.is_some() {
            passed += 1;
        }
        Ok(passed)
    }

    fn next_raw(&mut self, closed: bool) -> io::Result<Option<Range<usize>>> {
        match self.layout {
            Layout::Json => self.next_line(closed),
            Layout::Local => self.next_record(),
        }
    }

    fn next_line(&mut self, closed: bool) -> io::Result<Option<Range<usize>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let range = self.start..self.searched + at;
                self.start = range.end + 1;
                self.searched = self.start;
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                return Ok(Some(range));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() - self.start > MAX_LINE_BYTES {
                self.skipping = true;
                self.start = self.buffer.len();
            }
            if self.fill()? == 0 {
                let range = self.start..self.buffer.len();
                if !closed || range.is_empty() || self.skipping {
                    return Ok(None);
                }
                self.start = range.end;
                return Ok(Some(range));
            }
        }
    }

    fn next_record(&mut self) -> io::Result<Option<Range<usize>>> {
        while !self.damaged {
            let rest = &self.buffer[self.start..];
            let wanted = if self.header.is_none() {
                local::header_bytes(rest)
            } else {
                local::record_bytes(rest)
            };
            match wanted {
                Err(()) => self.damaged = true,
                Ok(Some(bytes)) if bytes <= rest.len() => {
                    let range = self.start..self.start + bytes;
                    self.start = range.end;
                    if self.header.is_some() {
                        return Ok(Some(range));
                    }
                    self.header = Some(self.buffer[range][local::MAGIC.len() + 4..].to_vec());
                }
                Ok(_) => {
                    if self.fill()? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads more behind what is left; gives how much.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start.min(self.searched);
            self.start = 0;
        }
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK_BYTES, 0);
        let room = &mut self.buffer[held..];
        let read = loop {
            let result = match &mut self.bytes {
                Bytes::Plain(file) => file.read(room),
                Bytes::Gzip(decoder) => decoder.read(room),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A compressed file that was cut short gives what it has.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break Ok(0),
                Err(_) if matches!(self.bytes, Bytes::Gzip(_)) => break Ok(0),
                other => break other,
            }
        };
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }
}
