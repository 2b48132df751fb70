//! A directory of the host's as a tree: mounted layers, a tar that was taken in, a checkout.
//!
//! Everything goes through the descriptor of its top; no name or link leads outside.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use gantry_archive::{names, open_in_root, read_xattrs};
use gantry_oci::{Digest, Hasher};
use rustix::{
    fs::{AtFlags, FileType, OFlags, fstat, readlinkat, statat},
    io::Errno,
};

use super::{Kind, Node, Tree, TreeError, Xattrs, shown, split};

/// Size of the pieces that a file is read in.
const PIECE: usize = 256 << 10;

/// A directory.
#[derive(Debug)]
pub(crate) struct DirectoryTree {
    top: OwnedFd,
    /// Everything is root's: the files of a context.
    of_root: bool,
}

impl DirectoryTree {
    /// Files with their owners.
    pub(crate) fn new(top: OwnedFd) -> Self {
        Self { top, of_root: false }
    }

    /// Files that are shown as root's, whoever owns them.
    pub(crate) fn of_root(top: OwnedFd) -> Self {
        Self { top, of_root: true }
    }

    fn directory(&self, path: &[u8]) -> Result<OwnedFd, TreeError> {
        match open_in_root(self.top.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => Err(TreeError::not_found(path)),
            Err(Errno::NOTDIR) => Err(TreeError::NotADirectory { path: shown(path) }),
            opened => opened.map_err(TreeError::io("opening", path)),
        }
    }

    fn look(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<Node>, TreeError> {
        let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat.map_err(TreeError::io("looking at", path))?,
        };
        let mut node = Node::of(&stat).map_err(TreeError::io("looking at", path))?;
        if node.kind == Kind::Symlink {
            let link = readlinkat(parent, name, Vec::new());
            node.link = link.map_err(TreeError::io("reading link", path))?.into_bytes();
        }
        if self.of_root {
            (node.uid, node.gid) = (0, 0);
        }
        Ok(Some(node))
    }
}

impl Tree for DirectoryTree {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, TreeError> {
        if path.is_empty() {
            return self.look(self.top.as_fd(), b".", path);
        }
        let (above, name) = split(path);
        match open_in_root(self.top.as_fd(), above, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            opened => {
                let parent = opened.map_err(TreeError::io("opening", above))?;
                self.look(parent.as_fd(), name, path)
            }
        }
    }

    fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let opened = self.directory(directory)?;
        let mut found = Vec::new();
        for name in names(opened.as_fd()).map_err(TreeError::io("listing", directory))? {
            let path = super::join(directory, &name);
            // What went meanwhile was never there.
            if let Some(node) = self.look(opened.as_fd(), &name, &path)? {
                found.push((name, node));
            }
        }
        Ok(found)
    }

    fn open(&self, path: &[u8]) -> Result<File, TreeError> {
        // Neither a pipe nor a device must hold us up or act.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file = match open_in_root(self.top.as_fd(), path, flags) {
            Err(Errno::NOENT | Errno::LOOP) => return Err(TreeError::not_found(path)),
            opened => opened.map_err(TreeError::io("opening", path))?,
        };
        let stat = fstat(&file).map_err(TreeError::io("looking at", path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(TreeError::not_found(path));
        }
        Ok(File::from(file))
    }

    fn xattrs(&self, path: &[u8]) -> Result<Xattrs, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file =
            open_in_root(self.top.as_fd(), path, flags).map_err(TreeError::io("opening", path))?;
        read_xattrs(file.as_fd()).map_err(TreeError::io("reading attributes of", path))
    }

    fn content(&self, path: &[u8]) -> Result<Digest, TreeError> {
        let mut file = self.open(path)?;
        digest_of(&mut file).map_err(TreeError::io("reading", path))
    }
}

/// Digest of all that a reader has.
pub(crate) fn digest_of(reader: &mut dyn Read) -> std::io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
