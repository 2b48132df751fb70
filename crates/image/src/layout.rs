//! The tables of contents of image archives: Docker's `manifest.json`, OCI's `index.json`.

use std::collections::{BTreeMap, HashMap};

use gantry_oci::{Descriptor, Digest, Index, Manifest, Platform, Reference, image::media};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::ImageError;

/// How deep indexes may point at indexes.
const NESTING_MAX: usize = 4;
/// The annotation that containerd and Docker write an image's full name in.
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// OCI's annotation for a name or only a tag.
pub(crate) const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// One image in `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerManifest {
    pub(crate) config: String,
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Vec<String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub(crate) layer_sources: BTreeMap<Digest, Descriptor>,
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(
    d: D,
) -> Result<BTreeMap<Digest, Descriptor>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// An image in an archive, by paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ArchivedImage {
    pub(crate) config: String,
    pub(crate) layers: Vec<String>,
    pub(crate) names: Vec<Reference>,
    /// Its manifest, and the index that led to it, if the archive has them.
    pub(crate) manifest: Option<(Descriptor, Option<Descriptor>)>,
}

/// The small files of an archive by their cleaned paths.
pub(crate) type Documents = HashMap<String, Vec<u8>>;

/// Finds the images of an archive.
pub(crate) fn images(documents: &Documents) -> Result<Vec<ArchivedImage>, ImageError> {
    if let Some(data) = documents.get("manifest.json") {
        let manifests: Vec<DockerManifest> = parse("manifest.json", data)?;
        return manifests.into_iter().map(|manifest| docker_image(documents, manifest)).collect();
    }
    let Some(data) = documents.get("index.json") else { return Err(ImageError::NoManifest) };
    let index: Index = parse("index.json", data)?;
    let mut found: Vec<ArchivedImage> = Vec::new();
    for descriptor in &index.manifests {
        let Some(image) = oci_image(documents, descriptor, 0)? else { continue };
        let name = oci_name(descriptor)?;
        // One image under several names is listed once for each.
        match found.iter_mut().find(|other| other.config == image.config) {
            Some(other) => other.names.extend(name),
            None => found.push(ArchivedImage { names: name.into_iter().collect(), ..image }),
        }
    }
    if found.is_empty() {
        return Err(ImageError::NoPlatform(Platform::host().to_string()));
    }
    Ok(found)
}

fn docker_image(
    documents: &Documents,
    manifest: DockerManifest,
) -> Result<ArchivedImage, ImageError> {
    let name = |tag: String| match tag.parse::<Reference>() {
        Ok(name) => Ok(name.or_latest()),
        Err(source) => Err(ImageError::Tag { tag, source }),
    };
    let names =
        manifest.repo_tags.unwrap_or_default().into_iter().map(name).collect::<Result<_, _>>()?;
    let image = ArchivedImage {
        config: clean(&manifest.config),
        layers: manifest.layers.iter().map(|path| clean(path)).collect(),
        names,
        manifest: None,
    };
    Ok(ArchivedImage { manifest: beside(documents, &image), ..image })
}

/// The manifest of an image of Docker's table, where the archive has an OCI layout too.
fn beside(
    documents: &Documents,
    image: &ArchivedImage,
) -> Option<(Descriptor, Option<Descriptor>)> {
    let index: Index = parse("index.json", documents.get("index.json")?).ok()?;
    let found = index.manifests.iter().filter_map(|one| oci_image(documents, one, 0).ok()?);
    let mut same =
        found.filter(|other| other.config == image.config && other.layers == image.layers);
    same.next()?.manifest
}

/// Follows a descriptor to an image for this machine; none for attestations and the like.
fn oci_image(
    documents: &Documents,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<Option<ArchivedImage>, ImageError> {
    let host = Platform::host();
    if descriptor.platform.as_ref().is_some_and(|platform| !platform.matches(&host)) {
        return Ok(None);
    }
    let path = blob_path(&descriptor.digest);
    if media::is_index(&descriptor.media_type) {
        let index: Index = parse(&path, verified(documents, &descriptor.digest)?)?;
        if depth >= NESTING_MAX {
            return Err(ImageError::TooLarge(path));
        }
        for inner in &index.manifests {
            // Attestations name the image that they are about.
            let attestation = inner.annotations.contains_key("vnd.docker.reference.type");
            if !attestation && let Some(mut image) = oci_image(documents, inner, depth + 1)? {
                // Of nested indexes the outermost is what a name pointed at.
                image.manifest =
                    image.manifest.map(|(manifest, _)| (manifest, Some(plain(descriptor))));
                return Ok(Some(image));
            }
        }
        return Ok(None);
    }
    let manifest: Manifest = parse(&path, verified(documents, &descriptor.digest)?)?;
    Ok(Some(ArchivedImage {
        config: blob_path(&manifest.config.digest),
        layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        names: Vec::new(),
        manifest: Some((plain(descriptor), None)),
    }))
}

/// A descriptor without what was said about its place.
fn plain(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size)
}

/// A full name, or none where the annotation is only a tag.
fn oci_name(descriptor: &Descriptor) -> Result<Option<Reference>, ImageError> {
    if let Some(name) = descriptor.annotations.get(NAME_ANNOTATION) {
        let parsed = name
            .parse::<Reference>()
            .map_err(|source| ImageError::Tag { tag: name.clone(), source })?;
        return Ok(Some(parsed.or_latest()));
    }
    let name = descriptor.annotations.get(REF_ANNOTATION).filter(|name| name.contains([':', '/']));
    Ok(name.and_then(|name| name.parse::<Reference>().ok()).map(Reference::or_latest))
}

fn verified<'a>(documents: &'a Documents, digest: &Digest) -> Result<&'a [u8], ImageError> {
    let path = blob_path(digest);
    let data = documents.get(&path).ok_or_else(|| ImageError::Missing(path.clone()))?;
    digest.verify(data).map_err(|source| ImageError::Digest { name: path, source })?;
    Ok(data)
}

pub(crate) fn parse<T: DeserializeOwned>(name: &str, data: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(data)
        .map_err(|source| ImageError::Document { name: name.to_owned(), source })
}

/// The path of a blob in an archive.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The digest that a path promises, if it is a blob's.
pub(crate) fn blob_digest(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// A path without `.` and `..`, relative to the archive's root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_tables() {
        let text = r#"[{"Config":"./a.json","RepoTags":["busybox:1"],"Layers":["x/layer.tar"]},
                       {"Config":"b.json","RepoTags":null,"Layers":null}]"#;
        let documents = Documents::from([("manifest.json".to_owned(), text.as_bytes().to_vec())]);
        assert!(images(&documents).is_err(), "null layers are refused");
        let text = text.replace(r#","Layers":null"#, "");
        let documents = Documents::from([("manifest.json".to_owned(), text.into_bytes())]);
        let found = images(&documents).unwrap();
        assert_eq!(found[0].config, "a.json");
        assert_eq!(found[0].names[0].familiar(), "busybox:1");
        assert!(found[1].names.is_empty());
    }

    #[test]
    fn broken_tables() {
        for (name, text) in [
            ("manifest.json", "{}"),
            ("manifest.json", r#"[{"Config":"a","RepoTags":["A"],"Layers":[]}]"#),
            ("index.json", r#"{"schemaVersion":2,"manifests":[]}"#),
            ("other", ""),
        ] {
            let documents = Documents::from([(name.to_owned(), text.as_bytes().to_vec())]);
            assert!(images(&documents).is_err(), "{name} {text}");
        }
    }
}
