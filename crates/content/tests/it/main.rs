//! Blobs on a real file system.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

use std::{
    collections::HashSet,
    fs,
    io::{Read, Write},
};

use gantry_content::{Content, ContentError};
use gantry_oci::{Algorithm, Digest, Hasher};

fn open() -> (tempfile::TempDir, Content) {
    let dir = tempfile::tempdir().unwrap();
    let content = Content::open(&dir.path().join("content")).unwrap();
    (dir, content)
}

fn files(dir: &tempfile::TempDir, sub: &str) -> usize {
    fs::read_dir(dir.path().join("content").join(sub)).unwrap().count()
}

#[test]
fn blobs_are_verified() {
    let (dir, content) = open();
    let digest = content.put(b"hello").unwrap();
    assert_eq!(content.read(&digest, 10).unwrap(), b"hello");
    assert!(matches!(content.read(&digest, 4), Err(ContentError::TooLarge { .. })));
    let other = Digest::of(b"other");
    for (name, expected, size) in [("digest", Some(&other), None), ("size", None, Some(4))] {
        let mut writer = content.ingest().unwrap();
        writer.write_all(b"12345").unwrap();
        assert!(writer.commit(expected, size).is_err(), "{name}");
    }
    assert!(matches!(content.get(&other), Err(ContentError::NotFound(_))));
    assert_eq!(files(&dir, "ingest"), 0);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"long");
    let long = hasher.finish();
    let mut writer = content.ingest().unwrap();
    writer.write_all(b"long").unwrap();
    assert_eq!(writer.commit(Some(&long), Some(4)).unwrap(), long);
    assert_eq!(content.list().unwrap().len(), 2);
    content.remove(&long).unwrap();
    content.remove(&long).unwrap();
    assert_eq!(content.list().unwrap(), [(digest, 5)]);
}

#[test]
fn partial_blobs_are_resumed() {
    let (_dir, content) = open();
    let mut writer = content.resume("part").unwrap();
    writer.write_all(b"one ").unwrap();
    assert!(matches!(content.resume("part"), Err(ContentError::Busy(_))));
    drop(writer);
    let mut writer = content.resume("part").unwrap();
    assert_eq!(writer.offset(), 4);
    writer.write_all(b"two").unwrap();
    let digest = Digest::of(b"one two");
    writer.commit(Some(&digest), Some(7)).unwrap();
    assert_eq!(content.resume("part").unwrap().offset(), 0);
    for name in ["", "../x", "a/b", ".x", "anonymous-1"] {
        assert!(matches!(content.resume(name), Err(ContentError::BadName(_))), "{name}");
    }
}

#[test]
fn readers_follow_writers() {
    let (_dir, content) = open();
    let mut writer = content.ingest().unwrap();
    let (mut tail, mut broken) = (writer.tail(), content.ingest().unwrap().tail());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        tail.read_to_end(&mut all).unwrap();
        all
    });
    for piece in 0..100_u8 {
        writer.write_all(&vec![piece; 1000]).unwrap();
    }
    let digest = writer.commit(None, None).unwrap();
    assert_eq!(Digest::of(&reader.join().unwrap()), digest);
    assert!(broken.read(&mut [0; 1]).is_err());
}

#[test]
fn garbage_is_what_nothing_holds() {
    let (_dir, content) = open();
    let [root, leased, garbage] =
        [b"root" as &[u8], b"leased", b"garbage"].map(|data| content.put(data).unwrap());
    let mut lease = content.lease();
    lease.add(&leased);
    let roots = HashSet::from([root.clone()]);
    let told = content.collect(&roots, true).unwrap();
    assert_eq!((told.digests.as_slice(), told.size_bytes), (&[garbage.clone()][..], 7));
    assert!(content.contains(&garbage));
    content.collect(&roots, false).unwrap();
    assert!(!content.contains(&garbage) && content.contains(&leased) && content.contains(&root));
    drop(lease);
    content.collect(&roots, false).unwrap();
    assert!(!content.contains(&leased));
}

#[test]
fn damage_of_a_power_cut_is_found() {
    let (dir, content) = open();
    let [good, bad, synced] =
        [b"good" as &[u8], b"bad", b"synced"].map(|data| content.put(data).unwrap());
    fs::remove_file(dir.path().join("content/unsynced").join(synced.as_str().replace(':', "-")))
        .unwrap();
    for digest in [&good, &bad] {
        let mark = dir.path().join("content/unsynced").join(digest.as_str().replace(':', "-"));
        fs::write(mark, "another boot").unwrap();
    }
    fs::write(content.path(&bad), "").unwrap();
    fs::write(dir.path().join("content/ingest/anonymous-1-1"), "left over").unwrap();
    drop(content);
    let content = Content::open(&dir.path().join("content")).unwrap();
    assert!(content.contains(&good) && !content.contains(&bad) && content.contains(&synced));
    assert_eq!((files(&dir, "ingest"), files(&dir, "unsynced")), (0, 0));
    content.put(b"new").unwrap();
    assert_eq!(files(&dir, "unsynced"), 1);
    content.sync().unwrap();
    assert_eq!(files(&dir, "unsynced"), 0);
}
