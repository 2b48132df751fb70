//! A container's life as a value: no I/O, no clock, no lock.
//!
//! ```text
//!            Start                 Exit, policy says no
//! Created ──────────> Running ─────────────────────────> Exited ──┐
//!    │  ^              │  ^ │                              │ ^    │ Start
//!    │  └─StartFailed──┘  │ │ Exit, policy says yes        │ │    └──> Running
//!    │            Paused──┘ └──────────> Restarting ───────┼─┘
//!    │                                      │   StopByHand │
//!    └──────────── Remove ──────────────────┴──────────────┴──> Removing ──> gone (or Dead)
//! ```
//!
//! The driver asks [`Phase::on`] before it acts, and again with what came of it.

use gantry_fault::{Fault, Kind};

/// Where a container is in its life, with the data that only exists there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Made, never started; or its start failed.
    Created,
    /// Its program runs.
    Running {
        /// First process, in the host's numbers.
        pid: u32,
    },
    /// Its program is frozen.
    Paused {
        /// First process, in the host's numbers.
        pid: u32,
    },
    /// Its program ended and will be started again.
    Restarting {
        /// How it ended.
        code: i32,
    },
    /// Its program ended.
    Exited {
        /// How it ended.
        code: i32,
    },
    /// Being removed.
    Removing,
    /// Its removal failed; only another removal helps.
    Dead,
}

/// What is asked for, or has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Asked: start.
    Start,
    /// Happened: the program runs.
    Started {
        /// First process, in the host's numbers.
        pid: u32,
    },
    /// Happened: it could not be started.
    StartFailed {
        /// The code that stands for the failure.
        code: i32,
    },
    /// Asked: freeze.
    Pause,
    /// Asked: thaw.
    Unpause,
    /// Asked: a signal to the first process.
    Kill,
    /// Happened: the program ended.
    Exit {
        /// How it ended.
        code: i32,
        /// Whether the restart policy wants it back.
        again: bool,
    },
    /// Asked: give up a restart that is due.
    StopByHand,
    /// Asked: remove.
    Remove {
        /// Whether a running program is killed for it.
        force: bool,
    },
    /// Happened: the removal could not be finished.
    RemoveFailed,
}

/// What the driver has to do for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Bring the program up.
    Spawn,
    /// Freeze its processes.
    Freeze,
    /// Let its processes go on.
    Thaw,
    /// Send the signal.
    Signal,
    /// Give back what only a running container needs.
    TearDown,
    /// Drop the timer of the next start.
    CancelRestart,
    /// Kill the program, wait for its end, then remove.
    KillThenRemove,
    /// Remove.
    Delete,
}

/// Why a change cannot be. [`Reject::words`] has Docker's text, which names the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// It runs already (start).
    AlreadyRunning,
    /// It does not run, and so has nothing to stop.
    AlreadyStopped,
    /// It is frozen (start).
    StartPaused,
    /// It is frozen already (pause).
    AlreadyPaused,
    /// It is not frozen (unpause).
    NotPaused,
    /// It does not run (kill, pause).
    NotRunning,
    /// It is between two runs.
    Restarting,
    /// It is being removed.
    Removing,
    /// It is dead.
    Dead,
    /// It runs and removal was not forced.
    RemoveRunning,
    /// It is frozen and removal was not forced.
    RemovePaused,
    /// It restarts and removal was not forced.
    RemoveRestarting,
    /// A report that does not fit; a defect, kept from doing harm.
    OutOfOrder,
}

impl Phase {
    /// The phase after `event`, and what to do.
    ///
    /// # Errors
    /// [`Reject`] when the phase does not take the event; it stays as it is then.
    pub fn on(self, event: Event) -> Result<(Phase, Effect), Reject> {
        use Event as On;
        use Phase::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
        Ok(match (self, event) {
            (Removing, On::RemoveFailed) => (Dead, Effect::None),
            (Dead, On::Remove { .. }) => (Removing, Effect::Delete),
            (Dead, _) => return Err(Reject::Dead),
            (Removing, On::Exit { .. }) => (Removing, Effect::TearDown),
            (Removing, _) => return Err(Reject::Removing),

            (Created | Exited { .. } | Restarting { .. }, On::Start) => (self, Effect::Spawn),
            (Created | Exited { .. } | Restarting { .. }, On::Started { pid }) => {
                (Running { pid }, Effect::None)
            }
            // A first start that fails leaves "created", as in Docker.
            (Created, On::StartFailed { .. }) => (Created, Effect::None),
            (Exited { .. } | Restarting { .. }, On::StartFailed { code }) => {
                (Exited { code }, Effect::None)
            }
            (Running { .. }, On::Start) => return Err(Reject::AlreadyRunning),
            (Paused { .. }, On::Start) => return Err(Reject::StartPaused),

            (Running { pid }, On::Pause) => (Paused { pid }, Effect::Freeze),
            (Paused { .. }, On::Pause) => return Err(Reject::AlreadyPaused),
            (Restarting { .. }, On::Pause) => return Err(Reject::Restarting),
            (_, On::Pause) => return Err(Reject::NotRunning),
            (Paused { pid }, On::Unpause) => (Running { pid }, Effect::Thaw),
            (_, On::Unpause) => return Err(Reject::NotPaused),

            (Running { .. } | Paused { .. }, On::Kill) => (self, Effect::Signal),
            (Restarting { .. }, On::Kill) => return Err(Reject::Restarting),
            (_, On::Kill) => return Err(Reject::NotRunning),

            (Running { .. } | Paused { .. }, On::Exit { code, again: true }) => {
                (Restarting { code }, Effect::TearDown)
            }
            (Running { .. } | Paused { .. }, On::Exit { code, again: false }) => {
                (Exited { code }, Effect::TearDown)
            }
            (Restarting { code }, On::StopByHand) => (Exited { code }, Effect::CancelRestart),
            (Running { .. } | Paused { .. }, On::StopByHand) => (self, Effect::Signal),
            (_, On::StopByHand) => return Err(Reject::AlreadyStopped),

            (Running { .. } | Paused { .. }, On::Remove { force: true }) => {
                (Removing, Effect::KillThenRemove)
            }
            (Running { .. }, On::Remove { force: false }) => return Err(Reject::RemoveRunning),
            (Paused { .. }, On::Remove { force: false }) => return Err(Reject::RemovePaused),
            (Restarting { .. }, On::Remove { force: false }) => {
                return Err(Reject::RemoveRestarting);
            }
            (Created | Exited { .. } | Restarting { .. }, On::Remove { .. }) => {
                (Removing, Effect::Delete)
            }
            (
                _,
                On::Started { .. } | On::StartFailed { .. } | On::Exit { .. } | On::RemoveFailed,
            ) => {
                return Err(Reject::OutOfOrder);
            }
        })
    }

    /// Docker's word for it, as `State.Status` and filters have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Phase::Created => "created",
            Phase::Running { .. } => "running",
            Phase::Paused { .. } => "paused",
            Phase::Restarting { .. } => "restarting",
            Phase::Exited { .. } => "exited",
            Phase::Removing => "removing",
            Phase::Dead => "dead",
        }
    }

    /// First process of the program, when there is one.
    #[must_use]
    pub fn pid(self) -> Option<u32> {
        match self {
            Phase::Running { pid } | Phase::Paused { pid } => Some(pid),
            _ => None,
        }
    }

    /// Whether the program is there, running or frozen.
    #[must_use]
    pub fn is_up(self) -> bool {
        self.pid().is_some()
    }

    /// Whether Docker reports `Running: true`; a restarting container counts.
    #[must_use]
    pub fn counts_as_running(self) -> bool {
        self.is_up() || matches!(self, Phase::Restarting { .. })
    }
}

impl Reject {
    /// Docker's text for a container of this id and name.
    #[must_use]
    pub fn words(self, id: &str, name: &str) -> String {
        let cannot_remove = |why: &str| format!("cannot remove container \"/{name}\": {why}");
        match self {
            Reject::AlreadyRunning => format!("container {id} is already running"),
            Reject::AlreadyStopped => format!("container {id} is already stopped"),
            Reject::StartPaused => "cannot start a paused container, try unpause instead".into(),
            Reject::AlreadyPaused => format!("container {id} is already paused"),
            Reject::NotPaused => format!("Container {id} is not paused"),
            Reject::NotRunning => format!("container {id} is not running"),
            Reject::Restarting => {
                format!("Container {id} is restarting, wait until the container is running")
            }
            Reject::Removing => {
                format!("container {id} is marked for removal and cannot be started or changed")
            }
            Reject::Dead => format!("container {id} is dead and can only be removed"),
            Reject::RemoveRunning => cannot_remove(
                "container is running: stop the container before removing or force remove",
            ),
            Reject::RemovePaused => cannot_remove("container is paused and must be unpaused first"),
            Reject::RemoveRestarting => cannot_remove(
                "container is restarting: stop the container before removing or force remove",
            ),
            Reject::OutOfOrder => format!("container {id} is in no phase for this"),
        }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words("", ""))
    }
}

impl std::error::Error for Reject {}

impl Fault for Reject {
    fn kind(&self) -> Kind {
        match self {
            Reject::AlreadyRunning | Reject::AlreadyStopped => Kind::NotModified,
            // Docker answers 500 to unpause of a container that is not paused.
            Reject::NotPaused | Reject::OutOfOrder => Kind::Internal,
            _ => Kind::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::*;

    const RUNNING: Phase = Running { pid: 7 };
    const PAUSED: Phase = Paused { pid: 7 };
    const EXITED: Phase = Exited { code: 3 };
    const RESTARTING: Phase = Restarting { code: 3 };

    #[test]
    fn every_phase_answers_every_question() {
        use Effect as Do;
        let remove = Event::Remove { force: false };
        let force = Event::Remove { force: true };
        for (phase, event, want) in [
            (Created, Event::Start, Ok((Created, Do::Spawn))),
            (EXITED, Event::Start, Ok((EXITED, Do::Spawn))),
            (RESTARTING, Event::Start, Ok((RESTARTING, Do::Spawn))),
            (RUNNING, Event::Start, Err(Reject::AlreadyRunning)),
            (PAUSED, Event::Start, Err(Reject::StartPaused)),
            (Removing, Event::Start, Err(Reject::Removing)),
            (Dead, Event::Start, Err(Reject::Dead)),
            (Created, Event::Started { pid: 7 }, Ok((RUNNING, Do::None))),
            (Created, Event::StartFailed { code: 127 }, Ok((Created, Do::None))),
            (RESTARTING, Event::StartFailed { code: 3 }, Ok((EXITED, Do::None))),
            (RUNNING, Event::Pause, Ok((PAUSED, Do::Freeze))),
            (PAUSED, Event::Pause, Err(Reject::AlreadyPaused)),
            (EXITED, Event::Pause, Err(Reject::NotRunning)),
            (RESTARTING, Event::Pause, Err(Reject::Restarting)),
            (PAUSED, Event::Unpause, Ok((RUNNING, Do::Thaw))),
            (RUNNING, Event::Unpause, Err(Reject::NotPaused)),
            (PAUSED, Event::Kill, Ok((PAUSED, Do::Signal))),
            (Created, Event::Kill, Err(Reject::NotRunning)),
            (RUNNING, Event::Exit { code: 3, again: false }, Ok((EXITED, Do::TearDown))),
            (RUNNING, Event::Exit { code: 3, again: true }, Ok((RESTARTING, Do::TearDown))),
            (Removing, Event::Exit { code: 3, again: false }, Ok((Removing, Do::TearDown))),
            (Created, Event::Exit { code: 3, again: false }, Err(Reject::OutOfOrder)),
            (RESTARTING, Event::StopByHand, Ok((EXITED, Do::CancelRestart))),
            (EXITED, Event::StopByHand, Err(Reject::AlreadyStopped)),
            (Created, Event::StopByHand, Err(Reject::AlreadyStopped)),
            (RUNNING, remove, Err(Reject::RemoveRunning)),
            (PAUSED, remove, Err(Reject::RemovePaused)),
            (RESTARTING, remove, Err(Reject::RemoveRestarting)),
            (RUNNING, force, Ok((Removing, Do::KillThenRemove))),
            (RESTARTING, force, Ok((Removing, Do::Delete))),
            (EXITED, remove, Ok((Removing, Do::Delete))),
            (Removing, remove, Err(Reject::Removing)),
            (Removing, Event::RemoveFailed, Ok((Dead, Do::None))),
            (Dead, remove, Ok((Removing, Do::Delete))),
        ] {
            assert_eq!(phase.on(event), want, "{phase:?} on {event:?}");
        }
    }

    #[test]
    fn rejections_speak_as_docker() {
        for (reject, want) in [
            (Reject::NotRunning, "container abc is not running"),
            (Reject::AlreadyPaused, "container abc is already paused"),
            (
                Reject::RemoveRunning,
                "cannot remove container \"/web\": container is running: stop the container before removing or force remove",
            ),
        ] {
            assert_eq!(reject.words("abc", "web"), want);
        }
    }
}
