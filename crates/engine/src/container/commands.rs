//! What a driver does to a running container: signals, freezing, another name.

use std::sync::Arc;
use std::time::Duration;

use gantry_store::Durability;

use super::driver::{Driver, Signal};
use super::phase::{Effect, Event, Phase, Reject};
use crate::ChangeError;
use crate::record::{ContainerRecord, Status};

/// How long freezing and thawing may take.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

impl Driver {
    fn reject(&self, reject: Reject) -> ChangeError {
        ChangeError::Rejected { reject, words: reject.words(&self.cell.id, &self.record.name) }
    }

    pub(super) async fn signal(&mut self, signal: Signal) -> Result<(), ChangeError> {
        let asked = self.phase.on(Event::Kill).map_err(|reject| self.reject(reject))?;
        let Some(task) = &self.task else { return Err(self.reject(Reject::NotRunning)) };
        if signal.by_hand {
            self.state.stopped_by_hand = true;
            self.keep |= signal.keep;
        }
        debug_assert_eq!(asked.1, Effect::Signal);
        match task.kill(signal.number, false).await {
            // Its exit is on the way.
            Ok(()) | Err(gantry_task::TaskError::NotRunning(_)) => {}
            Err(source) => return Err(ChangeError::Kill { id: self.cell.id.clone(), source }),
        }
        if signal.by_hand {
            self.save_state(Durability::Relaxed).await;
        }
        self.tell("kill", &[("signal", &signal.number.to_string())]);
        // A frozen process takes no signal before it is thawed.
        if signal.by_hand && matches!(self.phase, Phase::Paused { .. }) {
            self.freeze(Event::Unpause).await?;
        }
        Ok(())
    }

    pub(super) async fn cancel_restart(&mut self) -> Result<(), ChangeError> {
        let (phase, effect) =
            self.phase.on(Event::StopByHand).map_err(|reject| self.reject(reject))?;
        if effect == Effect::CancelRestart {
            self.phase = phase;
            self.restart_at = None;
            self.state.status = Status::Exited;
            self.state.stopped_by_hand = true;
            self.save_state(Durability::Relaxed).await;
            self.show();
        }
        Ok(())
    }

    pub(super) async fn freeze(&mut self, event: Event) -> Result<(), ChangeError> {
        let (phase, effect) = self.phase.on(event).map_err(|reject| self.reject(reject))?;
        let freezes = effect == Effect::Freeze;
        let what = if freezes { "pause" } else { "unpause" };
        let group = self.engine.parts.cgroups.open(&self.engine.cgroup_path(&self.record));
        let done = tokio::task::spawn_blocking(move || match freezes {
            true => group.freeze(FREEZE_LIMIT),
            false => group.thaw(FREEZE_LIMIT),
        });
        let gone = |_| ChangeError::Gone(self.cell.id.clone());
        let failed = |source| ChangeError::Freeze { what, id: self.cell.id.clone(), source };
        done.await.map_err(gone)?.map_err(failed)?;
        self.phase = phase;
        self.show();
        self.tell(what, &[]);
        Ok(())
    }

    pub(super) async fn rename(&mut self, name: String) -> Result<(), ChangeError> {
        if matches!(self.phase, Phase::Removing | Phase::Dead) {
            return Err(self.reject(Reject::Removing));
        }
        let old = self.record.name.clone();
        let renamed = ContainerRecord { name: name.clone(), ..(*self.record).clone() };
        if let Err(error) = self.save_record(&renamed).await {
            self.engine.registry.release(&name, &self.cell.id);
            return Err(error);
        }
        self.engine.registry.release(&old, &self.cell.id);
        self.record = Arc::new(renamed);
        if self.state.sandbox.is_some() {
            let names = crate::net::container_names(&self.record);
            match self.engine.parts.networks.set_names(&self.cell.id, names) {
                Ok(sandbox) => self.state.sandbox = Some(sandbox),
                Err(error) => tracing::warn!(id = self.cell.id, %error, "telling a new name"),
            }
            self.save_state(Durability::Relaxed).await;
        }
        self.show();
        self.tell("rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }
}
