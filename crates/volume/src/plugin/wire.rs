//! Bodies of the volume plugin protocol, version 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// No parameters.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// `Plugin.Activate` answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(super) struct Activated {
    pub(super) implements: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opts: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Used<'a> {
    #[serde(rename = "Name")]
    pub(super) name: &'a str,
    #[serde(rename = "ID")]
    pub(super) id: &'a str,
}

/// An answer that may say why not.
pub(super) trait Answer {
    fn refusal(&self) -> &str;
}

/// Answers with nothing but a path.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Done {
    #[serde(deserialize_with = "text")]
    pub(super) mountpoint: String,
    #[serde(deserialize_with = "text")]
    pub(super) err: String,
}

/// What a plugin tells about a volume.
#[derive(Deserialize, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Told {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub(crate) name: String,
    /// Where it is.
    #[serde(deserialize_with = "text")]
    pub(crate) mountpoint: String,
    /// When it was made.
    #[serde(deserialize_with = "text")]
    pub(crate) created_at: String,
    /// Anything.
    pub(crate) status: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Got {
    pub(super) volume: Option<Told>,
    #[serde(deserialize_with = "text")]
    pub(super) err: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) volumes: Option<Vec<Told>>,
    #[serde(deserialize_with = "text")]
    pub(super) err: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Capable {
    pub(super) capabilities: Capability,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Capability {
    #[serde(deserialize_with = "text")]
    pub(super) scope: String,
}

impl Answer for Done {
    fn refusal(&self) -> &str {
        &self.err
    }
}

impl Answer for Got {
    fn refusal(&self) -> &str {
        &self.err
    }
}

impl Answer for Listed {
    fn refusal(&self) -> &str {
        &self.err
    }
}

/// `null` is no text: plugins in other languages write it.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}
