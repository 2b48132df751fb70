//! One build: what it holds while it runs.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use gantry_build_proto::BuildRequest;
use gantry_image::{Image, ImageLease, LayerRecord};
use gantry_oci::Digest;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    Client,
    builder::Inner,
    cache::{Users, record::Layer},
    contexts::{Context, Transfer},
    imports::Imports,
    ops::{OpError, Shared, layer::SharedLease, step_mounts::Confidant},
    reporter::Reporter,
    taken::Taken,
};

/// A context, once somebody has opened it.
type OpenContext = Arc<OnceCell<Result<Context, Shared>>>;

/// A build under way.
pub(crate) struct Build {
    pub inner: Arc<Inner>,
    pub request: BuildRequest,
    pub client: Arc<dyn Client>,
    pub reporter: Reporter,
    pub stop: CancellationToken,
    /// Keeps layers that results need.
    pub lease: SharedLease,
    /// Keeps records.
    pub users: Users,
    /// Caches that were named by the request.
    pub imports: Imports,
    contexts: Mutex<HashMap<String, OpenContext>>,
    transfers: Mutex<HashMap<String, Transfer>>,
    images: Mutex<Vec<(Arc<Image>, ImageLease)>>,
    /// Tars that were fetched for this build.
    taken: Mutex<Vec<Taken>>,
}

impl Build {
    pub(crate) fn new(
        inner: Arc<Inner>,
        request: BuildRequest,
        client: Arc<dyn Client>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            lease: Arc::new(Mutex::new(inner.parts.images.layer_lease())),
            users: inner.parts.cache.users(),
            reporter: Reporter::new(Arc::clone(&client)),
            imports: Imports::default(),
            contexts: Mutex::default(),
            transfers: Mutex::default(),
            images: Mutex::default(),
            taken: Mutex::default(),
            inner,
            request,
            client,
            stop,
        }
    }

    /// A context of the request, opened once.
    pub(crate) async fn context(&self, name: &str) -> Result<Context, Shared> {
        let cell = {
            let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(contexts.entry(name.to_owned()).or_default())
        };
        let opened = cell.get_or_init(|| async {
            tokio::select! {
                opened = self.open_context(name) => opened.map_err(Arc::new),
                () = self.stop.cancelled() => Err(Arc::new(OpError::Cancelled)),
            }
        });
        opened.await.clone()
    }

    /// Who is told of what a context sends.
    pub(crate) fn transfer(&self, context: &str) -> Transfer {
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        transfers.entry(context.to_owned()).or_default().clone()
    }

    /// Keeps an image for the build's time.
    pub(crate) fn keep_image(&self, image: Arc<Image>, lease: ImageLease) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push((image, lease));
    }

    /// Keeps a tar for the build's time.
    pub(crate) fn keep_taken(&self, taken: Taken) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
    }

    /// An image that a frontend has named, by its id.
    pub(crate) fn image(&self, id: &str) -> Result<Arc<Image>, OpError> {
        let images = &self.inner.parts.images;
        let (image, lease) = images.resolve_leased(id).map_err(gantry_image::ImageError::from)?;
        self.keep_image(Arc::clone(&image), lease);
        Ok(image)
    }

    /// The records of layers that came with images of this build, by diff ID.
    pub(crate) fn image_layers(&self) -> HashMap<Digest, LayerRecord> {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = images.iter().flat_map(|(image, _)| image.layers.iter());
        layers.map(|layer| (layer.diff_id.clone(), layer.clone())).collect()
    }

    /// Makes sure that layers are here, and keeps them to the build's end. What an imported cache has
    /// is fetched.
    pub(crate) async fn ensure(&self, layers: &[Layer]) -> Result<(), OpError> {
        let ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        // Once for each that is missing, and once more to keep them all.
        let mut fetched = HashSet::new();
        loop {
            let kept = self.lease.lock().unwrap_or_else(PoisonError::into_inner).keep(&ids);
            let Err(missing) = kept else { return Ok(()) };
            if !fetched.insert(missing.clone()) {
                return Err(OpError::Layer(missing));
            }
            self.imports.fetch(self, &missing).await?;
        }
    }

    /// Whether layers are here, or can be fetched.
    pub(crate) fn has(&self, layers: &[Layer]) -> bool {
        let snapshots = &self.inner.parts.snapshots;
        layers
            .iter()
            .all(|layer| snapshots.has_layer(&layer.diff_id) || self.imports.has(&layer.diff_id))
    }

    /// Whom steps' secrets come from.
    pub(crate) fn confidant(&self) -> Confidant {
        Confidant { client: Arc::clone(&self.client), agents: self.request.ssh.clone() }
    }
}

/// Layers of an image as results have them.
pub(crate) fn layers_of(image: &Image) -> Vec<Layer> {
    let created_ms = image.created_s().saturating_mul(1000);
    let layer = |record: &LayerRecord| Layer {
        diff_id: record.diff_id.clone(),
        size_bytes: record.unpacked_size_bytes,
        tar_bytes: if record.digest == record.diff_id { record.size_bytes } else { 0 },
        made_by: None,
        created_ms,
    };
    image.layers.iter().map(layer).collect()
}

/// Diff IDs of layers.
pub(crate) fn ids(layers: &[Layer]) -> Vec<Digest> {
    layers.iter().map(|layer| layer.diff_id.clone()).collect()
}

/// What stands for a list of layers.
pub(crate) fn chain(layers: &[Layer]) -> String {
    gantry_oci::ChainId::of(&ids(layers)).map_or_else(|| "none".to_owned(), |id| id.0.to_string())
}
