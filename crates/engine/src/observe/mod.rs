//! Looking into running containers: processes and figures.

mod networks;
pub mod stats;
pub mod top;

use gantry_cgroup::Cgroup;

use crate::Container;
use crate::container::phase::Phase;

impl Container {
    /// Its first process, in the host's numbers, while it is up.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self.cell.phase() {
            Phase::Running { pid } | Phase::Paused { pid } => Some(pid),
            _ => None,
        }
    }

    /// Its control group.
    pub(crate) fn cgroup(&self) -> Cgroup {
        self.engine.parts().cgroups.open(&self.engine.0.cgroup_path(&self.cell.record()))
    }

    /// Whether it was removed.
    pub(crate) fn is_gone(&self) -> bool {
        self.cell.life.borrow().removed
    }
}
