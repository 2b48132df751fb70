//! `--output`: where the result goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gantry_build_proto::{OutputKind, OutputSpec};
use gantry_gotext::quote;

use super::fields;
use crate::container::reason;
use crate::flags::Flags;
use crate::{term, values};

/// Where the bytes of an output go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the daemon keeps the result.
    Daemon,
    /// Files of a tar, beneath a directory.
    Directory(PathBuf),
    /// The bytes, into a file.
    File(PathBuf),
    /// The bytes, to standard output.
    Stdout,
}

/// An output as it is written down.
#[derive(Debug, Default)]
struct Written {
    kind: String,
    destination: String,
    attributes: BTreeMap<String, String>,
}

/// The outputs and where each goes.
pub(super) fn outputs(
    flags: &Flags,
    tags: &[String],
) -> Result<(Vec<OutputSpec>, Vec<Place>), String> {
    let mut written = Vec::new();
    for text in flags.list("output").iter().filter(|text| !text.is_empty()) {
        written.push(read(text)?);
    }
    if flags.is_on("push") {
        match written.first_mut() {
            None => written.push(Written { kind: "registry".into(), ..Written::default() }),
            Some(first) if matches!(first.kind.as_str(), "image" | "registry") => {
                first.attributes.insert("push".into(), "true".into());
            }
            Some(first) => {
                return Err(format!(
                    "push and {} output can't be used together",
                    quote(&first.kind)
                ));
            }
        }
    }
    if flags.is_on("load") {
        match written.first_mut() {
            None => written.push(Written { kind: "docker".into(), ..Written::default() }),
            Some(first) if first.kind == "docker" => {}
            Some(first) if matches!(first.kind.as_str(), "image" | "registry") => {
                first.attributes.insert("store".into(), "true".into());
            }
            Some(first) => {
                return Err(format!(
                    "load and {} output can't be used together",
                    quote(&first.kind)
                ));
            }
        }
    }
    if written.is_empty() {
        written.push(Written { kind: "image".into(), ..Written::default() });
    }
    let files = |kind: &str| matches!(kind, "local" | "tar");
    if flags.is_given("iidfile") && written.iter().any(|output| files(&output.kind)) {
        return Err("local and tar exporters are incompatible with image ID file".into());
    }
    let mut all = (Vec::new(), Vec::new());
    let mut stdout = false;
    for output in written {
        let (spec, place) = output.place(tags)?;
        if place == Place::Stdout && std::mem::replace(&mut stdout, true) {
            return Err("multiple outputs configured to write to stdout".into());
        }
        all.0.push(spec);
        all.1.push(place);
    }
    Ok(all)
}

/// `path`, `-`, or `type=…,dest=…,…`.
fn read(text: &str) -> Result<Written, String> {
    let mut output = Written::default();
    if !text.contains(',') && !text.starts_with("type=") && !text.starts_with('"') {
        output.kind = if text == "-" { "tar" } else { "local" }.into();
        output.destination = text.to_owned();
        return Ok(output);
    }
    for (key, value) in fields(text)? {
        match key.as_str() {
            "type" => output.kind = value,
            "dest" => output.destination = value,
            _ => {
                output.attributes.insert(key, value);
            }
        }
    }
    if output.kind.is_empty() {
        return Err("type is required for output".into());
    }
    Ok(output)
}

impl Written {
    fn place(self, tags: &[String]) -> Result<(OutputSpec, Place), String> {
        if self.is_pushed() && tags.is_empty() && !self.attributes.contains_key("name") {
            return Err("tag is needed when pushing to registry".into());
        }
        let (kind, place) = match self.kind.as_str() {
            "registry" => (OutputKind::Registry, Place::Daemon),
            "image" => (OutputKind::Image, Place::Daemon),
            "docker" if self.destination.is_empty() => (OutputKind::Image, Place::Daemon),
            "cacheonly" => (OutputKind::CacheOnly, Place::Daemon),
            "local" => (OutputKind::Local, self.directory()?),
            "tar" => (OutputKind::Tar, self.file()?),
            "oci" => (OutputKind::Oci, self.archive()?),
            "docker" => (OutputKind::Docker, self.archive()?),
            other => return Err(format!("exporter {} could not be found", quote(other))),
        };
        let mut attributes = self.attributes;
        if matches!(kind, OutputKind::Oci | OutputKind::Docker) && !tags.is_empty() {
            attributes.insert("name".into(), tags.join(","));
        }
        Ok((OutputSpec { kind, attributes }, place))
    }

    fn is_pushed(&self) -> bool {
        let push = self.attributes.get("push").is_some_and(|v| values::go_bool(v) == Ok(true));
        self.kind == "registry" || self.kind == "image" && push
    }

    /// An archive is unpacked when it is not to be a tar.
    fn archive(&self) -> Result<Place, String> {
        match self.attributes.get("tar").map(|value| values::go_bool(value)) {
            Some(Ok(false)) => self.directory(),
            Some(Err(why)) => Err(why),
            _ => self.file(),
        }
    }

    fn directory(&self) -> Result<Place, String> {
        let path = Path::new(&self.destination);
        match self.destination.as_str() {
            "" => return Err(format!("dest is required for {} exporter", self.kind)),
            "-" => return Err(format!("dest cannot be stdout for {} exporter", self.kind)),
            _ => {}
        }
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => {
                Err(format!("destination directory {} is a file", path.display()))
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!(
                "invalid destination directory: {}: {}",
                path.display(),
                reason(&error)
            )),
            _ => Ok(Place::Directory(path.to_owned())),
        }
    }

    fn file(&self) -> Result<Place, String> {
        let path = Path::new(&self.destination);
        if matches!(self.destination.as_str(), "" | "-") {
            if term::stdout_is_terminal() {
                return Err(format!(
                    "dest file is required for {} exporter. refusing to write to console",
                    self.kind
                ));
            }
            return Ok(Place::Stdout);
        }
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                Err(format!("destination file {} is a directory", path.display()))
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("invalid destination file: {}: {}", path.display(), reason(&error)))
            }
            _ if path
                .parent()
                .is_some_and(|above| !above.as_os_str().is_empty() && !above.is_dir()) =>
            {
                // Said now, and not after all the work.
                Err(format!("failed to open {}: no such file or directory", path.display()))
            }
            _ => Ok(Place::File(path.to_owned())),
        }
    }
}
