//! Tar archives of this host's files: packing, and unpacking beneath a directory.
//!
//! Names in an archive come from a container, so they are not trusted: every path is resolved
//! by `openat2` beneath the destination's descriptor, and none can lead out of it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use tar::{Builder, Entry, EntryType, Header};

/// Packs `source`; its name in the archive is `name`. Directories go with all they hold.
pub(crate) fn pack(source: &Path, name: &str, follow: bool, sink: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(sink);
    let metadata = if follow { source.metadata()? } else { source.symlink_metadata()? };
    append(&mut builder, source, Path::new(name), &metadata)?;
    builder.into_inner()?.flush()
}

fn append(
    builder: &mut Builder<impl Write>,
    source: &Path,
    name: &Path,
    metadata: &std::fs::Metadata,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    let kind = metadata.file_type();
    if kind.is_dir() {
        header.set_size(0);
        let mut path = name.as_os_str().to_owned();
        path.push("/");
        append_named(builder, &mut header, Path::new(&path), io::empty())?;
        let mut entries: Vec<_> = std::fs::read_dir(source)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (source, name) = (entry.path(), name.join(entry.file_name()));
            append(builder, &source, &name, &source.symlink_metadata()?)?;
        }
        return Ok(());
    }
    if kind.is_symlink() {
        header.set_size(0);
        return builder.append_link(&mut header, name, std::fs::read_link(source)?);
    }
    if kind.is_file() {
        let file = std::fs::File::open(source)?;
        header.set_size(metadata.len());
        // A file that shrinks meanwhile is filled up, one that grows is cut: the size is said.
        let body = file.chain(io::repeat(0)).take(metadata.len());
        return append_named(builder, &mut header, name, body);
    }
    if kind.is_socket() {
        return Ok(());
    }
    header.set_size(0);
    append_named(builder, &mut header, name, io::empty())
}

/// `.` is a name like any other here.
fn append_named(
    builder: &mut Builder<impl Write>,
    header: &mut Header,
    name: &Path,
    body: impl Read,
) -> io::Result<()> {
    builder.append_data(header, name, body)
}

/// How an archive is unpacked.
pub(crate) struct Unpack<'a> {
    /// Directory below which everything lands.
    pub(crate) into: &'a Path,
    /// First part of every name, and what to put in its place.
    pub(crate) rename: Option<(String, String)>,
    /// Whether owners are kept.
    pub(crate) owners: bool,
}

/// Unpacks an archive; gives the number of bytes in its files.
pub(crate) fn unpack(source: impl Read, how: &Unpack<'_>) -> io::Result<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::openat(CWD, how.into, flags, Mode::empty())?;
    let mut archive = tar::Archive::new(source);
    let (mut total, mut directories) = (0, Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = safe(&entry.path()?, how)?;
        if entry.header().entry_type().is_dir() {
            directories.push((name.clone(), times(&entry)));
        }
        total += one(&root, &name, &mut entry, how)?;
    }
    // A directory's time changes with every entry made in it, so it is set last.
    for (name, times) in directories.iter().rev() {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        if let Ok(directory) = beneath(&root, name, flags, Mode::empty()) {
            fs::futimens(&directory, times)?;
        }
    }
    Ok(total)
}

/// A relative name without `..`, renamed if it is to be.
fn safe(name: &Path, how: &Unpack<'_>) -> io::Result<PathBuf> {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir | Component::RootDir => {}
            _ => {
                return Err(io::Error::other(format!(
                    "unsafe name in archive: {}",
                    name.display()
                )));
            }
        }
    }
    if let Some((old, new)) = &how.rename
        && matches!(old.as_str(), "." | "/")
    {
        // The source was a directory's contents: the names have no first part to replace.
        return Ok(std::iter::once(OsStr::new(new)).chain(parts).collect());
    }
    if let Some((old, new)) = &how.rename
        && parts.first().is_none_or(|first| first.as_bytes() == old.as_bytes())
    {
        let rest = parts.into_iter().skip(1);
        return Ok(std::iter::once(OsStr::new(new)).chain(rest).collect());
    }
    Ok(parts.into_iter().collect())
}

fn beneath(root: &OwnedFd, name: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(fs::openat2(root, name, flags | OFlags::CLOEXEC, mode, resolve)?)
}

fn times(entry: &Entry<'_, impl Read>) -> Timestamps {
    let seconds = entry.header().mtime().unwrap_or(0);
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn one(
    root: &OwnedFd,
    name: &Path,
    entry: &mut Entry<'_, impl Read>,
    how: &Unpack<'_>,
) -> io::Result<u64> {
    let mode = Mode::from_raw_mode(entry.header().mode()? & 0o7777);
    let kind = entry.header().entry_type();
    let parent = beneath(
        root,
        name.parent().unwrap_or(Path::new("")),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let Some(base) = name.file_name() else {
        return Ok(0);
    };
    if kind.is_dir() {
        match fs::mkdirat(&parent, base, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = beneath(root, name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?;
        fs::fchmod(&directory, mode)?;
        return owner(&directory, entry, how).map(|()| 0);
    }
    match fs::unlinkat(&parent, base, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(rustix::io::Errno::ISDIR) => {
            return Err(io::Error::other(format!(
                "cannot overwrite directory \"{}\" with non-directory",
                name.display()
            )));
        }
        Err(error) => return Err(error.into()),
    }
    if kind.is_symlink() || kind.is_hard_link() {
        return link(root, &parent, base, entry, how).map(|()| 0);
    }
    if !matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) {
        return special(&parent, base, entry, mode).map(|()| 0);
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = std::fs::File::from(fs::openat(&parent, base, flags, Mode::RUSR | Mode::WUSR)?);
    let size = io::copy(entry, &mut &file)?;
    owner(&file, entry, how)?;
    fs::fchmod(&file, mode)?;
    fs::futimens(&file, &times(entry))?;
    Ok(size)
}

fn owner(
    file: impl std::os::fd::AsFd,
    entry: &Entry<'_, impl Read>,
    how: &Unpack<'_>,
) -> io::Result<()> {
    if !how.owners {
        return Ok(());
    }
    let id = |id: u64| u32::try_from(id).map_err(io::Error::other);
    let (uid, gid) = (id(entry.header().uid()?)?, id(entry.header().gid()?)?);
    Ok(fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

fn link(
    root: &OwnedFd,
    parent: &OwnedFd,
    base: &OsStr,
    entry: &Entry<'_, impl Read>,
    how: &Unpack<'_>,
) -> io::Result<()> {
    let Some(target) = entry.link_name()? else {
        return Err(io::Error::other("a link without a target in the archive"));
    };
    if entry.header().entry_type().is_symlink() {
        return Ok(fs::symlinkat(target.as_ref(), parent, base)?);
    }
    let target = safe(&target, how)?;
    let directory = beneath(
        root,
        target.parent().unwrap_or(Path::new("")),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let name = target.file_name().unwrap_or_default();
    Ok(fs::linkat(&directory, name, parent, base, AtFlags::empty())?)
}

fn special(
    parent: &OwnedFd,
    base: &OsStr,
    entry: &Entry<'_, impl Read>,
    mode: Mode,
) -> io::Result<()> {
    let header = entry.header();
    let number = || -> io::Result<u64> {
        Ok(fs::makedev(header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    let (kind, number) = match header.entry_type() {
        EntryType::Fifo => (fs::FileType::Fifo, 0),
        EntryType::Char => (fs::FileType::CharacterDevice, number()?),
        EntryType::Block => (fs::FileType::BlockDevice, number()?),
        _ => return Ok(()),
    };
    Ok(fs::mknodat(parent, base, kind, mode, number)?)
}

/// Size of what `pack` would write, for progress; what cannot be read counts nothing.
pub(crate) fn size(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.size();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out() {
        let directory = tempfile::tempdir().expect("directory");
        let inside = directory.path().join("in");
        std::fs::create_dir(&inside).expect("inside");
        let how = Unpack { into: &inside, rename: None, owners: false };
        // A symbolic link that leads out, then a file through it.
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "out", "..").expect("link");
        let mut header = Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "out/escaped", &b"x"[..]).expect("file");
        let bytes = builder.into_inner().expect("archive");
        assert!(unpack(bytes.as_slice(), &how).is_err());
        assert!(!directory.path().join("escaped").exists());
    }

    #[test]
    fn packs_and_unpacks() {
        let directory = tempfile::tempdir().expect("directory");
        let source = directory.path().join("src");
        std::fs::create_dir_all(source.join("a")).expect("source");
        std::fs::write(source.join("a/f"), "hello").expect("file");
        std::os::unix::fs::symlink("f", source.join("a/l")).expect("link");
        let mut bytes = Vec::new();
        pack(&source, "src", false, &mut bytes).expect("packed");
        let target = directory.path().join("dst");
        std::fs::create_dir(&target).expect("target");
        let rename = Some(("src".to_owned(), "new".to_owned()));
        let how = Unpack { into: &target, rename, owners: false };
        assert_eq!(unpack(bytes.as_slice(), &how).expect("unpacked"), 5);
        assert_eq!(std::fs::read_to_string(target.join("new/a/l")).expect("read"), "hello");
    }
}
