//! What the writer does to a log's directory, by `inotify(7)`.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Counts how many files the writer has begun since the one that is read.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
    name: Vec<u8>,
    rotations: u32,
    rotating: bool,
}

impl Watch {
    /// Watches the directory of `path`.
    pub(crate) fn new(path: &Path) -> io::Result<Watch> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let events =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        inotify::add_watch(&inotify, directory, events)?;
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default().to_vec();
        Ok(Watch { inotify, name, rotations: 0, rotating: false })
    }

    /// Takes in what has happened; true if the files' names changed.
    pub(crate) fn poll(&mut self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut renamed = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(renamed),
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                // What happened is lost: the file that is written now is the next one.
                self.rotations = 1;
                continue;
            }
            let file = event.file_name().map(|name| name.to_bytes()).unwrap_or_default();
            let Some(rest) = file.strip_prefix(&self.name[..]) else { continue };
            if flags.contains(ReadFlags::CREATE) && rest.is_empty() {
                self.rotations += 1;
                self.rotating = false;
                renamed = true;
            } else if flags.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE)
                && is_generation(rest)
                // The writer ends compression by deleting the plain file.
                && (rest.is_empty() || flags.contains(ReadFlags::MOVED_FROM))
            {
                self.rotating = true;
                renamed = true;
            }
        }
    }

    /// How many files were begun after the one that is read.
    pub(crate) fn rotations(&self) -> u32 {
        self.rotations
    }

    /// Whether files are being renamed, so that their numbers say nothing.
    pub(crate) fn is_rotating(&self) -> bool {
        self.rotating
    }

    /// The next file is read now.
    pub(crate) fn rotation_done(&mut self) {
        self.rotations = self.rotations.saturating_sub(1);
    }

    /// All files are to be opened afresh.
    pub(crate) fn forget_rotations(&mut self) {
        self.rotations = 0;
        self.rotating = false;
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Whether `rest` is what a rotated file's name has behind the log's: nothing, `.3` or `.3.gz`.
fn is_generation(rest: &[u8]) -> bool {
    if rest.is_empty() {
        return true;
    }
    let rest = rest.strip_suffix(b".gz").unwrap_or(rest);
    rest.strip_prefix(b".")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}
