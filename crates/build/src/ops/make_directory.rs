//! `WORKDIR`.

use std::os::fd::AsFd;

use gantry_oci::Digest;
use gantry_snapshot::Snapshots;
use tokio_util::sync::CancellationToken;

use super::{
    OpError,
    layer::{MadeLayer, SharedLease, publish},
    owner,
    upper::{Made, Upper, is_directory},
};
use crate::graph::MakeDirectory;

/// Makes a directory, and those above it; no layer if it is there. Blocks.
pub(crate) fn run(
    directory: &MakeDirectory,
    base: &[Digest],
    snapshots: &Snapshots,
    lease: &SharedLease,
    stop: &CancellationToken,
) -> Result<Option<MadeLayer>, OpError> {
    let root = match base.is_empty() {
        true => None,
        false => Some(snapshots.mount_layers(base)?),
    };
    let (uid, gid) = match &directory.owner {
        Some(named) => owner::find(named, root.as_ref().map(AsFd::as_fd))?,
        None => (0, 0),
    };
    let writer = snapshots.begin_layer()?;
    let mut upper = Upper::new(writer.dir(), root, stop)?;
    let target = upper.resolve(directory.path.as_bytes())?;
    if target.is_empty() || upper.look(&target)?.is_some_and(|stat| is_directory(&stat)) {
        return Ok(None);
    }
    let time = directory.epoch_s.map(|epoch| (epoch, 0));
    upper.ensure(&target, Made { mode: directory.mode, uid, gid, time })?;
    upper.finish()?;
    publish(writer, lease, stop)
}
