//! `COPY` and `ADD`.
//!
//! What is copied was selected before, and is here. A directory's content goes into the destination,
//! a file into it if it is a directory and in its place if it is not. Existing directories keep their
//! own metadata at the top and take that of the source below it, as in BuildKit.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use gantry_oci::Digest;
use gantry_snapshot::{LayerWriter, Snapshots};
use tokio_util::sync::CancellationToken;

use super::{
    OpError,
    copy_files::{self, COLLECTED, Pending},
    layer::{MadeLayer, SharedLease, publish},
    modes, owner,
    unpack::{self, is_archive},
    upper::{Attributes, Made, Upper, UpperError, is_directory},
};
use crate::{
    graph::{Copy, Mode},
    trees::{
        DEPTH_MAX, Kind, Node, Tree, TreeError, join, pattern::Excludes, select::Found, shown,
        split,
    },
};

/// Permissions of directories that are made because they are missing.
const MADE_MODE: u32 = 0o755;

/// What one source of a copy turned out to be.
#[derive(Clone)]
pub(crate) struct Selected {
    /// Whose files.
    pub tree: Arc<dyn Tree>,
    /// Which.
    pub found: Vec<Found>,
    /// An archive is unpacked.
    pub unpack: bool,
}

/// A copy, ready to be made.
pub(crate) struct Job {
    pub copy: Copy,
    /// Layers of the base.
    pub base: Vec<Digest>,
    /// For each item of the copy.
    pub sources: Vec<Selected>,
    pub snapshots: Snapshots,
    pub lease: SharedLease,
    pub stop: CancellationToken,
}

/// Makes a copy's layer; none if nothing was copied. Blocks.
pub(crate) fn run(job: &Job) -> Result<Option<MadeLayer>, OpError> {
    let base = match job.base.is_empty() {
        true => None,
        false => Some(job.snapshots.mount_layers(&job.base)?),
    };
    let writer = job.snapshots.begin_layer()?;
    Copying::begin(job, &writer, base)?.all()?;
    publish(writer, &job.lease, &job.stop)
}

/// The work on one layer.
struct Copying<'a> {
    job: &'a Job,
    writer: &'a LayerWriter,
    upper: Upper<'a>,
    owner: Option<(u32, u32)>,
    excludes: Excludes,
    /// First names of files with several, of the present source.
    linked: HashMap<(u64, u64), Vec<u8>>,
    /// Files that are still to be written, each in a directory that is there.
    pending: Vec<Pending>,
}

impl<'a> Copying<'a> {
    fn begin(
        job: &'a Job,
        writer: &'a LayerWriter,
        base: Option<OwnedFd>,
    ) -> Result<Self, OpError> {
        let owner = match &job.copy.owner {
            Some(named) => Some(owner::find(named, base.as_ref().map(AsFd::as_fd))?),
            None => None,
        };
        let excludes = Excludes::parse(&job.copy.exclude).map_err(TreeError::Pattern)?;
        let upper = Upper::new(writer.dir(), base, &job.stop)?;
        Ok(Self {
            job,
            writer,
            upper,
            owner,
            excludes,
            linked: HashMap::new(),
            pending: Vec::new(),
        })
    }

    fn all(mut self) -> Result<(), OpError> {
        for source in &self.job.sources {
            self.linked.clear();
            for found in &source.found {
                if source.unpack && found.node.kind == Kind::File && self.unpacked(source, found)? {
                    continue;
                }
                if self.job.copy.parents {
                    self.with_parents(source, found)?;
                } else {
                    self.plain(source, found)?;
                }
                // What comes next may be to take the place of one of these.
                self.write_pending(source)?;
            }
        }
        Ok(self.upper.finish()?)
    }

    /// Writes the files that were collected.
    fn write_pending(&mut self, source: &Selected) -> Result<(), OpError> {
        copy_files::write(&*source.tree, &mut self.upper, &self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Copies something to where it goes.
    fn plain(&mut self, source: &Selected, found: &Found) -> Result<(), OpError> {
        let is_file = !found.node.is_directory();
        if is_file && self.excludes.excludes(&found.name) {
            return Ok(());
        }
        let destination = self.job.copy.destination.as_bytes();
        let target = self.upper.resolve(destination)?;
        let there = self.upper.look(&target)?;
        let is_directory = there.as_ref().is_some_and(is_directory);
        if !is_file || destination.ends_with(b"/") {
            self.upper.ensure(&target, self.made())?;
        }
        let target = match is_file {
            true if is_directory || destination.ends_with(b"/") => join(&target, &found.name),
            _ => target,
        };
        let target = if is_file { self.beneath(&target)? } else { target };
        self.upper.ensure(split(&target).0, self.made())?;
        self.node(
            source,
            &Spot { from: &found.path, to: &target, relative: b"", depth: 0 },
            &found.node,
        )
    }

    /// Copies something with the directories above it.
    fn with_parents(&mut self, source: &Selected, found: &Found) -> Result<(), OpError> {
        let relative = join(&found.above, &found.name);
        let excluded = self.excludes.excludes(&relative);
        if excluded && !(found.node.is_directory() && self.excludes.has_exceptions()) {
            return Ok(());
        }
        let mut target = self.upper.resolve(self.job.copy.destination.as_bytes())?;
        self.upper.ensure(&target, self.made())?;
        let mut from = found.pivot.clone();
        for part in crate::trees::components(&found.above) {
            from = join(&from, part);
            target = join(&target, part);
            let node = source.tree.node(&from)?.ok_or_else(|| TreeError::not_found(&from))?;
            let attributes = self.attributes(source, &from, &node)?;
            self.upper.directory(&target, &attributes, true)?;
        }
        if !found.name.is_empty() {
            target = join(&target, &found.name);
        }
        if found.node.is_directory() && !found.name.is_empty() {
            let attributes = self.attributes(source, &found.path, &found.node)?;
            self.upper.directory(&target, &attributes, false)?;
        }
        let spot = Spot { from: &found.path, to: &target, relative: &relative, depth: 0 };
        self.node(source, &spot, &found.node)
    }

    /// Unpacks a file that is an archive; whether it was one.
    fn unpacked(&mut self, source: &Selected, found: &Found) -> Result<bool, OpError> {
        let file = source.tree.open(&found.path)?;
        if !is_archive(&file)? {
            return Ok(false);
        }
        let target = self.upper.resolve(self.job.copy.destination.as_bytes())?;
        self.upper.ensure(&target, self.made())?;
        self.upper.forget();
        let place = unpack::Place {
            writer: self.writer,
            base: &self.job.base,
            below: self.upper.base(),
            directory: &target,
            owner: self.owner,
        };
        unpack::unpack(file, &place)?;
        Ok(true)
    }

    /// Copies something to exactly where it goes, whose directory is there.
    fn node(&mut self, source: &Selected, spot: &Spot<'_>, node: &Node) -> Result<(), OpError> {
        if self.job.stop.is_cancelled() {
            return Err(OpError::Cancelled);
        }
        match node.kind {
            Kind::Directory => return self.inside(source, spot),
            Kind::Socket => return Ok(()),
            _ => {}
        }
        if let Some(inode) = node.inode {
            if let Some(first) = self.linked.get(&inode).cloned() {
                self.write_pending(source)?;
                return Ok(self.upper.hard_link(spot.to, &first)?);
            }
            self.linked.insert(inode, spot.to.to_vec());
        }
        let attributes = self.attributes(source, spot.from, node)?;
        if node.kind == Kind::File {
            let (from, to) = (spot.from.to_vec(), spot.to.to_vec());
            self.pending.push(Pending { from, to, attributes });
            if self.pending.len() >= COLLECTED {
                self.write_pending(source)?;
            }
        } else {
            self.upper.special(spot.to, node, &attributes)?;
        }
        Ok(())
    }

    /// Copies what is in a directory.
    fn inside(&mut self, source: &Selected, spot: &Spot<'_>) -> Result<(), OpError> {
        if spot.depth > DEPTH_MAX {
            let reason = "directories are nested too deeply";
            return Err(TreeError::Endless { path: shown(spot.from), reason }.into());
        }
        for (name, node) in source.tree.list(spot.from)? {
            let (from, to) = (join(spot.from, &name), join(spot.to, &name));
            let relative = join(spot.relative, &name);
            let inner = Spot { from: &from, to: &to, relative: &relative, depth: spot.depth + 1 };
            let excluded = !self.excludes.is_empty() && self.excludes.excludes(&relative);
            match (excluded, node.is_directory()) {
                (true, true) if self.excludes.has_exceptions() => {
                    self.exceptions(source, &inner, &node)?;
                }
                (true, _) => {}
                (false, true) => {
                    let attributes = self.attributes(source, &from, &node)?;
                    self.upper.directory(&to, &attributes, false)?;
                    self.node(source, &inner, &node)?;
                }
                (false, false) => self.node(source, &inner, &node)?,
            }
        }
        Ok(())
    }

    /// A directory that is left out, but for what is taken back below it.
    fn exceptions(
        &mut self,
        source: &Selected,
        spot: &Spot<'_>,
        node: &Node,
    ) -> Result<(), OpError> {
        if !self.has_kept(source, spot)? {
            return Ok(());
        }
        let attributes = self.attributes(source, spot.from, node)?;
        self.upper.directory(spot.to, &attributes, false)?;
        self.node(source, spot, node)
    }

    fn has_kept(&self, source: &Selected, spot: &Spot<'_>) -> Result<bool, OpError> {
        for (name, node) in source.tree.list(spot.from)? {
            let relative = join(spot.relative, &name);
            if !self.excludes.excludes(&relative) {
                return Ok(true);
            }
            let from = join(spot.from, &name);
            let inner = Spot { from: &from, to: b"", relative: &relative, depth: spot.depth + 1 };
            if node.is_directory() && inner.depth <= DEPTH_MAX && self.has_kept(source, &inner)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A place for a file, whose directory may be reached through links.
    fn beneath(&self, target: &[u8]) -> Result<Vec<u8>, UpperError> {
        let (above, name) = split(target);
        Ok(join(&self.upper.resolve(above)?, name))
    }

    fn attributes(
        &self,
        source: &Selected,
        path: &[u8],
        node: &Node,
    ) -> Result<Attributes, OpError> {
        let (uid, gid) = self.owner.unwrap_or((node.uid, node.gid));
        let mode = match &self.job.copy.mode {
            _ if node.kind == Kind::Symlink => node.mode,
            None => node.mode,
            Some(Mode::Octal(mode)) => *mode,
            Some(Mode::Symbolic(changes)) => {
                modes::changed(changes, node.mode, node.is_directory())
            }
        };
        let xattrs = match node.kind {
            Kind::File | Kind::Directory => source.tree.xattrs(path)?,
            _ => Vec::new(),
        };
        let time = self.job.copy.epoch_s.map_or(node.mtime, |epoch| (epoch, 0));
        Ok(Attributes { mode, uid, gid, time, xattrs })
    }

    fn made(&self) -> Made {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let time = self.job.copy.epoch_s.map(|epoch| (epoch, 0));
        Made { mode: MADE_MODE, uid, gid, time }
    }
}

/// Where something comes from and goes.
struct Spot<'a> {
    from: &'a [u8],
    to: &'a [u8],
    /// What patterns of what is left out are matched against.
    relative: &'a [u8],
    depth: usize,
}
