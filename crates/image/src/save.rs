//! `docker save`: an OCI layout and Docker's tables in one archive, as Docker 25 and later write; and
//! archives of images that are in no list, which a build ends with.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufWriter, Write},
    sync::Arc,
};

use gantry_archive::{ArchiveError, Compression, Header, TarWriter};
use gantry_content::{ContentError, Lease};
use gantry_oci::{
    Descriptor, Digest, DigestError, Hasher, ImageConfig, Index, Manifest, Reference, image::media,
};
use serde::Serialize;

use crate::{
    Image, ImageAction, ImageError, Images, LayerRecord,
    ingest::media_type,
    layout::{DockerManifest, NAME_ANNOTATION, REF_ANNOTATION, blob_path},
    state::{DOCUMENT_MAX, parse_config},
};

/// Images, with the name that each was asked for by.
type Found = Vec<(Arc<Image>, Option<Reference>)>;

/// An image to be saved, with the names that were asked for.
struct Wanted {
    image: Arc<Image>,
    names: Vec<Reference>,
}

/// An archive of images that need not be in the list.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The images; several are of one name, each for another platform.
    pub images: Vec<ArchiveImage>,
    /// Their names.
    pub names: Vec<Reference>,
    /// With Docker's tables, for `docker load`.
    pub docker: bool,
    /// How layers are compressed that are not compressed yet.
    pub compression: Compression,
}

/// An image of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Its configuration document.
    pub raw_config: Vec<u8>,
    /// Its layers, bottom first; they are unpacked here and kept by a lease.
    pub layers: Vec<LayerRecord>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

/// What goes into a manifest.
struct Parts<'a> {
    raw_config: &'a [u8],
    config: &'a ImageConfig,
    layers: &'a [LayerRecord],
    annotations: &'a BTreeMap<String, String>,
}

/// Everything an archive will hold, in its order.
#[derive(Default)]
struct Plan {
    /// Blobs that are in content.
    stored: BTreeSet<Digest>,
    /// Layers' tars, with their sizes: those that are not in content are packed.
    layers: BTreeMap<Digest, u64>,
    /// Blobs that are made here.
    made: BTreeMap<Digest, Vec<u8>>,
    index: Vec<Descriptor>,
    manifests: Vec<DockerManifest>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Images {
    /// Writes images with what they need to be loaded elsewhere.
    ///
    /// A name without a tag stands for all tags of the repository; an id gives no name.
    ///
    /// # Errors
    /// When a name has no image, or reading or writing fails.
    pub fn save(&self, names: &[String], out: &mut dyn Write) -> Result<(), ImageError> {
        let wanted = self.wanted(names)?;
        let activity = self.activity();
        let mut plan = Plan::default();
        for wanted in &wanted {
            let nothing = BTreeMap::new();
            let parts = Parts {
                raw_config: &wanted.image.raw_config,
                config: &wanted.image.config,
                layers: &wanted.image.layers,
                annotations: &nothing,
            };
            let descriptor = match self.kept_manifest(&wanted.image) {
                Some((manifest, raw)) => plan.add_with(&parts, &manifest.media_type, raw),
                None => plan.add(&parts)?,
            };
            plan.name(&descriptor, &wanted.names, wanted.image.layers.last());
            plan.list(&wanted.image.id, &wanted.image.layers, &wanted.names);
        }
        self.write_plan(&plan, true, out)?;
        drop(activity);
        for wanted in &wanted {
            self.tell(ImageAction::Save, &wanted.image.id, wanted.image.id.as_str());
        }
        Ok(())
    }

    /// Writes an archive of images that need not be in the list; their layers are packed as they are
    /// written, or compressed into blobs for the time of the call.
    ///
    /// # Errors
    /// When a layer is not here, or reading or writing fails.
    pub fn archive(&self, archive: &Archive, out: &mut dyn Write) -> Result<(), ImageError> {
        let mut lease = self.0.content.lease();
        let mut plan = Plan::default();
        let mut descriptors = Vec::new();
        for image in &archive.images {
            let config = parse_config("configuration", &image.raw_config)?;
            let layers = self.compressed(&image.layers, archive.compression, &mut lease)?;
            let parts = Parts {
                raw_config: &image.raw_config,
                config: &config,
                layers: &layers,
                annotations: &image.annotations,
            };
            descriptors.push(plan.add(&parts)?);
            let id = Digest::of(&image.raw_config);
            plan.made.insert(id.clone(), image.raw_config.clone());
            plan.list(&id, &layers, &archive.names);
        }
        let top = match descriptors.as_slice() {
            [one] => one.clone(),
            several => plan.add_index(several)?,
        };
        let last = archive.images.last().and_then(|image| image.layers.last());
        plan.name(&top, &archive.names, last);
        let activity = self.activity();
        self.write_plan(&plan, archive.docker, out)?;
        drop(activity);
        drop(lease);
        self.collect()?;
        Ok(())
    }

    /// Layers with their blobs compressed, and what keeps those: for exports of layers without an
    /// image. Each is written by [`Images::write_blob_of`].
    ///
    /// # Errors
    /// When a layer is not here, or cannot be compressed.
    pub fn compressed_layers(
        &self,
        layers: &[LayerRecord],
        compression: Compression,
    ) -> Result<(Vec<LayerRecord>, Lease), ImageError> {
        let mut lease = self.0.content.lease();
        let layers = self.compressed(layers, compression, &mut lease)?;
        Ok((layers, lease))
    }

    /// Writes the blob of a layer: exactly its size.
    ///
    /// # Errors
    /// When it is not here any more, or `out` cannot be written.
    pub fn write_blob_of(
        &self,
        layer: &LayerRecord,
        out: &mut dyn Write,
    ) -> Result<(), ImageError> {
        self.write_layer(layer, out)
    }

    /// Layers with their blobs compressed; those that came compressed stay as they are.
    fn compressed(
        &self,
        layers: &[LayerRecord],
        compression: Compression,
        lease: &mut Lease,
    ) -> Result<Vec<LayerRecord>, ImageError> {
        let mut done = Vec::new();
        for layer in layers {
            if compression == Compression::None || layer.digest != layer.diff_id {
                done.push(layer.clone());
                continue;
            }
            let mut writer = self.0.content.ingest()?;
            let mut pack = |out: &mut dyn Write| {
                self.write_layer(layer, out).map_err(|error| {
                    ArchiveError::Write(std::io::Error::other(gantry_fault::chain(&error)))
                })
            };
            gantry_archive::compress(compression, &mut writer, &mut pack)?;
            let size_bytes = writer.offset();
            let activity = self.activity();
            let digest = writer.commit(None, None)?;
            lease.add(&digest);
            drop(activity);
            let media_type = media_type(compression);
            done.push(LayerRecord { digest, media_type, size_bytes, ..layer.clone() });
        }
        Ok(done)
    }

    /// Writes a layer's tar: from its blob, or packed again and checked to be the same.
    fn write_layer(&self, layer: &LayerRecord, out: &mut dyn Write) -> Result<(), ImageError> {
        match self.0.content.get(&layer.digest) {
            Ok((mut file, _)) => {
                std::io::copy(&mut file, out).map_err(ImageError::io("writing layer"))?;
                Ok(())
            }
            Err(ContentError::NotFound(_)) => self.pack_layer(&layer.diff_id, out),
            Err(error) => Err(error.into()),
        }
    }

    fn pack_layer(&self, diff_id: &Digest, out: &mut dyn Write) -> Result<(), ImageError> {
        let mut hashing = Hashing { out, hasher: Hasher::new(diff_id.algorithm()) };
        self.0.snapshots.pack_layer(diff_id, &mut hashing)?;
        let actual = hashing.hasher.finish();
        if actual != *diff_id {
            let source = DigestError::Mismatch { expected: diff_id.clone(), actual };
            return Err(ImageError::Digest { name: diff_id.to_string(), source });
        }
        Ok(())
    }

    /// The manifest that an image came with, if it speaks of the blobs that are here.
    fn kept_manifest(&self, image: &Image) -> Option<(Descriptor, Vec<u8>)> {
        let blobs = || image.layers.iter().map(|layer| &layer.digest);
        image.origins.iter().rev().find_map(|origin| {
            let raw = self.0.content.read(&origin.manifest.digest, DOCUMENT_MAX).ok()?;
            let listed: Manifest = serde_json::from_slice(&raw).ok()?;
            let same = listed.layers.iter().map(|layer| &layer.digest).eq(blobs());
            same.then(|| (origin.manifest.clone(), raw))
        })
    }

    fn wanted(&self, names: &[String]) -> Result<Vec<Wanted>, ImageError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for name in names {
            for (image, name) in self.wanted_by(name)? {
                match wanted.iter_mut().find(|wanted| wanted.image.id == image.id) {
                    Some(known) => known.names.extend(name),
                    None => wanted.push(Wanted { image, names: name.into_iter().collect() }),
                }
            }
        }
        for wanted in &mut wanted {
            wanted.names.sort_unstable();
            wanted.names.dedup();
        }
        Ok(wanted)
    }

    fn wanted_by(&self, name: &str) -> Result<Found, ImageError> {
        let reference = name.parse::<Reference>().ok();
        if let Some(reference) = reference.as_ref().filter(|reference| reference.is_name_only()) {
            let repository = reference.name();
            let mut tagged = Vec::new();
            for image in self.list() {
                let own = image.names.iter().filter(|own| own.name() == repository).cloned();
                tagged.extend(own.map(|own| (Arc::clone(&image), Some(own))));
            }
            if !tagged.is_empty() {
                return Ok(tagged);
            }
        }
        let image = self.resolve(name)?;
        let tag =
            reference.filter(|reference| reference.digest().is_none()).map(Reference::or_latest);
        let tag = tag.filter(|tag| image.names.contains(tag));
        Ok(vec![(image, tag)])
    }

    fn write_plan(&self, plan: &Plan, docker: bool, out: &mut dyn Write) -> Result<(), ImageError> {
        let mut tar = TarWriter::new(BufWriter::with_capacity(256 << 10, out));
        let write = |source| ImageError::Archive(ArchiveError::Write(source));
        let mut blobs = BTreeSet::new();
        blobs.extend(plan.stored.iter());
        blobs.extend(plan.made.keys());
        let mut last = None;
        tar.data(&Header::directory(b"blobs/"), b"").map_err(write)?;
        for digest in blobs {
            if last.replace(digest.algorithm()) != Some(digest.algorithm()) {
                let name = format!("blobs/{}/", digest.algorithm().name());
                tar.data(&Header::directory(name.as_bytes()), b"").map_err(write)?;
            }
            let path = blob_path(digest);
            match plan.made.get(digest) {
                Some(data) => tar.data(&Header::file(path.as_bytes(), 0), data).map_err(write)?,
                None => self.write_blob(plan, digest, &path, &mut tar)?,
            }
        }
        let tables = plan.tables(docker)?;
        for (name, data) in tables {
            tar.data(&Header::file(name.as_bytes(), 0), &data).map_err(write)?;
        }
        tar.finish().map(drop).map_err(write)
    }

    fn write_blob<W: Write>(
        &self,
        plan: &Plan,
        digest: &Digest,
        path: &str,
        tar: &mut TarWriter<W>,
    ) -> Result<(), ImageError> {
        let header = |size| Header::file(path.as_bytes(), size);
        match (self.0.content.get(digest), plan.layers.get(digest)) {
            (Err(ContentError::NotFound(_)), Some(size)) => {
                tar.written(&header(*size), |out| self.pack_layer(digest, out))
            }
            (found, _) => {
                let (mut file, size) = found?;
                let write = |source| ImageError::Archive(ArchiveError::Write(source));
                tar.entry(&header(size), &mut file).map_err(write)
            }
        }
    }
}

impl Plan {
    /// The files at the archive's top.
    fn tables(&self, docker: bool) -> Result<Vec<(&'static str, Vec<u8>)>, ImageError> {
        let index = json(&index_of(self.index.clone()))?;
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        if !docker {
            return Ok(vec![("index.json", index), ("oci-layout", layout)]);
        }
        Ok(vec![
            ("index.json", index),
            ("manifest.json", json(&self.manifests)?),
            ("oci-layout", layout),
            ("repositories", json(&self.repositories)?),
        ])
    }

    /// Adds an image's blobs; returns what points at its manifest.
    fn add(&mut self, parts: &Parts<'_>) -> Result<Descriptor, ImageError> {
        let manifest = manifest(parts.raw_config, parts.layers, parts.annotations)?;
        Ok(self.add_with(parts, media::MANIFEST, manifest))
    }

    /// As [`Plan::add`], with a manifest that is there already.
    fn add_with(&mut self, parts: &Parts<'_>, media_type: &str, manifest: Vec<u8>) -> Descriptor {
        let mut descriptor =
            Descriptor::new(media_type, Digest::of(&manifest), manifest.len() as u64);
        descriptor.platform = Some(parts.config.platform());
        self.stored.insert(Digest::of(parts.raw_config));
        self.stored.extend(parts.layers.iter().map(|layer| layer.digest.clone()));
        let tars = parts.layers.iter().filter(|layer| layer.digest == layer.diff_id);
        self.layers.extend(tars.map(|layer| (layer.digest.clone(), layer.size_bytes)));
        self.made.insert(descriptor.digest.clone(), manifest);
        descriptor
    }

    fn add_index(&mut self, manifests: &[Descriptor]) -> Result<Descriptor, ImageError> {
        let index = json(&index_of(manifests.to_vec()))?;
        let descriptor = Descriptor::new(media::INDEX, Digest::of(&index), index.len() as u64);
        self.made.insert(descriptor.digest.clone(), index);
        Ok(descriptor)
    }

    /// Puts an image into the index: once for each of its names.
    fn name(&mut self, descriptor: &Descriptor, names: &[Reference], top: Option<&LayerRecord>) {
        for name in names {
            let mut named = descriptor.clone();
            named.annotations.insert(NAME_ANNOTATION.to_owned(), name.canonical());
            let tag = name.tag().unwrap_or("latest");
            named.annotations.insert(REF_ANNOTATION.to_owned(), tag.to_owned());
            self.index.push(named);
            if let Some(top) = top {
                let repository = self.repositories.entry(name.familiar_name()).or_default();
                repository.insert(tag.to_owned(), top.digest.hex().to_owned());
            }
        }
        if names.is_empty() {
            self.index.push(descriptor.clone());
        }
    }

    /// Puts an image into Docker's table.
    fn list(&mut self, id: &Digest, layers: &[LayerRecord], names: &[Reference]) {
        let tags: Vec<String> = names.iter().map(Reference::familiar).collect();
        self.manifests.push(DockerManifest {
            config: blob_path(id),
            repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
            layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            layer_sources: layers
                .iter()
                .map(|layer| (layer.diff_id.clone(), descriptor_of(layer)))
                .collect(),
        });
    }
}

/// The manifest of an image, as archives have it.
///
/// # Errors
/// When it cannot be encoded.
pub fn manifest(
    raw_config: &[u8],
    layers: &[LayerRecord],
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ImageError> {
    let id = Digest::of(raw_config);
    json(&Manifest {
        schema_version: 2,
        media_type: media::MANIFEST.to_owned(),
        config: Descriptor::new(media::CONFIG, id, raw_config.len() as u64),
        layers: layers.iter().map(descriptor_of).collect(),
        annotations: annotations.clone(),
    })
}

fn descriptor_of(layer: &LayerRecord) -> Descriptor {
    Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes)
}

fn index_of(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests,
        annotations: BTreeMap::new(),
    }
}

/// Hashes what passes through.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(data)?;
        self.hasher.update(&data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value)
        .map_err(|source| ImageError::Document { name: "archive".to_owned(), source })
}
