//! Batches of changes.

use crate::{Record, StoreError};

/// Changes that are made together or not at all, in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
    /// The first record that could not be encoded; reported at commit.
    pub(crate) broken: Option<StoreError>,
}

#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) table: &'static str,
    pub(crate) key: String,
    /// Version and JSON; none deletes.
    pub(crate) value: Option<(u32, Vec<u8>)>,
}

impl Batch {
    /// Writes a record, replacing what was there.
    pub fn put<R: Record>(&mut self, key: &str, record: &R) -> &mut Self {
        match serde_json::to_vec(record) {
            Ok(json) => self.change::<R>(key, Some((R::VERSION, json))),
            Err(source) => {
                let name = format!("{}/{key}", R::TABLE);
                self.broken.get_or_insert(StoreError::Encode { name, source });
            }
        }
        self
    }

    /// Deletes a record; a missing one is no error.
    pub fn delete<R: Record>(&mut self, key: &str) -> &mut Self {
        self.change::<R>(key, None);
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.broken.is_none()
    }

    fn change<R: Record>(&mut self, key: &str, value: Option<(u32, Vec<u8>)>) {
        self.changes.push(Change { table: R::TABLE, key: key.to_owned(), value });
    }
}
