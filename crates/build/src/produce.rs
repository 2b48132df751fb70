//! Making results that the cache does not have, each once for all builds that want it, and recording
//! them.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use gantry_oci::Digest;
use jiff::Timestamp;

use crate::{
    build::Build,
    cache::{
        RecordKind,
        record::{Definition, Layer, Part, Record, random},
    },
    graph::GitSource,
    ops::{
        OpError, Shared,
        git::Checkout,
        layer::{MadeLayer, SharedLease},
    },
    runs::{Listener, Ran, RunParts},
    solve::key,
};

/// Work that makes a layer, or finds that there is nothing to be made.
pub(crate) type Work = Box<
    dyn FnOnce(RunParts, SharedLease) -> BoxFuture<'static, Result<Option<MadeLayer>, OpError>>
        + Send,
>;

/// A result to be made.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// Builds that want it do not share it.
    pub private: bool,
    /// Its key by definition.
    pub definition: Digest,
    /// Its keys by content; the first one says what is the same work.
    pub contents: Vec<Digest>,
    pub kind: RecordKind,
    pub description: String,
    pub instruction: String,
    pub parts: Vec<Part>,
    /// Records that it builds upon.
    pub parents: Vec<String>,
    /// Layers that it builds upon.
    pub below: Vec<Layer>,
}

/// A result.
#[derive(Debug, Clone)]
pub(crate) struct Produced {
    /// All layers.
    pub layers: Vec<Layer>,
    pub record: String,
}

impl Build {
    /// Makes a result, or waits for another build that is making it.
    pub(crate) async fn produce(
        &self,
        product: Product,
        vertex: u32,
        work: Work,
    ) -> Result<Produced, Shared> {
        let same = match product.contents.first() {
            Some(content) if !product.private => content.clone(),
            _ => Digest::of(&random::<32>()),
        };
        let reporter = self.reporter.clone();
        let listener: Listener = Arc::new(move |stream, text| reporter.log(vertex, stream, text));
        let (cache, images) = (self.inner.parts.cache.clone(), self.inner.parts.images.clone());
        let (recorded, keep) = (product.clone(), self.request.keep_failed);
        let waiter = self.inner.runs.join(&same, listener, keep, move |parts| {
            Box::pin(async move {
                let lease: SharedLease = Arc::new(Mutex::new(images.layer_lease()));
                let made = work(parts, Arc::clone(&lease)).await?;
                let layer = made.map(|made| made.layer(Some(recorded.definition.clone())));
                let record = cache.put(recorded.record(layer.clone())).await?;
                // From here on the record keeps the layer.
                drop(lease);
                Ok(Ran { record, layer })
            })
        });
        let ran = tokio::select! {
            ran = waiter.outcome() => ran?,
            () = self.stop.cancelled() => return Err(Arc::new(OpError::Cancelled)),
        };
        self.users.add(&ran.record);
        let layers = product.layers(ran.layer);
        self.ensure(&layers[product.below.len()..]).await?;
        // Another build may have begun it under another definition.
        let content = product.contents.first().cloned();
        let definition = Definition { key: product.definition, layers: layers.clone() };
        self.inner
            .parts
            .cache
            .add_keys(&ran.record, definition, content)
            .await
            .map_err(|error| Arc::new(error.into()))?;
        Ok(Produced { layers, record: ran.record })
    }

    /// The files of a commit, as layers; and whether the cache had them.
    pub(crate) async fn git_layers(
        &self,
        source: &GitSource,
        commit: &str,
        vertex: u32,
    ) -> Result<(Vec<Layer>, bool), Shared> {
        let key = key::of_git(source, commit);
        if let Some(hit) = self.inner.parts.cache.by_definition(&key.digest)
            && let Some(known) = hit.record.definitions.iter().find(|one| one.key == key.digest)
            && self.has(&known.layers)
        {
            self.users.add(&hit.id);
            self.ensure(&known.layers).await?;
            return Ok((known.layers.clone(), true));
        }
        let product = Product {
            // It is fetched with what its client may see.
            private: true,
            definition: key.digest.clone(),
            contents: vec![key.digest],
            kind: RecordKind::SourceGit,
            description: format!("git snapshot for {}#{commit}", source.url),
            instruction: String::new(),
            parts: key.parts,
            parents: Vec::new(),
            below: Vec::new(),
        };
        let (fetcher, confidant) = (self.inner.fetcher.clone(), self.confidant());
        let (source, commit) = (source.clone(), commit.to_owned());
        let work: Work = Box::new(move |parts, lease| {
            Box::pin(async move {
                let checkout = Checkout {
                    source: &source,
                    commit: &commit,
                    confidant: Some(&confidant),
                    lease: &lease,
                };
                fetcher.layer(checkout, &parts.sink, &parts.stop).await
            })
        });
        Ok((self.produce(product, vertex, work).await?.layers, false))
    }
}

impl Product {
    /// All layers of the result.
    fn layers(&self, own: Option<Layer>) -> Vec<Layer> {
        let own = own.map(|layer| Layer { made_by: Some(self.definition.clone()), ..layer });
        self.below.iter().cloned().chain(own).collect()
    }

    fn record(self, layer: Option<Layer>) -> Record {
        let now = Timestamp::now().as_millisecond();
        let layers = self.layers(layer.clone());
        Record {
            layer,
            kind: self.kind,
            description: self.description,
            instruction: self.instruction,
            created_ms: now,
            last_used_ms: now,
            uses: 0,
            definitions: vec![Definition { key: self.definition, layers }],
            contents: self.contents,
            parts: self.parts,
            parents: self.parents,
        }
    }
}
