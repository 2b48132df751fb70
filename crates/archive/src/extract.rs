//! Extracting a tar beneath a directory.
//!
//! Each entry is made by its name in its parent's descriptor. Parents are resolved once and kept,
//! since archives list a directory's files together; they are forgotten whenever something that
//! existed is removed, as it may have been on the way to one.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{
        AtFlags, Dev, FileType, Gid, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
        XattrFlags, chownat, fchmod, fchown, fsetxattr, fstat, futimens, linkat, makedev, mkdirat,
        mknodat, openat, statat, symlinkat, utimensat,
    },
    io::Errno,
};

use crate::{
    ArchiveError, Entry, EntryKind, ExtractOptions, Mode, Reader,
    fill::write_content,
    metadata,
    root::{clean, open_dir, open_in_root, remove_tree, split},
};

/// How an entry begins that deletes what is below it.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// The entry that hides everything below its directory.
pub(crate) const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
/// Names that aufs once kept for itself.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// Parents kept open.
const PARENTS_MAX: usize = 128;

/// What was extracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Entries.
    pub entries: u64,
    /// Bytes of file content, holes included.
    pub size_bytes: u64,
}

/// Extracts a tar that is not compressed beneath `root`, and reads the stream to its end.
///
/// # Errors
/// When the archive is broken, leads outside, exceeds a limit, or an entry cannot be made; what
/// was extracted until then stays.
pub fn extract(
    tar: &mut dyn Read,
    root: BorrowedFd<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let mut reader = Reader::new(tar);
    let mut extractor = Extractor {
        root,
        options,
        parents: HashMap::new(),
        directory_times: Vec::new(),
        devices: 0,
        done: Extracted::default(),
    };
    while let Some(entry) = reader.next().map_err(ArchiveError::Read)? {
        extractor.entry(&entry, &mut reader)?;
    }
    reader.drain().map_err(ArchiveError::Read)?;
    extractor.set_directory_times()?;
    Ok(extractor.done)
}

struct Extractor<'a> {
    root: BorrowedFd<'a>,
    options: &'a ExtractOptions,
    parents: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Set last, since every file made in a directory changes its time.
    directory_times: Vec<(Vec<u8>, Timestamps)>,
    devices: u64,
    done: Extracted,
}

/// Where an entry goes.
struct Place<'a> {
    parent: Rc<OwnedFd>,
    base: &'a [u8],
    /// The whole path below the root.
    path: &'a [u8],
    /// For messages.
    name: &'a str,
}

impl Place<'_> {
    fn failed(&self, step: &'static str) -> impl Fn(Errno) -> ArchiveError + use<'_> {
        move |errno| ArchiveError::entry(step, self.name, errno)
    }
}

impl<'a> Extractor<'a> {
    fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), ArchiveError> {
        self.done.entries += 1;
        if self.done.entries > self.options.limits.entries {
            return Err(ArchiveError::TooMany {
                what: "entries",
                limit: self.options.limits.entries,
            });
        }
        let name = entry.display_name();
        let path = clean(&entry.name)?;
        let (directory, base) = split(&path);
        if base.is_empty() {
            return self.root_entry(entry, &name);
        }
        let layer = self.options.mode == Mode::Layer;
        if layer
            && path
                .split(|b| *b == b'/')
                .any(|part| part.starts_with(WHITEOUT_META) && part != WHITEOUT_OPAQUE)
        {
            return Ok(());
        }
        let parent = self.parent(directory, &name)?;
        let place = Place { parent, base, path: &path, name: &name };
        if layer && let Some(hidden) = base.strip_prefix(WHITEOUT) {
            return self.whiteout(&place, hidden);
        }
        match entry.kind {
            EntryKind::File => self.file(&place, entry, reader),
            EntryKind::Directory => self.directory(&place, entry),
            EntryKind::HardLink => self.hard_link(&place, entry),
            EntryKind::Symlink => self.symlink(&place, entry),
            EntryKind::Char | EntryKind::Block | EntryKind::Fifo => self.node(&place, entry),
            EntryKind::Other(kind) => Err(ArchiveError::UnknownType { name, kind }),
        }
    }

    /// The entry `./`: a layer may set its root's metadata; a copy leaves its target as it is.
    fn root_entry(&mut self, entry: &Entry, name: &str) -> Result<(), ArchiveError> {
        if entry.kind != EntryKind::Directory {
            return Err(ArchiveError::BadEntry {
                name: name.to_owned(),
                reason: "root is not a directory",
            });
        }
        if self.options.mode == Mode::Layer || self.options.root {
            let root = self.root;
            self.finish_open(root, entry, name)?;
            self.directory_times.push((Vec::new(), times(entry)));
        }
        Ok(())
    }

    /// The descriptor of a directory below the root; missing ones are made.
    fn parent(&mut self, directory: &[u8], name: &str) -> Result<Rc<OwnedFd>, ArchiveError> {
        if let Some(parent) = self.parents.get(directory) {
            return Ok(Rc::clone(parent));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let failed = |errno| ArchiveError::entry("opening parent directory of", name, errno);
        let opened = match open_in_root(self.root, directory, flags) {
            Err(Errno::NOENT) => {
                let (above, base) = split(directory);
                let parent = self.parent(above, name)?;
                match mkdirat(&*parent, base, rustix::fs::Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed(errno)),
                }
                open_in_root(self.root, directory, flags).map_err(failed)?
            }
            result => result.map_err(failed)?,
        };
        Ok(self.keep_parent(directory, opened))
    }

    fn keep_parent(&mut self, directory: &[u8], opened: OwnedFd) -> Rc<OwnedFd> {
        if self.parents.len() >= PARENTS_MAX {
            self.parents.clear();
        }
        let opened = Rc::new(opened);
        self.parents.insert(directory.to_vec(), Rc::clone(&opened));
        opened
    }

    /// Makes room for an entry that is no directory, or for a directory where something else is.
    fn make_room(&mut self, place: &Place<'_>, for_directory: bool) -> Result<(), ArchiveError> {
        let found = match statat(&*place.parent, place.base, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(place.failed("looking at")(errno)),
        };
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if self.options.no_overwrite_dir_non_dir && is_directory != for_directory {
            let path = format!("/{}", String::from_utf8_lossy(place.path));
            return Err(if is_directory {
                ArchiveError::DirWithNonDir { path }
            } else {
                ArchiveError::NonDirWithDir { path }
            });
        }
        self.parents.clear();
        remove_tree(place.parent.as_fd(), place.base)
            .map_err(|source| ArchiveError::entry("replacing", place.name, source))
    }

    /// Runs `make`, and once more after making room if something is there already.
    fn make<T>(
        &mut self,
        place: &Place<'_>,
        step: &'static str,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, ArchiveError> {
        match make() {
            Err(Errno::EXIST) => {
                self.make_room(place, false)?;
                make().map_err(place.failed(step))
            }
            result => result.map_err(place.failed(step)),
        }
    }

    fn file<R: Read>(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), ArchiveError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = rustix::fs::Mode::from_raw_mode(entry.mode & 0o777);
        let file =
            self.make(place, "creating", || openat(&*place.parent, place.base, flags, mode))?;
        write_content(&file, entry, reader, place.name)?;
        self.done.size_bytes += entry.size;
        self.finish_open(file.as_fd(), entry, place.name)?;
        futimens(&file, &times(entry)).map_err(place.failed("setting time of"))
    }

    fn directory(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ArchiveError> {
        let mode = rustix::fs::Mode::from_raw_mode(entry.mode & 0o777);
        let make = || mkdirat(&*place.parent, place.base, mode);
        let mut hides = false;
        if let Err(errno) = make() {
            let found = statat(&*place.parent, place.base, AtFlags::SYMLINK_NOFOLLOW);
            let found = found.map_err(|_| place.failed("creating")(errno))?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                // A whiteout came first: the directory replaces the one below, not adds to it.
                hides = self.options.mode == Mode::Layer && is_whiteout(&found);
                self.make_room(place, true)?;
                make().map_err(place.failed("creating"))?;
            }
        }
        let dir = open_dir(place.parent.as_fd(), place.base).map_err(place.failed("opening"))?;
        if hides {
            set_opaque(dir.as_fd()).map_err(place.failed("marking"))?;
        }
        self.finish_open(dir.as_fd(), entry, place.name)?;
        self.directory_times.push((place.path.to_vec(), times(entry)));
        self.keep_parent(place.path, dir);
        Ok(())
    }

    fn hard_link(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ArchiveError> {
        let outside = || ArchiveError::LinkOutside {
            name: place.name.to_owned(),
            target: String::from_utf8_lossy(&entry.link).into_owned(),
        };
        let target = clean(&entry.link).map_err(|_| outside())?;
        if target == place.path {
            return Ok(());
        }
        let (directory, base) = split(&target);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let from = match self.parents.get(directory) {
            Some(parent) => Rc::clone(parent),
            None => {
                Rc::new(open_in_root(self.root, directory, flags).map_err(place.failed("linking"))?)
            }
        };
        self.make(place, "linking", || {
            linkat(&*from, base, &*place.parent, place.base, AtFlags::empty())
        })
    }

    fn symlink(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ArchiveError> {
        self.check_symlink(place, &entry.link)?;
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(ArchiveError::BadEntry {
                name: place.name.to_owned(),
                reason: "bad link target",
            });
        }
        self.make(place, "linking", || {
            symlinkat(entry.link.as_slice(), &*place.parent, place.base)
        })?;
        let (uid, gid) = self.owner(entry, place.name)?;
        chownat(&*place.parent, place.base, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place.failed("setting owner of"))?;
        utimensat(&*place.parent, place.base, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place.failed("setting time of"))
    }

    /// A relative link that climbs above the root is refused, as Docker does: no honest image has
    /// one. It could do no harm here, since nothing follows it outside.
    fn check_symlink(&self, place: &Place<'_>, target: &[u8]) -> Result<(), ArchiveError> {
        let (directory, _) = split(place.path);
        let joined = if target.starts_with(b"/") {
            target.to_vec()
        } else {
            [directory, b"/", target].concat()
        };
        match clean(&joined) {
            Err(ArchiveError::Outside(_)) if !target.starts_with(b"/") => {
                Err(ArchiveError::LinkOutside {
                    name: place.name.to_owned(),
                    target: String::from_utf8_lossy(target).into_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn node(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), ArchiveError> {
        let kind = match entry.kind {
            EntryKind::Char => FileType::CharacterDevice,
            EntryKind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        self.devices += u64::from(kind != FileType::Fifo);
        if self.devices > self.options.limits.devices {
            return Err(ArchiveError::TooMany {
                what: "device nodes",
                limit: self.options.limits.devices,
            });
        }
        if self.options.unprivileged && kind != FileType::Fifo {
            return Ok(());
        }
        let device: Dev =
            if kind == FileType::Fifo { 0 } else { makedev(entry.major, entry.minor) };
        let mode = rustix::fs::Mode::from_raw_mode(entry.mode & 0o777);
        self.make(place, "creating", || mknodat(&*place.parent, place.base, kind, mode, device))?;
        // Opened by path alone: opening a device or a pipe for real may block or act.
        let node = openat(
            &*place.parent,
            place.base,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(place.failed("opening"))?;
        let made = fstat(&node).map_err(place.failed("looking at"))?;
        if FileType::from_raw_mode(made.st_mode) != kind {
            return Err(place.failed("creating")(Errno::AGAIN));
        }
        let (uid, gid) = self.owner(entry, place.name)?;
        chownat(&node, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(place.failed("setting owner of"))?;
        let proc_path = format!("/proc/self/fd/{}", node.as_raw_fd());
        rustix::fs::chmod(&proc_path, rustix::fs::Mode::from_raw_mode(entry.mode & 0o7777))
            .map_err(place.failed("setting mode of"))?;
        utimensat(&*place.parent, place.base, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place.failed("setting time of"))
    }

    /// Turns `.wh.name` into overlayfs' whiteout. It hides lower layers only: what this layer has
    /// under the name stays, and a directory becomes opaque instead.
    fn whiteout(&mut self, place: &Place<'_>, hidden: &[u8]) -> Result<(), ArchiveError> {
        if place.base == WHITEOUT_OPAQUE {
            let (directory, _) = split(place.path);
            let dir = open_in_root(self.root, directory, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(place.failed("opening"))?;
            return set_opaque(dir.as_fd()).map_err(place.failed("marking"));
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(ArchiveError::BadEntry {
                name: place.name.to_owned(),
                reason: "bad whiteout",
            });
        }
        let made = mknodat(
            &*place.parent,
            hidden,
            FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            0,
        );
        match made {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match open_dir(place.parent.as_fd(), hidden) {
                Ok(dir) => set_opaque(dir.as_fd()).map_err(place.failed("marking")),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(place.failed("opening")(errno)),
            },
            Err(errno) => Err(place.failed("creating")(errno)),
        }
    }

    /// Owner, attributes and mode of an open file or directory, in the order that keeps them all:
    /// changing the owner clears set-uid and capabilities.
    fn finish_open(
        &self,
        file: BorrowedFd<'_>,
        entry: &Entry,
        name: &str,
    ) -> Result<(), ArchiveError> {
        let failed = |step| move |errno: Errno| ArchiveError::entry(step, name, errno);
        let made = fstat(file).map_err(failed("looking at"))?;
        let (uid, gid) = self.owner(entry, name)?;
        let mut chowned = false;
        if (made.st_uid, made.st_gid) != (uid.as_raw(), gid.as_raw()) {
            fchown(file, Some(uid), Some(gid)).map_err(failed("setting owner of"))?;
            chowned = true;
        }
        let mut xattrs = Cow::Borrowed(&entry.xattrs);
        if self.options.unprivileged {
            xattrs.to_mut().retain(|(name, _)| name.starts_with(b"user."));
        }
        if !xattrs.is_empty() {
            metadata::write(file, &xattrs).map_err(failed("setting attributes of"))?;
        }
        let special = entry.mode & 0o7000 != 0;
        if made.st_mode & 0o7777 != entry.mode || special && chowned || !xattrs.is_empty() {
            fchmod(file, rustix::fs::Mode::from_raw_mode(entry.mode))
                .map_err(failed("setting mode of"))?;
        }
        Ok(())
    }

    fn owner(&self, entry: &Entry, name: &str) -> Result<(Uid, Gid), ArchiveError> {
        if let Some((uid, gid)) = self.options.owner {
            return Ok((Uid::from_raw(uid), Gid::from_raw(gid)));
        }
        // The largest number means "leave it" to the kernel.
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        match (id(entry.uid), id(entry.gid)) {
            (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
            _ => Err(ArchiveError::BadEntry {
                name: name.to_owned(),
                reason: "owner is out of range",
            }),
        }
    }

    fn set_directory_times(&mut self) -> Result<(), ArchiveError> {
        self.parents.clear();
        for (path, times) in &self.directory_times {
            // It may have been replaced by a later entry.
            if let Ok(dir) =
                open_in_root(self.root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
            {
                let name = String::from_utf8_lossy(path);
                futimens(&dir, times)
                    .map_err(|errno| ArchiveError::entry("setting time of", &name, errno))?;
            }
        }
        Ok(())
    }
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn set_opaque(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    fsetxattr(dir, metadata::OPAQUE, b"y", XattrFlags::empty())
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: entry.mtime_s, tv_nsec: entry.mtime_ns.into() },
    }
}
