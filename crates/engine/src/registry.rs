//! Containers by id and by name.
//!
//! The lock is held for look-ups and changes of the maps alone, never over I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::container::Cell;
use crate::{LookupError, names};

/// Both maps.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    by_id: BTreeMap<String, Arc<Cell>>,
    /// Ids by name; a name is here from before its container is made.
    by_name: HashMap<String, String>,
}

impl Registry {
    /// Takes a name for an id.
    ///
    /// # Errors
    /// The id that has it.
    pub(crate) fn claim(&self, name: &str, id: &str) -> Result<(), String> {
        let mut tables = self.write();
        match tables.by_name.get(name) {
            Some(holder) => Err(holder.clone()),
            None => {
                tables.by_name.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    /// Takes a name made up for an id.
    pub(crate) fn claim_generated(&self, id: &str) -> String {
        let mut tables = self.write();
        let name = names::generate(|name| tables.by_name.contains_key(name));
        tables.by_name.insert(name.clone(), id.to_owned());
        name
    }

    /// Gives a name back, if it is this id's.
    pub(crate) fn release(&self, name: &str, id: &str) {
        let mut tables = self.write();
        if tables.by_name.get(name).is_some_and(|holder| holder == id) {
            tables.by_name.remove(name);
        }
    }

    /// Adds a container whose name was claimed.
    pub(crate) fn insert(&self, cell: Arc<Cell>) {
        self.write().by_id.insert(cell.id.clone(), cell);
    }

    /// Frees id and name.
    pub(crate) fn remove(&self, id: &str, name: &str) {
        self.release(name, id);
        self.write().by_id.remove(id);
    }

    /// By full id, name or unique id prefix, in this order.
    pub(crate) fn find(&self, wanted: &str) -> Result<Arc<Cell>, LookupError> {
        let tables = self.read();
        if let Some(cell) = tables.by_id.get(wanted) {
            return Ok(Arc::clone(cell));
        }
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        if let Some(cell) = tables.by_name.get(name).and_then(|id| tables.by_id.get(id)) {
            return Ok(Arc::clone(cell));
        }
        let missing = || LookupError::NoContainer(wanted.to_owned());
        if wanted.is_empty() {
            return Err(missing());
        }
        let mut with_prefix = tables
            .by_id
            .range(wanted.to_owned()..)
            .take_while(|(id, _)| id.starts_with(wanted))
            .map(|(_, cell)| cell);
        match (with_prefix.next(), with_prefix.next()) {
            (Some(only), None) => Ok(Arc::clone(only)),
            (Some(_), Some(_)) => Err(LookupError::Ambiguous(wanted.to_owned())),
            _ => Err(missing()),
        }
    }

    /// Every container, in no order that means anything.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        self.read().by_id.values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
