//! Packing a tree into a tar.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, major, minor, openat, readlinkat},
    io::Errno,
};

use crate::{
    ArchiveError, EntryKind, Header, TarWriter,
    extract::{WHITEOUT, WHITEOUT_OPAQUE, is_whiteout},
    metadata,
    walk::{Found, walk},
};

/// Packs everything below `root`, each name with `prefix` before it; sockets are left out.
///
/// # Errors
/// When a file cannot be read or `out` not written.
pub fn pack(root: BorrowedFd<'_>, prefix: &[u8], out: &mut dyn Write) -> Result<(), ArchiveError> {
    pack_until(root, prefix, None, out)
}

/// As [`pack`]; what was changed later than `latest_s`, seconds since 1970, is given that time.
///
/// # Errors
/// As [`pack`].
pub fn pack_until(
    root: BorrowedFd<'_>,
    prefix: &[u8],
    latest_s: Option<i64>,
    out: &mut dyn Write,
) -> Result<(), ArchiveError> {
    let mut packer = Packer::new(out, prefix, false);
    packer.latest_s = latest_s;
    walk(root, &mut |found| packer.found(found))?;
    packer.finish()
}

/// What was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Entries, whiteouts among them.
    pub entries: u64,
    /// Bytes of file content, files with several names once.
    pub size_bytes: u64,
}

/// Packs an overlay's upper directory as a layer: whiteouts become `.wh.` entries again.
///
/// # Errors
/// As [`pack`].
pub fn pack_upper(upper: BorrowedFd<'_>, out: &mut dyn Write) -> Result<Packed, ArchiveError> {
    pack_upper_until(upper, None, out)
}

/// As [`pack_upper`]; what was changed later than `latest_s`, seconds since 1970, is given that time.
///
/// # Errors
/// As [`pack`].
pub fn pack_upper_until(
    upper: BorrowedFd<'_>,
    latest_s: Option<i64>,
    out: &mut dyn Write,
) -> Result<Packed, ArchiveError> {
    let mut packer = Packer::new(out, b"", true);
    packer.latest_s = latest_s;
    walk(upper, &mut |found| packer.found(found))?;
    let packed = packer.packed;
    packer.finish()?;
    Ok(packed)
}

pub(crate) struct Packer<'a> {
    tar: TarWriter<BufWriter<&'a mut dyn Write>>,
    prefix: &'a [u8],
    upper: bool,
    latest_s: Option<i64>,
    packed: Packed,
    /// First name of each file with several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, prefix: &'a [u8], upper: bool) -> Self {
        let tar = TarWriter::new(BufWriter::with_capacity(256 << 10, out));
        let packed = Packed::default();
        Self { tar, prefix, upper, latest_s: None, packed, linked: HashMap::new() }
    }

    pub(crate) fn finish(self) -> Result<(), ArchiveError> {
        self.tar.finish().map(drop).map_err(ArchiveError::Write)
    }

    pub(crate) fn found(&mut self, found: &Found<'_>) -> Result<(), ArchiveError> {
        let name = [self.prefix, found.path].concat();
        if self.upper && is_whiteout(&found.stat) {
            let at = name.len() - found.name.len();
            let whiteout = [&name[..at], WHITEOUT, found.name].concat();
            return self.write(&Header { mode: 0, ..Header::file(&whiteout, 0) }, &mut io::empty());
        }
        let header = base_header(found, &name);
        match found.kind() {
            FileType::Directory => self.directory(found, &name),
            FileType::RegularFile => self.file(found, &name),
            FileType::Symlink => {
                let target = readlinkat(found.parent, found.name, Vec::new());
                let target =
                    target.map_err(|errno| ArchiveError::pack(&found.display_path(), errno))?;
                let header = Header { kind: EntryKind::Symlink, link: target.to_bytes(), ..header };
                self.linkable(found, &header)
            }
            FileType::CharacterDevice => self.device(found, &header, EntryKind::Char),
            FileType::BlockDevice => self.device(found, &header, EntryKind::Block),
            FileType::Fifo => self.linkable(found, &Header { kind: EntryKind::Fifo, ..header }),
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn directory(&mut self, found: &Found<'_>, name: &[u8]) -> Result<(), ArchiveError> {
        let Some(dir) = found.dir else { return Ok(()) };
        let name = [name, b"/"].concat();
        let xattrs = metadata::read(dir)
            .map_err(|errno| ArchiveError::pack(&found.display_path(), errno))?;
        let header =
            Header { kind: EntryKind::Directory, xattrs: &xattrs, ..base_header(found, &name) };
        self.write(&header, &mut io::empty())?;
        if self.upper && metadata::is_opaque(dir) {
            let name = [&name, WHITEOUT_OPAQUE].concat();
            self.write(&Header { mode: 0, ..Header::file(&name, 0) }, &mut io::empty())?;
        }
        Ok(())
    }

    fn file(&mut self, found: &Found<'_>, name: &[u8]) -> Result<(), ArchiveError> {
        let failed = |errno: Errno| ArchiveError::pack(&found.display_path(), errno);
        if self.earlier(found).is_some() {
            return self.linkable(found, &base_header(found, name));
        }
        // NONBLOCK: a racer may put a pipe in its place, which must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(found.parent, found.name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            result => result.map_err(failed)?,
        };
        let stat = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let xattrs = metadata::read(file.as_fd()).map_err(failed)?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let now =
            Found { stat, path: found.path, name: found.name, parent: found.parent, dir: None };
        let header = Header { size, xattrs: &xattrs, ..base_header(&now, name) };
        self.remember(found, name);
        self.write(&header, &mut File::from(file))
    }

    fn device(
        &mut self,
        found: &Found<'_>,
        header: &Header<'_>,
        kind: EntryKind,
    ) -> Result<(), ArchiveError> {
        let device = found.stat.st_rdev;
        self.linkable(
            found,
            &Header { kind, major: major(device), minor: minor(device), ..header.clone() },
        )
    }

    /// Writes an entry without content, or a link to its first name.
    fn linkable(&mut self, found: &Found<'_>, header: &Header<'_>) -> Result<(), ArchiveError> {
        if let Some(first) = self.earlier(found).cloned() {
            let link = Header {
                kind: EntryKind::HardLink,
                link: &first,
                size: 0,
                xattrs: &[],
                ..header.clone()
            };
            return self.write(&link, &mut io::empty());
        }
        self.remember(found, header.name);
        self.write(header, &mut io::empty())
    }

    fn earlier(&self, found: &Found<'_>) -> Option<&Vec<u8>> {
        self.linked.get(&(found.stat.st_dev, found.stat.st_ino)).filter(|_| found.stat.st_nlink > 1)
    }

    fn remember(&mut self, found: &Found<'_>, name: &[u8]) {
        if found.stat.st_nlink > 1 {
            self.linked.insert((found.stat.st_dev, found.stat.st_ino), name.to_vec());
        }
    }

    fn write(&mut self, header: &Header<'_>, content: &mut dyn Read) -> Result<(), ArchiveError> {
        self.packed.entries += 1;
        self.packed.size_bytes += header.size;
        let mut header = header.clone();
        if let Some(latest) = self.latest_s
            && header.mtime_s >= latest
        {
            (header.mtime_s, header.mtime_ns) = (latest, 0);
        }
        self.tar.entry(&header, content).map_err(ArchiveError::Write)
    }
}

fn base_header<'a>(found: &Found<'_>, name: &'a [u8]) -> Header<'a> {
    Header {
        mode: found.stat.st_mode & 0o7777,
        uid: found.stat.st_uid,
        gid: found.stat.st_gid,
        mtime_s: found.stat.st_mtime,
        mtime_ns: u32::try_from(found.stat.st_mtime_nsec).unwrap_or_default(),
        ..Header::file(name, 0)
    }
}
