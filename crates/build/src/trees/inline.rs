//! Files that are written in the Dockerfile: a tree in memory, which the tests of others use too.

use std::{collections::BTreeMap, fs::File, io::Write};

use gantry_oci::Digest;
use rustix::fs::{MemfdFlags, memfd_create};

use super::{Kind, Node, Tree, TreeError, Xattrs, join, split};

/// A tree in memory.
#[derive(Debug, Default)]
pub(crate) struct InlineTree {
    nodes: BTreeMap<Vec<u8>, (Node, Vec<u8>)>,
}

impl InlineTree {
    /// Adds a file of root's, and the directories above it.
    pub(crate) fn add(&mut self, path: &[u8], content: &[u8], mode: u32) {
        self.add_above(path);
        let node = Node { kind: Kind::File, mode, ..Node::top() };
        self.nodes.insert(path.to_vec(), (node, content.to_vec()));
    }

    /// Adds a symbolic link, and the directories above it.
    #[cfg(test)]
    pub(crate) fn add_link(&mut self, path: &[u8], target: &[u8]) {
        self.add_above(path);
        let node = Node { kind: Kind::Symlink, mode: 0o777, link: target.to_vec(), ..Node::top() };
        self.nodes.insert(path.to_vec(), (node, Vec::new()));
    }

    fn add_above(&mut self, path: &[u8]) {
        let mut above = split(path).0;
        while !above.is_empty() {
            self.nodes.entry(above.to_vec()).or_insert_with(|| (Node::top(), Vec::new()));
            above = split(above).0;
        }
    }

    fn data(&self, path: &[u8]) -> Result<&[u8], TreeError> {
        match self.nodes.get(path) {
            Some((node, data)) if node.kind == Kind::File => Ok(data),
            _ => Err(TreeError::not_found(path)),
        }
    }
}

impl Tree for InlineTree {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, TreeError> {
        if path.is_empty() {
            return Ok(Some(Node::top()));
        }
        Ok(self.nodes.get(path).map(|(node, _)| node.clone()))
    }

    fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let start = if directory.is_empty() { Vec::new() } else { join(directory, b"") };
        let below = self.nodes.range(start.clone()..);
        let mut found = Vec::new();
        for (path, (node, _)) in below.take_while(|(path, _)| path.starts_with(&start)) {
            let name = &path[start.len()..];
            if !name.is_empty() && !name.contains(&b'/') {
                found.push((name.to_vec(), node.clone()));
            }
        }
        // Sorted by whole paths, which is not the order of names where one begins another.
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    fn open(&self, path: &[u8]) -> Result<File, TreeError> {
        let failed = TreeError::io::<std::io::Error>("opening", path);
        let make = || -> std::io::Result<File> {
            let mut file = File::from(memfd_create("inline", MemfdFlags::CLOEXEC)?);
            file.write_all(self.data(path).unwrap_or_default())?;
            std::io::Seek::rewind(&mut file)?;
            Ok(file)
        };
        self.data(path)?;
        make().map_err(failed)
    }

    fn xattrs(&self, _path: &[u8]) -> Result<Xattrs, TreeError> {
        Ok(Vec::new())
    }

    fn content(&self, path: &[u8]) -> Result<Digest, TreeError> {
        Ok(Digest::of(self.data(path)?))
    }
}
