//! Which image a name means.

use std::sync::Arc;

use gantry_oci::{Digest, Reference};

use crate::{Image, ResolveError, state::State};

impl State {
    pub(crate) fn resolve(&self, name: &str) -> Result<Arc<Image>, ResolveError> {
        let by_id = |id: &Digest| self.images.get(id).cloned();
        let bare = name.strip_prefix("sha256:").unwrap_or(name);
        if let Ok(id) = Digest::from_hex(bare) {
            return by_id(&id).ok_or_else(|| ResolveError::NotFound(name.to_owned()));
        }
        let reference = name.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some(id) = self.by_reference(reference)
        {
            return by_id(id).ok_or_else(|| ResolveError::NotFound(name.to_owned()));
        }
        if !bare.is_empty() && bare.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let mut matching =
                self.images.values().filter(|image| image.id.hex().starts_with(bare));
            if let (Some(image), None) = (matching.next(), matching.next()) {
                return Ok(Arc::clone(image));
            }
        }
        if name.starts_with("sha256:") {
            return Err(ResolveError::NotFound(name.to_owned()));
        }
        Err(ResolveError::NotFound(reference?.or_latest().familiar()))
    }

    fn by_reference(&self, reference: &Reference) -> Option<&Digest> {
        let Some(digest) = reference.digest() else {
            return self.names.get(&reference.clone().or_latest().canonical());
        };
        if let Some(id) = self.names.get(&reference.with_digest(digest.clone()).canonical()) {
            return Some(id);
        }
        // Docker takes an image's id behind one of its names too.
        let (id, image) = self.images.get_key_value(digest)?;
        image.names.iter().any(|name| name.name() == reference.name()).then_some(id)
    }

    pub(crate) fn has_children(&self, id: &Digest) -> bool {
        self.images.values().any(|image| image.parent.as_ref() == Some(id))
    }

    /// Gives names to an image, taking them from whoever has them.
    pub(crate) fn add_names(&mut self, id: &Digest, names: &[Reference], at: &str) {
        for name in names {
            let name = name.clone().or_latest();
            self.remove_name(&name);
            self.names.insert(name.canonical(), id.clone());
            if let Some(image) = self.images.get_mut(id) {
                let image = Arc::make_mut(image);
                let list = if name.digest().is_some() {
                    &mut image.repo_digests
                } else {
                    &mut image.names
                };
                list.push(name);
                list.sort_unstable();
                image.last_tagged = Some(at.to_owned()).filter(|at| !at.is_empty());
            }
        }
    }

    /// Takes a name from the image that has it.
    pub(crate) fn remove_name(&mut self, name: &Reference) {
        if let Some(id) = self.names.remove(&name.canonical())
            && let Some(image) = self.images.get_mut(&id)
        {
            let image = Arc::make_mut(image);
            image.names.retain(|own| own != name);
            image.repo_digests.retain(|own| own != name);
        }
    }
}
