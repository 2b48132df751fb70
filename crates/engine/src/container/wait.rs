//! `wait`: how a container's next run ends.

use std::future::Future;

use gantry_api_types::container::WaitResponse;

use super::Container;
use super::cell::Life;

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run; at once if it does not now.
    #[default]
    NotRunning,
    /// Its next exit.
    NextExit,
    /// It is removed.
    Removed,
}

impl WaitCondition {
    /// Reads the `condition` parameter; empty is `not-running`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "not-running" => Some(Self::NotRunning),
            "next-exit" => Some(Self::NextExit),
            "removed" => Some(Self::Removed),
            _ => None,
        }
    }

    /// Whether what was waited for has come, given how it was when the wait was registered.
    fn is_met(self, then: &Life, now: &Life) -> bool {
        match self {
            Self::NotRunning => !then.running || now.exits > then.exits || now.removed,
            // A container that is removed before it ever ran never exits.
            Self::NextExit => now.exits > then.exits || now.removed,
            Self::Removed => now.removed,
        }
    }
}

impl Container {
    /// Waits; registered when this is called, not when it is first polled.
    pub fn wait(
        &self,
        condition: WaitCondition,
    ) -> impl Future<Output = WaitResponse> + Send + 'static {
        let mut life = self.cell.life.subscribe();
        let then = *life.borrow_and_update();
        // The cell is kept, so that the watch cannot close before it says "removed".
        let cell = std::sync::Arc::clone(&self.cell);
        async move {
            let met = life.wait_for(|now| condition.is_met(&then, now)).await.map(|now| *now);
            let code = met.unwrap_or_else(|_| *cell.life.borrow()).code;
            WaitResponse { status_code: i64::from(code), error: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        use WaitCondition::{NextExit, NotRunning, Removed};
        let idle = Life::default();
        let up = Life { running: true, ..idle };
        let ended = Life { exits: 1, code: 3, ..idle };
        // Restarted at once: the exit between was not seen, but counted.
        let again = Life { running: true, exits: 1, ..idle };
        let gone = Life { removed: true, ..idle };
        for (condition, then, now, want) in [
            (NotRunning, idle, idle, true),
            (NotRunning, up, up, false),
            (NotRunning, up, ended, true),
            (NotRunning, up, again, true),
            (NextExit, idle, idle, false),
            (NextExit, idle, up, false),
            (NextExit, up, again, true),
            (NextExit, idle, gone, true),
            (Removed, up, ended, false),
            (Removed, up, gone, true),
        ] {
            let got = condition.is_met(&then, &now);
            assert_eq!(got, want, "{condition:?} from {then:?} to {now:?}");
        }
    }
}
