//! Removing names and images: `docker rmi`, `docker image prune`.
//!
//! The order of checks is Docker's, since its words and what stays behind depend on it.

use std::sync::Arc;

use gantry_oci::{ChainId, Digest, Reference};
use gantry_store::Durability;

use crate::{
    Image, ImageAction, ImageEvent, ImageUser, Images, RemoveError, ResolveError,
    record::{ImageRecord, NameRecord},
};

/// Options of [`Images::remove`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Even if stopped containers or other names use it.
    pub force: bool,
    /// Leave parents without a name.
    pub no_prune: bool,
}

/// What was removed, as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(String),
    /// An image, or a layer by its chain ID.
    Deleted(String),
}

/// Which images to prune.
pub struct Prune<'a> {
    /// Only images without a name.
    pub dangling_only: bool,
    /// Only images that this picks (`until`, labels).
    pub wanted: &'a dyn Fn(&Image) -> bool,
    /// Containers that use an image.
    pub users: &'a dyn Fn(&Digest) -> Vec<ImageUser>,
}

/// Containers that use an image.
type Users<'a> = &'a dyn Fn(&Digest) -> Vec<ImageUser>;

/// One removal under way.
struct Removal<'a> {
    images: &'a Images,
    users: Users<'a>,
    prune_parents: bool,
    removed: Vec<Removed>,
    freed: u64,
    /// Told once the change is over, so that a listener may look at the images.
    events: Vec<ImageEvent>,
}

/// Which reasons to keep an image count.
#[derive(Clone, Copy)]
struct Checks {
    /// Other names and stopped containers.
    soft: bool,
    /// Names at all.
    names: bool,
}

impl Images {
    /// Removes a name, and the image with its last name; `users` tells the containers of an image.
    ///
    /// # Errors
    /// Docker's conflicts, when containers, names or images need it.
    pub fn remove(
        &self,
        name: &str,
        options: RemoveOptions,
        users: Users<'_>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let mut removal = Removal::new(self, users, !options.no_prune);
        let result = {
            let _change = self.change();
            removal.by_name(name, options.force)
        };
        let (removed, _) = removal.end(result)?;
        Ok(removed)
    }

    /// Removes images that nothing uses; returns what was removed and the bytes that this freed.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub fn prune(&self, prune: &Prune<'_>) -> Result<(Vec<Removed>, u64), RemoveError> {
        let mut removal = Removal::new(self, prune.users, true);
        let result = {
            let _change = self.change();
            let picked = self.list().into_iter().filter(|image| {
                (image.is_dangling() || !prune.dangling_only)
                    && (prune.wanted)(image)
                    && (prune.users)(&image.id).is_empty()
            });
            picked.map(|image| image.id.clone()).try_for_each(|id| removal.pruned(&id))
        };
        removal.end(result)
    }
}

impl<'a> Removal<'a> {
    fn new(images: &'a Images, users: Users<'a>, prune_parents: bool) -> Self {
        Self { images, users, prune_parents, removed: Vec::new(), freed: 0, events: Vec::new() }
    }

    /// Tells what happened, also before an error, and deletes what nobody needs now.
    fn end(self, result: Result<(), RemoveError>) -> Result<(Vec<Removed>, u64), RemoveError> {
        let deleted = self.events.iter().any(|event| event.action == ImageAction::Delete);
        for event in self.events {
            (self.images.0.on_event)(event);
        }
        if deleted {
            self.images.collect()?;
        }
        result.map(|()| (self.removed, self.freed))
    }

    fn by_name(&mut self, name: &str, force: bool) -> Result<(), RemoveError> {
        let image = self.images.resolve(name)?;
        let bare = name.strip_prefix("sha256:").unwrap_or(name);
        if image.id.hex().starts_with(bare) {
            if is_single_reference(&image) {
                self.check(&image, Checks { soft: !force, names: false })?;
                self.untag_all(&image)?;
            }
            return self.delete(&image.id, force, false);
        }
        let reference = name.parse::<Reference>().map_err(ResolveError::from)?.or_latest();
        let user = (self.users)(&image.id).into_iter().next();
        if let Some(user) = user
            && !force
            && is_single_reference(&image)
        {
            return Err(RemoveError::NameInUse {
                name: name.to_owned(),
                container: short(&user.container_id),
                image: image.id.short().to_owned(),
            });
        }
        self.untag(&image, &reference)?;
        let Some(image) = self.images.get(&image.id) else { return Ok(()) };
        let same_repository = |other: &&Reference| other.name() == reference.name();
        if reference.digest().is_none() && !image.names.iter().any(|other| same_repository(&other))
        {
            for digest in image.repo_digests.iter().filter(same_repository) {
                self.untag(&image, digest)?;
            }
        }
        let id = image.id.clone();
        match self.images.get(&id) {
            Some(image) if image.names.is_empty() && image.repo_digests.is_empty() => {
                self.delete(&id, force, true)
            }
            _ => Ok(()),
        }
    }

    fn pruned(&mut self, id: &Digest) -> Result<(), RemoveError> {
        let Some(image) = self.images.get(id) else { return Ok(()) };
        let kept = self.check(&image, Checks { soft: true, names: false }).is_err();
        if kept {
            return Ok(());
        }
        self.untag_all(&image)?;
        self.delete(id, false, true)
    }

    /// Deletes an image; `quiet` when its last name is gone already and what keeps it is no error.
    fn delete(&mut self, id: &Digest, force: bool, quiet: bool) -> Result<(), RemoveError> {
        let Some(image) = self.images.get(id) else { return Ok(()) };
        if let Err(conflict) = self.check(&image, Checks { soft: !force, names: !force }) {
            let dangling = image.is_dangling() && !self.images.has_children(id);
            let used = !(self.users)(id).is_empty();
            return if quiet && (!dangling || used) { Ok(()) } else { Err(conflict) };
        }
        self.untag_all(&image)?;
        let layers = self.exclusive_layers(&image);
        let mut batch = self.images.0.store.batch();
        batch.delete::<ImageRecord>(id.as_str());
        {
            // A lease taken since the check keeps the image; under the lock none can be taken.
            let mut state = self.images.state_mut();
            if state.leases.contains_key(id) {
                drop(state);
                return self.check(&image, Checks { soft: false, names: false });
            }
            state.images.remove(id);
        }
        self.images.0.store.commit(batch, Durability::Durable)?;
        self.events.push(self.images.event(ImageAction::Delete, id, id.as_str()));
        self.removed.push(Removed::Deleted(id.to_string()));
        for (chain, size) in layers {
            self.removed.push(Removed::Deleted(chain.0.to_string()));
            self.freed += size;
        }
        match &image.parent {
            Some(parent) if self.prune_parents => {
                let nameless = self.images.get(parent).is_some_and(|parent| parent.is_dangling());
                if nameless { self.delete(parent, false, true) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn check(&self, image: &Image, checks: Checks) -> Result<(), RemoveError> {
        let conflict = |hard, reason: String| {
            Err(RemoveError::InUse { image: image.id.short().to_owned(), hard, reason })
        };
        if self.images.has_children(&image.id) {
            return conflict(true, "image has dependent child images".to_owned());
        }
        let users = (self.users)(&image.id);
        if let Some(user) = users.iter().find(|user| user.running) {
            let container = short(&user.container_id);
            return conflict(true, format!("image is being used by running container {container}"));
        }
        if self.images.state().leases.contains_key(&image.id) {
            return conflict(
                true,
                "image is being used by a container that is being created".to_owned(),
            );
        }
        if checks.names && image.names.len() + image.repo_digests.len() > 0 {
            return conflict(false, "image is referenced in multiple repositories".to_owned());
        }
        match users.first() {
            Some(user) if checks.soft => {
                let container = short(&user.container_id);
                conflict(false, format!("image is being used by stopped container {container}"))
            }
            _ => Ok(()),
        }
    }

    fn untag_all(&mut self, image: &Image) -> Result<(), RemoveError> {
        let all: Vec<Reference> = image.names.iter().chain(&image.repo_digests).cloned().collect();
        all.iter().try_for_each(|name| self.untag(image, name))
    }

    fn untag(&mut self, image: &Image, name: &Reference) -> Result<(), RemoveError> {
        let mut batch = self.images.0.store.batch();
        batch.delete::<NameRecord>(&name.canonical());
        self.images.0.store.commit(batch, Durability::Durable)?;
        self.images.state_mut().remove_name(name);
        self.removed.push(Removed::Untagged(name.familiar()));
        self.events.push(self.images.event(ImageAction::Untag, &image.id, image.id.as_str()));
        Ok(())
    }

    /// Chain IDs of the layers that no other image has, top first, with their sizes.
    fn exclusive_layers(&self, image: &Image) -> Vec<(ChainId, u64)> {
        let own = image.lowers();
        let others: Vec<Arc<Image>> =
            self.images.list().into_iter().filter(|other| other.id != image.id).collect();
        let shared =
            |count: usize| others.iter().any(|other| other.lowers().starts_with(&own[..count]));
        (1..=own.len())
            .rev()
            .take_while(|count| !shared(*count))
            .filter_map(|count| {
                let size = image.layers[count - 1].unpacked_size_bytes;
                ChainId::of(&own[..count]).map(|chain| (chain, size))
            })
            .collect()
    }
}

/// At most one name with a tag, and all names in one repository.
fn is_single_reference(image: &Image) -> bool {
    let mut repositories: Vec<String> =
        image.names.iter().chain(&image.repo_digests).map(Reference::name).collect();
    repositories.sort_unstable();
    repositories.dedup();
    image.names.len() <= 1 && repositories.len() <= 1
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
