//! Filters of lists, prunes and events: `{"status":{"running":true},"label":{"a=b":true}}`.
//!
//! Values of one key are alternatives, different keys must all hold; labels must each hold.

use std::collections::BTreeMap;

use gantry_fault::{Fault, Kind};
use serde_json::Value;

/// Values by key, as the client sent them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

/// Why filters are refused; the texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The parameter is no JSON object of sets.
    #[error("invalid filter")]
    Malformed,
    /// A key that this list does not have.
    #[error("invalid filter '{0}'")]
    Key(String),
    /// A value that the key does not take.
    #[error("invalid filter '{key}={value}'")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A container named by `before` or `since` that is not there.
    #[error("No such container: {0}")]
    NoContainer(String),
}

impl Fault for FilterError {
    fn kind(&self) -> Kind {
        match self {
            FilterError::NoContainer(_) => Kind::NotFound,
            _ => Kind::InvalidArgument,
        }
    }
}

impl Filters {
    /// No filter.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the `filters` parameter: the present form `{"k":{"v":true}}` and the old one
    /// `{"k":["v"]}`; empty text is no filter.
    ///
    /// # Errors
    /// [`FilterError::Malformed`].
    pub fn parse(json: &str) -> Result<Self, FilterError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let Value::Object(keys) = serde_json::from_str(json).map_err(|_| FilterError::Malformed)?
        else {
            return Err(FilterError::Malformed);
        };
        let mut filters = Self::default();
        for (key, values) in keys {
            filters.0.insert(key, values_of(values)?);
        }
        Ok(filters)
    }

    /// Adds a value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_default().push(value.to_owned());
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the key was given.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Checks that every key is one of `known`.
    ///
    /// # Errors
    /// [`FilterError::Key`] names the first that is not.
    pub fn only(&self, known: &[&str]) -> Result<(), FilterError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(FilterError::Key(key.clone())),
            None => Ok(()),
        }
    }

    /// A truth value (`1`, `true`, `0`, `false`); `None` when the key was not given.
    ///
    /// # Errors
    /// [`FilterError::Value`] for other words, or for both at once.
    pub fn truth(&self, key: &'static str) -> Result<Option<bool>, FilterError> {
        let mut found = None;
        for value in self.get(key) {
            let truth = match value.as_str() {
                "1" | "true" | "True" => true,
                "0" | "false" | "False" => false,
                _ => return Err(FilterError::Value { key, value: value.clone() }),
            };
            if found.is_some_and(|before| before != truth) {
                return Err(FilterError::Value { key, value: value.clone() });
            }
            found = Some(truth);
        }
        Ok(found)
    }

    /// Whether `value` is one of the key's values, or the key was not given.
    #[must_use]
    pub fn allows(&self, key: &str, value: &str) -> bool {
        !self.has(key) || self.get(key).iter().any(|wanted| wanted == value)
    }

    /// Whether all `label` filters (`key` or `key=value`) hold, and no `label!` filter does.
    #[must_use]
    pub fn labels_match(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |filter: &String| match filter.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|label| label == value),
            None => labels.contains_key(filter),
        };
        self.get("label").iter().all(holds) && !self.get("label!").iter().any(holds)
    }
}

fn values_of(values: Value) -> Result<Vec<String>, FilterError> {
    match values {
        // A value that is switched off is none, as in Docker.
        Value::Object(set) => Ok(set
            .into_iter()
            .filter(|(_, on)| on != &Value::Bool(false))
            .map(|(value, _)| value)
            .collect()),
        Value::Array(list) => list
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(FilterError::Malformed),
            })
            .collect(),
        _ => Err(FilterError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        for (json, want) in [
            (r#"{"status":{"running":true,"exited":true}}"#, Ok(vec!["running", "exited"])),
            (r#"{"status":["running"]}"#, Ok(vec!["running"])),
            (r#"{"status":{"running":false}}"#, Ok(vec![])),
            (r#"{"status":[1]}"#, Err(FilterError::Malformed)),
            (r#"{"status":1}"#, Err(FilterError::Malformed)),
            ("[]", Err(FilterError::Malformed)),
            ("{", Err(FilterError::Malformed)),
            ("", Ok(vec![])),
            ("{}", Ok(vec![])),
        ] {
            let got = Filters::parse(json).map(|filters| filters.get("status").to_vec());
            assert_eq!(got, want.map(|v| v.iter().map(ToString::to_string).collect()), "{json}");
        }
    }

    #[test]
    fn unknown_keys_and_truths() {
        let filters = Filters::parse(r#"{"dangling":["1"],"odd":["x"]}"#).unwrap();
        assert_eq!(filters.only(&["dangling"]), Err(FilterError::Key("odd".into())));
        assert_eq!(filters.truth("dangling"), Ok(Some(true)));
        assert_eq!(filters.truth("absent"), Ok(None));
        assert!(filters.truth("odd").is_err());
        assert_eq!(filters.truth("odd").unwrap_err().to_string(), "invalid filter 'odd=x'");
    }

    #[test]
    fn labels_must_all_hold() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".into(), String::new())]);
        for (json, want) in [
            (r#"{"label":["a=1","b"]}"#, true),
            (r#"{"label":["a=1","b=2"]}"#, false),
            (r#"{"label":["c"]}"#, false),
            (r#"{"label!":["a"]}"#, false),
            (r#"{"label!":["c"]}"#, true),
            ("{}", true),
        ] {
            assert_eq!(Filters::parse(json).unwrap().labels_match(&labels), want, "{json}");
        }
    }
}
