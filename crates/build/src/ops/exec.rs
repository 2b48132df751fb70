//! `RUN`.
//!
//! The command runs on the base's layers with a directory of its own on top. When it has ended well,
//! that directory is the layer: it is hashed as the tar that it would be, and renamed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_build_proto::{Limits, Stream};
use gantry_oci::Digest;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    KeptRoot, OpError,
    layer::{MadeLayer, SharedLease, publish},
    step_mounts::{Confidant, Sources, StepMounts, Wanted, Workshop},
};
use crate::{
    cache::record::{Layer, random},
    executor::{Ended, Executor, ExecutorError, Step},
    graph::Exec,
    runs::Sink,
};

/// Pieces of output that wait for their reader.
const PIECES_MAX: usize = 64;
/// What is kept of the last output for the error.
const LAST_BYTES_MAX: usize = 16 << 10;
/// Lines of it.
const LAST_LINES: usize = 20;

/// Whom and what a step needs.
#[derive(Clone)]
pub(crate) struct Runner {
    pub workshop: Workshop,
    pub executor: Arc<dyn Executor>,
    /// Steps that may run at once.
    pub permits: Arc<Semaphore>,
}

/// A step, ready to run.
pub(crate) struct Job {
    pub exec: Exec,
    /// Layers of the base.
    pub base: Vec<Layer>,
    /// Layers of mounts, by their place among the mounts.
    pub sources: Sources,
    pub limits: Limits,
    pub build_network: String,
    pub add_hosts: Vec<String>,
    pub confidant: Option<Confidant>,
    pub lease: SharedLease,
    /// The file system of a step that fails is kept.
    pub keep_failed: Arc<AtomicBool>,
}

/// A file system that goes away unless it is taken.
struct Root<'a> {
    runner: &'a Runner,
    name: String,
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.runner.workshop.snapshots.remove(&self.name) {
            tracing::error!(name = self.name, %error, "could not remove a step's file system");
        }
    }
}

impl Runner {
    /// Runs a step and makes its layer; none if it changed nothing.
    pub(crate) async fn run(
        &self,
        job: Job,
        output: &Sink,
        stop: &CancellationToken,
    ) -> Result<Option<MadeLayer>, OpError> {
        let _permit = tokio::select! {
            permit = self.permits.acquire() => permit.map_err(|_| OpError::Cancelled)?,
            () = stop.cancelled() => return Err(OpError::Cancelled),
        };
        let id: String = random::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let root = Root { runner: self, name: format!("build-{id}") };
        let base: Vec<Digest> = job.base.iter().map(|layer| layer.diff_id.clone()).collect();
        let (snapshots, name) = (self.workshop.snapshots.clone(), root.name.clone());
        let rootfs = crate::blocking(move || snapshots.prepare(&name, &base)).await?;
        let wanted = Wanted {
            id: &id,
            mounts: &job.exec.mounts,
            working_directory: &job.exec.working_directory,
            sources: &job.sources,
            confidant: job.confidant.as_ref(),
            stop,
        };
        let mut mounts = self.workshop.ready(&wanted).await?;
        let step = step(&job, &id, rootfs, &mut mounts);
        let (ended, last_output) = self.execute(step, output, stop).await;
        drop(mounts);
        match ended? {
            Ended { code, .. } if code == 0 || job.exec.allowed_exit_codes.contains(&code) => {
                self.take(&root, &job.lease, stop).await
            }
            ended => Err(self.failed(&job, &root, ended, last_output).await),
        }
    }

    /// Runs a step; what it printed last comes along.
    async fn execute(
        &self,
        step: Step,
        output: &Sink,
        stop: &CancellationToken,
    ) -> (Result<Ended, OpError>, String) {
        let command = step.args.join(" ");
        let (sender, mut pieces) = mpsc::channel::<(Stream, Vec<u8>)>(PIECES_MAX);
        let mut last = Last::default();
        let reading = async {
            while let Some((stream, bytes)) = pieces.recv().await {
                last.add(&bytes);
                output.write(stream, &bytes);
            }
        };
        let running = self.executor.run(step, sender, stop.clone());
        let (ended, ()) = tokio::join!(running, reading);
        let ended = ended.map_err(|error| match error {
            ExecutorError::Cancelled => OpError::Cancelled,
            ExecutorError::NotStarted(reason) => OpError::NotStarted { command, reason },
        });
        (ended, last.text())
    }

    async fn take(
        &self,
        root: &Root<'_>,
        lease: &SharedLease,
        stop: &CancellationToken,
    ) -> Result<Option<MadeLayer>, OpError> {
        let (snapshots, name) = (self.workshop.snapshots.clone(), root.name.clone());
        let (lease, stop) = (Arc::clone(lease), stop.clone());
        let work = move || publish(snapshots.take_upper(&name)?, &lease, &stop);
        crate::blocking(work).await
    }

    async fn failed(
        &self,
        job: &Job,
        root: &Root<'_>,
        ended: Ended,
        last_output: String,
    ) -> OpError {
        let mut kept = None;
        if job.keep_failed.load(Ordering::Relaxed) {
            match self.take(root, &job.lease, &CancellationToken::new()).await {
                Ok(made) => {
                    let mut layers = job.base.clone();
                    layers.extend(made.map(|made| made.layer(None)));
                    kept = Some(KeptRoot { layers, _lease: Arc::clone(&job.lease) });
                }
                Err(error) => {
                    let error = gantry_fault::chain(&error);
                    tracing::warn!(error, "could not keep a failed step's file system");
                }
            }
        }
        OpError::Exit {
            command: job.exec.args.join(" "),
            code: ended.code,
            oom_killed: ended.oom_killed,
            kept,
            last_output,
        }
    }
}

fn step(job: &Job, id: &str, rootfs: gantry_snapshot::Rootfs, mounts: &mut StepMounts) -> Step {
    let exec = &job.exec;
    let env = exec.env.iter().chain(&exec.silent_env).chain(&mounts.env).cloned().collect();
    Step {
        id: id.to_owned(),
        rootfs,
        args: exec.args.clone(),
        stdin: exec.stdin.as_ref().map(|text| text.as_bytes().to_vec()),
        env,
        working_directory: exec.working_directory.clone(),
        user: exec.user.clone(),
        hostname: exec.hostname.clone(),
        mounts: std::mem::take(&mut mounts.mounts),
        network: exec.network.clone(),
        build_network: job.build_network.clone(),
        add_hosts: job.add_hosts.iter().chain(&exec.add_hosts).cloned().collect(),
        limits: job.limits.clone(),
        insecure: exec.insecure,
    }
}

/// The end of an output.
#[derive(Default)]
struct Last(VecDeque<u8>);

impl Last {
    fn add(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LAST_BYTES_MAX)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(LAST_BYTES_MAX);
        self.0.drain(..excess);
        self.0.extend(bytes);
    }

    fn text(self) -> String {
        let bytes: Vec<u8> = self.0.into();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_kept() {
        let mut last = Last::default();
        for line in 0..10_000 {
            last.add(format!("line {line}\n").as_bytes());
        }
        last.add(b"end");
        let text = last.text();
        assert_eq!(text.lines().count(), LAST_LINES);
        assert!(text.starts_with("line 9981\n") && text.ends_with("line 9999\nend"), "{text}");
        let mut last = Last::default();
        last.add(&[b'x'; 3 * LAST_BYTES_MAX]);
        assert_eq!(last.text().len(), LAST_BYTES_MAX);
    }
}
