//! When a container that has ended is started again, and after what pause.
//!
//! The rules are Docker's: `always` and `unless-stopped` restart after every exit, `on-failure`
//! after a non-zero one and at most so many times; a stop by hand ends them all. The pause starts
//! at 100 ms, doubles with each exit up to a minute, and starts afresh once a run has lasted ten
//! seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// First pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of at least this length counts as a success of the restart.
const STEADY_RUN: Duration = Duration::from_secs(10);

/// The policy's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Never restarted.
    #[default]
    No,
    /// Restarted after every exit, and whenever the daemon starts.
    Always,
    /// Restarted after every exit unless it was stopped by hand.
    UnlessStopped,
    /// Restarted after an exit with another code than 0.
    OnFailure,
}

/// A policy with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// When to restart.
    pub name: PolicyName,
    /// Most restarts in a row of [`PolicyName::OnFailure`]; 0 is no limit.
    pub max_retries: u32,
}

/// Why a policy in a request is refused; the texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A limit with a policy that takes none.
    #[error("invalid restart policy: maximum retry count can only be used with 'on-failure'")]
    RetriesNotTaken,
    /// A limit below 0.
    #[error("invalid restart policy: maximum retry count cannot be negative")]
    NegativeRetries,
    /// No such policy.
    #[error(
        "invalid restart policy: unknown policy '{0}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    )]
    Unknown(String),
    /// `--rm` and a policy that restarts.
    #[error("can't create 'AutoRemove' container with restart policy")]
    AutoRemove,
}

impl Policy {
    /// Reads a policy from a request: the empty name is `no`.
    ///
    /// # Errors
    /// [`PolicyError`], with Docker's words.
    pub fn parse(name: &str, max_retries: i64) -> Result<Self, PolicyError> {
        let name = match name {
            "" | "no" => PolicyName::No,
            "always" => PolicyName::Always,
            "unless-stopped" => PolicyName::UnlessStopped,
            "on-failure" => PolicyName::OnFailure,
            other => return Err(PolicyError::Unknown(other.to_owned())),
        };
        if max_retries < 0 {
            return Err(PolicyError::NegativeRetries);
        }
        if name != PolicyName::OnFailure && max_retries != 0 {
            return Err(PolicyError::RetriesNotTaken);
        }
        Ok(Self { name, max_retries: u32::try_from(max_retries).unwrap_or(u32::MAX) })
    }

    /// Whether it ever restarts.
    #[must_use]
    pub fn restarts(self) -> bool {
        self.name != PolicyName::No
    }

    /// Whether a container that does not run is started when the daemon starts.
    ///
    /// `stopped_by_hand` is what the last stop was; `code` the last exit's code.
    #[must_use]
    pub fn starts_with_daemon(self, stopped_by_hand: bool, code: i32) -> bool {
        match self.name {
            PolicyName::No => false,
            PolicyName::Always => true,
            PolicyName::UnlessStopped => !stopped_by_hand,
            PolicyName::OnFailure => !stopped_by_hand && code != 0,
        }
    }
}

/// One container's restarts in a row. A value without a clock: the caller tells how long a run was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    pause: Duration,
    in_a_row: u32,
}

impl Restarts {
    /// What happens after an exit: the pause before the next start, or `None` to stay down.
    pub fn after_exit(
        &mut self,
        policy: Policy,
        code: i32,
        run: Duration,
        by_hand: bool,
    ) -> Option<Duration> {
        if run >= STEADY_RUN {
            *self = Self::default();
        }
        let again = match policy.name {
            PolicyName::No => false,
            PolicyName::Always | PolicyName::UnlessStopped => true,
            PolicyName::OnFailure => {
                code != 0 && (policy.max_retries == 0 || self.in_a_row < policy.max_retries)
            }
        };
        if by_hand || !again {
            return None;
        }
        self.pause =
            if self.pause.is_zero() { FIRST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.in_a_row = self.in_a_row.saturating_add(1);
        Some(self.pause)
    }

    /// Forgets what was: the container was started by hand.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Restarts in a row, for `RestartCount`.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    fn policy(name: PolicyName, max_retries: u32) -> Policy {
        Policy { name, max_retries }
    }

    #[test]
    fn decides_by_policy_code_and_hand() {
        use PolicyName::*;
        for (name, code, by_hand, want) in [
            (No, 1, false, false),
            (Always, 0, false, true),
            (Always, 0, true, false),
            (UnlessStopped, 0, false, true),
            (UnlessStopped, 137, true, false),
            (OnFailure, 0, false, false),
            (OnFailure, 1, false, true),
            (OnFailure, 1, true, false),
        ] {
            let pause = Restarts::default().after_exit(policy(name, 0), code, SHORT, by_hand);
            assert_eq!(pause.is_some(), want, "{name:?} code {code} by hand {by_hand}");
        }
    }

    #[test]
    fn pause_doubles_to_a_minute_and_starts_afresh_after_a_steady_run() {
        let mut restarts = Restarts::default();
        let always = policy(PolicyName::Always, 0);
        let pauses: Vec<u128> = (0..12)
            .filter_map(|_| restarts.after_exit(always, 0, SHORT, false))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
        );
        assert_eq!(restarts.count(), 12);
        assert_eq!(restarts.after_exit(always, 0, STEADY_RUN, false), Some(FIRST_PAUSE));
        assert_eq!(restarts.count(), 1);
    }

    #[test]
    fn on_failure_gives_up_after_its_limit() {
        let mut restarts = Restarts::default();
        let twice = policy(PolicyName::OnFailure, 2);
        assert!(restarts.after_exit(twice, 1, SHORT, false).is_some());
        assert!(restarts.after_exit(twice, 1, SHORT, false).is_some());
        assert!(restarts.after_exit(twice, 1, SHORT, false).is_none());
        assert_eq!(restarts.count(), 2);
    }

    #[test]
    fn parses_with_dockers_words() {
        assert_eq!(Policy::parse("", 0), Ok(Policy::default()));
        assert_eq!(Policy::parse("on-failure", 3), Ok(policy(PolicyName::OnFailure, 3)));
        for (name, retries, want) in [
            ("always", 1, PolicyError::RetriesNotTaken),
            ("on-failure", -1, PolicyError::NegativeRetries),
            ("sometimes", 0, PolicyError::Unknown("sometimes".into())),
        ] {
            assert_eq!(Policy::parse(name, retries), Err(want), "{name}");
        }
    }

    #[test]
    fn daemon_start_honours_the_policy() {
        use PolicyName::*;
        for (name, by_hand, code, want) in [
            (No, false, 1, false),
            (Always, true, 0, true),
            (UnlessStopped, true, 0, false),
            (UnlessStopped, false, 0, true),
            (OnFailure, false, 1, true),
            (OnFailure, false, 0, false),
            (OnFailure, true, 1, false),
        ] {
            let got = policy(name, 0).starts_with_daemon(by_hand, code);
            assert_eq!(got, want, "{name:?} by hand {by_hand} code {code}");
        }
    }
}
