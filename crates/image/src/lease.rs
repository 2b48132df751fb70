//! Layers that work under way needs: they are in no record yet, or their record may go meanwhile.

use gantry_oci::Digest;
use gantry_snapshot::LayerWriter;

use crate::{ImageError, Images};

/// Keeps layers from garbage collection until it is dropped.
#[derive(Debug)]
pub struct LayerLease {
    images: Images,
    held: Vec<Digest>,
}

impl Images {
    /// A lease that keeps nothing yet.
    #[must_use]
    pub fn layer_lease(&self) -> LayerLease {
        LayerLease { images: self.clone(), held: Vec::new() }
    }
}

impl LayerLease {
    /// Keeps layers, unless one of them is not here: then it keeps none and answers which it was.
    ///
    /// # Errors
    /// The layer that is not here.
    pub fn keep(&mut self, layers: &[Digest]) -> Result<(), Digest> {
        let images = self.images.clone();
        let _activity = images.activity();
        if let Some(missing) = layers.iter().find(|layer| !self.images.0.snapshots.has_layer(layer))
        {
            return Err(missing.clone());
        }
        self.hold(layers);
        Ok(())
    }

    /// Makes a layer visible and keeps it.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(
        &mut self,
        writer: LayerWriter,
        diff_id: &Digest,
        size_bytes: u64,
    ) -> Result<(), ImageError> {
        let images = self.images.clone();
        let _activity = images.activity();
        writer.commit(diff_id, size_bytes)?;
        self.hold(std::slice::from_ref(diff_id));
        Ok(())
    }

    fn hold(&mut self, layers: &[Digest]) {
        let mut state = self.images.state_mut();
        for layer in layers {
            *state.layer_leases.entry(layer.clone()).or_default() += 1;
            self.held.push(layer.clone());
        }
    }
}

impl Drop for LayerLease {
    fn drop(&mut self) {
        let mut state = self.images.state_mut();
        for layer in &self.held {
            if let Some(count) = state.layer_leases.get_mut(layer) {
                *count -= 1;
                if *count == 0 {
                    state.layer_leases.remove(layer);
                }
            }
        }
    }
}
