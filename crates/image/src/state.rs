//! All images in memory, and the one place where they change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        TryLockError, atomic::AtomicBool,
    },
};

use gantry_content::Content;
use gantry_oci::{Digest, ImageConfig, Reference};
use gantry_policy::Gate;
use gantry_snapshot::Snapshots;
use gantry_store::{Batch, Durability, Store};
use jiff::Timestamp;

use crate::{
    Image, ImageAction, ImageError, ImageEvent, LayerRecord, OnEvent, Origin, ResolveError,
    record::{FetchedRecord, ImageRecord, NameRecord},
};

/// Largest configuration document or manifest.
pub(crate) const DOCUMENT_MAX: u64 = 8 << 20;

/// Manifests of one image that are kept.
const ORIGINS_MAX: usize = 32;

/// The images; clones share them.
#[derive(Clone)]
pub struct Images(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) content: Content,
    pub(crate) snapshots: Snapshots,
    pub(crate) on_event: OnEvent,
    state: RwLock<State>,
    /// Held by whoever changes images or names, over the commit.
    change: Mutex<()>,
    /// Shared by all work whose blobs and layers are in no record yet; garbage is collected alone.
    activity: RwLock<()>,
    pub(crate) keepers: Vec<Keeper>,
    /// Decides which images may come.
    pub(crate) gate: Gate,
    pub(crate) syncing: AtomicBool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) images: HashMap<Digest, Arc<Image>>,
    /// Canonical references.
    pub(crate) names: BTreeMap<String, Digest>,
    /// How many leases an image has.
    pub(crate) leases: HashMap<Digest, usize>,
    /// How many leases a layer has.
    pub(crate) layer_leases: HashMap<Digest, usize>,
}

/// Names layers, by diff ID, that are needed though no image has them.
pub type Keeper = Arc<dyn Fn() -> Vec<Digest> + Send + Sync>;

/// An image to be put in.
pub(crate) struct NewImage {
    pub(crate) raw_config: Vec<u8>,
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) parent: Option<Digest>,
    pub(crate) names: Vec<Reference>,
    pub(crate) origin: Option<Origin>,
}

/// Keeps an image from being removed while it lives.
pub struct ImageLease {
    images: Images,
    id: Digest,
}

impl std::fmt::Debug for ImageLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ImageLease").field(&self.id).finish()
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("count", &self.state().images.len()).finish()
    }
}

impl Drop for ImageLease {
    fn drop(&mut self) {
        let mut state = self.images.state_mut();
        if let Some(count) = state.leases.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                state.leases.remove(&self.id);
            }
        }
    }
}

impl Images {
    /// Reads all images. Layers that a power cut took are unpacked again from their blobs; images
    /// whose blobs are gone too are dropped with a warning.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Store,
        content: Content,
        snapshots: Snapshots,
        on_event: OnEvent,
    ) -> Result<Self, ImageError> {
        Self::open_keeping(store, content, snapshots, on_event, Vec::new(), Gate::open())
    }

    /// As [`Images::open`]; garbage collection keeps the layers that `keepers` name, and from
    /// elsewhere come only images that `gate` lets in.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_keeping(
        store: Store,
        content: Content,
        snapshots: Snapshots,
        on_event: OnEvent,
        keepers: Vec<Keeper>,
        gate: Gate,
    ) -> Result<Self, ImageError> {
        let images = Self(Arc::new(Inner {
            store,
            content,
            snapshots,
            on_event,
            state: RwLock::default(),
            change: Mutex::new(()),
            activity: RwLock::new(()),
            keepers,
            gate,
            syncing: AtomicBool::new(false),
        }));
        images.read_all()?;
        images.collect()?;
        Ok(images)
    }

    /// Finds an image by name, `name@digest`, full id or unique beginning of an id.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`], or [`ResolveError::Invalid`] for what is no name.
    pub fn resolve(&self, name: &str) -> Result<Arc<Image>, ResolveError> {
        self.state().resolve(name)
    }

    /// As [`Images::resolve`], and keeps the image from removal until the lease is dropped.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn resolve_leased(&self, name: &str) -> Result<(Arc<Image>, ImageLease), ResolveError> {
        let mut state = self.state_mut();
        let image = state.resolve(name)?;
        *state.leases.entry(image.id.clone()).or_default() += 1;
        Ok((Arc::clone(&image), ImageLease { images: self.clone(), id: image.id.clone() }))
    }

    /// An image by its full id.
    #[must_use]
    pub fn get(&self, id: &Digest) -> Option<Arc<Image>> {
        self.state().images.get(id).cloned()
    }

    /// All images, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Image>> {
        let mut all: Vec<_> = self.state().images.values().cloned().collect();
        all.sort_by(|a, b| b.created_s().cmp(&a.created_s()).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Whether another image has this one as its parent.
    #[must_use]
    pub fn has_children(&self, id: &Digest) -> bool {
        self.state().has_children(id)
    }

    /// Bytes that the files of all layers take, shared ones once.
    #[must_use]
    pub fn layers_size_bytes(&self) -> u64 {
        let state = self.state();
        let layers = state.images.values().flat_map(|image| &image.layers);
        let sizes: HashMap<_, _> =
            layers.map(|layer| (&layer.diff_id, layer.unpacked_size_bytes)).collect();
        sizes.values().sum()
    }

    /// Gives an image a name, taking it from another.
    ///
    /// # Errors
    /// When there is no such image or the name has a digest.
    pub fn tag(&self, id: &Digest, reference: &Reference) -> Result<(), ImageError> {
        if reference.digest().is_some() {
            return Err(ImageError::DigestTag);
        }
        {
            let _change = self.change();
            let image = self.get(id).ok_or_else(|| ResolveError::NotFound(id.to_string()))?;
            let mut batch = self.0.store.batch();
            self.put_names(&mut batch, &image, std::slice::from_ref(reference));
            self.0.store.commit(batch, Durability::Durable)?;
            self.state_mut().add_names(id, std::slice::from_ref(reference), &now());
        }
        self.tell(ImageAction::Tag, id, &reference.clone().or_latest().familiar());
        Ok(())
    }

    /// Notes a manifest that an image was pushed with, and the name that it has there.
    pub(crate) fn note_origin(
        &self,
        id: &Digest,
        origin: Origin,
        name: &Reference,
    ) -> Result<(), ImageError> {
        let _change = self.change();
        let image = self.get(id).ok_or_else(|| ResolveError::NotFound(id.to_string()))?;
        if image.origins.contains(&origin) && image.repo_digests.contains(name) {
            // A commit would wait for what a pull still brings to disk.
            return Ok(());
        }
        let last_tagged = image.last_tagged.clone();
        let image = with_origin(image, Some(origin));
        let mut batch = self.0.store.batch();
        self.put_names(&mut batch, &image, &[]);
        batch.put(&name.canonical(), &NameRecord { image: id.clone() });
        self.0.store.commit(batch, Durability::Durable)?;
        let mut state = self.state_mut();
        state.images.insert(id.clone(), image);
        state.add_names(id, std::slice::from_ref(name), &last_tagged.unwrap_or_default());
        Ok(())
    }

    /// Records an image and its names in one commit; one that is known only gets the names.
    pub(crate) fn register(&self, new: NewImage) -> Result<Arc<Image>, ImageError> {
        let id = self.0.content.put(&new.raw_config)?;
        let names = new.names.clone();
        let image = {
            let _change = self.change();
            let origin = new.origin.clone();
            let image = match self.get(&id) {
                Some(known) => with_origin(known, origin),
                None => Arc::new(new.into_image(id.clone())),
            };
            let mut batch = self.0.store.batch();
            self.put_names(&mut batch, &image, &names);
            for layer in &image.layers {
                // The image keeps it from now on.
                batch.delete::<FetchedRecord>(layer.digest.as_str());
            }
            self.0.store.commit(batch, Durability::Durable)?;
            let mut state = self.state_mut();
            state.images.insert(id.clone(), image);
            state.add_names(&id, &names, &now());
            state.images.get(&id).cloned()
        };
        self.sync_behind();
        image.ok_or_else(|| ResolveError::NotFound(id.to_string()).into())
    }

    /// Writes an image's record, with names to be added.
    fn put_names(&self, batch: &mut Batch, image: &Image, names: &[Reference]) {
        let last_tagged = if names.is_empty() { image.last_tagged.clone() } else { Some(now()) };
        let record = ImageRecord {
            layers: image.layers.clone(),
            parent: image.parent.clone(),
            last_tagged,
            origins: image.origins.clone(),
        };
        batch.put(image.id.as_str(), &record);
        for name in names {
            batch.put(
                &name.clone().or_latest().canonical(),
                &NameRecord { image: image.id.clone() },
            );
        }
    }

    /// Tells the listener about an image, or one that was.
    pub(crate) fn tell(&self, action: ImageAction, id: &Digest, name: &str) {
        (self.0.on_event)(self.event(action, id, name));
    }

    /// Tells the listener about an event.
    pub(crate) fn tell_event(&self, event: ImageEvent) {
        (self.0.on_event)(event);
    }

    /// An event with the image's labels, as long as it is there.
    pub(crate) fn event(&self, action: ImageAction, id: &Digest, name: &str) -> ImageEvent {
        let mut attributes = self.get(id).map(|image| image.labels()).unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        ImageEvent { action, id: id.to_string(), attributes }
    }

    /// Keeps garbage collection away from what is being made, or read without a record's help.
    pub(crate) fn activity(&self) -> RwLockReadGuard<'_, ()> {
        self.0.activity.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to collect garbage; none while other work is under way, which collects at its end.
    pub(crate) fn quiet(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.0.activity.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self) -> MutexGuard<'_, ()> {
        self.0.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NewImage {
    pub(crate) fn into_image(self, id: Digest) -> Image {
        Image {
            id,
            config: self.config,
            raw_config: self.raw_config.into(),
            layers: self.layers,
            names: Vec::new(),
            repo_digests: Vec::new(),
            parent: self.parent,
            last_tagged: None,
            origins: self.origin.into_iter().collect(),
        }
    }
}

/// The image with one more manifest; the oldest ones go when there are many.
fn with_origin(image: Arc<Image>, origin: Option<Origin>) -> Arc<Image> {
    let Some(origin) = origin.filter(|origin| !image.origins.contains(origin)) else {
        return image;
    };
    let mut image = Arc::unwrap_or_clone(image);
    image.origins.push(origin);
    let extra = image.origins.len().saturating_sub(ORIGINS_MAX);
    image.origins.drain(..extra);
    Arc::new(image)
}

pub(crate) fn parse_config(name: &str, raw: &[u8]) -> Result<ImageConfig, ImageError> {
    serde_json::from_slice(raw)
        .map_err(|source| ImageError::Document { name: name.to_owned(), source })
}

pub(crate) fn now() -> String {
    Timestamp::now().to_string()
}
