//! `GET /containers/{id}/top`: what `ps` would print of the container's processes.
//!
//! No program is executed: the columns are read from `/proc`. The columns of `-ef` and `aux` and
//! the names after `-o` that are in common use are known; others are refused by name.

mod columns;
mod process;

use gantry_api_types::container::TopResponse;

use crate::{Container, ObserveError};
use columns::Column;
use process::{Process, Users};

impl Container {
    /// Lists the processes, as `ps` with these arguments would (`-ef` when empty).
    ///
    /// # Errors
    /// [`ObserveError`].
    pub async fn top(&self, ps_args: &str) -> Result<TopResponse, ObserveError> {
        let columns = columns::parse(ps_args).map_err(ObserveError::PsArgs)?;
        if self.pid().is_none() {
            return Err(ObserveError::NotRunning(self.id().to_owned()));
        }
        let pids = self.cgroup().pids().map_err(|source| ObserveError::Cgroup {
            id: self.id().to_owned(),
            source,
        })?;
        let users = Users::of_host();
        let clock = process::Clock::read();
        let mut pids = pids;
        pids.sort_unstable();
        // A process that ended since is no error.
        let processes = pids
            .into_iter()
            .filter_map(Process::read)
            .map(|process| row(&columns, &process, &users, &clock))
            .collect();
        self.tell("top");
        let titles = columns.iter().map(|column| column.title.clone()).collect();
        Ok(TopResponse { titles, processes })
    }
}

fn row(columns: &[Column], process: &Process, users: &Users, clock: &process::Clock) -> Vec<String> {
    columns.iter().map(|column| column.value(process, users, clock)).collect()
}
