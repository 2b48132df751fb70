//! File systems of failed steps, kept for a shell.

use std::sync::Arc;

use gantry_image::{Images, Make, RemoveOptions};
use gantry_oci::{ContainerConfig, Digest, ImageConfig, Platform, RootFs};
use gantry_store::{Durability, Record, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::{
    build::{Build, ids},
    graph::Exec,
    ops::KeptRoot,
    output::{OutputError, layer_records},
};

/// A note of an image that is to go; its key is the image's id.
#[derive(Debug, Serialize, Deserialize)]
struct KeptRecord {}

impl Record for KeptRecord {
    const TABLE: &'static str = "build_kept";
    const VERSION: u32 = 1;
}

/// An image of a failed step's file system; it is removed on drop.
pub struct Kept {
    store: Store,
    images: Images,
    id: Digest,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.id).finish()
    }
}

impl Kept {
    /// Makes the image: a shell in it is where the step was.
    pub(crate) fn make(build: &Build, root: &KeptRoot, exec: &Exec) -> Result<Self, OutputError> {
        let host = Platform::host();
        let config = ImageConfig {
            architecture: host.architecture,
            os: host.os,
            comment: "file system of a failed build step".to_owned(),
            created: Some(jiff::Timestamp::now().to_string()),
            config: Some(ContainerConfig {
                env: exec.env.clone(),
                user: exec.user.clone(),
                working_dir: exec.working_directory.clone(),
                cmd: Some(vec!["/bin/sh".to_owned()]),
                ..ContainerConfig::default()
            }),
            rootfs: RootFs { diff_ids: ids(&root.layers), ..RootFs::default() },
            ..ImageConfig::default()
        };
        let raw_config = serde_json::to_vec(&config).map_err(OutputError::Config)?;
        let id = Digest::of(&raw_config);
        let (store, images) = (&build.inner.parts.store, &build.inner.parts.images);
        // Noted first: an image that was made is known to be one that goes.
        let mut batch = store.batch();
        batch.put(id.as_str(), &KeptRecord {});
        store
            .commit(batch, Durability::Relaxed)
            .map_err(|error| OutputError::Image(error.into()))?;
        let kept = Self { store: store.clone(), images: images.clone(), id };
        images.make_of_layers(Make {
            raw_config,
            layers: layer_records(build, &root.layers),
            names: Vec::new(),
            parent: None,
        })?;
        Ok(kept)
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (store, images, id) = (self.store.clone(), self.images.clone(), self.id.clone());
        // Removing waits for the disk; whoever drops this may not.
        let work = move || {
            if let Err(error) = remove(&store, &images, &id) {
                tracing::warn!(%id, error, "could not remove a failed step's image");
            }
        };
        if std::thread::Builder::new().name("kept".into()).spawn(work).is_err() {
            tracing::warn!("a failed step's image is removed at the next start");
        }
    }
}

/// Removes what a killed daemon kept.
pub(crate) fn sweep(store: &Store, images: &Images) -> Result<(), StoreError> {
    for (id, KeptRecord {}) in store.list::<KeptRecord>()? {
        if let Ok(id) = id.parse::<Digest>()
            && let Err(error) = remove(store, images, &id)
        {
            tracing::warn!(%id, error, "could not remove a failed step's image");
        }
    }
    Ok(())
}

fn remove(store: &Store, images: &Images, id: &Digest) -> Result<(), String> {
    if images.get(id).is_some() {
        // A container of it keeps its layers.
        let options = RemoveOptions { force: true, no_prune: true };
        images
            .remove(id.as_str(), options, &|_| Vec::new())
            .map_err(|error| gantry_fault::chain(&error))?;
    }
    let mut batch = store.batch();
    batch.delete::<KeptRecord>(id.as_str());
    store.commit(batch, Durability::Relaxed).map_err(|error| gantry_fault::chain(&error))
}

/// Keeps a failure's file system, if it has one; without it the failure is told all the same.
pub(crate) async fn keep(build: &Arc<Build>, root: Option<&KeptRoot>, exec: &Exec) -> Option<Kept> {
    let root = root?;
    build.ensure(&root.layers).await.ok()?;
    let made = Kept::make(build, root, exec);
    made.inspect_err(|error| {
        let error = gantry_fault::chain(error);
        tracing::warn!(error, "could not keep a failed step's file system");
    })
    .ok()
}
