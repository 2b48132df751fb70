//! What is known of a container, for everybody to read; only its driver writes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use gantry_api_types::container::Health;
use gantry_api_types::{NullableMap as _, container::ContainerConfig};
use gantry_task::Task;
use tokio::sync::{mpsc, watch};

use super::driver::Ask;
use super::phase::Phase;
use crate::record::{ContainerRecord, StateRecord};

/// Commands that may wait for a driver.
pub(crate) const INBOX: usize = 16;

/// One container.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Full id.
    pub(crate) id: String,
    /// The way to the driver.
    pub(crate) inbox: mpsc::Sender<Ask>,
    /// What waiters look at.
    pub(crate) life: watch::Sender<Life>,
    view: RwLock<View>,
    health: RwLock<Option<Arc<Health>>>,
}

/// A consistent look at a container; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// As it was asked for.
    pub(crate) record: Arc<ContainerRecord>,
    /// As it is.
    pub(crate) state: Arc<StateRecord>,
    /// Where in its life.
    pub(crate) phase: Phase,
    /// Its process, while it is up.
    pub(crate) task: Option<Task>,
}

/// What `wait` needs to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// Whether it counts as running.
    pub(crate) running: bool,
    /// How many of its runs have ended since the daemon started.
    pub(crate) exits: u64,
    /// How the last run ended.
    pub(crate) code: i32,
    /// Whether it is gone.
    pub(crate) removed: bool,
}

impl Cell {
    /// A cell and the driver's end of its inbox.
    pub(crate) fn new(view: View) -> (Arc<Self>, mpsc::Receiver<Ask>) {
        let (inbox, asks) = mpsc::channel(INBOX);
        let life = Life {
            running: view.phase.counts_as_running(),
            code: view.state.exit_code,
            ..Life::default()
        };
        let cell = Self {
            id: view.record.id.clone(),
            inbox,
            life: watch::Sender::new(life),
            view: RwLock::new(view),
            health: RwLock::new(None),
        };
        (Arc::new(cell), asks)
    }

    /// How it is now.
    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its record now.
    pub(crate) fn record(&self) -> Arc<ContainerRecord> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner).record)
    }

    /// Its phase now.
    pub(crate) fn phase(&self) -> Phase {
        self.view.read().unwrap_or_else(PoisonError::into_inner).phase
    }

    /// Shows a new state; the driver alone calls this.
    pub(crate) fn show(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Its health; `None` without a probe or before the first start.
    pub(crate) fn health(&self) -> Option<Arc<Health>> {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows its health; the health monitor and the driver call this.
    pub(crate) fn show_health(&self, health: Option<Health>) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health.map(Arc::new);
    }
}

/// The attributes of a container's events: labels, then image and name, which win.
pub(crate) fn attributes(record: &ContainerRecord) -> BTreeMap<String, String> {
    let mut attributes = labels(&record.config);
    attributes.insert("image".to_owned(), record.config.image.clone());
    attributes.insert("name".to_owned(), record.name.clone());
    attributes
}

fn labels(config: &ContainerConfig) -> BTreeMap<String, String> {
    config.labels.pairs().map(|(key, value)| (key.clone(), value.clone())).collect()
}
