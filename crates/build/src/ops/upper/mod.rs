//! A layer that is being written over a base.
//!
//! Only the layer's directory is written to; the base is looked at through a read-only mount. A
//! directory of the base that something is put into is made in the layer with the base's owner,
//! mode, attributes and time, as overlayfs would show them. Paths are canonical: [`Upper::resolve`]
//! follows the links that the layer and the base have, and never leaves them.

mod look;

use std::{
    cell::RefCell,
    collections::HashSet,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use gantry_archive::{open_dir, open_in_root, read_xattrs, write_xattrs};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
        XattrFlags, chownat, fchmod, fchown, futimens, linkat, mkdirat, mknodat, openat, statat,
        symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use tokio_util::sync::CancellationToken;

use self::look::Near;
use crate::trees::{Kind, Node, Xattrs, shown, split};

/// Bytes of a file that are copied by reading and writing.
const SMALL: usize = 64 << 10;
/// Bytes that are copied between two looks at whether to go on.
const PIECE: u64 = 64 << 20;

/// Why something cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpperError {
    /// Something that is no directory stands where one is needed.
    #[error("cannot copy to non-directory: {0}")]
    NotADirectory(String),
    /// A directory stands where a file is to go.
    #[error("cannot replace to directory {0} with file")]
    Directory(String),
    /// The build was cancelled.
    #[error("context canceled")]
    Stopped,
    /// Links lead in a circle.
    #[error("{0}: too many levels of symbolic links")]
    Links(String),
    /// The file system failed.
    #[error("{step} {path}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl UpperError {
    fn io<E: Into<io::Error>>(step: &'static str, path: &[u8]) -> impl Fn(E) -> Self {
        move |source| Self::Io { step, path: shown(path), source: source.into() }
    }
}

/// Owner, mode and time of what is made because it is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// s and ns since 1970; none for now.
    pub time: Option<(i64, u32)>,
}

/// What something gets; of links only owner and time.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub time: (i64, u32),
    pub xattrs: Xattrs,
}

/// The layer.
pub(crate) struct Upper<'a> {
    layer: BorrowedFd<'a>,
    base: Option<OwnedFd>,
    stop: CancellationToken,
    /// Directories that are in the layer already.
    made: HashSet<Vec<u8>>,
    /// Times of directories, set last: every file made in one changes its own.
    times: Vec<(Vec<u8>, (i64, u32))>,
    /// The directory that was written to last.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// The directory that was looked into last.
    near: RefCell<Option<Near>>,
    /// Of what is copied by reading and writing.
    buffer: Vec<u8>,
}

impl<'a> Upper<'a> {
    pub(crate) fn new(
        layer: BorrowedFd<'a>,
        base: Option<OwnedFd>,
        stop: &CancellationToken,
    ) -> Result<Self, UpperError> {
        let upper = Self::bare(layer, base, stop);
        if let Some(base) = &upper.base {
            // The root shows the attributes of the topmost layer's. A mount's own descriptor is only
            // a place, from which no attributes can be read.
            let root = open_in_root(base.as_fd(), b"", OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(UpperError::io("opening", b""))?;
            upper.copy_attributes(root.as_fd(), layer, b"")?;
        }
        Ok(upper)
    }

    /// Another writer of files into directories that are there already, for another thread.
    pub(crate) fn hand(&self) -> Result<Self, UpperError> {
        let base = self.base.as_ref().map(OwnedFd::try_clone).transpose();
        let base = base.map_err(UpperError::io("opening", b""))?;
        Ok(Self::bare(self.layer, base, &self.stop))
    }

    fn bare(layer: BorrowedFd<'a>, base: Option<OwnedFd>, stop: &CancellationToken) -> Self {
        Self {
            layer,
            base,
            stop: stop.clone(),
            made: HashSet::new(),
            times: Vec::new(),
            last: None,
            near: RefCell::new(None),
            buffer: Vec::new(),
        }
    }

    /// Makes sure that a directory and those above it are in the layer, those that are nowhere with
    /// the attributes given.
    pub(crate) fn ensure(&mut self, path: &[u8], made: Made) -> Result<(), UpperError> {
        if path.is_empty() || self.made.contains(path) {
            return Ok(());
        }
        self.ensure(split(path).0, made)?;
        match self.look(path)? {
            Some(stat) if !is_directory(&stat) => {
                return Err(UpperError::NotADirectory(shown(path)));
            }
            Some(_) if self.in_layer(path)? => {}
            Some(_) => self.take_from_base(path)?,
            None => {
                self.make(path)?;
                let time = made.time.unwrap_or_else(now);
                let (mode, uid, gid) = (made.mode, made.uid, made.gid);
                let attributes = Attributes { mode, uid, gid, time, xattrs: Vec::new() };
                self.dress_directory(path, &attributes)?;
            }
        }
        self.made.insert(path.to_vec());
        Ok(())
    }

    /// Makes a directory in an ensured one, or takes the one that is there, which gets these
    /// attributes unless `keep`. Whether it is new.
    pub(crate) fn directory(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        keep: bool,
    ) -> Result<bool, UpperError> {
        match self.look(path)? {
            Some(stat) if !is_directory(&stat) => Err(UpperError::NotADirectory(shown(path))),
            Some(_) => {
                if !self.in_layer(path)? {
                    self.take_from_base(path)?;
                }
                self.made.insert(path.to_vec());
                if !keep {
                    self.dress_directory(path, attributes)?;
                }
                Ok(false)
            }
            None => {
                self.make(path)?;
                self.made.insert(path.to_vec());
                self.dress_directory(path, attributes)?;
                Ok(true)
            }
        }
    }

    /// Makes a file in an ensured directory, of another's content, in place of what is there.
    pub(crate) fn file(
        &mut self,
        path: &[u8],
        content: &mut File,
        attributes: &Attributes,
    ) -> Result<(), UpperError> {
        if self.look(path)?.is_some_and(|stat| is_directory(&stat)) {
            return Err(UpperError::Directory(shown(path)));
        }
        let mut file = match self.create(path, attributes.mode) {
            // A file, or what hides one of the base: seldom, so nothing looks for it before.
            Err(Errno::EXIST) => {
                self.unlink(path)?;
                self.create(path, attributes.mode)
            }
            created => created,
        }
        .map_err(UpperError::io("creating", path))?;
        self.fill(&mut file, content, path)?;
        dress(file.as_fd(), attributes).map_err(UpperError::io("setting attributes of", path))?;
        futimens(&file, &timestamps(attributes.time))
            .map_err(UpperError::io("setting time of", path))
    }

    fn create(&mut self, path: &[u8], mode: u32) -> Result<File, Errno> {
        let (above, name) = split(path);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = self.open_parent(above)?;
        Ok(File::from(openat(parent, name, flags, Mode::from_raw_mode(mode & 0o777))?))
    }

    /// Copies a file's content, in pieces between which the work can be stopped.
    fn fill(&mut self, file: &mut File, content: &mut File, path: &[u8]) -> Result<(), UpperError> {
        let failed = UpperError::io("writing", path);
        // Most files are small, and cheaper to write than to have copied.
        self.buffer.resize(SMALL, 0);
        let read = content.read(&mut self.buffer).map_err(&failed)?;
        file.write_all(&self.buffer[..read]).map_err(failed)?;
        // Of a file as long as that, the rest follows.
        if read < SMALL {
            return Ok(());
        }
        loop {
            // The kernel copies, without a way through our memory.
            let copied = io::copy(&mut content.take(PIECE), file)
                .map_err(UpperError::io("writing", path))?;
            if copied < PIECE {
                return Ok(());
            }
            if self.stop.is_cancelled() {
                return Err(UpperError::Stopped);
            }
        }
    }

    /// Makes another name of a file that this layer has.
    pub(crate) fn hard_link(&mut self, path: &[u8], first: &[u8]) -> Result<(), UpperError> {
        self.make_room(path)?;
        let (first_above, first_name) = split(first);
        let from = open_in_root(self.layer, first_above, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(UpperError::io("opening", first_above))?;
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        linkat(&from, first_name, parent, name, AtFlags::empty())
            .map_err(UpperError::io("linking", path))
    }

    /// Makes a symbolic link, a device or a pipe in an ensured directory.
    pub(crate) fn special(
        &mut self,
        path: &[u8],
        node: &Node,
        attributes: &Attributes,
    ) -> Result<(), UpperError> {
        self.make_room(path)?;
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o7777);
        let made = match node.kind {
            Kind::Symlink => symlinkat(node.link.as_slice(), parent, name),
            Kind::Char => mknodat(parent, name, FileType::CharacterDevice, mode, node.device),
            Kind::Block => mknodat(parent, name, FileType::BlockDevice, mode, node.device),
            Kind::Fifo => mknodat(parent, name, FileType::Fifo, mode, 0),
            Kind::Socket | Kind::File | Kind::Directory => return Ok(()),
        };
        made.map_err(UpperError::io("creating", path))?;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(UpperError::io("setting owner of", path))?;
        if node.kind != Kind::Symlink {
            // What was just made here is no link, so its mode may be set by name.
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty())
                .map_err(UpperError::io("setting mode of", path))?;
        }
        utimensat(parent, name, &timestamps(attributes.time), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(UpperError::io("setting time of", path))
    }

    /// Whether the work is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The base's files.
    pub(crate) fn base(&self) -> Option<BorrowedFd<'_>> {
        self.base.as_ref().map(AsFd::as_fd)
    }

    /// Forgets what it knows of the layer's directories: something else has written to it.
    pub(crate) fn forget(&mut self) {
        self.made.clear();
        self.last = None;
        self.near.replace(None);
    }

    /// Makes a directory that is nowhere yet, or that only the base has.
    fn make(&mut self, path: &[u8]) -> Result<(), UpperError> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        make_directory(parent, name).map_err(UpperError::io("creating", path))?;
        // What was looked at before did not have it.
        self.near.replace(None);
        Ok(())
    }

    /// Sets the times of directories; the layer is complete.
    pub(crate) fn finish(mut self) -> Result<(), UpperError> {
        self.last = None;
        // The last word about a directory counts.
        let mut done = HashSet::new();
        for (path, time) in self.times.iter().rev() {
            if !done.insert(path.as_slice()) {
                continue;
            }
            let failed = UpperError::io::<Errno>("setting time of", path);
            match open_in_root(self.layer, path, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(dir) => futimens(&dir, &timestamps(*time)).map_err(failed)?,
                // An archive has put something else in its place.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Makes a directory that the base has.
    fn take_from_base(&mut self, path: &[u8]) -> Result<(), UpperError> {
        let failed = UpperError::io::<Errno>("opening", path);
        let Some(base) = &self.base else { return Err(failed(Errno::NOENT)) };
        let like =
            open_in_root(base.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        self.make(path)?;
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let fresh = open_dir(parent, name).map_err(UpperError::io("opening", path))?;
        let time = self.copy_attributes(like.as_fd(), fresh.as_fd(), path)?;
        self.times.push((path.to_vec(), time));
        Ok(())
    }

    fn copy_attributes(
        &self,
        like: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<(i64, u32), UpperError> {
        let failed = UpperError::io::<Errno>("setting attributes of", path);
        let stat = rustix::fs::fstat(like).map_err(&failed)?;
        let attributes = Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            time: time_of(&stat),
            xattrs: read_xattrs(like).map_err(&failed)?,
        };
        dress(to, &attributes).map_err(failed)?;
        Ok(attributes.time)
    }

    fn dress_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<(), UpperError> {
        let dir = open_in_root(self.layer, path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(UpperError::io("opening", path))?;
        dress(dir.as_fd(), attributes).map_err(UpperError::io("setting attributes of", path))?;
        self.times.push((path.to_vec(), attributes.time));
        Ok(())
    }

    /// Makes way for something that is no directory.
    fn make_room(&mut self, path: &[u8]) -> Result<(), UpperError> {
        let Some(stat) = self.look(path)? else {
            return self.remove_whiteout(path);
        };
        if is_directory(&stat) {
            return Err(UpperError::Directory(shown(path)));
        }
        self.unlink(path)
    }

    /// An archive may have left one where something is to be made.
    fn remove_whiteout(&mut self, path: &[u8]) -> Result<(), UpperError> {
        if self.in_layer(path)? { self.unlink(path) } else { Ok(()) }
    }

    fn unlink(&mut self, path: &[u8]) -> Result<(), UpperError> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(UpperError::io("replacing", path)(errno)),
        }
    }

    /// A directory of the layer, open.
    fn parent(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, UpperError> {
        self.open_parent(path).map_err(UpperError::io("opening", path))
    }

    fn open_parent(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        if self.last.as_ref().is_none_or(|(known, _)| known != path) {
            let dir = open_in_root(self.layer, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            self.last = Some((path.to_vec(), dir));
        }
        let (_, dir) = self.last.as_ref().expect("it was just set");
        Ok(dir.as_fd())
    }
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Owner, attributes and mode, in the order that keeps them all: changing the owner clears set-id
/// bits and capabilities.
fn dress(file: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(file)?;
    let mode = attributes.mode & 0o7777;
    let owned = (stat.st_uid, stat.st_gid) == (attributes.uid, attributes.gid);
    // Most files are right as they were made.
    if owned && attributes.xattrs.is_empty() && stat.st_mode & 0o7777 == mode {
        return Ok(());
    }
    if !owned {
        fchown(file, Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))?;
    }
    if !attributes.xattrs.is_empty() {
        write_xattrs(file, &attributes.xattrs)?;
    }
    fchmod(file, Mode::from_raw_mode(mode))
}

/// Makes a directory, in place of a whiteout: then it must not show what the base has there.
fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) => {
            let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if !is_whiteout(&stat) {
                return Err(Errno::EXIST);
            }
            unlinkat(parent, name, AtFlags::empty())?;
            mkdirat(parent, name, Mode::RWXU)?;
            let dir = open_dir(parent, name)?;
            rustix::fs::fsetxattr(&dir, OPAQUE, b"y", XattrFlags::empty())
        }
        made => made,
    }
}

/// Marks an overlayfs directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn time_of(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default())
}

fn now() -> (i64, u32) {
    let now = jiff::Timestamp::now();
    (now.as_second(), u32::try_from(now.subsec_nanosecond()).unwrap_or_default())
}

fn timestamps((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    }
}
