//! What the daemon gives back while nothing is asked of it.
//!
//! Code that was needed once, most of it at the start, and memory that is free stay a process's until
//! the machine runs out. On a laptop a daemon does nothing most of the time: it then keeps what it
//! needs to do nothing. The next request finds the code in the page cache.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// Processor time within that which is next to nothing: timers, health checks of a few containers.
const QUIET: Duration = Duration::from_millis(10);

/// Gives back once each time that it has become quiet. Never ends.
pub(super) async fn give_back() {
    let (mut used, mut is_due) = (used(), true);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = self::used();
        if now.saturating_sub(used) > QUIET {
            is_due = true;
        } else if is_due {
            is_due = false;
            let given = tokio::task::spawn_blocking(|| {
                gantry_sys::memory::trim_heap();
                gantry_sys::memory::let_go_of_code()
            });
            if let Ok(Err(error)) = given.await {
                tracing::debug!(%error, "code is not let go of");
            }
        }
        // What giving back costs does not count.
        used = self::used();
    }
}

/// Processor time that this process has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}
