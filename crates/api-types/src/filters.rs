//! The `filters` query parameter: values by key, where keys are joined by "and".

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::body::NullableMap;

/// A filter that was refused, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The parameter is not JSON of one of the two forms.
    #[error("invalid filter")]
    Malformed,
    /// The endpoint does not know this key.
    #[error("invalid filter '{0}'")]
    UnknownKey(String),
    /// The key does not take these values.
    #[error("invalid filter '{key}=[{}]'", values.join(" "))]
    Value {
        /// Key.
        key: String,
        /// All its values.
        values: Vec<String>,
    },
    /// The key does not take this value.
    #[error("invalid filter '{key}={word}'")]
    Word {
        /// Key.
        key: String,
        /// Value.
        word: String,
    },
}

/// Filters: a set of values by key, both in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// No filters.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads the query parameter: `{"k":{"v":true}}`, or `{"k":["v"]}` as before API 1.22.
    ///
    /// An empty text has no filters; a value set to `false` does not count.
    ///
    /// # Errors
    /// [`FilterError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        let value: Value = serde_json::from_str(text).map_err(|_| FilterError::Malformed)?;
        Self::from_value(value)
    }

    /// The map form, empty when there are no filters.
    #[must_use]
    pub fn encode(&self) -> String {
        if self.0.is_empty() { String::new() } else { self.to_value().to_string() }
    }

    /// Adds a value.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().insert(value.into());
    }

    /// Removes a value, and the key with its last one.
    pub fn remove(&mut self, key: &str, value: &str) {
        if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// True when there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Values of a key, in order.
    #[must_use]
    pub fn get(&self, key: &str) -> Vec<&str> {
        self.values(key).collect()
    }

    /// True when the key is there.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// True when the key has exactly this value among its own.
    #[must_use]
    pub fn contains(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|values| values.contains(value))
    }

    /// True without that key, or when `source` is one of its values.
    #[must_use]
    pub fn exact_match(&self, key: &str, source: &str) -> bool {
        self.allows(key, |value| value == source)
    }

    /// True without that key, or when one of its values is a part of `source`.
    #[must_use]
    pub fn substring_match(&self, key: &str, source: &str) -> bool {
        self.allows(key, |value| source.contains(value))
    }

    /// True without that key, or when one of its values begins `source`.
    #[must_use]
    pub fn prefix_match(&self, key: &str, source: &str) -> bool {
        self.allows(key, |value| source.starts_with(value))
    }

    /// True without that key, or when `matches` holds for one of its values.
    pub fn allows(&self, key: &str, matches: impl FnMut(&str) -> bool) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty()) || self.values(key).any(matches)
    }

    /// True when every value of the key, `label` or `label=value`, holds for `labels`.
    #[must_use]
    pub fn match_labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| label_matches(wanted, labels))
    }

    /// Like [`Filters::match_labels`] for labels that may be `null`.
    #[must_use]
    pub fn match_nullable_labels(
        &self,
        key: &str,
        labels: &Option<BTreeMap<String, String>>,
    ) -> bool {
        self.values(key).all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.value(name).is_some_and(|have| have == value),
            None => labels.value(wanted).is_some(),
        })
    }

    /// Reads a key of `1`, `true`, `0` or `false`; `None` without that key.
    ///
    /// # Errors
    /// [`FilterError::Value`] for other values, and for yes and no together.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, FilterError> {
        if !self.contains_key(key) {
            return Ok(None);
        }
        let yes = self.contains(key, "1") || self.contains(key, "true");
        let no = self.contains(key, "0") || self.contains(key, "false");
        if yes == no { Err(self.value_error(key)) } else { Ok(Some(yes)) }
    }

    /// Checks that an endpoint knows all keys.
    ///
    /// # Errors
    /// [`FilterError::UnknownKey`] with the first one that it does not.
    pub fn validate(&self, known: &[&str]) -> Result<(), FilterError> {
        match self.keys().find(|key| !known.contains(key)) {
            Some(key) => Err(FilterError::UnknownKey(key.to_owned())),
            None => Ok(()),
        }
    }

    /// The error for a key whose values make no sense.
    #[must_use]
    pub fn value_error(&self, key: &str) -> FilterError {
        FilterError::Value {
            key: key.to_owned(),
            values: self.values(key).map(str::to_owned).collect(),
        }
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    fn from_value(value: Value) -> Result<Self, FilterError> {
        let keys = match value {
            Value::Null => return Ok(Self::new()),
            Value::Object(keys) => keys,
            _ => return Err(FilterError::Malformed),
        };
        let read = |(key, values)| Some((key, read_values(values)?));
        keys.into_iter().map(read).collect::<Option<_>>().map(Self).ok_or(FilterError::Malformed)
    }

    fn to_value(&self) -> Value {
        let values = |set: &BTreeSet<String>| {
            Value::Object(set.iter().map(|value| (value.clone(), Value::Bool(true))).collect())
        };
        Value::Object(self.0.iter().map(|(key, set)| (key.clone(), values(set))).collect())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Filters {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut filters = Self::new();
        for (key, value) in pairs {
            filters.add(key, value);
        }
        filters
    }
}

impl Serialize for Filters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn label_matches(wanted: &str, labels: &BTreeMap<String, String>) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
        None => labels.contains_key(wanted),
    }
}

fn read_values(values: Value) -> Option<BTreeSet<String>> {
    match values {
        Value::Null => Some(BTreeSet::new()),
        Value::Object(set) => {
            let read = |(value, set): (String, Value)| match set {
                Value::Bool(true) => Some(Some(value)),
                Value::Bool(false) | Value::Null => Some(None),
                _ => None,
            };
            let values: Vec<_> = set.into_iter().map(read).collect::<Option<_>>()?;
            Some(values.into_iter().flatten().collect())
        }
        Value::Array(list) => list
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let want: Filters =
            [("label", "a=b"), ("label", "c"), ("status", "exited")].into_iter().collect();
        for text in [
            r#"{"label":{"a=b":true,"c":true},"status":{"exited":true}}"#,
            r#"{"status":["exited"],"label":["c","a=b"]}"#,
            r#"{"status":["exited"],"label":{"c":true,"a=b":true,"no":false}}"#,
        ] {
            assert_eq!(Filters::parse(text), Ok(want.clone()), "{text}");
        }
        assert_eq!(want.encode(), r#"{"label":{"a=b":true,"c":true},"status":{"exited":true}}"#);
    }

    #[test]
    fn nothing_is_no_filter() {
        for text in ["", "{}", "null"] {
            assert_eq!(Filters::parse(text), Ok(Filters::new()), "{text:?}");
        }
        assert_eq!(Filters::new().encode(), "");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["x", "[]", r#"{"a":1}"#, r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":"b"}"#] {
            assert_eq!(Filters::parse(text), Err(FilterError::Malformed), "{text}");
        }
    }

    #[test]
    fn matching() {
        let filters: Filters = [("name", "web"), ("name", "db"), ("label", "a"), ("label", "b=1")]
            .into_iter()
            .collect();
        assert!(filters.exact_match("name", "db"));
        assert!(!filters.exact_match("name", "db1"));
        assert!(filters.exact_match("id", "anything"));
        assert!(filters.substring_match("name", "my-web-1"));
        assert!(filters.prefix_match("name", "web-1"));
        assert!(!filters.prefix_match("name", "my-web-1"));
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(filters.match_labels("label", &labels(&[("a", ""), ("b", "1")])));
        assert!(!filters.match_labels("label", &labels(&[("a", ""), ("b", "2")])));
        assert!(!filters.match_nullable_labels("label", &None));
    }

    #[test]
    fn booleans() {
        for (values, want) in [
            (&["1"][..], Some(Some(true))),
            (&["true"], Some(Some(true))),
            (&["0"], Some(Some(false))),
            (&["false", "0"], Some(Some(false))),
            (&["yes"], None),
            (&["true", "false"], None),
            (&[], Some(None)),
        ] {
            let filters: Filters = values.iter().map(|value| ("dangling", *value)).collect();
            assert_eq!(filters.get_bool("dangling").ok(), want, "{values:?}");
        }
    }

    #[test]
    fn errors_use_docker_words() {
        let filters: Filters = [("x", "b"), ("x", "a")].into_iter().collect();
        let error = filters.validate(&["name"]).expect_err("x is not known");
        assert_eq!(error.to_string(), "invalid filter 'x'");
        assert_eq!(filters.value_error("x").to_string(), "invalid filter 'x=[a b]'");
        assert_eq!(filters.validate(&["name", "x"]), Ok(()));
        assert_eq!(FilterError::Malformed.to_string(), "invalid filter");
    }
}
