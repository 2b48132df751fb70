//! `update`: new limits and restart policy for a container.

use std::sync::Arc;

use gantry_api_types::container::{UpdateBody, UpdateResponse};

use super::driver::Driver;
use super::phase::{Phase, Reject};
use super::restart_policy::{Policy, PolicyError};
use crate::ChangeError;
use crate::record::ContainerRecord;
use crate::spec::resources;

impl Driver {
    /// Checks, applies to the running processes, and records; nothing is changed on an error.
    pub(super) async fn update(
        &mut self,
        body: &UpdateBody,
    ) -> Result<UpdateResponse, ChangeError> {
        if matches!(self.phase, Phase::Removing | Phase::Dead) {
            let reject = Reject::Removing;
            let words = reject.words(&self.cell.id, &self.record.name);
            return Err(ChangeError::Rejected { reject, words });
        }
        let mut host = self.record.host.clone();
        resources::merge_update(&mut host, body)?;
        if !body.restart_policy.name.is_empty() {
            let wanted = &body.restart_policy;
            let policy = Policy::parse(&wanted.name, wanted.maximum_retry_count)?;
            if host.auto_remove && policy.restarts() {
                return Err(ChangeError::Policy(PolicyError::AutoRemove));
            }
            host.restart_policy = wanted.clone();
        }
        let mut warnings = resources::check(&host, self.engine.facts.machine)?;
        let limits = resources::limits(&host)?;
        if self.phase.is_up() {
            let group = self.engine.parts.cgroups.open(&self.engine.cgroup_path(&self.record));
            let applied = tokio::task::spawn_blocking(move || group.apply(&limits)).await;
            let failed = |source| ChangeError::Cgroup { id: self.cell.id.clone(), source };
            let ignored =
                applied.map_err(|_| ChangeError::Gone(self.cell.id.clone()))?.map_err(failed)?;
            warnings.extend(
                ignored.into_iter().map(|what| {
                    format!("Your kernel does not support {what}. Limitation discarded.")
                }),
            );
        }
        let record = ContainerRecord { host, ..(*self.record).clone() };
        self.save_record(&record).await?;
        self.record = Arc::new(record);
        self.show();
        self.tell("update", &[]);
        Ok(UpdateResponse { warnings: (!warnings.is_empty()).then_some(warnings) })
    }
}
