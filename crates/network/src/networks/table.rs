//! The networks there are, by id and by name.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::error::FindError;
use crate::network::Network;

/// The table; lookups hold its lock for no longer than they take.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_id: BTreeMap<String, Arc<Network>>,
    by_name: HashMap<String, String>,
}

impl Table {
    pub(crate) fn insert(&mut self, network: Arc<Network>) {
        self.by_name.insert(network.record.name.clone(), network.record.id.clone());
        self.by_id.insert(network.record.id.clone(), network);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Arc<Network>> {
        let network = self.by_id.remove(id)?;
        self.by_name.remove(&network.record.name);
        Some(network)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.by_id.values()
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Network>> {
        self.by_id.get(id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Network>> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// The network that goes by an id, a name, or the beginning of an id, in this order.
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Network>, FindError> {
        if let Some(found) = self.by_id.get(name).or_else(|| self.by_name(name)) {
            return Ok(found);
        }
        if name.is_empty() {
            return Err(FindError::NotFound(name.to_owned()));
        }
        let behind = self.by_id.range::<str, _>((Bound::Included(name), Bound::Unbounded));
        let found: Vec<&Arc<Network>> =
            behind.take_while(|(id, _)| id.starts_with(name)).map(|(_, network)| network).collect();
        match found.as_slice() {
            [] => Err(FindError::NotFound(name.to_owned())),
            [one] => Ok(one),
            many => Err(FindError::Ambiguous { name: name.to_owned(), matches: many.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::request::{CreateNetwork, LinkOptions};

    #[test]
    fn names_and_ids() {
        let mut table = Table::default();
        for (id, name) in [("aa11", "one"), ("aa22", "two"), ("bb33", "aa")] {
            let wish = CreateNetwork { name: name.to_owned(), ..CreateNetwork::default() };
            let mut record = wish.check(None).unwrap().record;
            id.clone_into(&mut record.id);
            table.insert(Arc::new(Network::new(record, LinkOptions::None, None)));
        }
        for (name, want) in [
            ("one", Ok("aa11")),
            ("aa22", Ok("aa22")),
            ("aa2", Ok("aa22")),
            ("aa", Ok("bb33")),
            ("b", Ok("bb33")),
            ("a", Err("network a is ambiguous (2 matches found based on ID prefix)")),
            ("c", Err("network c not found")),
            ("", Err("network  not found")),
        ] {
            let got = table.find(name).map(|network| network.record.id.clone());
            assert_eq!(
                got.map_err(|e| e.to_string()),
                want.map(str::to_owned).map_err(str::to_owned)
            );
        }
        table.remove("bb33");
        assert!(table.by_name("aa").is_none() && table.find("aa").is_err());
    }
}
