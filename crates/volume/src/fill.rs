//! Content of volumes: filled from images, measured, written to archives and read from them.

use std::{
    fs,
    io::{Read, Write},
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use gantry_archive::{Compression, ExtractOptions};

use crate::{CreateVolume, Created, Volume, VolumeError, Volumes, mount};

impl Volumes {
    /// Bytes that a volume's data takes on this disk; what is mounted there is not counted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self, name: &str) -> Result<u64, VolumeError> {
        let path = self.local_path(name);
        let dir = gantry_archive::open_root(&path).map_err(VolumeError::io("opening", &path))?;
        Ok(gantry_archive::usage(dir.as_fd())?.size_bytes)
    }

    /// Copies an image's directory into an empty volume, with owners and attributes, its own too;
    /// does nothing to a volume that has content, or that is empty again at each mount.
    ///
    /// # Errors
    /// When something cannot be copied; the next call tries again.
    pub fn copy_up(&self, name: &str, source: BorrowedFd<'_>) -> Result<(), VolumeError> {
        let volume = self.get(name)?;
        if volume.is_local() && Self::options(&volume)?.is_tmpfs() {
            return Ok(());
        }
        let held = self.hold(name)?;
        let _claim = self.0.busy.claim(name);
        let path = held.path();
        let failed = VolumeError::io("filling", path);
        // A plugin's volume has no place for the mark beside it.
        let mark = volume.is_local().then(|| self.0.dir.join(name).join("filling"));
        if !mark.as_ref().is_some_and(|mark| mark.exists()) {
            if fs::read_dir(path).map_err(&failed)?.next().is_some() {
                return Ok(());
            }
            if let Some(mark) = &mark {
                fs::write(mark, "").map_err(&failed)?;
            }
        }
        let target = gantry_archive::open_root(path).map_err(&failed)?;
        gantry_archive::copy_tree(source, target.as_fd())?;
        self.own(&volume, path)?;
        match mark {
            Some(mark) => fs::remove_file(&mark).map_err(failed),
            None => Ok(()),
        }
    }

    /// Writes a volume's content as a tar: owners, modes, times, attributes, hard links, and those
    /// of its top directory.
    ///
    /// # Errors
    /// When it cannot be read, or `out` not written.
    pub fn backup(
        &self,
        name: &str,
        compression: Compression,
        out: &mut dyn Write,
    ) -> Result<(), VolumeError> {
        let held = self.hold(name)?;
        let failed = VolumeError::io("opening", held.path());
        let root = gantry_archive::open_root(held.path()).map_err(failed)?;
        gantry_archive::compress(compression, out, &mut |out| {
            gantry_archive::copy_out(root.as_fd(), "/.", out).map(drop)
        })?;
        Ok(())
    }

    /// Fills a volume from a tar of any compression. One that has content is refused, or emptied
    /// before with `replace`. `users` names the containers that run with it.
    ///
    /// # Errors
    /// When the volume is in use or not empty, or the archive is broken; then it is empty.
    pub fn restore(
        &self,
        name: &str,
        replace: bool,
        tar: Box<dyn Read + Send>,
        users: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<(), VolumeError> {
        let volume = self.get(name)?;
        let held = self.hold(name)?;
        let _claim = self.0.busy.claim(name);
        let containers = users(name);
        if !containers.is_empty() {
            return Err(VolumeError::Busy { name: name.to_owned(), containers });
        }
        let path = held.path();
        let failed = VolumeError::io("restoring", path);
        if fs::read_dir(path).map_err(&failed)?.next().is_some() {
            match replace {
                true => clear(path)?,
                false => return Err(VolumeError::NotEmpty(name.to_owned())),
            }
        }
        let target = gantry_archive::open_root(path).map_err(failed)?;
        let (mut tar, _) = gantry_archive::decompress(tar)?;
        let options = ExtractOptions { root: true, ..ExtractOptions::plain() };
        let extracted = gantry_archive::extract(&mut tar, target.as_fd(), &options);
        if let Err(error) = extracted {
            if let Err(error) = clear(path) {
                tracing::warn!(name, %error, "clearing what was restored by half");
            }
            return Err(error.into());
        }
        self.own(&volume, path)
    }

    /// Makes a local volume with the content and labels of another one, wherever that is.
    ///
    /// # Errors
    /// When there is a volume of the new name, or the copy fails; then nothing is left of it.
    pub fn duplicate(&self, source: &str, name: &str) -> Result<Created, VolumeError> {
        let volume = self.get(source)?;
        let held = self.hold(source)?;
        // A device would be the very same one: only what is ours alone is taken over.
        let own = ["size", "uid", "gid", "mode"];
        let keep = |options: &std::collections::BTreeMap<String, String>| {
            let mut options = options.clone();
            options.retain(|key, _| volume.is_local() && own.contains(&key.as_str()));
            Some(options).filter(|options| !options.is_empty())
        };
        let created = self.create(CreateVolume {
            name: Some(name.to_owned()),
            driver: crate::LOCAL.to_owned(),
            labels: volume.labels.clone(),
            options: volume.options.as_ref().and_then(keep),
            anonymous: false,
        })?;
        if !created.is_new {
            return Err(VolumeError::Exists(name.to_owned()));
        }
        let copied = || -> Result<(), VolumeError> {
            let open = |path: &Path| {
                gantry_archive::open_root(path).map_err(VolumeError::io("opening", path))
            };
            let (from, to) = (open(held.path())?, open(&self.local_path(name))?);
            Ok(gantry_archive::copy_tree(from.as_fd(), to.as_fd())?)
        };
        if let Err(error) = copied() {
            let _claim = self.0.busy.claim(name);
            if let Err(error) = self.delete(&created.volume) {
                tracing::warn!(name, %error, "taking back a clone");
            }
            return Err(error);
        }
        Ok(created)
    }

    /// Gives the top directory back what its options ask for, after a copy's own came over it.
    fn own(&self, volume: &Volume, path: &Path) -> Result<(), VolumeError> {
        match volume.is_local() {
            true => Ok(mount::own(&Self::options(volume)?, path)?),
            false => Ok(()),
        }
    }
}

/// Removes everything in a directory.
fn clear(path: &Path) -> Result<(), VolumeError> {
    use std::os::unix::ffi::OsStrExt as _;
    let failed = VolumeError::io("clearing", path);
    let root = gantry_archive::open_root(path).map_err(&failed)?;
    for entry in fs::read_dir(path).map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        gantry_archive::remove_tree(root.as_fd(), name.as_bytes()).map_err(&failed)?;
    }
    Ok(())
}
