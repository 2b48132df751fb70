//! Writing a log: lines, encoding, rotation.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::{LogConfig, LogFile};
use crate::entry::Stream;
use crate::files;
use crate::json_file::Encoder;
use crate::lines::Lines;
use crate::local;

/// Encoded lines are written once so many bytes are there, and at the end of each chunk.
const BATCH_BYTES: usize = 64 * 1024;

/// Writes one container's log. Lines of one chunk go to the kernel in one call.
#[derive(Debug)]
pub struct Writer {
    stdout: Lines,
    stderr: Lines,
    sink: Option<Sink>,
}

impl Writer {
    /// Opens the log, making it (0640) if it does not exist, and mends a line that a crash cut.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn open(config: &LogConfig) -> io::Result<Writer> {
        let sink = match config {
            LogConfig::None => None,
            LogConfig::JsonFile(file) => {
                Some(Sink::open(file, Format::Json(Encoder::new(&file.attrs)))?)
            }
            LogConfig::Local(file) => Some(Sink::open(file, Format::Local)?),
        };
        Ok(Writer { stdout: Lines::default(), stderr: Lines::default(), sink })
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.sink.is_some()
    }

    /// Takes a chunk of output that was read at `now_ns`. Its lines get rising times, a
    /// nanosecond apart.
    ///
    /// # Errors
    /// Those of writing: the lines at hand are lost then, later ones are tried again.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], now_ns: i64) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        lines.push(bytes, |line| sink.line(stream, now_ns, line));
        sink.finish()
    }

    /// The stream has ended: writes the line that was held.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn end(&mut self, stream: Stream, now_ns: i64) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        lines.end(|line| sink.line(stream, now_ns, line));
        sink.finish()
    }

    /// The rotated file that is to be compressed by [`compress`], in a process of its own so that
    /// the container does not wait. To be asked after each write; the next rotation compresses
    /// what was not taken.
    #[must_use]
    pub fn take_compression(&mut self) -> Option<PathBuf> {
        self.sink.as_mut()?.to_compress.take()
    }
}

/// Compresses a rotated file: `<path>` becomes `<path>.gz`.
///
/// # Errors
/// Those of reading and writing; the file is left as it was then.
pub fn compress(path: &Path) -> io::Result<()> {
    let target = files::with_suffix(path, ".gz");
    let temporary = files::with_suffix(path, ".gz.tmp");
    let mut source = match File::open(path) {
        // Rotated away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let output =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&temporary)?;
    let written = (|| {
        let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::fast());
        io::copy(&mut source, &mut encoder)?;
        encoder.finish()?.flush()?;
        std::fs::rename(&temporary, &target)?;
        std::fs::remove_file(path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

impl Writer {
    /// While a rotated file is being compressed its name must not change: the log grows beyond
    /// its size until this is taken back.
    pub fn hold_rotation(&mut self, hold: bool) {
        if let Some(sink) = &mut self.sink {
            sink.held = hold;
        }
    }
}

#[derive(Debug)]
enum Format {
    Json(Encoder),
    Local,
}

/// The open file and what is encoded for it.
#[derive(Debug)]
struct Sink {
    config: LogFile,
    format: Format,
    file: File,
    /// Bytes in the file and in `batch`.
    size: u64,
    /// Bytes in the file.
    written: u64,
    batch: Vec<u8>,
    last_ns: i64,
    failure: Option<io::Error>,
    to_compress: Option<PathBuf>,
    /// Not to be rotated now.
    held: bool,
}

impl Sink {
    fn open(config: &LogFile, format: Format) -> io::Result<Sink> {
        let file = open_file(&config.path)?;
        let mut sink = Sink {
            config: config.clone(),
            format,
            size: file.metadata()?.len(),
            file,
            written: 0,
            batch: Vec::new(),
            last_ns: i64::MIN,
            failure: None,
            to_compress: None,
            held: false,
        };
        sink.mend()?;
        sink.written = sink.size;
        Ok(sink)
    }

    /// Encodes one line, rotating before it if the file is full.
    fn line(&mut self, stream: Stream, now_ns: i64, line: &[u8]) {
        if !self.held && self.config.max_size_bytes.is_some_and(|max| self.size >= max) {
            self.flush();
            if let Err(error) = self.rotate() {
                self.failure.get_or_insert(error);
            }
        }
        let time_ns = now_ns.max(self.last_ns.saturating_add(1));
        self.last_ns = time_ns;
        let before = self.batch.len();
        match &mut self.format {
            Format::Json(encoder) => encoder.append(stream, time_ns, line, &mut self.batch),
            Format::Local => local::append(stream, time_ns, line, &mut self.batch),
        }
        self.size += (self.batch.len() - before) as u64;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush();
        if self.batch.capacity() > 2 * BATCH_BYTES {
            self.batch = Vec::new();
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn flush(&mut self) {
        match self.file.write_all(&self.batch) {
            Ok(()) => self.written = self.size,
            Err(error) => {
                // Half a line must not stay: the next one would be lost with it.
                let _ = self.file.set_len(self.written);
                self.size = self.written;
                self.failure.get_or_insert(error);
            }
        }
        self.batch.clear();
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Some(left) = self.to_compress.take() {
            compress(&left)?;
        }
        let rotated = files::shift(&self.config)?;
        self.file = open_file(&self.config.path)?;
        self.size = 0;
        self.start_file()?;
        self.written = self.size;
        self.to_compress = rotated.filter(|_| self.config.compress);
        Ok(())
    }

    fn start_file(&mut self) -> io::Result<()> {
        if matches!(self.format, Format::Local) {
            let header = local::header(&self.config.attrs);
            self.file.write_all(&header)?;
            self.size += header.len() as u64;
        }
        Ok(())
    }

    /// Ends a line that a crash cut short, so that what follows stands apart from it.
    fn mend(&mut self) -> io::Result<()> {
        if self.size == 0 {
            return self.start_file();
        }
        match self.format {
            Format::Json(_) => {
                let mut last = [0];
                self.file.read_exact_at(&mut last, self.size - 1)?;
                if last[0] != b'\n' {
                    self.file.write_all(b"\n")?;
                    self.size += 1;
                }
            }
            Format::Local => {
                let good = files::good_records(&self.file, self.size)?;
                if good < self.size {
                    self.file.set_len(good)?;
                    self.size = good;
                    if good == 0 {
                        self.start_file()?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}
