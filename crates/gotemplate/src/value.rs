//! The values that a template sees.

use std::collections::BTreeMap;

/// A value as Go's `reflect` would tell it apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value at all: a missing map key, or a null inside a map. Prints `<no value>`.
    Missing,
    /// A nil pointer, slice or interface in a struct field. Prints `<nil>`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// Any integer type.
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// A slice or array.
    List(Vec<Value>),
    /// A map with string keys.
    Map(Map),
    /// A struct, or a pointer to one.
    Struct(Box<Struct>),
    /// A method that takes one string.
    Method(Method),
}

/// A method that a template calls with one string, as in `{{.Label "name"}}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Looks the argument up; a missing entry is the empty string.
    Entry(Map),
    /// A column header for it: its part behind the last dot, `-` and `_` as spaces.
    LastWord,
}

impl Method {
    pub(crate) fn call(&self, argument: &str) -> Value {
        match self {
            Self::Entry(map) => {
                map.entries.get(argument).cloned().unwrap_or_else(|| Value::from(""))
            }
            Self::LastWord => {
                let word = argument.rsplit('.').next().unwrap_or_default();
                Value::Str(word.replace(['-', '_'], " "))
            }
        }
    }
}

/// A Go map with string keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// Sorted, as Go prints and ranges over them.
    pub entries: BTreeMap<String, Value>,
    /// Whether values are strings by type: `index` of a missing key is then the empty string.
    pub of_strings: bool,
}

/// A Go struct: an unknown field is an error.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Struct {
    /// Go's name for the type, for error texts.
    pub type_name: String,
    /// Fields in the order of the type: Go name and value.
    pub fields: Vec<(String, Value)>,
    /// What `json` prints for it; by default an object of the fields.
    pub json: Option<serde_json::Value>,
    /// Whether the type writes its own JSON, which Go then escapes for HTML.
    pub marshals: bool,
    /// What it prints as when the type has a `String` method.
    pub text: Option<String>,
}

impl Struct {
    /// The field named `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

impl Value {
    /// Go's idea of truth: not the zero value, not empty.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Struct(_) | Self::Method(_) => true,
        }
    }

    /// Go's name for the type, as it stands in error texts.
    #[must_use]
    pub fn type_name(&self) -> String {
        match self {
            Self::Missing | Self::Nil => "<nil>".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) => "int".into(),
            Self::Float(_) => "float64".into(),
            Self::Str(_) => "string".into(),
            Self::List(_) => "[]interface {}".into(),
            Self::Map(map) if map.of_strings => "map[string]string".into(),
            Self::Map(_) => "map[string]interface {}".into(),
            Self::Struct(inner) => inner.type_name.clone(),
            Self::Method(_) => "func(string) string".into(),
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<serde_json::Value> for Value {
    /// Takes JSON as Go decodes it into `interface{}`: objects are maps, null is no value.
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Self::Missing,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value.into()),
                (_, Some(value)) => Self::Int(value.into()),
                _ => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(value) => Self::Str(value),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(object) => Self::Map(Map {
                entries: object.into_iter().map(|(key, value)| (key, value.into())).collect(),
                of_strings: false,
            }),
        }
    }
}
