//! `--secret` and `--ssh`.

use std::path::PathBuf;

use gantry_gotext::quote;

use crate::flags::Flags;
use crate::values;

/// A secret, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) from: SecretSource,
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Variable(String),
    /// The variable of the secret's name, or, if there is none, the file of its name.
    Either,
}

/// An SSH agent for steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) id: String,
    /// A socket, or private keys; empty for the user's agent.
    pub(crate) paths: Vec<PathBuf>,
}

pub(super) fn secrets(flags: &Flags) -> Result<Vec<Secret>, String> {
    flags.list("secret").iter().filter(|text| !text.is_empty()).map(|text| secret(text)).collect()
}

fn secret(text: &str) -> Result<Secret, String> {
    let (mut id, mut kind) = (String::new(), String::new());
    let (mut file, mut variable) = (String::new(), String::new());
    for field in values::csv(text)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        let value = value.to_owned();
        match key.to_lowercase().as_str() {
            "type" if matches!(value.as_str(), "file" | "env") => kind = value,
            "type" => return Err(format!("unsupported secret type {}", quote(&value))),
            "id" => id = value,
            "src" | "source" => file = value,
            "env" => variable = value,
            other => return Err(format!("unexpected key '{other}' in '{field}'")),
        }
    }
    if id.is_empty() {
        return Err("secret missing ID".into());
    }
    if kind == "env" && variable.is_empty() {
        variable = std::mem::take(&mut file);
    }
    let from = match (file.as_str(), variable.as_str()) {
        ("", "") if kind == "env" => SecretSource::Variable(id.clone()),
        ("", "") => SecretSource::Either,
        ("", _) => SecretSource::Variable(variable),
        _ => SecretSource::File(file.into()),
    };
    Ok(Secret { id, from })
}

pub(super) fn agents(flags: &Flags) -> Vec<Agent> {
    let given = flags.list("ssh").iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            let (id, paths) = text.split_once('=').unwrap_or((text, ""));
            let paths = paths.split(',').filter(|path| !path.is_empty());
            let id = if id.is_empty() { "default" } else { id };
            Agent { id: id.to_owned(), paths: paths.map(PathBuf::from).collect() }
        })
        .collect()
}
