//! Making images here: import, commit, and the built-in ones.

use std::{
    io::{Read, Write},
    path::Path,
};

use gantry_archive::{Header, TarWriter};
use gantry_oci::{ContainerConfig, Digest, History, ImageConfig, Platform, Reference, RootFs};
use gantry_policy::Subject;

use crate::{
    ImageAction, ImageError, Images, LayerRecord, ResolveError,
    changes::apply,
    ingest::{Ingested, Unpackers, copy},
    state::{NewImage, now},
};

/// An import of a root file system.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Dockerfile lines, as `docker import --change` has them.
    pub changes: Vec<String>,
    /// A message for the history.
    pub message: String,
    /// The name to give.
    pub reference: Option<Reference>,
    /// The platform; empty fields are this machine's.
    pub platform: Option<Platform>,
}

/// A commit of a container.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The container's id, as `Snapshots` knows it.
    pub container_id: String,
    /// The image that it came from.
    pub parent: Option<Digest>,
    /// Configuration of the new image, before `changes`.
    pub config: ContainerConfig,
    /// Dockerfile lines.
    pub changes: Vec<String>,
    /// Author.
    pub author: String,
    /// A message.
    pub comment: String,
    /// The name to give.
    pub reference: Option<Reference>,
    /// What the history shows: the container's command line.
    pub created_by: String,
}

/// A file of [`Images::put_single_layer`].
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// Its path, without a leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
}

impl Images {
    /// Makes an image of a root file system, a tar of any compression.
    ///
    /// # Errors
    /// When the tar is broken or a change is wrong; nothing is left then.
    pub fn import(
        &self,
        rootfs: Box<dyn Read + Send>,
        import: &Import,
    ) -> Result<Digest, ImageError> {
        self.may_come(Subject::Tarball)?;
        let mut config = ContainerConfig::default();
        apply(&mut config, &import.changes)?;
        let platform = import.platform.clone().unwrap_or_default();
        let host = Platform::host();
        let or = |own: String, host: String| if own.is_empty() { host } else { own };
        let created = now();
        let image = ImageConfig {
            architecture: or(platform.architecture, host.architecture),
            os: or(platform.os, host.os),
            variant: platform.variant,
            created: Some(created.clone()),
            comment: import.message.clone(),
            config: Some(config),
            history: vec![History {
                created: Some(created),
                comment: import.message.clone(),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let mut rootfs = rootfs;
        let id = self.make(image, import.reference.as_ref(), None, |out| {
            copy(&mut rootfs, out, &mut |_| {}).map(drop)
        })?;
        self.tell(ImageAction::Import, &id, id.as_str());
        Ok(id)
    }

    /// Makes an image of a container's changes on top of its image; the caller pauses it.
    ///
    /// # Errors
    /// When the container or its image is gone, or a change is wrong.
    pub fn commit(&self, commit: &Commit) -> Result<Digest, ImageError> {
        let no_parent = |id: &Digest| ResolveError::NotFound(id.to_string());
        let parent = match &commit.parent {
            Some(id) => Some(self.resolve_leased(id.as_str()).map_err(|_| no_parent(id))?),
            None => None,
        };
        let mut config = commit.config.clone();
        apply(&mut config, &commit.changes)?;
        if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
            // Whoever says neither what to run nor what runs it gets what the container ran.
            if config.cmd.as_ref().is_none_or(Vec::is_empty) {
                config.cmd.clone_from(&commit.config.cmd);
            }
            config.entrypoint.clone_from(&commit.config.entrypoint);
        }
        let mut image =
            parent.as_ref().map(|(parent, _)| parent.config.clone()).unwrap_or_default();
        let host = Platform::host();
        if image.os.is_empty() {
            (image.os, image.architecture) = (host.os, host.architecture);
        }
        let created = now();
        image.author.clone_from(&commit.author);
        image.comment.clone_from(&commit.comment);
        image.container.clone_from(&commit.container_id);
        image.container_config = Some(commit.config.clone());
        image.config = Some(config);
        image.created = Some(created.clone());
        image.history.push(History {
            created: Some(created),
            created_by: commit.created_by.clone(),
            author: commit.author.clone(),
            comment: commit.comment.clone(),
            empty_layer: false,
        });
        let parent = parent.as_ref().map(|(parent, _)| (parent.id.clone(), parent.layers.clone()));
        let id = self.make(image, commit.reference.as_ref(), parent, |out| {
            Ok(self.0.snapshots.pack_upper(&commit.container_id, out)?)
        })?;
        self.tell(ImageAction::Create, &id, id.as_str());
        Ok(id)
    }

    /// Puts in an image of one layer with these files; one that is the same already is kept.
    ///
    /// The same input gives the same image, whenever it is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_single_layer(
        &self,
        reference: &Reference,
        config: &ImageConfig,
        files: &[LayerFile],
    ) -> Result<Digest, ImageError> {
        let tar = layer_of(files).map_err(ImageError::io("writing layer"))?;
        let diff_id = Digest::of(&tar);
        let mut image = config.clone();
        image.rootfs = RootFs { diff_ids: vec![diff_id], ..RootFs::default() };
        let raw = to_json(&image)?;
        if let Some(known) = self.get(&Digest::of(&raw)) {
            if !known.names.contains(&reference.clone().or_latest()) {
                self.tag(&known.id, reference)?;
            }
            return Ok(known.id.clone());
        }
        image.rootfs = RootFs::default();
        self.make(image, Some(reference), None, |out| {
            out.write_all(&tar).map_err(ImageError::io("writing layer"))
        })
    }

    /// Takes in a layer on top of a parent's and records the image.
    fn make(
        &self,
        mut config: ImageConfig,
        reference: Option<&Reference>,
        parent: Option<(Digest, Vec<LayerRecord>)>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<Digest, ImageError> {
        if reference.is_some_and(|reference| reference.digest().is_some()) {
            return Err(ImageError::DigestTag);
        }
        let activity = self.activity();
        let made = self.make_layer(write).and_then(|mut layer| {
            let (parent, mut layers) =
                parent.map_or((None, Vec::new()), |(id, layers)| (Some(id), layers));
            if layer.record.diff_id == Digest::of(&[0; 1024]) && parent.is_some() {
                // Nothing has changed: an empty tar is no layer, as in Docker.
                if let Some(last) = config.history.last_mut() {
                    last.empty_layer = true;
                }
            } else {
                layer.commit()?;
                layers.push(layer.record.clone());
            }
            config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
            let raw_config = to_json(&config)?;
            let names: Vec<Reference> =
                reference.iter().map(|name| (*name).clone().or_latest()).collect();
            let image = self.register(NewImage {
                raw_config,
                config,
                layers,
                parent,
                names,
                origin: None,
            })?;
            Ok(image.id.clone())
        });
        drop(activity);
        self.collect()?;
        let id = made?;
        if let Some(reference) = reference {
            self.tell(ImageAction::Tag, &id, &reference.clone().or_latest().familiar());
        }
        Ok(id)
    }

    fn make_layer(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<Ingested, ImageError> {
        let unpackers = Unpackers::start(&self.0.snapshots)?;
        let pending = self.ingest_layer(&unpackers, write)?;
        self.finish_layer(pending)
    }
}

fn to_json(config: &ImageConfig) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(config)
        .map_err(|source| ImageError::Document { name: "configuration".to_owned(), source })
}

/// A tar of files, with the directories that they need.
fn layer_of(files: &[LayerFile]) -> std::io::Result<Vec<u8>> {
    let mut tar = TarWriter::new(Vec::new());
    let mut made = Vec::new();
    for file in files {
        let mut above: Vec<&Path> = Path::new(&file.path).ancestors().skip(1).collect();
        above.reverse();
        for directory in above.into_iter().filter(|directory| !directory.as_os_str().is_empty()) {
            let name = format!("{}/", directory.display());
            if !made.contains(&name) {
                tar.data(&Header::directory(name.as_bytes()), b"")?;
                made.push(name);
            }
        }
        tar.data(&Header { mode: file.mode, ..Header::file(file.path.as_bytes(), 0) }, &file.data)?;
    }
    tar.finish()
}
