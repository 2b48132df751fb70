//! How layers travel to and from registries, told of a vertex.

use std::{collections::HashMap, future::Future};

use futures_util::{FutureExt, future::join};
use gantry_image::transfer::{Events, Step, TransferEvent};
use tokio::sync::mpsc;

use crate::reporter::Reporter;

/// Events that wait to be told.
const QUEUE: usize = 64;

/// Does work that tells events, and passes those on.
pub(crate) async fn told<T, F: Future<Output = T> + Send>(
    reporter: &Reporter,
    vertex: u32,
    work: impl FnOnce(Events) -> F,
) -> T {
    let (queue, events) = mpsc::channel(QUEUE);
    // The queue ends with the work, which has its other end.
    let work = work(Events::new(queue)).boxed();
    join(pass_on(reporter, vertex, events), work).await.1
}

async fn pass_on(reporter: &Reporter, vertex: u32, mut events: mpsc::Receiver<TransferEvent>) {
    let mut sizes: HashMap<String, u64> = HashMap::new();
    while let Some(event) = events.recv().await {
        let TransferEvent::Layer { id, step } = event else { continue };
        match step {
            Step::Downloading { current, total } | Step::Pushing { current, total } => {
                reporter.progress(vertex, &id, current, total, false);
                sizes.insert(id, total);
            }
            Step::Pulled | Step::Pushed => {
                let total = sizes.get(&id).copied().unwrap_or_default();
                reporter.progress(vertex, &id, total, total, true);
            }
            _ => {}
        }
    }
}
