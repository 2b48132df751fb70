//! `GET /system/df`.

use std::collections::BTreeMap;

use gantry_api_types::image::ImageSummary;
use gantry_api_types::system::DiskUsage;
use gantry_api_types::volume::{Volume, VolumeUsage};
use gantry_image::Image;
use gantry_oci::Digest;

use crate::{Engine, ListOptions, SystemError};

/// What to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsageKinds {
    /// Images.
    pub images: bool,
    /// Containers.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
    /// Build cache, which the engine knows nothing of: the door counts it.
    pub build_cache: bool,
}

impl Engine {
    /// What takes space on disk, in the shape of versions below 1.52; the door makes the newer one
    /// from it.
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn disk_usage(&self, kinds: DiskUsageKinds) -> Result<DiskUsage, SystemError> {
        let mut usage = DiskUsage::default();
        if kinds.images {
            let images = self.parts().images.list();
            usage.layers_size = Some(size(self.parts().images.layers_size_bytes()));
            usage.images = Some(self.summaries(&images));
        }
        if kinds.containers {
            let all = ListOptions { all: true, size: true, ..ListOptions::default() };
            usage.containers = Some(self.list(all).await?);
        }
        if kinds.volumes {
            let engine = self.clone();
            let volumes = tokio::task::spawn_blocking(move || engine.measured_volumes()).await;
            let volumes =
                volumes.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            usage.volumes = Some(volumes);
        }
        Ok(usage)
    }

    fn summaries(&self, images: &[std::sync::Arc<Image>]) -> Vec<ImageSummary> {
        let mut owners: BTreeMap<&Digest, usize> = BTreeMap::new();
        for layer in images.iter().flat_map(|image| &image.layers) {
            *owners.entry(&layer.diff_id).or_default() += 1;
        }
        let shared = |image: &Image| {
            let layers = image.layers.iter().filter(|layer| owners[&layer.diff_id] > 1);
            layers.map(|layer| layer.unpacked_size_bytes).sum::<u64>()
        };
        images
            .iter()
            .map(|image| ImageSummary {
                shared_size: size(shared(image)),
                containers: i64::try_from(self.image_users(&image.id).len()).unwrap_or(i64::MAX),
                ..summary(image)
            })
            .collect()
    }

    fn measured_volumes(&self) -> Result<Vec<Volume>, SystemError> {
        let volumes = &self.parts().volumes;
        volumes
            .list()
            .into_iter()
            .filter(gantry_volume::Volume::is_plain)
            .map(|volume| {
                let users = self.volume_users(&volume.name).len();
                let usage = VolumeUsage {
                    size: size(volumes.usage(&volume.name)?),
                    ref_count: i64::try_from(users).unwrap_or(i64::MAX),
                };
                Ok(Volume {
                    mountpoint: volumes.mountpoint(&volume.name).display().to_string(),
                    name: volume.name,
                    driver: volume.driver,
                    created_at: volume.created_at,
                    labels: volume.labels,
                    options: volume.options,
                    scope: "local".to_owned(),
                    usage_data: Some(usage),
                    ..Volume::default()
                })
            })
            .collect()
    }
}

/// An image as lists show it.
fn summary(image: &Image) -> ImageSummary {
    let labels = image.config.config.as_ref().map(|config| config.labels.clone());
    ImageSummary {
        id: image.id.to_string(),
        created: image.created_s(),
        labels: labels.filter(|labels| !labels.is_empty()),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        repo_tags: image.names.iter().map(gantry_oci::Reference::familiar).collect(),
        repo_digests: image.repo_digests.iter().map(gantry_oci::Reference::familiar).collect(),
        size: size(image.size_bytes()),
        containers: -1,
        shared_size: -1,
        ..ImageSummary::default()
    }
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
