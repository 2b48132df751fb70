//! A value that is set once and waited for by many.

use tokio::sync::watch;

/// A place for a value.
pub(super) struct Slot<T>(watch::Sender<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl<T: Clone> Slot<T> {
    /// Sets the value; the first one counts.
    pub(super) fn set(&self, value: T) {
        self.0.send_if_modified(|place| {
            let empty = place.is_none();
            if empty {
                *place = Some(value);
            }
            empty
        });
    }

    /// The value, once it is set.
    pub(super) async fn get(&self) -> T {
        let mut receiver = self.0.subscribe();
        loop {
            if let Some(value) = self.now() {
                return value;
            }
            // The sender is ours, so this only ends with a change.
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The value, if it is set.
    pub(super) fn now(&self) -> Option<T> {
        self.0.borrow().clone()
    }
}
