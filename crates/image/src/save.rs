//! `docker save`: an OCI layout and Docker's tables in one archive, as Docker 25 and later write.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufWriter, Write},
    sync::Arc,
};

use gantry_archive::{ArchiveError, Header, TarWriter};
use gantry_oci::{Descriptor, Digest, Index, Manifest, Reference, image::media};
use serde::Serialize;

use crate::{
    Image, ImageAction, ImageError, Images,
    layout::{DockerManifest, NAME_ANNOTATION, REF_ANNOTATION, blob_path},
};

/// Images, with the name that each was asked for by.
type Found = Vec<(Arc<Image>, Option<Reference>)>;

/// An image to be saved, with the names that were asked for.
struct Wanted {
    image: Arc<Image>,
    names: Vec<Reference>,
}

/// Everything an archive will hold, in its order.
#[derive(Default)]
struct Plan {
    /// Blobs that are in content.
    stored: BTreeSet<Digest>,
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
            plan.add(wanted)?;
        }
        self.write_plan(&plan, out)?;
        drop(activity);
        for wanted in &wanted {
            self.tell(ImageAction::Save, &wanted.image.id, wanted.image.id.as_str());
        }
        Ok(())
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

    fn write_plan(&self, plan: &Plan, out: &mut dyn Write) -> Result<(), ImageError> {
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
                None => {
                    let (mut file, size) = self.0.content.get(digest)?;
                    tar.entry(&Header::file(path.as_bytes(), size), &mut file).map_err(write)?;
                }
            }
        }
        let index = Index {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            manifests: plan.index.clone(),
            annotations: BTreeMap::new(),
        };
        for (name, data) in [
            ("index.json", json(&index)?),
            ("manifest.json", json(&plan.manifests)?),
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("repositories", json(&plan.repositories)?),
        ] {
            tar.data(&Header::file(name.as_bytes(), 0), &data).map_err(write)?;
        }
        tar.finish().map(drop).map_err(write)
    }
}

impl Plan {
    fn add(&mut self, wanted: &Wanted) -> Result<(), ImageError> {
        let image = &wanted.image;
        let layers: Vec<Descriptor> = image
            .layers
            .iter()
            .map(|layer| Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes))
            .collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::MANIFEST.to_owned(),
            config: Descriptor::new(media::CONFIG, image.id.clone(), image.raw_config.len() as u64),
            layers: layers.clone(),
            annotations: BTreeMap::new(),
        };
        let manifest = json(&manifest)?;
        let mut descriptor =
            Descriptor::new(media::MANIFEST, Digest::of(&manifest), manifest.len() as u64);
        descriptor.platform = Some(image.config.platform());
        self.stored.insert(image.id.clone());
        self.stored.extend(layers.iter().map(|layer| layer.digest.clone()));
        self.made.insert(descriptor.digest.clone(), manifest);
        for name in &wanted.names {
            let mut named = descriptor.clone();
            named.annotations.insert(NAME_ANNOTATION.to_owned(), name.canonical());
            let tag = name.tag().unwrap_or("latest");
            named.annotations.insert(REF_ANNOTATION.to_owned(), tag.to_owned());
            self.index.push(named);
            if let Some(top) = layers.last() {
                let repository = self.repositories.entry(name.familiar_name()).or_default();
                repository.insert(tag.to_owned(), top.digest.hex().to_owned());
            }
        }
        if wanted.names.is_empty() {
            self.index.push(descriptor);
        }
        let tags: Vec<String> = wanted.names.iter().map(Reference::familiar).collect();
        self.manifests.push(DockerManifest {
            config: blob_path(&image.id),
            repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
            layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            layer_sources: image
                .layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .zip(layers)
                .collect(),
        });
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value)
        .map_err(|source| ImageError::Document { name: "archive".to_owned(), source })
}
