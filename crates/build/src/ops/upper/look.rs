//! What a layer and its base show together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_archive::open_in_root;
use rustix::{
    fs::{AtFlags, FileType, OFlags, Stat, readlinkat, statat},
    io::Errno,
};

use super::{Upper, UpperError, is_whiteout};
use crate::trees::{components, join, shown, split};

/// Links followed on the way to one place.
const LINKS_MAX: usize = 40;

/// A directory, open in the layer and in the base where they show it.
pub(super) struct Near {
    path: Vec<u8>,
    layer: Option<OwnedFd>,
    base: Option<OwnedFd>,
}

impl Upper<'_> {
    /// What is at a canonical path, links not followed.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Stat>, UpperError> {
        let failed = UpperError::io::<Errno>("looking at", path);
        let (above, name) = split(path);
        let name = if name.is_empty() { b".".as_slice() } else { name };
        let mut near = self.near.borrow_mut();
        if near.as_ref().is_none_or(|near| near.path != above) {
            *near = Some(self.near(above).map_err(&failed)?);
        }
        let Some(near) = near.as_ref() else { return Ok(None) };
        if let Some(layer) = &near.layer
            && let Some(found) = stat_in(layer.as_fd(), name).map_err(&failed)?
        {
            return Ok((!is_whiteout(&found)).then_some(found));
        }
        match &near.base {
            Some(base) => stat_in(base.as_fd(), name).map_err(failed),
            None => Ok(None),
        }
    }

    /// A directory as the layer and the base have it.
    fn near(&self, path: &[u8]) -> Result<Near, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let open = |root: BorrowedFd<'_>| match open_in_root(root, path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            opened => opened.map(Some),
        };
        let base = match &self.base {
            Some(base) if !self.is_hidden(path)? => open(base.as_fd())?,
            _ => None,
        };
        Ok(Near { path: path.to_vec(), layer: open(self.layer)?, base })
    }

    /// Whether the layer hides what the base has in a directory: that or one above it is opaque, or is
    /// something else. Only an archive that was unpacked leaves that.
    fn is_hidden(&self, path: &[u8]) -> Result<bool, Errno> {
        let mut above = Vec::new();
        for part in components(path) {
            above = join(&above, part);
            match open_in_root(self.layer, &above, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(dir) if gantry_archive::is_opaque(dir.as_fd()) => return Ok(true),
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(false),
                Err(Errno::NOTDIR) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
        Ok(false)
    }

    /// Where a path leads, links followed; what is missing is taken as it is written.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, UpperError> {
        let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut at = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                at.truncate(split(&at).0.len());
                continue;
            }
            let next = join(&at, &part);
            let found = self.look(&next)?;
            let is_link = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if !found.as_ref().is_some_and(is_link) {
                at = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(UpperError::Links(shown(path)));
            }
            let target = self.read_link(&next)?;
            if target.first() == Some(&b'/') {
                at.clear();
            }
            todo.extend(components(&target).rev().map(<[u8]>::to_vec));
        }
        Ok(at)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, UpperError> {
        let (above, name) = split(path);
        let roots = [Some(self.layer), self.base.as_ref().map(AsFd::as_fd)];
        for root in roots.into_iter().flatten() {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            if let Ok(parent) = open_in_root(root, above, flags)
                && let Ok(target) = readlinkat(&parent, name, Vec::new())
            {
                return Ok(target.into_bytes());
            }
        }
        Err(UpperError::io::<Errno>("reading link", path)(Errno::NOENT))
    }

    /// Whether the layer itself has something at a path.
    pub(super) fn in_layer(&self, path: &[u8]) -> Result<bool, UpperError> {
        let found = stat_below(self.layer, path).map_err(UpperError::io("looking at", path))?;
        Ok(found.is_some())
    }
}

fn stat_below(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Stat>, Errno> {
    let (above, name) = split(path);
    let name = if name.is_empty() { b".".as_slice() } else { name };
    match open_in_root(root, above, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        parent => stat_in(parent?.as_fd(), name),
    }
}

fn stat_in(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => found.map(Some),
    }
}
