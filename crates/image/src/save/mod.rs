//! `docker save`: an OCI layout and Docker's tables in one archive, as Docker 25 and later write.

mod archive;
mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufWriter, Write},
    sync::Arc,
};

use gantry_archive::{ArchiveError, Header, TarWriter};
use gantry_content::ContentError;
use gantry_oci::{Descriptor, Digest, DigestError, Hasher, Manifest, Reference};

use self::plan::{Parts, Plan};
pub use self::{
    archive::{Archive, ArchiveImage},
    plan::{manifest, manifest_of},
};
use crate::{
    Image, ImageAction, ImageError, Images, LayerRecord, layout::blob_path, state::DOCUMENT_MAX,
};

/// Images, with the name that each was asked for by.
type Found = Vec<(Arc<Image>, Option<Reference>)>;

/// An image to be saved, with the names that were asked for.
struct Wanted {
    image: Arc<Image>,
    names: Vec<Reference>,
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
