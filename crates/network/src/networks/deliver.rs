//! Work that somebody waits for, and that is undone if he stops waiting.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What was made, on its way to who asked for it. Dropped on the way, it is undone.
struct Delivery<T: Send + 'static> {
    made: Option<T>,
    undo: Option<Box<dyn FnOnce(T) + Send>>,
}

impl<T: Send + 'static> Delivery<T> {
    fn take(mut self) -> Option<T> {
        self.undo = None;
        self.made.take()
    }
}

impl<T: Send + 'static> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let (Some(made), Some(undo)) = (self.made.take(), self.undo.take()) {
            undo(made);
        }
    }
}

/// Runs `work` to its end, whoever waits for it; what it made goes to `undo` if nobody does. That
/// also holds for who stops waiting when the answer is already there. `None` if the work died.
pub(super) async fn deliver<T, E, U>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
    undo: impl FnOnce(T) -> U + Send + 'static,
) -> Option<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    U: Future<Output = ()> + Send + 'static,
{
    let (answer, done) = oneshot::channel();
    tokio::spawn(async move {
        let result = work.await;
        let runtime = Handle::current();
        let undo = move |made| drop(runtime.spawn(undo(made)));
        let result = result.map(|made| Delivery { made: Some(made), undo: Some(Box::new(undo)) });
        // What nobody takes is dropped, and so undone.
        let _ = answer.send(result);
    });
    match done.await.ok()? {
        Ok(delivery) => delivery.take().map(Ok),
        Err(error) => Some(Err(error)),
    }
}
