//! Walking a tree by descriptors, in byte order, parents first.

use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, FileType, Stat, statat},
    io::Errno,
};

use crate::{
    ArchiveError,
    root::{names, open_dir},
};

/// How deep a tree may be, since every level holds a descriptor.
const DEPTH_MAX: usize = 512;

/// Something found below a root.
pub(crate) struct Found<'a> {
    /// The directory that it is in.
    pub(crate) parent: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a [u8],
    /// Its path below the root.
    pub(crate) path: &'a [u8],
    /// What it is.
    pub(crate) stat: Stat,
    /// Open, if it is a directory.
    pub(crate) dir: Option<BorrowedFd<'a>>,
}

impl Found<'_> {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(crate) fn display_path(&self) -> String {
        String::from_utf8_lossy(self.path).into_owned()
    }
}

struct Frame {
    dir: Rc<OwnedFd>,
    names: std::vec::IntoIter<Vec<u8>>,
    /// Length of the path up to and with this directory's slash.
    prefix: usize,
}

/// Visits everything below `root`, but not `root` itself. What vanishes meanwhile is left out.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let failed = |path: &[u8], errno| ArchiveError::pack(&String::from_utf8_lossy(path), errno);
    let own = open_dir(root, b".").map_err(|errno| failed(b".", errno))?;
    let all = names(own.as_fd()).map_err(|errno| failed(b".", errno))?;
    let mut path = Vec::new();
    let mut stack = vec![Frame { dir: Rc::new(own), names: all.into_iter(), prefix: 0 }];
    while let Some(frame) = stack.last_mut() {
        let Some(name) = frame.names.next() else {
            stack.pop();
            continue;
        };
        path.truncate(frame.prefix);
        path.extend_from_slice(&name);
        let parent = Rc::clone(&frame.dir);
        let stat = match statat(&*parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            result => result.map_err(|errno| failed(&path, errno))?,
        };
        let dir = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match open_dir(parent.as_fd(), &name) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                result => Some(result.map_err(|errno| failed(&path, errno))?),
            }
        } else {
            None
        };
        visit(&Found {
            parent: parent.as_fd(),
            name: &name,
            path: &path,
            stat,
            dir: dir.as_ref().map(AsFd::as_fd),
        })?;
        if let Some(dir) = dir {
            if stack.len() >= DEPTH_MAX {
                return Err(failed(&path, Errno::NAMETOOLONG));
            }
            let names = names(dir.as_fd()).map_err(|errno| failed(&path, errno))?;
            path.push(b'/');
            stack.push(Frame { dir: Rc::new(dir), names: names.into_iter(), prefix: path.len() });
        }
    }
    Ok(())
}

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of everything but directories, files with several names once.
    pub size_bytes: u64,
    /// Files, directories, links and so on, the root not counted.
    pub inodes: u64,
}

/// Counts what is below `root`.
///
/// # Errors
/// When a directory cannot be read.
pub fn usage(root: BorrowedFd<'_>) -> Result<Usage, ArchiveError> {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    walk(root, &mut |found| {
        if found.stat.st_nlink > 1
            && found.dir.is_none()
            && !seen.insert((found.stat.st_dev, found.stat.st_ino))
        {
            return Ok(());
        }
        usage.inodes += 1;
        if found.dir.is_none() {
            usage.size_bytes += u64::try_from(found.stat.st_size).unwrap_or_default();
        }
        Ok(())
    })?;
    Ok(usage)
}
