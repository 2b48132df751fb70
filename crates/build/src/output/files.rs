//! A result's files, as a tar: the client keeps it or unpacks it.

use std::{os::fd::AsFd, sync::Arc};

use super::{OutputError, epoch};
use crate::{
    build::{Build, ids},
    graph::Target,
    solve::Solved,
    streams,
};

/// Sends the files of all targets; those of several platforms each in a directory of their own.
pub(super) async fn send(
    build: &Arc<Build>,
    targets: &[Target],
    solved: &[Arc<Solved>],
    index: usize,
) -> Result<(), OutputError> {
    let spec = &build.request.outputs[index];
    let epoch_s = epoch(build, Some(spec));
    let several = targets.len() > 1;
    let mut trees = Vec::new();
    for (target, result) in targets.iter().zip(solved) {
        let prefix = if several {
            format!("{}/", target.platform.to_string().replace('/', "_"))
        } else {
            String::new()
        };
        trees.push((prefix, ids(&result.layers)));
    }
    let output = build.client.output(index).await;
    let output = output.map_err(|source| OutputError::Client { index, source })?;
    let snapshots = build.inner.parts.snapshots.clone();
    streams::write(output, move |out| {
        let last = trees.len().saturating_sub(1);
        for (number, (prefix, layers)) in trees.iter().enumerate() {
            let root = snapshots.mount_layers(layers)?;
            let mut part = Part { out, held: Vec::new(), whole: number == last };
            gantry_archive::pack_until(root.as_fd(), prefix.as_bytes(), epoch_s, &mut part)?;
        }
        Ok(())
    })
    .await
}

/// A tar that others follow: its end, two blocks of zeros, is left out.
struct Part<'a> {
    out: &'a mut dyn std::io::Write,
    held: Vec<u8>,
    whole: bool,
}

/// Length of a tar's end.
const END_BYTES: usize = 1024;

impl std::io::Write for Part<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if self.whole {
            return self.out.write(data);
        }
        // The last blocks are held back until it is known that more follows.
        self.held.extend_from_slice(data);
        let ready = self.held.len().saturating_sub(END_BYTES);
        self.out.write_all(&self.held[..ready])?;
        self.held.drain(..ready);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
