//! What a copy's source stands for in a tree.
//!
//! A name is followed through links, as Docker does with what is named at the top; what a pattern
//! matches is found without following links on the way, and followed at its end. With the directories
//! of sources kept (`--parents`), nothing behind the pivot is followed.

use super::{
    Kind, Node, Tree, TreeError, components, join,
    pattern::{is_pattern, matches_name},
    resolve, split,
};

/// A source as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Path or pattern.
    pub path: &'a str,
    /// It is a pattern.
    pub wildcards: bool,
    /// Its directories are kept, but for those of the pivot.
    pub parents: bool,
    /// The directory whose directories are kept; none for the top.
    pub pivot: Option<&'a str>,
    /// Nothing there is no error.
    pub may_be_absent: bool,
}

/// Something that a source stands for.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where it is: canonical.
    pub path: Vec<u8>,
    /// What it is; never a link that leads somewhere, unless directories are kept.
    pub node: Node,
    /// The name that its copy gets in a directory; empty for the top.
    pub name: Vec<u8>,
    /// Directories that are kept above it.
    pub above: Vec<u8>,
    /// Where those are in the tree.
    pub pivot: Vec<u8>,
}

/// Finds what a source stands for, in the order of names.
pub(crate) fn select(tree: &dyn Tree, source: Source<'_>) -> Result<Vec<Found>, TreeError> {
    let found = if source.parents {
        below_pivot(tree, source)
    } else if source.wildcards {
        by_pattern(tree, source.path.as_bytes())
    } else {
        by_name(tree, source.path.as_bytes()).map(|found| vec![found])
    };
    match found {
        Err(TreeError::NotFound { .. }) if source.may_be_absent => Ok(Vec::new()),
        // Whoever asked knows it by the name that was asked for.
        Err(TreeError::NotFound { .. }) => {
            Err(TreeError::NotFound { path: source.path.to_owned() })
        }
        found => found,
    }
}

fn by_name(tree: &dyn Tree, path: &[u8]) -> Result<Found, TreeError> {
    let (canonical, node) = resolve(tree, path)?;
    let name = components(path).next_back().unwrap_or_default();
    let name = if name == b".." { b"".as_slice() } else { name };
    Ok(Found { path: canonical, node, name: name.to_vec(), above: Vec::new(), pivot: Vec::new() })
}

fn by_pattern(tree: &dyn Tree, pattern: &[u8]) -> Result<Vec<Found>, TreeError> {
    let parts: Vec<&[u8]> = components(pattern).collect();
    let first = parts.iter().position(|part| is_pattern(part)).unwrap_or(parts.len());
    if first == parts.len() {
        return Ok(vec![by_name(tree, pattern)?]);
    }
    let (top, node) = match resolve(tree, &parts[..first].join(&b'/')) {
        Err(TreeError::NotFound { .. }) => return Ok(Vec::new()),
        found => found?,
    };
    let mut paths = Vec::new();
    let expand = Expand { tree, pattern, any_depth: false };
    expand.below(&top, &node, &parts[first..], &mut paths)?;
    let mut found = Vec::new();
    for (path, node) in paths {
        let name = split(&path).1.to_vec();
        let (path, node) =
            if node.kind == Kind::Symlink { resolve(tree, &path)? } else { (path, node) };
        found.push(Found { path, node, name, above: Vec::new(), pivot: Vec::new() });
    }
    Ok(found)
}

fn below_pivot(tree: &dyn Tree, source: Source<'_>) -> Result<Vec<Found>, TreeError> {
    let (pivot, node) = resolve(tree, source.pivot.unwrap_or_default().as_bytes())?;
    let skipped = components(source.pivot.unwrap_or_default().as_bytes()).count();
    let parts: Vec<&[u8]> = components(source.path.as_bytes()).skip(skipped).collect();
    let mut paths = Vec::new();
    if parts.is_empty() {
        let (name, above) = (Vec::new(), Vec::new());
        return Ok(vec![Found { path: pivot.clone(), node, name, above, pivot }]);
    }
    if source.wildcards {
        let expand = Expand { tree, pattern: source.path.as_bytes(), any_depth: true };
        expand.below(&pivot, &node, &parts, &mut paths)?;
    } else {
        let path = parts.iter().fold(pivot.clone(), |path, part| join(&path, part));
        let node = tree.node(&path)?.ok_or_else(|| TreeError::not_found(&path))?;
        paths.push((path, node));
    }
    let from = if pivot.is_empty() { 0 } else { pivot.len() + 1 };
    let found = paths.into_iter().map(|(path, node)| {
        let (above, name) = split(&path[from..]);
        let (above, name) = (above.to_vec(), name.to_vec());
        Found { path, node, name, above, pivot: pivot.clone() }
    });
    Ok(found.collect())
}

/// Expansion of a pattern.
struct Expand<'a> {
    tree: &'a dyn Tree,
    pattern: &'a [u8],
    /// `**` stands for any number of directories.
    any_depth: bool,
}

impl Expand<'_> {
    fn below(
        &self,
        directory: &[u8],
        node: &Node,
        parts: &[&[u8]],
        found: &mut Vec<(Vec<u8>, Node)>,
    ) -> Result<(), TreeError> {
        let Some((part, rest)) = parts.split_first() else {
            found.push((directory.to_vec(), node.clone()));
            return Ok(());
        };
        if !node.is_directory() {
            return Ok(());
        }
        if self.any_depth && *part == b"**" {
            return self.any_below(directory, node, rest, found);
        }
        if !is_pattern(part) {
            let path = join(directory, part);
            if let Some(node) = self.tree.node(&path)? {
                self.below(&path, &node, rest, found)?;
            }
            return Ok(());
        }
        for (name, node) in self.tree.list(directory)? {
            let matched = matches_name(part, &name).ok_or_else(|| {
                TreeError::Pattern(String::from_utf8_lossy(self.pattern).into_owned())
            })?;
            if matched {
                self.below(&join(directory, &name), &node, rest, found)?;
            }
        }
        Ok(())
    }

    /// `**` and what follows: here, and in every directory below.
    fn any_below(
        &self,
        directory: &[u8],
        node: &Node,
        rest: &[&[u8]],
        found: &mut Vec<(Vec<u8>, Node)>,
    ) -> Result<(), TreeError> {
        self.tree.expect_all(directory)?;
        self.below(directory, node, rest, found)?;
        // What matched as a whole has everything below it already.
        if rest.is_empty() {
            return Ok(());
        }
        for (name, node) in self.tree.list(directory)? {
            let path = join(directory, &name);
            if node.is_directory() && !found.iter().any(|(known, _)| *known == path) {
                self.any_below(&path, &node, rest, found)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::inline::InlineTree, *};

    fn tree() -> InlineTree {
        let mut tree = InlineTree::default();
        for path in ["a.txt", "b.txt", "c.md", "d/x.txt", "d/e/y.txt", "d/e/z.md", "f/x.txt"] {
            tree.add(path.as_bytes(), b"", 0o644);
        }
        tree.add_link(b"l.txt", b"/d/x.txt");
        tree.add_link(b"ld", b"d");
        tree
    }

    fn found(source: Source<'_>) -> Result<Vec<(String, String)>, TreeError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = select(&tree(), source)?;
        Ok(found
            .iter()
            .map(|found| (text(&found.path), text(&join(&found.above, &found.name))))
            .collect())
    }

    #[test]
    fn sources() {
        let plain =
            Source { path: "", wildcards: true, parents: false, pivot: None, may_be_absent: true };
        let parents = Source { parents: true, ..plain };
        for (source, want) in [
            (Source { path: "/a.txt", wildcards: false, ..plain }, "a.txt>a.txt"),
            (Source { path: "/ld/x.txt", wildcards: false, ..plain }, "d/x.txt>x.txt"),
            (Source { path: "/l.txt", wildcards: false, ..plain }, "d/x.txt>l.txt"),
            (Source { path: "/", wildcards: false, ..plain }, ">"),
            (Source { path: "/no", wildcards: false, ..plain }, ""),
            (Source { path: "/*.txt", ..plain }, "a.txt>a.txt b.txt>b.txt d/x.txt>l.txt"),
            (Source { path: "/ld/*.txt", ..plain }, "d/x.txt>x.txt"),
            (Source { path: "/*/x.txt", ..plain }, "d/x.txt>x.txt f/x.txt>x.txt"),
            (Source { path: "/**/*.txt", ..plain }, "d/x.txt>x.txt f/x.txt>x.txt"),
            (Source { path: "/no/*", ..plain }, ""),
            (Source { path: "/d/x.txt", ..parents }, "d/x.txt>d/x.txt"),
            (Source { path: "/d/e/*", ..parents }, "d/e/y.txt>d/e/y.txt d/e/z.md>d/e/z.md"),
            (Source { path: "/**/x.txt", ..parents }, "d/x.txt>d/x.txt f/x.txt>f/x.txt"),
            (
                Source { path: "/d/**/*.txt", pivot: Some("/d"), ..parents },
                "d/x.txt>x.txt d/e/y.txt>e/y.txt",
            ),
            (
                Source { path: "/ld/e/y.txt", wildcards: false, pivot: Some("/ld"), ..parents },
                "d/e/y.txt>e/y.txt",
            ),
            (Source { path: "/ld/e/y.txt", wildcards: false, ..parents }, ""),
        ] {
            let list: Vec<String> = found(source)
                .unwrap()
                .iter()
                .map(|(path, name)| format!("{path}>{name}"))
                .collect();
            assert_eq!(list.join(" "), want, "{source:?}");
        }
        let missing = Source { path: "/no", may_be_absent: false, wildcards: false, ..plain };
        assert_eq!(found(missing).unwrap_err().to_string(), "\"/no\": not found");
        let broken = Source { path: "/[", ..plain };
        assert!(matches!(found(broken), Err(TreeError::Pattern(_))));
    }
}
