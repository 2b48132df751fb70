//! `docker load`: Docker archives, OCI layouts and both in one, of any compression.
//!
//! The stream is read once, from start to end. What looks like a layer is taken in as it comes and
//! unpacked behind; small files are kept in memory. Only at the end is it known which layers belong
//! to an image: those are checked against the configuration, made visible and recorded; the rest is
//! dropped.

use std::{collections::HashMap, io::Read};

use gantry_archive::{Compression, Entry, EntryKind, Reader};
use gantry_oci::{Descriptor, Digest, DigestError, Manifest};
use gantry_policy::{Denied, Evidence, Subject};

use crate::{
    ImageAction, ImageError, Images, LayerRecord, Origin,
    ingest::{Ingested, Pending, Unpackers, copy},
    layout::{self, ArchivedImage, Documents, blob_digest},
    state::{DOCUMENT_MAX, NewImage, parse_config},
};

/// Files up to this size are looked at in memory.
const SMALL_MAX: u64 = 4 << 20;
/// Documents kept in memory together.
const DOCUMENTS_MAX: usize = 64 << 20;
/// Layers and links that an archive may have.
const FILES_MAX: usize = 100_000;

/// Progress of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// A layer is being read.
    Layer {
        /// Twelve digits that tell it from others.
        id: String,
        /// Bytes read.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A layer is done.
    LayerDone {
        /// As in [`LoadEvent::Layer`].
        id: String,
    },
}

/// What a load brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Each image with its names as users write them.
    pub images: Vec<(Digest, Vec<String>)>,
}

/// What an archive has, by cleaned paths.
#[derive(Default)]
struct Contents {
    documents: Documents,
    documents_size: usize,
    layers: HashMap<String, Layer>,
    links: HashMap<String, String>,
}

enum Layer {
    Pending(Pending),
    Ready(Ingested),
}

impl Images {
    /// Reads images from an archive.
    ///
    /// # Errors
    /// When the archive is broken or incomplete; nothing of it is visible then.
    pub fn load(
        &self,
        archive: Box<dyn Read + Send>,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<Loaded, ImageError> {
        let activity = self.activity();
        let loaded = self.load_unseen(archive, progress);
        drop(activity);
        self.collect()?;
        let loaded = loaded?;
        for (id, _) in &loaded.images {
            self.tell(ImageAction::Load, id, id.as_str());
        }
        Ok(loaded)
    }

    fn load_unseen(
        &self,
        archive: Box<dyn Read + Send>,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<Loaded, ImageError> {
        self.may_any_load()?;
        let unpackers = Unpackers::start(&self.0.snapshots)?;
        let mut contents = Contents::default();
        self.read_archive(archive, &unpackers, &mut contents, progress)?;
        self.may_load(&contents.documents)?;
        let images = layout::images(&contents.documents)?;
        let mut checked = Vec::new();
        for image in images {
            let new = self.check_image(&mut contents, image)?;
            checked.push(new);
        }
        // From here on the archive is known to be good.
        for layer in contents.layers.values_mut() {
            if let Layer::Ready(layer) = layer {
                layer.commit()?;
            }
        }
        let mut loaded = Loaded::default();
        for new in checked {
            let names = new.names.iter().map(gantry_oci::Reference::familiar).collect();
            let image = self.register(new)?;
            loaded.images.push((image.id.clone(), names));
        }
        Ok(loaded)
    }

    /// Ends a load early of which nothing may come, whatever archive it is.
    fn may_any_load(&self) -> Result<(), ImageError> {
        match (self.may_come(Subject::DockerArchive), self.may_come(Subject::OciArchive)) {
            (Err(ImageError::Denied(denied)), Err(_)) => {
                // It may be either, and is not looked at.
                Err(Denied { image: "in an archive".to_owned(), ..denied }.into())
            }
            (Err(error), Err(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Asks the policy for the kind of archive that this is, known by the table that is read.
    fn may_load(&self, documents: &Documents) -> Result<(), ImageError> {
        self.may_come(match documents.contains_key("manifest.json") {
            true => Subject::DockerArchive,
            false => Subject::OciArchive,
        })
    }

    /// Whether the policy lets in what comes in an archive, and so without signatures.
    pub(crate) fn may_come(&self, subject: Subject) -> Result<(), ImageError> {
        Ok(self.0.gate.rule(subject)?.judge(&Evidence::default())?)
    }

    fn read_archive(
        &self,
        archive: Box<dyn Read + Send>,
        unpackers: &Unpackers,
        contents: &mut Contents,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<(), ImageError> {
        let (stream, _) = gantry_archive::decompress(archive)?;
        let mut reader = Reader::new(stream);
        let failed = gantry_archive::ArchiveError::Read;
        while let Some(entry) = reader.next().map_err(failed)? {
            if contents.layers.len() + contents.links.len() + contents.documents.len() > FILES_MAX {
                return Err(ImageError::TooLarge("archive".to_owned()));
            }
            let path = layout::clean(&entry.display_name());
            match entry.kind {
                EntryKind::File => {
                    self.read_file(&path, &entry, &mut reader, unpackers, contents, progress)?
                }
                EntryKind::HardLink => {
                    contents
                        .links
                        .insert(path, layout::clean(&String::from_utf8_lossy(&entry.link)));
                }
                EntryKind::Symlink => {
                    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
                    let target = format!("{above}/{}", String::from_utf8_lossy(&entry.link));
                    contents.links.insert(path, layout::clean(&target));
                }
                _ => {}
            }
        }
        reader.drain().map_err(failed)?;
        Ok(())
    }

    fn read_file<R: Read>(
        &self,
        path: &str,
        entry: &Entry,
        reader: &mut Reader<R>,
        unpackers: &Unpackers,
        contents: &mut Contents,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<(), ImageError> {
        let mut head = Vec::new();
        if entry.size <= SMALL_MAX {
            reader.read_to_end(&mut head).map_err(ImageError::io("reading archive"))?;
            if !is_layer(&head) {
                return contents.keep(path, head);
            }
        }
        let id = layer_id(path);
        if let Some(digest) = blob_digest(path)
            && let Some(known) = self.known_layer(&digest)
        {
            contents.layers.insert(path.to_owned(), Layer::Ready(known));
            progress(LoadEvent::LayerDone { id });
            return Ok(());
        }
        let total = entry.size;
        let pending = self.ingest_layer(unpackers, |out| {
            let mut whole = head.as_slice().chain(reader);
            let mut step = |current| progress(LoadEvent::Layer { id: id.clone(), current, total });
            copy(&mut whole, out, &mut step).map(drop)
        })?;
        progress(LoadEvent::LayerDone { id });
        contents.layers.insert(path.to_owned(), Layer::Pending(pending));
        Ok(())
    }

    /// Checks that an image is whole and its layers are the ones that its configuration lists.
    fn check_image(
        &self,
        contents: &mut Contents,
        image: ArchivedImage,
    ) -> Result<NewImage, ImageError> {
        let config_path = contents.follow(&image.config);
        let raw_config = contents
            .documents
            .get(&config_path)
            .cloned()
            .ok_or(ImageError::Missing(image.config))?;
        check_blob_name(&config_path, &Digest::of(&raw_config))?;
        let config = parse_config(&config_path, &raw_config)?;
        if !config.os.is_empty() && config.os != "linux" {
            return Err(ImageError::OtherOs(config.os));
        }
        let expected = &config.rootfs.diff_ids;
        if expected.len() != image.layers.len() {
            return Err(ImageError::LayerCount {
                expected: expected.len(),
                actual: image.layers.len(),
            });
        }
        let mut layers = Vec::new();
        for (index, (path, expected)) in image.layers.iter().zip(expected).enumerate() {
            let path = contents.follow(path);
            let layer = self.ready_layer(contents, &path)?;
            if layer.record.diff_id != *expected {
                let actual = layer.record.diff_id.clone();
                return Err(ImageError::DiffId { index, expected: expected.clone(), actual });
            }
            layers.push(layer.record.clone());
        }
        let origin = match &image.manifest {
            Some(manifest) => self.origin(contents, manifest, &layers)?,
            None => None,
        };
        Ok(NewImage { raw_config, config, layers, parent: None, names: image.names, origin })
    }

    /// Keeps the manifest that came with an image, if it speaks of the blobs that came.
    fn origin(
        &self,
        contents: &Contents,
        (manifest, index): &(Descriptor, Option<Descriptor>),
        layers: &[LayerRecord],
    ) -> Result<Option<Origin>, ImageError> {
        let bytes = |digest: &Digest| contents.documents.get(&layout::blob_path(digest));
        let Some(raw) = bytes(&manifest.digest) else { return Ok(None) };
        let listed: Manifest = layout::parse(&layout::blob_path(&manifest.digest), raw)?;
        if !listed.layers.iter().map(|layer| &layer.digest).eq(layers.iter().map(|l| &l.digest)) {
            return Ok(None);
        }
        self.0.content.put(raw)?;
        let index = index.as_ref().and_then(|index| Some((index, bytes(&index.digest)?)));
        if let Some((_, raw)) = index {
            self.0.content.put(raw)?;
        }
        let index = index.map(|(index, _)| index.clone());
        Ok(Some(Origin { repository: String::new(), manifest: manifest.clone(), index }))
    }

    fn ready_layer<'a>(
        &self,
        contents: &'a mut Contents,
        path: &str,
    ) -> Result<&'a Ingested, ImageError> {
        let missing = || ImageError::Missing(path.to_owned());
        let layer = match contents.layers.remove(path).ok_or_else(missing)? {
            Layer::Ready(layer) => layer,
            Layer::Pending(pending) => {
                check_blob_name(path, &pending.digest)?;
                self.finish_layer(pending)?
            }
        };
        match contents.layers.entry(path.to_owned()).insert_entry(Layer::Ready(layer)).into_mut() {
            Layer::Ready(layer) => Ok(layer),
            Layer::Pending(_) => Err(missing()),
        }
    }
}

impl Contents {
    fn keep(&mut self, path: &str, data: Vec<u8>) -> Result<(), ImageError> {
        self.documents_size += data.len();
        if data.len() as u64 > DOCUMENT_MAX || self.documents_size > DOCUMENTS_MAX {
            return Err(ImageError::TooLarge(path.to_owned()));
        }
        self.documents.insert(path.to_owned(), data);
        Ok(())
    }

    /// Follows links inside the archive; `docker save` once wrote a layer's second place as one.
    fn follow(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..16 {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => break,
            }
        }
        path
    }
}

/// Whether the bytes of a small file are a tar, compressed or not. An empty tar is all zeros.
fn is_layer(data: &[u8]) -> bool {
    Compression::detect(data) != Compression::None
        || data.get(257..262) == Some(b"ustar")
        || data.len() >= 1024 && data[..1024].iter().all(|byte| *byte == 0)
}

fn check_blob_name(path: &str, actual: &Digest) -> Result<(), ImageError> {
    match blob_digest(path) {
        Some(expected) if expected.algorithm() == actual.algorithm() && expected != *actual => {
            let source = DigestError::Mismatch { expected, actual: actual.clone() };
            Err(ImageError::Digest { name: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn layer_id(path: &str) -> String {
    let name = match path.rsplit_once('/') {
        Some((above, "layer.tar")) => above.rsplit('/').next().unwrap_or(above),
        Some((_, name)) => name,
        None => path,
    };
    name.chars().take(12).collect()
}
