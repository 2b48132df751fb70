//! Deleting behind the path: a rename now, the work on a thread of its own.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use crate::SnapshotError;

enum Order {
    Delete(String),
    /// Answers by being dropped.
    Settle(Sender<()>),
}

#[derive(Debug)]
pub(crate) struct Trash {
    dir: PathBuf,
    orders: Option<Sender<Order>>,
    worker: Option<JoinHandle<()>>,
    next: AtomicU64,
    /// Set when the daemon ends: what is left is for the next start.
    stopping: Arc<AtomicBool>,
}

impl Trash {
    /// Starts the worker, first with what an earlier daemon left.
    pub(crate) fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let failed = SnapshotError::io("emptying", dir);
        let root = gantry_archive::open_root(dir).map_err(&failed)?;
        let (orders, inbox) = channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let worker = std::thread::Builder::new()
            .name("trash".into())
            .stack_size(1 << 20)
            .spawn(move || work(&root, &inbox, &stop))
            .map_err(&failed)?;
        let mut next = 0;
        for entry in fs::read_dir(dir).map_err(&failed)? {
            let Ok(name) = entry.map_err(&failed)?.file_name().into_string() else { continue };
            next = next.max(name.parse().unwrap_or(0) + 1);
            drop(orders.send(Order::Delete(name)));
        }
        Ok(Self {
            dir: dir.to_owned(),
            orders: Some(orders),
            worker: Some(worker),
            next: next.into(),
            stopping,
        })
    }

    /// Moves a directory away and has it deleted; a missing one is no error.
    pub(crate) fn throw(&self, path: &Path) -> Result<(), SnapshotError> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        match fs::rename(path, self.dir.join(&name)) {
            Ok(()) => {
                // Without a worker it stays until the next start.
                let sent = self.orders.as_ref().map(|orders| orders.send(Order::Delete(name)));
                drop(sent);
                Ok(())
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(SnapshotError::io("removing", path)(source)),
        }
    }

    pub(crate) fn settle(&self) {
        let (done, wait) = channel();
        if let Some(orders) = &self.orders
            && orders.send(Order::Settle(done)).is_ok()
        {
            // Always an error: the worker drops the sender when it comes to the order.
            let _ = wait.recv();
        }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.orders.take());
        if let Some(worker) = self.worker.take()
            && worker.thread().id() != std::thread::current().id()
        {
            drop(worker.join());
        }
    }
}

fn work(root: &impl AsFd, inbox: &Receiver<Order>, stop: &AtomicBool) {
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Delete(_) if stop.load(Ordering::Relaxed) => {}
            Order::Delete(name) => {
                if let Err(error) = gantry_archive::remove_tree(root.as_fd(), name.as_bytes()) {
                    tracing::warn!(name, %error, "could not delete, trying again at the next start");
                }
            }
            Order::Settle(done) => drop(done),
        }
    }
}
