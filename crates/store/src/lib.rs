//! Transactional records with schema versions.
//!
//! One SQLite database in WAL mode holds every small record of the daemon as JSON. One thread
//! writes: batches that wait together share one transaction. A second thread makes them durable:
//! one `fdatasync` of the log serves every durable batch that was committed before it, while the
//! writer goes on. So a relaxed commit never waits for the disk.
//!
//! ```text
//! commit ──▶ writer ──▶ write(2) into store.db-wal ──▶ relaxed: answered
//!                                  └──▶ syncer ── fdatasync(store.db-wal) ──▶ durable: answered
//! ```
//!
//! Every commit has reached the page cache before it is answered, so that a killed daemon loses
//! nothing it acknowledged; durable ones have reached the disk. `docs/adr/0002-store.md` has the
//! reasons and the figures.

#![forbid(unsafe_code)]

mod batch;
mod error;
mod writer;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

use crate::writer::Writer;
pub use crate::{batch::Batch, error::StoreError};

/// How much a commit must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    Durable,
    /// A killed daemon, but not necessarily a power cut.
    Relaxed,
}

/// A type that is kept in the store.
pub trait Record: Serialize + DeserializeOwned {
    /// The table it lives in.
    const TABLE: &'static str;
    /// The version of its shape; raised with every change that old data does not fit.
    const VERSION: u32;

    /// Turns a value written as version `from` into the present shape.
    ///
    /// # Errors
    /// A text that says why it cannot; the default knows no older version.
    fn upgrade(from: u32, value: serde_json::Value) -> Result<serde_json::Value, String> {
        let _ = value;
        Err(format!("no way up from version {from}"))
    }
}

/// The store; clones share it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: Mutex<Connection>,
    writer: Writer,
}

impl Store {
    /// Opens or makes the store in the file `path`; one process at a time may have it open.
    ///
    /// # Errors
    /// When the file cannot be used, is of a newer program, or is open in another process.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let writer = Writer::open(path)?;
        let reader = writer::connect(path)?;
        Ok(Self(Arc::new(Inner { reader: Mutex::new(reader), writer })))
    }

    /// Reads one record.
    ///
    /// # Errors
    /// When the database cannot be read or the record does not have the shape of `R`.
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let row = {
            let reader = self.reader();
            let mut query = reader
                .prepare_cached("SELECT version, value FROM record WHERE kind = ?1 AND key = ?2")
                .map_err(StoreError::read)?;
            let row = query.query_row((R::TABLE, key), |row| Ok((row.get(0)?, row.get(1)?)));
            row.optional().map_err(StoreError::read)?
        };
        row.map(|(version, value): (u32, Vec<u8>)| decode(key, version, &value)).transpose()
    }

    /// Reads all records of a type, ordered by key.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn list<R: Record>(&self) -> Result<Vec<(String, R)>, StoreError> {
        let rows: Vec<(String, u32, Vec<u8>)> = {
            let reader = self.reader();
            let mut query = reader
                .prepare_cached(
                    "SELECT key, version, value FROM record WHERE kind = ?1 ORDER BY key",
                )
                .map_err(StoreError::read)?;
            let rows = query
                .query_map((R::TABLE,), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .map_err(StoreError::read)?;
            rows.collect::<Result<_, _>>().map_err(StoreError::read)?
        };
        rows.into_iter()
            .map(|(key, version, value)| {
                let record = decode(&key, version, &value)?;
                Ok((key, record))
            })
            .collect()
    }

    /// An empty batch.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::default()
    }

    /// Writes a batch, all or nothing, and returns when it is as durable as asked for.
    ///
    /// # Errors
    /// When a record could not be encoded or the database could not be written; then nothing of
    /// the batch is kept.
    pub fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.0.writer.send(batch, durability, Box::new(move |result| drop(reply.send(result))))?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    /// As [`Store::commit`], without blocking the thread.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_async(
        &self,
        batch: Batch,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.0.writer.send(batch, durability, Box::new(move |result| drop(reply.send(result))))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode<R: Record>(key: &str, version: u32, value: &[u8]) -> Result<R, StoreError> {
    let name = || format!("{}/{key}", R::TABLE);
    if version == R::VERSION {
        return serde_json::from_slice(value)
            .map_err(|source| StoreError::Decode { name: name(), source });
    }
    if version > R::VERSION {
        return Err(StoreError::Newer { name: name(), version, known: R::VERSION });
    }
    let value = serde_json::from_slice(value)
        .map_err(|source| StoreError::Decode { name: name(), source })?;
    let value = R::upgrade(version, value).map_err(|reason| StoreError::Upgrade {
        name: name(),
        version,
        reason,
    })?;
    serde_json::from_value(value).map_err(|source| StoreError::Decode { name: name(), source })
}
