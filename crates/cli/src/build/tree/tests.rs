//! Directories as contexts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, XattrFlags, mknodat, setxattr};

use super::*;

fn tree(path: &Path, ignore: &str) -> Tree {
    Tree::open(path, Hidden::parse(ignore).expect("patterns")).expect("tree")
}

fn write(path: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = path.join(name);
    std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
    std::fs::write(path, content).expect("file");
}

/// Everything that a tree offers, by listing it from the top.
fn all(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(directory) = open.pop() {
        let listing = tree.list(&directory, "", false).expect("listing");
        for entry in listing.entries.expect("entries") {
            let path = join(&directory, &entry.name);
            if entry.kind == EntryKind::Directory {
                let inner = tree.list(&path, "", false).expect("listing");
                assert_eq!(inner.hash, entry.hash, "{path}");
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(tree: &Tree, path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    tree.read(path, &mut bytes)?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[test]
fn directories_are_listed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    write(path, "b/c/deep", "deep");
    write(path, "a", "hello");
    std::fs::set_permissions(path.join("a"), PermissionsExt::from_mode(0o4751)).expect("mode");
    symlink("../outside", path.join("b/link")).expect("link");
    std::fs::create_dir(path.join("empty")).expect("empty");
    let tree = tree(path, "");
    assert_eq!(all(&tree), ["a", "b", "b/c", "b/c/deep", "b/link", "empty"]);
    let top = tree.list("", "", false).expect("listing");
    let entries = top.entries.expect("entries");
    assert_eq!(entries[0].name, "a");
    assert_eq!((entries[0].mode, entries[0].size_bytes), (0o4751, 5));
    assert_eq!(tree.list("/", &top.hash, false).expect("known").entries, None);
    let inner = tree.list("b", "", false).expect("listing").entries.expect("entries");
    assert_eq!((inner[1].kind, inner[1].target.as_str()), (EntryKind::Symlink, "../outside"));
    assert_eq!(read(&tree, "b/c/deep").as_deref(), Ok("deep"));
    for (path, want) in [
        ("nosuch", "nosuch: not found"),
        ("b/nosuch/x", "b/nosuch/x: not found"),
        ("..", "..: not a path below the context"),
        ("b/../../x", "b/../../x: not a path below the context"),
    ] {
        assert_eq!(tree.list(path, "", false).expect_err(path), want);
        assert_eq!(read(&tree, path).expect_err(path), want);
    }
}

#[test]
fn hashes_tell_what_changed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    for name in ["a/b/one", "a/c/two", "d/three"] {
        write(path, name, "x");
    }
    let hash = |of: &str| tree(path, "").list(of, "", false).expect("listing").hash;
    let (top, a, b, c, d) = (hash(""), hash("a"), hash("a/b"), hash("a/c"), hash("d"));
    assert_eq!(hash(""), top, "nothing changed");
    std::fs::write(path.join("a/b/one"), "y").expect("changed");
    assert_ne!(hash("a/b"), b);
    assert_ne!(hash("a"), a);
    assert_ne!(hash(""), top);
    assert_eq!((hash("a/c"), hash("d")), (c, d));
}

#[test]
fn a_shallow_listing_looks_no_further() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    write(path, "src/main.c", "x");
    write(path, "other/file", "x");
    // Whoever looked into this one would fail.
    write(path, "bad/x", "x");
    let name = path.join("bad").join(OsStr::from_bytes(b"\xff"));
    std::fs::write(name, "x").expect("file");
    let tree = tree(path, "");
    let listing = tree.list("", "", true).expect("listing");
    let names: Vec<String> =
        listing.entries.iter().flatten().map(|entry| entry.name.clone()).collect();
    assert_eq!(names, ["bad", "other", "src"]);
    assert!(listing.entries.iter().flatten().all(|entry| entry.hash.is_empty()));
    assert_eq!(tree.list("", &listing.hash, true).expect("known").entries, None);
    let whole = tree.list("src", "", false).expect("listing");
    assert_eq!(whole.entries.expect("entries").len(), 1);
    // What was walked meanwhile changes nothing of it.
    assert_eq!(tree.list("", "", true).expect("listing").hash, listing.hash);
    let why = tree.list("", "", false).expect_err("a name that is not UTF-8");
    assert!(why.contains(r"bad/\xff"), "{why}");
}

#[test]
fn what_is_ignored_does_not_exist() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    for name in
        ["Dockerfile", "keep", "x.log", "vendor/a", "vendor/ours/b", "deep/logs/y.log", "none/z"]
    {
        write(path, name, "x");
    }
    let bad = path.join(OsStr::from_bytes(b"ignored-\xff.log"));
    std::fs::write(bad, "x").expect("file");
    let ignore = "**/*.log\nvendor\n!vendor/ours\nnone\n!none/nosuch\nDockerfile\n";
    let tree = tree(path, ignore);
    let want = ["deep", "deep/logs", "keep", "vendor", "vendor/ours", "vendor/ours/b"];
    assert_eq!(all(&tree), want);
    let shallow = tree.list("", "", true).expect("listing").entries.expect("entries");
    let names: Vec<&str> = shallow.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["deep", "keep", "vendor"]);
    for hidden in ["x.log", "vendor/a", "Dockerfile", "deep/logs/y.log", "none/z"] {
        assert_eq!(read(&tree, hidden).expect_err(hidden), format!("{hidden}: not found"));
    }
    for hidden in ["none", "none/deeper"] {
        assert!(tree.list(hidden, "", false).is_err(), "{hidden}");
    }
    assert_eq!(read(&tree, "vendor/ours/b").as_deref(), Ok("x"));
}

#[test]
fn links_are_never_followed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    write(path, "outside/secret", "secret");
    write(path, "context/inside/file", "x");
    let context = path.join("context");
    symlink("../outside", context.join("out")).expect("link");
    symlink("inside", context.join("in")).expect("link");
    symlink("../outside/secret", context.join("file")).expect("link");
    symlink("/etc/passwd", context.join("inside/passwd")).expect("link");
    let tree = tree(&context, "");
    for name in ["out/secret", "in/file", "file", "inside/passwd"] {
        let why = read(&tree, name).expect_err(name);
        assert!(why.contains("symbolic link"), "{name}: {why}");
    }
    for name in ["out", "in"] {
        assert!(tree.list(name, "", false).is_err(), "{name}");
    }
    // A directory that becomes a link after it was listed leads nowhere either.
    tree.list("", "", false).expect("listing");
    std::fs::rename(context.join("inside"), context.join("moved")).expect("renamed");
    symlink("../outside", context.join("inside")).expect("link");
    assert!(read(&tree, "inside/secret").is_err());
}

#[test]
fn special_files_are_left_out_and_told() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    write(path, "file", "x");
    let _socket = UnixListener::bind(path.join("socket")).expect("socket");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, path.join("pipe"), FileType::Fifo, mode, 0).expect("pipe");
    let tree = tree(path, "");
    assert_eq!(all(&tree), ["file"]);
    let mut told = tree.left_out();
    told.sort();
    assert_eq!(
        told,
        [
            "the named pipe pipe is left out of the context",
            "the socket socket is left out of the context",
        ]
    );
    // Nobody waits for a writer, either.
    assert_eq!(read(&tree, "pipe").expect_err("pipe"), "pipe: not a regular file");
}

#[test]
fn attributes_go_along() {
    let directory = tempfile::tempdir().expect("directory");
    write(directory.path(), "file", "x");
    let file = directory.path().join("file");
    let set = setxattr(&file, "user.note", b"\xff", XattrFlags::empty());
    if set.is_err() {
        eprintln!("SKIPPED attributes_go_along: this file system has none");
        return;
    }
    let listing = tree(directory.path(), "").list("", "", false).expect("listing");
    let entry = &listing.entries.expect("entries")[0];
    assert_eq!(entry.xattrs.get("user.note").map(String::as_str), Some("/w=="));
}

/// Changes a file as soon as some of it has been read.
struct Meddler<'a> {
    path: &'a Path,
    content: Vec<u8>,
}

impl io::Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content.extend_from_slice(bytes);
        std::fs::write(self.path, "changed")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_is_not_taken_for_whole() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    let content = vec![7; 1 << 20];
    write(path, "long", &content);
    let tree = tree(path, "");
    let mut meddler = Meddler { path: &path.join("long"), content: Vec::new() };
    let why = tree.read("long", &mut meddler).expect_err("changed");
    assert!(why.starts_with("long changed while it was read"), "{why}");
    // One that is read in one piece is whole before anybody sees it.
    write(path, "short", "short");
    let mut meddler = Meddler { path: &path.join("short"), content: Vec::new() };
    assert_eq!(tree.read("short", &mut meddler), Ok(()));
    assert_eq!(meddler.content, b"short");
    for size in [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1_000_000] {
        let content = vec![9; size];
        write(path, "exact", &content);
        let mut bytes = Vec::new();
        tree.read("exact", &mut bytes).expect("read");
        assert_eq!(bytes.len(), size);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED what_cannot_be_read_is_named: root reads everything");
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    write(directory.path(), "closed/x", "x");
    let closed = directory.path().join("closed");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).expect("mode");
    let why = tree(directory.path(), "").list("", "", false).expect_err("closed");
    assert_eq!(why, "open closed: permission denied");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).expect("mode");
}

#[test]
fn many_files_are_walked_in_no_time() {
    // In memory, where there is some: to make as many files on a disk takes longest.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("directory");
    for folder in 0..500 {
        let path = directory.path().join(format!("d{}/e{folder}", folder % 20));
        std::fs::create_dir_all(&path).expect("folder");
        for file in 0..100 {
            std::fs::File::create(path.join(format!("file-{file}"))).expect("file");
        }
    }
    let tree = tree(directory.path(), "**/*.log\nnode_modules\n!node_modules/x\n");
    let begin = Instant::now();
    let listing = tree.list("", "", false).expect("listing");
    let took = begin.elapsed();
    assert_eq!(listing.entries.expect("entries").len(), 20);
    eprintln!("50,000 files: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let begin = Instant::now();
    tree.list("", &listing.hash, false).expect("known");
    assert!(begin.elapsed() < Duration::from_millis(100));
}

#[test]
fn identities_are_those_of_directories() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path();
    std::fs::create_dir(path.join("a")).expect("a");
    symlink("a", path.join("b")).expect("b");
    assert_eq!(identity(&path.join("a")), identity(&path.join("b")));
    assert_ne!(identity(&path.join("a")), identity(path));
}
