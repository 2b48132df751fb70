//! What a pull or a push tells while it is under way.

use gantry_oci::Digest;
use tokio::sync::mpsc;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferEvent {
    /// A line; with the tag or name that it is about, or empty.
    Line {
        /// What it is about.
        id: String,
        /// The words.
        text: String,
    },
    /// A layer has come to a step.
    Layer {
        /// Twelve digits that tell it from others.
        id: String,
        /// The step.
        step: Step,
    },
    /// A tag was pushed.
    Pushed {
        /// The tag.
        tag: String,
        /// What it points at now.
        digest: Digest,
        /// The size of that document.
        size_bytes: u64,
    },
}

/// How far a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// It will be fetched.
    Fetching,
    /// It waits for others.
    Waiting,
    /// It comes.
    Downloading {
        /// Bytes that came.
        current: u64,
        /// Of how many.
        total: u64,
    },
    /// All of it came and is checked.
    Verifying,
    /// It is what was promised.
    Downloaded,
    /// It is unpacked.
    Extracting {
        /// Bytes of the blob that are unpacked.
        current: u64,
        /// Of how many.
        total: u64,
    },
    /// It is here.
    Pulled,
    /// It was here before.
    Known,
    /// It will be pushed.
    Preparing,
    /// It goes.
    Pushing {
        /// Bytes that went.
        current: u64,
        /// Of how many; 0 if nobody knows.
        total: u64,
    },
    /// It is there.
    Pushed,
    /// It was there before.
    Exists,
    /// It was in another repository there.
    Mounted {
        /// That repository's path.
        from: String,
    },
    /// It must not be pushed.
    Foreign,
}

/// Where events go; nobody need listen.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<mpsc::Sender<TransferEvent>>);

impl Events {
    /// Events into a queue: a transfer does not go on while it is full.
    #[must_use]
    pub fn new(queue: mpsc::Sender<TransferEvent>) -> Self {
        Self(Some(queue))
    }

    /// Events that nobody hears.
    #[must_use]
    pub fn unheard() -> Self {
        Self(None)
    }

    /// Tells a line.
    pub async fn line(&self, id: impl Into<String>, text: impl Into<String>) {
        self.tell(TransferEvent::Line { id: id.into(), text: text.into() }).await;
    }

    pub(super) async fn step(&self, id: &str, step: Step) {
        self.tell(TransferEvent::Layer { id: id.to_owned(), step }).await;
    }

    pub(super) async fn tell(&self, event: TransferEvent) {
        if let Some(queue) = &self.0 {
            // A listener that has gone is no reason to stop: whoever wants that drops the transfer.
            let _ = queue.send(event).await;
        }
    }
}
