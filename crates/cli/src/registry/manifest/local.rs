//! Lists under way: a directory for each list, a file for each manifest.

use std::io;
use std::path::PathBuf;

use gantry_distribution::Document;
use gantry_oci::{Descriptor, Reference};
use serde::{Deserialize, Serialize};

use crate::app::Failure;
use crate::config::{Config, write_atomically};
use crate::container::reason;

/// A manifest in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    /// Its name, in full.
    #[serde(rename = "Ref")]
    pub(super) name: String,
    pub(super) descriptor: Descriptor,
    /// Its bytes.
    #[serde(with = "base64_bytes")]
    pub(super) raw: Vec<u8>,
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl Entry {
    pub(super) fn new(name: &Reference, document: &Document) -> Self {
        Self {
            name: name.canonical(),
            descriptor: document.descriptor.clone(),
            raw: document.bytes.to_vec(),
        }
    }

    /// Its name.
    pub(super) fn reference(&self) -> Result<Reference, Failure> {
        self.name.parse().map_err(|error| Failure::Text(format!("{}: {error}", self.name)))
    }
}

/// All lists.
pub(super) struct Lists(PathBuf);

impl Lists {
    pub(super) fn of(config: &Config) -> Self {
        Self(config.directory.join("manifests"))
    }

    pub(super) fn has(&self, list: &Reference) -> bool {
        self.directory(list).is_dir()
    }

    /// The manifests of a list, in the order of their names; none if there is no such list.
    pub(super) fn entries(&self, list: &Reference) -> Result<Vec<Entry>, Failure> {
        let directory = self.directory(list);
        let found = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut paths = Vec::new();
        for entry in found {
            paths.push(entry?.path());
        }
        paths.sort();
        paths.into_iter().map(|path| self.read(&path)).collect()
    }

    /// A manifest of a list, if it is there.
    pub(super) fn find(
        &self,
        list: &Reference,
        manifest: &Reference,
    ) -> Result<Option<Entry>, Failure> {
        let path = self.directory(list).join(safe(manifest));
        if path.exists() { self.read(&path).map(Some) } else { Ok(None) }
    }

    /// A manifest of a list.
    pub(super) fn entry(&self, list: &Reference, manifest: &Reference) -> Result<Entry, Failure> {
        if !self.has(list) {
            return Err(format!("No such manifest: {}", list.canonical()).into());
        }
        self.find(list, manifest)?.ok_or_else(|| {
            let (manifest, list) = (manifest.canonical(), list.canonical());
            Failure::Text(format!("manifest for image {manifest} does not exist in {list}"))
        })
    }

    pub(super) fn save(&self, list: &Reference, entry: &Entry) -> Result<(), Failure> {
        let path = self.directory(list).join(safe(&entry.reference()?));
        let text = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
        Ok(write_atomically(&path, &text)?)
    }

    pub(super) fn remove(&self, list: &Reference) -> Result<(), Failure> {
        Ok(std::fs::remove_dir_all(self.directory(list))?)
    }

    fn read(&self, path: &std::path::Path) -> Result<Entry, Failure> {
        let failed = |why: String| Failure::Text(format!("{}: {why}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(reason(&error)))?;
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
    }

    fn directory(&self, list: &Reference) -> PathBuf {
        self.0.join(safe(list))
    }
}

/// A name as a file's.
fn safe(name: &Reference) -> String {
    name.canonical().replace(':', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use gantry_oci::{Digest, image::media};

    use super::*;

    #[test]
    fn entries_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let lists = Lists(directory.path().to_owned());
        let list: Reference = "r.test:5000/a/b:1".parse().unwrap();
        let one: Reference = "r.test:5000/a/b:one".parse().unwrap();
        assert!(!lists.has(&list) && lists.entries(&list).unwrap().is_empty());
        assert!(lists.entry(&list, &one).unwrap_err().text().starts_with("No such manifest"));
        let raw = b"{}".to_vec();
        let descriptor = Descriptor::new(media::MANIFEST, Digest::of(&raw), 2);
        let entry = Entry { name: one.canonical(), descriptor, raw };
        lists.save(&list, &entry).unwrap();
        let kept = lists.entry(&list, &one).unwrap();
        assert_eq!((kept.raw, kept.descriptor), (entry.raw, entry.descriptor));
        assert!(lists.entry(&list, &list).unwrap_err().text().contains("does not exist in"));
        lists.remove(&list).unwrap();
        assert!(!lists.has(&list));
    }
}
