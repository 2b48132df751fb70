//! Layers of layers: several in one, and one with its times set back.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, PoisonError},
};

use gantry_archive::{
    ArchiveError, ExtractOptions, extract, is_opaque, names, open_dir, open_root, pack_upper_until,
    read_xattrs, remove_tree, write_xattrs,
};
use gantry_oci::{Digest, Hasher};
use gantry_snapshot::Snapshots;
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
        fchmod, fchown, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, statat,
    },
    io::Errno,
};

use super::OutputError;
use crate::{build::Build, cache::record::Layer, ops::layer::publish, trees::DEPTH_MAX};

/// Marks an overlayfs directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Makes one layer of all that the build made. Files are linked, not copied: layers never change.
pub(super) async fn squash(
    build: &Arc<Build>,
    layers: &[Layer],
) -> Result<Vec<Layer>, OutputError> {
    let base = layers.iter().take_while(|layer| layer.made_by.is_none()).count();
    let (below, above) = layers.split_at(base);
    if above.len() < 2 {
        return Ok(layers.to_vec());
    }
    let snapshots = build.inner.parts.snapshots.clone();
    let ids: Vec<Digest> = above.iter().map(|layer| layer.diff_id.clone()).collect();
    let (lease, stop) = (Arc::clone(&build.lease), build.stop.clone());
    let made = crate::blocking(move || -> Result<_, OutputError> {
        let writer = snapshots.begin_layer()?;
        for id in &ids {
            let from = open_root(&snapshots.layer_path(id))?;
            dress(from.as_fd(), writer.dir()).map_err(io::Error::from)?;
            put_upon(from.as_fd(), writer.dir(), 0).map_err(io::Error::from)?;
        }
        Ok(publish(writer, &lease, &stop)?)
    })
    .await?;
    let created_ms = above.last().map_or(0, |layer| layer.created_ms);
    let made_by = above.last().and_then(|layer| layer.made_by.clone());
    let own = made.map(|made| Layer { created_ms, ..made.layer(made_by) });
    Ok(below.iter().cloned().chain(own).collect())
}

/// Gives everything in the build's layers that is later than `epoch_s` that time.
pub(super) async fn rewrite(
    build: &Arc<Build>,
    layers: &[Layer],
    epoch_s: i64,
) -> Result<Vec<Layer>, OutputError> {
    let mut rewritten = Vec::new();
    for layer in layers {
        if layer.made_by.is_none() {
            rewritten.push(layer.clone());
            continue;
        }
        let snapshots = build.inner.parts.snapshots.clone();
        let (id, lease) = (layer.diff_id.clone(), Arc::clone(&build.lease));
        let (diff_id, tar_bytes) = crate::blocking(move || -> Result<_, OutputError> {
            let (diff_id, tar_bytes) = measure(&snapshots, &id, epoch_s)?;
            let mut lease = lease.lock().unwrap_or_else(PoisonError::into_inner);
            if lease.keep(std::slice::from_ref(&diff_id)).is_err() {
                let writer = snapshots.begin_layer()?;
                let size = set_back(&snapshots, &id, epoch_s, writer.dir())?;
                lease.commit(writer, &diff_id, size)?;
            }
            Ok((diff_id, tar_bytes))
        })
        .await?;
        rewritten.push(Layer { diff_id, tar_bytes, ..layer.clone() });
    }
    Ok(rewritten)
}

/// The digest and length that a layer's tar has with its times set back.
fn measure(snapshots: &Snapshots, id: &Digest, epoch_s: i64) -> Result<(Digest, u64), OutputError> {
    struct Measured(Hasher, u64);
    impl io::Write for Measured {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.update(data);
            self.1 += data.len() as u64;
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let from = open_root(&snapshots.layer_path(id))?;
    let mut measured = Measured(Hasher::sha256(), 0);
    pack_upper_until(from.as_fd(), Some(epoch_s), &mut measured)?;
    Ok((measured.0.finish(), measured.1))
}

fn set_back(
    snapshots: &Snapshots,
    id: &Digest,
    epoch_s: i64,
    to: BorrowedFd<'_>,
) -> Result<u64, OutputError> {
    let from = open_root(&snapshots.layer_path(id))?;
    dress(from.as_fd(), to).map_err(io::Error::from)?;
    let (mut reader, mut writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let packing =
            scope.spawn(move || pack_upper_until(from.as_fd(), Some(epoch_s), &mut writer));
        let extracted = extract(&mut reader, to, &ExtractOptions::layer());
        // Closed first, so that a failed extraction ends the packing too.
        drop(reader);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (extracted, packed) {
            (Err(ArchiveError::Read(_)), Err(error)) | (Err(error), _) | (Ok(_), Err(error)) => {
                Err(error.into())
            }
            (Ok(done), Ok(_)) => Ok(done.size_bytes),
        }
    })
}

/// Puts a layer upon another, as overlayfs would show them.
fn put_upon(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    if depth > DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    for name in names(from)? {
        let stat = statat(from, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            directory(from, to, &name, depth)?;
            continue;
        }
        remove(to, &name)?;
        if is_whiteout(&stat) {
            mknodat(to, name.as_slice(), FileType::CharacterDevice, Mode::empty(), 0)?;
        } else {
            linkat(from, name.as_slice(), to, name.as_slice(), AtFlags::empty())?;
        }
    }
    Ok(())
}

fn directory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    depth: usize,
) -> Result<(), Errno> {
    let upper = open_dir(from, name)?;
    let there = match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => None,
        found => Some(found?),
    };
    let opaque = is_opaque(upper.as_fd());
    let mut hides = opaque;
    if let Some(stat) = there {
        let same = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !same || opaque {
            // What was hidden below stays hidden.
            let lower = if same { open_dir(to, name).ok() } else { None };
            hides |= !same || lower.is_some_and(|lower| is_opaque(lower.as_fd()));
            remove(to, name)?;
            mkdirat(to, name, Mode::RWXU)?;
        }
    } else {
        mkdirat(to, name, Mode::RWXU)?;
    }
    let merged = open_dir(to, name)?;
    let stat = fstat(&upper)?;
    dress(upper.as_fd(), merged.as_fd())?;
    if hides {
        fsetxattr(&merged, OPAQUE, b"y", XattrFlags::empty())?;
    }
    put_upon(upper.as_fd(), merged.as_fd(), depth + 1)?;
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    };
    futimens(&merged, &Timestamps { last_access, last_modification })
}

/// Gives a directory the owner, attributes and mode of another.
fn dress(like: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(like)?;
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    write_xattrs(to, &read_xattrs(like)?)?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    remove_tree(parent, name).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
