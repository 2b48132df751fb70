//! Trying again what may pass: broken connections, servers that are busy or start anew.

use std::time::Duration;

use crate::{DistributionError, Limits};

/// How often something was tried.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    limits: &'a Limits,
    failed: u32,
    /// Much was transferred already: a server that is away may come back.
    stubborn: bool,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, failed: 0, stubborn: false }
    }

    /// For transfers, which do not give up when a server cannot be reached for a moment.
    pub(crate) fn stubborn(limits: &'a Limits) -> Self {
        Self { stubborn: true, ..Self::new(limits) }
    }

    /// Something came of it: failures before do not count.
    pub(crate) fn progress(&mut self) {
        self.failed = 0;
    }

    /// Notes a failure after which it is worth trying at once; tells whether it was one too many.
    pub(crate) fn is_over(&mut self) -> bool {
        self.failed += 1;
        self.failed >= self.limits.attempts
    }

    /// Waits for the next attempt, or gives the error back if there is none.
    pub(crate) async fn again(
        &mut self,
        error: DistributionError,
    ) -> Result<(), DistributionError> {
        self.failed += 1;
        let passing = error.is_passing() || self.stubborn && error.is_absence();
        if !passing || self.failed >= self.limits.attempts {
            return Err(error);
        }
        let Some(wait) = self.wait(&error) else { return Err(error) };
        tracing::info!(error = gantry_fault::chain(&error), wait_ms = wait.as_millis(), "again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// How long to wait; nothing if the server asks for more patience than there is.
    fn wait(&self, error: &DistributionError) -> Option<Duration> {
        if let DistributionError::Answer(answer) | DistributionError::RateLimited(answer) = error
            && let Some(wait) = answer.retry_after
        {
            return (wait <= self.limits.backoff_max).then_some(wait);
        }
        let doubled = self.limits.backoff.saturating_mul(1 << (self.failed - 1).min(16));
        Some(doubled.min(self.limits.backoff_max).mul_f32(spread()))
    }
}

/// Between a half and one: those who failed together do not come back together.
fn spread() -> f32 {
    let mut byte = [0];
    // Without randomness all wait the same time, which is no failure.
    let _: Result<(), _> = getrandom::fill(&mut byte);
    0.5 + f32::from(byte[0]) / 512.0
}
