//! Digests of what is in a tree: names, metadata as a copy would have it, and contents; not times.

use std::{cell::RefCell, collections::HashMap};

use gantry_oci::{Digest, Hasher};

use super::{DEPTH_MAX, Kind, Node, Tree, TreeError, join, shown};

/// Which of the things below a directory count; paths are relative to it.
pub(crate) type Filter<'a> = &'a dyn Fn(&[u8], &Node) -> bool;

/// A hasher of fields, each with its length, so that no two lists of fields look alike.
pub(crate) struct Fields(Hasher);

impl Fields {
    pub(crate) fn new() -> Self {
        Self(Hasher::sha256())
    }

    pub(crate) fn add(&mut self, field: &[u8]) -> &mut Self {
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// The digest of something and all that is below it. What is not here yet is looked for to the end,
/// so that it can be fetched at once.
pub(crate) fn of(
    tree: &dyn Tree,
    path: &[u8],
    node: &Node,
    filter: Option<Filter<'_>>,
) -> Result<Digest, TreeError> {
    let mut fields = Fields::new();
    let walk = Walk { tree, filter, top: path.len(), linked: RefCell::default() };
    let whole = walk.add(&mut fields, path, b"", node, 0)?;
    if whole { Ok(fields.finish()) } else { Err(TreeError::Absent) }
}

struct Walk<'a> {
    tree: &'a dyn Tree,
    filter: Option<Filter<'a>>,
    /// Length of the path that the filter's paths are relative to.
    top: usize,
    /// First names of the files that have several: what shares a file differs from what is alike.
    linked: RefCell<HashMap<(u64, u64), Vec<u8>>>,
}

impl Walk<'_> {
    /// Adds something; whether all of it was here.
    fn add(
        &self,
        fields: &mut Fields,
        path: &[u8],
        name: &[u8],
        node: &Node,
        depth: usize,
    ) -> Result<bool, TreeError> {
        fields.add(name).add(&[node.kind as u8]).number(node.mode.into());
        fields.number(node.uid.into()).number(node.gid.into());
        let found = match node.kind {
            Kind::Directory => {
                self.add_xattrs(fields, path)?;
                self.directory(path, depth)
            }
            Kind::File => {
                self.add_xattrs(fields, path)?;
                self.add_link(fields, path, node);
                self.tree.content(path)
            }
            Kind::Symlink => {
                fields.add(&node.link);
                return Ok(true);
            }
            Kind::Char | Kind::Block | Kind::Fifo | Kind::Socket => {
                fields.number(node.device);
                return Ok(true);
            }
        };
        match found {
            Ok(digest) => {
                fields.add(digest.as_str().as_bytes());
                Ok(true)
            }
            Err(TreeError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn add_link(&self, fields: &mut Fields, path: &[u8], node: &Node) {
        let Some(inode) = node.inode else { return };
        let mut linked = self.linked.borrow_mut();
        match linked.get(&inode) {
            Some(first) => {
                fields.add(b"link").add(first);
            }
            None => {
                linked.insert(inode, path[self.top..].to_vec());
            }
        }
    }

    fn add_xattrs(&self, fields: &mut Fields, path: &[u8]) -> Result<(), TreeError> {
        let xattrs = self.tree.xattrs(path)?;
        fields.number(xattrs.len() as u64);
        for (name, value) in &xattrs {
            fields.add(name).add(value);
        }
        Ok(())
    }

    fn directory(&self, path: &[u8], depth: usize) -> Result<Digest, TreeError> {
        if depth > DEPTH_MAX {
            let reason = "directories are nested too deeply";
            return Err(TreeError::Endless { path: shown(path), reason });
        }
        if self.filter.is_none()
            && let Some(known) = self.tree.known_digest(path)
        {
            return Ok(known);
        }
        let mut fields = Fields::new();
        let mut whole = true;
        for (name, node) in self.tree.list(path)? {
            let inner = join(path, &name);
            let counts = self.filter.is_none_or(|filter| {
                let from = if self.top == 0 { 0 } else { self.top + 1 };
                filter(&inner[from..], &node)
            });
            if counts && node.kind != Kind::Socket {
                whole &= self.add(&mut fields, &inner, &name, &node, depth + 1)?;
            }
        }
        if !whole {
            return Err(TreeError::Absent);
        }
        let digest = fields.finish();
        if self.filter.is_none() {
            self.tree.keep_digest(path, &digest);
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::inline::InlineTree, *};

    #[test]
    fn names_modes_and_contents_count() {
        let tree = |files: &[(&str, &str, u32)]| {
            let mut tree = InlineTree::default();
            for (path, content, mode) in files {
                tree.add(path.as_bytes(), content.as_bytes(), *mode);
            }
            of(&tree, b"", &Node::top(), None).unwrap()
        };
        let base = tree(&[("a/b", "x", 0o644), ("c", "y", 0o600)]);
        assert_eq!(base, tree(&[("c", "y", 0o600), ("a/b", "x", 0o644)]));
        for other in [
            [("a/b", "x", 0o644), ("d", "y", 0o600)],
            [("a/b", "z", 0o644), ("c", "y", 0o600)],
            [("a/b", "x", 0o645), ("c", "y", 0o600)],
            [("ab", "x", 0o644), ("c", "y", 0o600)],
        ] {
            assert_ne!(base, tree(&other), "{other:?}");
        }
    }

    #[test]
    fn filters_see_paths_from_their_top() {
        let mut tree = InlineTree::default();
        tree.add(b"top/keep/x", b"1", 0o644);
        tree.add(b"top/drop/x", b"2", 0o644);
        let mut other = InlineTree::default();
        other.add(b"top/keep/x", b"1", 0o644);
        let filter = |path: &[u8], _: &Node| path != b"drop";
        let node = tree.node(b"top").unwrap().unwrap();
        let digest = |tree: &InlineTree| of(tree, b"top", &node, Some(&filter)).unwrap();
        assert_eq!(digest(&tree), digest(&other));
    }
}
