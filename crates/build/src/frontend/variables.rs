//! Variables in the order in which they were set.

use std::collections::{BTreeMap, HashMap};

/// What a text takes besides its bytes.
const TEXT_BYTES: usize = 32;

/// Variables; a name that is set again moves to the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    by_place: BTreeMap<usize, (String, String)>,
    places: HashMap<String, usize>,
    next: usize,
    bytes: usize,
}

impl Variables {
    /// Of `NAME=value` texts, as image configurations have them.
    pub(super) fn of(texts: &[String]) -> Self {
        let mut variables = Self::default();
        for text in texts {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            variables.set(name, value);
        }
        variables
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let place = self.places.get(name)?;
        self.by_place.get(place).map(|(_, value)| value.as_str())
    }

    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let before = self.places.insert(name.to_owned(), self.next);
        if let Some((name, value)) = before.and_then(|place| self.by_place.remove(&place)) {
            self.bytes -= name.len() + value.len();
        }
        self.by_place.insert(self.next, (name.to_owned(), value.to_owned()));
        self.bytes += name.len() + value.len();
        self.next += 1;
    }

    /// The names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_place.values().map(|(name, _)| name.as_str())
    }

    /// As `NAME=value` texts.
    pub(super) fn texts(&self) -> Vec<String> {
        self.by_place.values().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// What the texts come to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.by_place.len() * TEXT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts() {
        let mut variables = Variables::of(&["A=1".to_owned(), "B".to_owned(), "A=2".to_owned()]);
        assert_eq!(variables.texts(), ["B=", "A=2"]);
        variables.set("B", "=");
        assert_eq!((variables.get("B"), variables.get("C")), (Some("="), None));
        assert_eq!(variables.names().collect::<Vec<_>>(), ["A", "B"]);
    }
}
