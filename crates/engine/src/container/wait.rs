//! `wait`: how a container's next run ends.

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
}
