//! Bringing a container up, step by step, each with its span: resolve, join, record, spec, spawn.
//! What a failed step has acquired is released before the error is told.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use gantry_network::Sandbox;
use gantry_store::Durability;
use gantry_task::{Attachment, Task};
use tracing::Instrument as _;

use super::driver::Driver;
use super::mounting::{self, Sources};
use super::phase::{Event, Phase};
use crate::StartError;
use crate::events::now_ns;
use crate::launch::{self, Files, Plan};
use crate::net;
use crate::record::Status;

impl Driver {
    /// Starts the container.
    pub(super) async fn start(&mut self) -> Result<(), StartError> {
        self.phase.on(Event::Start).map_err(|reject| StartError::Rejected {
            reject,
            words: reject.words(&self.cell.id, &self.record.name),
        })?;
        if let Some(teardown) = self.teardown.take() {
            // The last run's address and task directory must be free.
            let _ = teardown.await;
        }
        let span = tracing::info_span!("start", id = self.record.short_id());
        let attachments = std::mem::take(&mut self.early);
        match self.bring_up(attachments).instrument(span).await {
            Ok((task, netns)) => {
                let event = Event::Started { pid: task.pid() };
                self.phase = self.phase.on(event).map_or(self.phase, |(phase, _)| phase);
                self.hold(task, netns);
                self.show();
                self.tell("start", &[]);
                self.watch_health();
                Ok(())
            }
            Err(error) => {
                let code = error.exit_code();
                self.restart_at = None;
                let failed = self.phase.on(Event::StartFailed { code });
                self.phase = failed.map_or(self.phase, |(phase, _)| phase);
                self.state.status = match self.phase {
                    Phase::Created => Status::Created,
                    _ => Status::Exited,
                };
                self.state.exit_code = code;
                self.state.error = error.state_error();
                self.state.take_sandbox();
                self.save_state(Durability::Relaxed).await;
                self.show();
                Err(error)
            }
        }
    }

    async fn bring_up(
        &mut self,
        attachments: Vec<Attachment>,
    ) -> Result<(Task, Option<Arc<OwnedFd>>), StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let span = tracing::debug_span!("mounts");
        let mounts = mounting::ready(&engine, &record).instrument(span).await?;
        let done = self.bring_up_with(mounts, attachments).await;
        match &done {
            Ok(_) => mounting::release_subpaths(&engine, &record),
            Err(_) => mounting::release_behind(&engine, &record).await,
        }
        done
    }

    async fn bring_up_with(
        &mut self,
        mounts: Sources,
        attachments: Vec<Attachment>,
    ) -> Result<(Task, Option<Arc<OwnedFd>>), StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let span = tracing::debug_span!("resolve");
        let plan = async {
            let snapshots = &engine.parts.snapshots;
            let rootfs = snapshots.rootfs(&record.id)?;
            let users = engine.users.of(snapshots, &record, &rootfs).await?;
            Plan::make(&engine, &record, Files { rootfs, volatile: false, users, mounts })
        };
        let plan = plan.instrument(span).await?;
        let span = tracing::debug_span!("join");
        let joined = launch::join(&engine, &record, &self.state.last_addresses);
        let sandbox = joined.instrument(span).await?;
        let started = self.spawn(plan, sandbox.as_ref(), attachments).await;
        match started {
            Ok(task) => {
                if let Some(sandbox) = &sandbox {
                    engine.tell_endpoints("connect", &sandbox.record);
                    let bridge = self.state.endpoint_on("bridge");
                    let addresses = bridge.map(gantry_network::EndpointRecord::addresses);
                    if let Some(address) = addresses.iter().flatten().next() {
                        net::tell_linked(&engine, &record, *address);
                    }
                }
                engine.tell_mounts(&record);
                Ok((task, sandbox.map(|sandbox| sandbox.netns)))
            }
            Err(error) => {
                if sandbox.is_some()
                    && let Err(error) = engine.parts.networks.leave(&record.id).await
                {
                    tracing::error!(id = record.id, %error, "leaving the network");
                }
                engine.unmount_shm(&record.id);
                Err(error)
            }
        }
    }

    /// Records what must be found again if this daemon dies now, then runs the task.
    async fn spawn(
        &mut self,
        plan: Plan,
        sandbox: Option<&Sandbox>,
        attachments: Vec<Attachment>,
    ) -> Result<Task, StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        launch::write_network_files(&engine, &record, sandbox, plan.linked_hosts())?;
        self.state.status = Status::Up;
        self.state.error.clear();
        self.state.oom_killed = false;
        self.state.stopped_by_hand = false;
        self.state.exit_code = 0;
        self.state.started_at_ns = now_ns();
        self.state.sandbox = sandbox.map(|sandbox| sandbox.record.clone());
        let save = self.save_state(Durability::Relaxed).instrument(tracing::debug_span!("record"));
        let built = async {
            let _span = tracing::debug_span!("spec").entered();
            plan.spec(&engine, &record)
        };
        let ((), spec) = tokio::join!(save, built);
        let request = plan.request(&record, spec?, sandbox, attachments);
        let span = tracing::debug_span!("spawn");
        launch::run(&engine, request).instrument(span).await
    }
}
