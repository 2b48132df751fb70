//! An image as lines of text: configuration, history, files of the layers that a build made.

use std::collections::BTreeMap;
use std::io::Read;

use gantry_oci::Hasher;
use gantry_rig::Client;
use serde_json::Value;

use super::{BuildCase, words};

/// What counts of a configuration.
const FIELDS: &[&str] = &[
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "StopSignal",
    "Shell",
    "Healthcheck",
    "OnBuild",
];
/// The image that cases build upon.
const BASE: &str = "base";

/// Files of a layer, by path.
type Files = BTreeMap<String, String>;

/// Describes an image.
pub(super) fn describe(client: &Client, image: &str, case: &BuildCase) -> Result<String, String> {
    let document = inspect(client, image)?;
    let mut text = configuration(&document);
    if !case.files && case.builder == super::Builder::Buildkit && case.docker.is_none() {
        text.push_str(&history(client, image, case.times)?);
    }
    let base = inspect(client, BASE).map(|base| strings(&base["RootFS"]["Layers"]))?;
    let ids = strings(&document["RootFS"]["Layers"]);
    // docker.io does not save images without layers.
    let layers = if ids.is_empty() { Vec::new() } else { layers(client, image, case)? };
    let own: Vec<Files> = ids
        .iter()
        .zip(layers)
        .filter(|(id, files)| !base.contains(id) && !files.is_empty())
        .map(|(_, files)| files)
        .collect();
    if case.files || case.builder == super::Builder::Classic || case.docker.is_some() {
        text.push_str(&lines("files", &flat(own)));
        return Ok(text);
    }
    for (number, files) in own.iter().enumerate() {
        text.push_str(&lines(&format!("layer {}", number + 1), files));
    }
    Ok(text)
}

fn inspect(client: &Client, image: &str) -> Result<Value, String> {
    let ran = client.docker(&["image", "inspect", image]);
    let list: Value = serde_json::from_str(&ran.stdout)
        .map_err(|error| format!("inspect of {image}: {error}: {}", ran.stderr))?;
    Ok(list[0].clone())
}

fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn configuration(document: &Value) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &Value| {
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !empty {
            text.push_str(&format!("{name}: {}\n", sorted(value)));
        }
    };
    for name in ["Author", "Os", "Architecture", "Variant"] {
        field(name, &document[name]);
    }
    for name in FIELDS {
        field(name, &document["Config"][name]);
    }
    text
}

/// Keys in order: Go sorts them, serde_json keeps them as they came.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        other => other.clone(),
    }
}

fn history(client: &Client, image: &str, times: bool) -> Result<String, String> {
    let time = if times { "{{.CreatedAt}}|" } else { "" };
    let format = format!("{time}{{{{.CreatedBy}}}}");
    let ran = client.docker(&["history", "--no-trunc", "--format", &format, image]);
    if ran.code != 0 {
        return Err(ran.stderr);
    }
    let mut entries: Vec<_> = ran.stdout.lines().map(words::history).collect();
    entries.reverse();
    Ok(entries.iter().map(|entry| format!("history: {entry}\n")).collect())
}

/// The layers of an image as `docker save` writes them.
fn layers(client: &Client, image: &str, case: &BuildCase) -> Result<Vec<Files>, String> {
    let failed = |error: std::io::Error| format!("reading the saved image: {error}");
    let path = std::env::temp_dir().join(format!("saved-{}.tar", client.socket_name()));
    let path_text = path.display().to_string();
    let ran = client.docker(&["save", "-o", &path_text, image]);
    if ran.code != 0 {
        return Err(ran.stderr);
    }
    let mut blobs = BTreeMap::new();
    let mut archive = tar::Archive::new(std::fs::File::open(&path).map_err(failed)?);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let name = entry.path().map_err(failed)?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(failed)?;
        // Layers that are there twice are links.
        let target = entry.link_name().map_err(failed)?.map(|path| path.display().to_string());
        blobs.insert(name, (bytes, target));
    }
    let _ = std::fs::remove_file(&path);
    let (manifest, _) = blobs.get("manifest.json").ok_or("no manifest.json in the saved image")?;
    let manifest: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let names = strings(&manifest[0]["Layers"]);
    names.iter().map(|name| files(blob(&blobs, name)?, case.times).map_err(failed)).collect()
}

fn blob<'b>(
    blobs: &'b BTreeMap<String, (Vec<u8>, Option<String>)>,
    name: &str,
) -> Result<&'b [u8], String> {
    let (bytes, target) = blobs.get(name).ok_or_else(|| format!("{name} is not saved"))?;
    match target {
        // `../<id>/layer.tar`
        Some(target) => {
            let target = target.trim_start_matches("../");
            let (bytes, _) = blobs.get(target).ok_or_else(|| format!("{target} is not saved"))?;
            Ok(bytes)
        }
        None => Ok(bytes),
    }
}

/// The entries of a layer: `type mode owner size digest`, and where links lead.
fn files(layer: &[u8], times: bool) -> std::io::Result<Files> {
    let mut files = Files::new();
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        let attributes = attributes(&mut entry)?;
        let header = entry.header();
        let kind = header.entry_type();
        let link = entry.link_name()?.map(|path| path.display().to_string());
        // A whiteout has no permissions to speak of: each engine writes others.
        let mode = if whites_out(&path) { 0 } else { header.mode()? & 0o7777 };
        let mut text = format!(
            "{} {mode:o} {}:{}",
            letter(kind),
            header.uid().unwrap_or(0),
            header.gid().unwrap_or(0)
        );
        if kind.is_file() {
            let mut hasher = Hasher::sha256();
            hasher.update(&content);
            let digest = hasher.finish().to_string();
            text.push_str(&format!(" {} {}", content.len(), &digest[7..17]));
        }
        if let Some(link) = link {
            text.push_str(&format!(" -> {link}"));
        }
        if times {
            text.push_str(&format!(" @{}", header.mtime()?));
        }
        text.push_str(&attributes);
        if !path.is_empty() && path != "." {
            files.insert(path, text);
        }
    }
    Ok(files)
}

fn whites_out(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh."))
}

/// Extended attributes, which tar has as PAX records.
fn attributes(entry: &mut tar::Entry<'_, &[u8]>) -> std::io::Result<String> {
    let Some(records) = entry.pax_extensions()? else { return Ok(String::new()) };
    let mut text = String::new();
    for record in records {
        let record = record?;
        let (key, value) = (record.key().unwrap_or_default(), record.value_bytes());
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            text.push_str(&format!(" {name}={}", String::from_utf8_lossy(value).escape_debug()));
        }
    }
    Ok(text)
}

fn letter(kind: tar::EntryType) -> char {
    match kind {
        tar::EntryType::Directory => 'd',
        tar::EntryType::Symlink => 'l',
        tar::EntryType::Link => 'h',
        tar::EntryType::Char => 'c',
        tar::EntryType::Block => 'b',
        tar::EntryType::Fifo => 'p',
        _ => 'f',
    }
}

/// All layers as one: what is in each, less what a later one takes away.
fn flat(layers: Vec<Files>) -> Files {
    let mut all = Files::new();
    for layer in layers {
        for (path, text) in layer {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if let Some(gone) = name.strip_prefix(".wh.") {
                let gone = format!("{directory}/{gone}");
                let gone = gone.trim_start_matches('/');
                all.retain(|path, _| path != gone && !path.starts_with(&format!("{gone}/")));
            }
            all.insert(path, text);
        }
    }
    all
}

fn lines(title: &str, files: &Files) -> String {
    let mut text = String::new();
    for (path, entry) in files {
        text.push_str(&format!("{title}: /{path} {entry}\n"));
    }
    text
}
