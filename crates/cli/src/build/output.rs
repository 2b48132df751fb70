//! Writing what a build gives out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use gantry_archive::{ExtractOptions, extract};

use super::options::Place;
use crate::container::reason;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Permissions of a directory that is made for files.
const DIRECTORY_MODE: u32 = 0o700;

/// Takes an output to its end.
///
/// # Errors
/// When it breaks off, or cannot be written.
pub(crate) fn write(place: Place, content: &mut dyn Read) -> Result<(), String> {
    match place {
        Place::Daemon => Err("the daemon sends an output that nobody asked for".into()),
        Place::Stdout => {
            let mut stdout = io::stdout().lock();
            copy(content, &mut stdout).map_err(|error| format!("write -: {}", reason(&error)))
        }
        Place::File(path) => file(&path, content),
        Place::Directory(path) => directory(&path, content),
    }
}

fn copy(content: &mut dyn Read, sink: &mut dyn io::Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match content.read(&mut chunk)? {
            0 => return sink.flush(),
            count => sink.write_all(&chunk[..count])?,
        }
    }
}

/// Writes beside the file and renames, so that a file that is there is whole.
fn file(path: &Path, content: &mut dyn Read) -> Result<(), String> {
    let failed = |error: io::Error| format!("write {}: {}", path.display(), reason(&error));
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        // A named pipe, a device or a link is what it is: no file takes its place.
        let mut sink = File::options().write(true).truncate(true).open(path).map_err(failed)?;
        return copy(content, &mut sink).map_err(failed);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside)
        .and_then(|mut sink| copy(content, &mut sink))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// Unpacks a tar beneath a directory. What is there stays, unless something takes its place.
fn directory(path: &Path, content: &mut dyn Read) -> Result<(), String> {
    let failed = |error: io::Error| format!("mkdir {}: {}", path.display(), reason(&error));
    if !path.is_dir() {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
    }
    let root = gantry_archive::open_root(path).map_err(|error| chain(&error))?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let options = ExtractOptions {
        owner: Some((user.as_raw(), group.as_raw())),
        unprivileged: !user.is_root(),
        ..ExtractOptions::plain()
    };
    extract(content, root.as_fd(), &options)
        .map(drop)
        .map_err(|error| format!("{}: {}", path.display(), chain(&error)))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use tar::{Builder, EntryType, Header};

    use super::*;

    fn entry(kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(12345);
        header.set_mtime(1_000_000);
        header
    }

    #[test]
    fn files_are_put_among_those_that_are_there() {
        let directory = tempfile::tempdir().expect("directory");
        let out = directory.path().join("a/out");
        std::fs::create_dir_all(&out).expect("out");
        std::fs::write(out.join("old"), "old").expect("old");
        std::fs::write(out.join("new"), "to be replaced").expect("new");
        let mut tar = Builder::new(Vec::new());
        let mut file = entry(EntryType::Regular, 0o755, 3);
        tar.append_data(&mut file, "new", &b"new"[..]).expect("file");
        let mut folder = entry(EntryType::Directory, 0o750, 0);
        tar.append_data(&mut folder, "d/", io::empty()).expect("folder");
        let mut file = entry(EntryType::Regular, 0o600, 1);
        tar.append_data(&mut file, "d/x", &b"x"[..]).expect("file");
        let bytes = tar.into_inner().expect("tar");
        write(Place::Directory(out.clone()), &mut bytes.as_slice()).expect("written");
        assert_eq!(std::fs::read_to_string(out.join("old")).expect("old"), "old");
        assert_eq!(std::fs::read_to_string(out.join("new")).expect("new"), "new");
        let metadata = std::fs::metadata(out.join("new")).expect("metadata");
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o755, 1_000_000));
        assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
        let fresh = directory.path().join("b/c");
        write(Place::Directory(fresh.clone()), &mut bytes.as_slice()).expect("written");
        assert_eq!(std::fs::read_to_string(fresh.join("d/x")).expect("x"), "x");
    }

    #[test]
    fn nothing_is_written_outside() {
        let directory = tempfile::tempdir().expect("directory");
        let out = directory.path().join("out");
        std::fs::write(directory.path().join("canary"), "alive").expect("canary");
        let hostile: [(&str, EntryType, &str); 5] = [
            ("../canary", EntryType::Regular, ""),
            ("/canary", EntryType::Regular, ""),
            ("up", EntryType::Symlink, ".."),
            ("root", EntryType::Symlink, "/"),
            ("hard", EntryType::Link, "../canary"),
        ];
        for (name, kind, target) in hostile {
            let mut tar = Builder::new(Vec::new());
            let mut header = entry(kind, 0o777, 0);
            if target.is_empty() {
                let bytes = header.as_gnu_mut().expect("GNU");
                bytes.name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_size(4);
                header.set_cksum();
                tar.append(&header, &b"dead"[..]).expect("file");
            } else {
                tar.append_link(&mut header, name, target).expect("link");
                let mut inner = entry(EntryType::Regular, 0o777, 4);
                let _ = tar.append_data(&mut inner, format!("{name}/canary"), &b"dead"[..]);
            }
            let bytes = tar.into_inner().expect("tar");
            let _ = write(Place::Directory(out.clone()), &mut bytes.as_slice());
            let canary = std::fs::read_to_string(directory.path().join("canary"));
            assert_eq!(canary.expect("canary"), "alive", "{name}");
            let _ = std::fs::remove_dir_all(&out);
        }
        assert!(!Path::new("/canary").exists());
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Ok(buffer.len()),
                    _ => Err(io::Error::other("compressing failed")),
                }
            }
        }
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("out.tar");
        let why = write(Place::File(path.clone()), &mut Broken(0)).expect_err("broken");
        assert!(why.ends_with("compressing failed"), "{why}");
        assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
        write(Place::File(path.clone()), &mut &b"tar"[..]).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("tar"), "tar");
        assert!(write(Place::Daemon, &mut &b""[..]).is_err());
    }
}
