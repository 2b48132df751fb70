//! How Go's `encoding/json` treats values, expressed for serde.
//!
//! Clients are written against Go's decoder: a missing field and a `null` both mean "the zero
//! value", and unknown fields are ignored. The [`body!`] macro gives each struct these rules so
//! that they cannot be forgotten on one field.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares an API body: Docker's names, zero values for what is missing or `null`.
macro_rules! body {
    ($($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $ty:ty),* $(,)?
    })+) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(default, rename_all = "PascalCase")]
            pub struct $name {
                $(
                    $(#[$field_meta])*
                    #[serde(deserialize_with = "crate::body::null_default")]
                    pub $field: $ty,
                )*
            }
        )+
    };
}
pub(crate) use body;

/// Same as [`body!`], for the documents whose field names are lower case with underscores.
macro_rules! lower_body {
    ($($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $ty:ty),* $(,)?
    })+) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(default)]
            pub struct $name {
                $(
                    $(#[$field_meta])*
                    #[serde(deserialize_with = "crate::body::null_default")]
                    pub $field: $ty,
                )*
            }
        )+
    };
}
pub(crate) use lower_body;

/// The value of a Go set, `map[string]struct{}`: `{}` on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A Go set of strings, such as `ExposedPorts` and `Volumes`.
pub type Set = BTreeMap<String, Empty>;

/// A string map, ordered as Go writes it.
pub type Map = BTreeMap<String, String>;

/// Reads a list that the wire may leave `null`.
pub trait NullableList<T> {
    /// The items, none when the list is `null`.
    fn items(&self) -> &[T];
}

impl<T> NullableList<T> for Option<Vec<T>> {
    fn items(&self) -> &[T] {
        self.as_deref().unwrap_or_default()
    }
}

/// Reads a map that the wire may leave `null`.
pub trait NullableMap<V> {
    /// The entries in key order, none when the map is `null`.
    fn pairs<'a>(&'a self) -> impl Iterator<Item = (&'a String, &'a V)>
    where
        V: 'a;
    /// The value under `key`.
    fn value(&self, key: &str) -> Option<&V>;
}

impl<V> NullableMap<V> for Option<BTreeMap<String, V>> {
    fn pairs<'a>(&'a self) -> impl Iterator<Item = (&'a String, &'a V)>
    where
        V: 'a,
    {
        self.iter().flatten()
    }

    fn value(&self, key: &str) -> Option<&V> {
        self.as_ref()?.get(key)
    }
}

/// Deserialises a value, with `null` as its default.
///
/// # Errors
/// The value's own errors.
pub fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Deserialises a list of strings that may also be written as one string, or `null`.
///
/// # Errors
/// Any other JSON type.
pub fn one_or_many<'de, D>(deserializer: D) -> Result<Option<Vec<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(deserializer)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

/// Tells a field that is absent from one that is `null`: the outer option is presence.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Go's `omitempty`.
pub(crate) fn omit<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
