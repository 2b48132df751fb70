//! `docker history`.

use crate::{HistoryEntry, Image, Images, model::seconds};

impl Images {
    /// The steps that an image came about by, newest first.
    #[must_use]
    pub fn history(&self, image: &Image) -> Vec<HistoryEntry> {
        let mut layers = image.layers.iter();
        let mut entries: Vec<HistoryEntry> = Vec::new();
        for step in &image.config.history {
            let layer = if step.empty_layer { None } else { layers.next() };
            entries.push(HistoryEntry {
                id: "<missing>".to_owned(),
                created_s: seconds(step.created.as_deref()),
                created_by: step.created_by.clone(),
                tags: Vec::new(),
                size_bytes: layer.map_or(0, |layer| layer.unpacked_size_bytes),
                comment: step.comment.clone(),
            });
        }
        entries.reverse();
        // Each line down is the parent's, as long as parents are known.
        let mut at = self.get(&image.id);
        for entry in &mut entries {
            let Some(image) = at else { break };
            entry.id = image.id.to_string();
            entry.tags = image.names.iter().map(gantry_oci::Reference::familiar).collect();
            at = image.parent.as_ref().and_then(|parent| self.get(parent));
        }
        entries
    }
}
