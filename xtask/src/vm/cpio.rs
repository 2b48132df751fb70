//! A tree of files in memory, written as the archive that the kernel unpacks at boot.
//!
//! The format is "newc" (kernel `driver-api/early-userspace/buffer-format.rst`): for each file a
//! header of fourteen 8-digit hexadecimal numbers, its name with a final NUL, its data, each padded
//! to four bytes; at the end an empty file called `TRAILER!!!`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Files by path. A path sorts behind its directory's, which is the order the kernel needs.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// One file: its type and mode, and its content or where it points.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    mode: u32,
    data: Vec<u8>,
}

impl Tree {
    /// Adds a directory and those above it.
    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.put(path, DIRECTORY | mode, Vec::new());
    }

    /// Adds a file and the directories above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.put(path, REGULAR | mode, data);
    }

    /// Adds a symbolic link and the directories above it.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.put(path, SYMLINK | 0o777, target.as_bytes().to_vec());
    }

    /// Writes the archive into an empty file.
    pub(crate) fn write(&self, file: &File) -> io::Result<()> {
        let mut out = BufWriter::new(file);
        self.write_to(&mut out)?;
        out.flush()
    }

    fn put(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        let path = path.trim_matches('/');
        for (slash, _) in path.match_indices('/') {
            let above = Node { mode: DIRECTORY | 0o755, data: Vec::new() };
            self.nodes.entry(path[..slash].to_owned()).or_insert(above);
        }
        self.nodes.insert(path.to_owned(), Node { mode, data });
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        for (inode, (path, node)) in (1..).zip(&self.nodes) {
            write_node(out, inode, path, node)?;
        }
        write_node(out, 0, "TRAILER!!!", &Node { mode: 0, data: Vec::new() })
    }
}

fn write_node(out: &mut impl Write, inode: u32, path: &str, node: &Node) -> io::Result<()> {
    let too_large = |_| io::Error::other(format!("{path} is too large for an initramfs"));
    let size = u32::try_from(node.data.len()).map_err(too_large)?;
    let name_size = u32::try_from(path.len() + 1).map_err(too_large)?;
    let links = if node.mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
    // Inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name's size, check.
    let fields = [inode, node.mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
    let mut header = String::from("070701");
    for field in fields {
        header.push_str(&format!("{field:08x}"));
    }
    out.write_all(header.as_bytes())?;
    out.write_all(path.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, header.len() + path.len() + 1)?;
    out.write_all(&node.data)?;
    pad(out, node.data.len())
}

/// Fills up to the next multiple of four.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: names, modes and content in order.
    fn read(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut take = |count: usize| -> Vec<u8> {
            let (taken, rest) = archive.split_at(count);
            archive = rest;
            taken.to_vec()
        };
        loop {
            assert_eq!(take(6), b"070701");
            let numbers: Vec<u32> = (0..13)
                .map(|_| u32::from_str_radix(&String::from_utf8(take(8)).unwrap(), 16).unwrap())
                .collect();
            let name_size = usize::try_from(numbers[11]).unwrap();
            let mut name = take((110 + name_size).next_multiple_of(4) - 110);
            name.truncate(name_size - 1);
            let size = usize::try_from(numbers[6]).unwrap();
            let mut data = take(size.next_multiple_of(4));
            data.truncate(size);
            let name = String::from_utf8(name).unwrap();
            if name == "TRAILER!!!" {
                return found;
            }
            found.push((name, numbers[1], data));
        }
    }

    #[test]
    fn what_is_written_reads_back_with_its_directories_first() {
        let mut tree = Tree::default();
        tree.file("/bin/deep/er/tool", 0o755, b"12345".to_vec());
        tree.link("bin/sh", "busybox");
        tree.directory("tmp/", 0o1777);
        tree.file("bin-data", 0o600, Vec::new());
        let mut archive = Vec::new();
        tree.write_to(&mut archive).unwrap();
        let entry = |name: &str, mode, data: &[u8]| (name.to_owned(), mode, data.to_vec());
        let want = [
            entry("bin", 0o040_755, b""),
            entry("bin-data", 0o100_600, b""),
            entry("bin/deep", 0o040_755, b""),
            entry("bin/deep/er", 0o040_755, b""),
            entry("bin/deep/er/tool", 0o100_755, b"12345"),
            entry("bin/sh", 0o120_777, b"busybox"),
            entry("tmp", 0o041_777, b""),
        ];
        assert_eq!(read(&archive), want);
    }

    #[test]
    fn a_directory_keeps_the_mode_that_it_was_given() {
        let mut tree = Tree::default();
        tree.directory("tmp", 0o1777);
        tree.file("tmp/file", 0o644, b"x".to_vec());
        assert_eq!(tree.nodes["tmp"].mode, 0o041_777);
    }
}
