//! What may go: links that nothing needs, tags and manifests that are too old.

use std::collections::HashSet;

use gantry_oci::Digest;
use gantry_store::{Durability, StoreError};

use super::{
    Index, Reference,
    change::{ChangeError, Removal},
    records::{LinkRecord, digest_key},
    state::Repository,
};
use crate::{
    name::Name,
    rules::{Retention, Rules},
};

impl Index {
    /// Names of all repositories.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.state().repositories.keys().cloned().collect()
    }

    /// Ids of all uploads.
    pub(crate) fn uploads(&self) -> Vec<String> {
        self.state().uploads.keys().cloned().collect()
    }

    /// Takes from a repository the blobs that none of its manifests needs and that nobody was told
    /// of since `idle_since_s`.
    ///
    /// # Errors
    /// When the store cannot be written; nothing has changed then.
    pub(crate) async fn sweep(
        &self,
        name: &Name,
        idle_since_s: u64,
    ) -> Result<Vec<Digest>, StoreError> {
        let _held = self.hold_repository(name).await;
        let idle = {
            // Whoever is told of a blob while this is decided is told under the same lock, so he
            // is either seen here, or finds the blob gone.
            let mut state = self.change();
            let Some(repository) = state.repositories.get(name) else { return Ok(Vec::new()) };
            let idle = repository.idle(idle_since_s);
            for digest in &idle {
                state.set_hidden(name, digest, true);
            }
            idle
        };
        if idle.is_empty() {
            return Ok(idle);
        }
        let mut batch = self.store.batch();
        for digest in &idle {
            batch.delete::<LinkRecord>(&digest_key(name, digest));
        }
        let written = self.store.commit_async(batch, Durability::Durable).await;
        let mut state = self.change();
        for digest in &idle {
            match &written {
                Ok(()) => state.unlink(name, digest),
                Err(_) => state.set_hidden(name, digest, false),
            }
        }
        written.map(|()| idle)
    }

    /// Removes what a rule says is too old; returns how many tags and manifests are gone.
    ///
    /// # Errors
    /// When the store or the bucket cannot be written.
    pub(crate) async fn retire(
        &self,
        name: &Name,
        rule: &Retention,
        now_s: u64,
        idle_since_s: u64,
    ) -> Result<usize, ChangeError> {
        let _held = self.hold_repository(name).await;
        let mut gone = 0;
        let tags = self.state().repositories.get(name).map_or_else(Vec::new, |repository| {
            repository.old_tags(name, rule, &self.rules, now_s)
        });
        for tag in tags {
            let removed = self.remove_held(name, &Reference::Tag(tag)).await?;
            gone += usize::from(matches!(removed, Removal::Gone(_)));
        }
        let Some(most_s) = rule.untagged_older_than.map(|span| span.as_s()) else {
            return Ok(gone);
        };
        let before_s = now_s.saturating_sub(most_s);
        // An index that goes leaves its manifests without one: they go in the same run.
        loop {
            let old =
                self.state().repositories.get(name).map_or_else(Vec::new, |repository| {
                    repository.untagged(before_s, idle_since_s)
                });
            let mut more = 0;
            for digest in old {
                let removed = self.remove_held(name, &Reference::Digest(digest)).await?;
                more += usize::from(matches!(removed, Removal::Gone(_)));
            }
            gone += more;
            if more == 0 {
                return Ok(gone);
            }
        }
    }
}

impl Repository {
    /// Blobs that nothing needs and nobody asked for since then.
    fn idle(&self, since_s: u64) -> Vec<Digest> {
        let needed = self.needed();
        let idle = self
            .links
            .iter()
            .filter(|(digest, link)| link.used_s() < since_s && !needed.contains(digest.as_ref()));
        idle.map(|(digest, _)| Digest::clone(digest)).collect()
    }

    /// Tags that a rule lets go, but those that are protected.
    fn old_tags(&self, name: &Name, rule: &Retention, rules: &Rules, now_s: u64) -> Vec<String> {
        let Some(most_s) = rule.older_than.map(|span| span.as_s()) else { return Vec::new() };
        let before_s = now_s.saturating_sub(most_s);
        let mut fitting: Vec<_> = self.tags.iter().filter(|(tag, _)| rule.tags.fits(tag)).collect();
        fitting.sort_by_key(|(_, tag)| std::cmp::Reverse(tag.updated_s));
        fitting
            .into_iter()
            .skip(rule.keep)
            .filter(|(tag, entry)| {
                entry.updated_s < before_s && !rules.protects(name.as_str(), tag)
            })
            .map(|(tag, _)| tag.clone())
            .collect()
    }

    /// Old manifests that nothing points at. What belongs to a manifest that is here stays with it.
    fn untagged(&self, before_s: u64, idle_since_s: u64) -> Vec<Digest> {
        let tagged: HashSet<&Digest> = self.tags.values().map(|tag| tag.digest.as_ref()).collect();
        let needed = self.needed();
        let old = self.manifests.iter().filter(|(digest, manifest)| {
            let digest: &Digest = digest;
            let belongs = manifest
                .subject
                .as_ref()
                .is_some_and(|subject| self.manifests.contains_key(subject));
            manifest.pushed_s < before_s
                && manifest.used_s() < idle_since_s
                && !tagged.contains(digest)
                && !needed.contains(digest)
                && !belongs
        });
        old.map(|(digest, _)| Digest::clone(digest)).collect()
    }
}
