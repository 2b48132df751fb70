//! Builds' steps on the engine: the builder's [`Executor`], since neither knows the other.

use futures_util::future::BoxFuture;
use gantry_api_types::host_config::{HostConfig, Ulimit};
use gantry_build::executor::{Ended, Executor, ExecutorError, Step, StepMount, StepSource};
use gantry_build::graph::StepNetwork;
use gantry_build_proto::{Limits, Stream};
use gantry_engine::{Engine, StartError, StepError, StepRequest, StepStream};
use gantry_fault::chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Chunks of output between engine and builder.
const CHUNKS: usize = 4;

/// Runs steps on an engine.
pub(super) struct Steps(pub(super) Engine);

impl Executor for Steps {
    fn run(
        &self,
        step: Step,
        output: mpsc::Sender<(Stream, Vec<u8>)>,
        cancelled: CancellationToken,
    ) -> BoxFuture<'_, Result<Ended, ExecutorError>> {
        Box::pin(async move {
            let request = request(step)?;
            let (sender, mut chunks) = mpsc::channel(CHUNKS);
            let forward = async {
                while let Some((stream, bytes)) = chunks.recv().await {
                    let stream = match stream {
                        StepStream::Stdout => Stream::Out,
                        StepStream::Stderr => Stream::Err,
                    };
                    if output.send((stream, bytes)).await.is_err() {
                        return;
                    }
                }
            };
            let (end, ()) = tokio::join!(self.0.run_step(request, sender, &cancelled), forward);
            match end {
                Ok(end) => Ok(Ended { code: end.code, oom_killed: end.oom_killed }),
                Err(error) => Err(not_run(&error)),
            }
        })
    }
}

fn not_run(error: &StepError) -> ExecutorError {
    match error {
        StepError::Cancelled => ExecutorError::Cancelled,
        StepError::Start(error) => match &**error {
            StartError::Runtime { message, .. } => ExecutorError::NotStarted(message.clone()),
            other => ExecutorError::NotStarted(chain(other)),
        },
        other => ExecutorError::NotStarted(chain(other)),
    }
}

fn request(step: Step) -> Result<StepRequest, ExecutorError> {
    let network_mode = match (step.network, step.build_network.as_str()) {
        (StepNetwork::None, _) => "none",
        (StepNetwork::Host, _) => "host",
        (StepNetwork::Default, "" | "default") => "bridge",
        (StepNetwork::Default, name) => name,
    };
    let host = HostConfig {
        network_mode: network_mode.to_owned(),
        extra_hosts: Some(step.add_hosts),
        privileged: step.insecure,
        ..host(&step.limits)?
    };
    Ok(StepRequest {
        id: step.id,
        rootfs: step.rootfs,
        args: step.args,
        stdin: step.stdin,
        env: step.env,
        working_directory: step.working_directory,
        user: step.user,
        hostname: step.hostname,
        mounts: step.mounts.into_iter().map(mount).collect(),
        host,
    })
}

fn mount(mount: StepMount) -> gantry_engine::StepMount {
    let source = match mount.source {
        StepSource::Path(fd) => gantry_engine::StepSource::Descriptor(fd),
        StepSource::Tmpfs(size_bytes) => gantry_engine::StepSource::Tmpfs { size_bytes },
    };
    gantry_engine::StepMount { target: mount.target, source, read_only: mount.read_only }
}

/// The host side of a step with these limits.
fn host(limits: &Limits) -> Result<HostConfig, ExecutorError> {
    let ulimits = limits.ulimits.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?;
    Ok(HostConfig {
        memory: limits.memory_bytes,
        memory_swap: limits.memory_swap_bytes,
        cpu_shares: limits.cpu_shares,
        cpu_quota: limits.cpu_quota_us,
        cpu_period: limits.cpu_period_us,
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        shm_size: limits.shm_size_bytes,
        ulimits: Some(ulimits),
        cgroup_parent: limits.cgroup_parent.clone(),
        security_opt: Some(limits.security_opt.clone()),
        ..HostConfig::default()
    })
}

/// Reads `name=soft[:hard]`.
fn ulimit(text: &str) -> Result<Ulimit, ExecutorError> {
    let wrong = || ExecutorError::NotStarted(format!("invalid ulimit argument: {text}"));
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse().map_err(|_| wrong());
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_are_read() {
        let limit = |soft, hard| Ulimit { name: "nofile".into(), soft, hard };
        assert_eq!(ulimit("nofile=1:2").unwrap(), limit(1, 2));
        assert_eq!(ulimit("nofile=-1").unwrap(), limit(-1, -1));
        for wrong in ["nofile", "nofile=x", "nofile=1:x"] {
            assert!(ulimit(wrong).is_err(), "{wrong}");
        }
    }
}
