//! One repository of one registry, for one asker.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gantry_oci::{Digest, Reference};

use crate::{DistributionError, auth::Scopes, hosts::Action, server::Server};

/// One repository, asked for with the credentials of one user; clones are cheap.
#[derive(Clone)]
pub struct Repository {
    name: Reference,
    servers: Arc<[Server]>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Repository").field(&self.name.name()).finish()
    }
}

/// What is asked for in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// What a tag means now.
    Tag(String),
    /// What has this digest.
    Digest(Digest),
}

impl At {
    /// What a reference means: its digest, else its tag, else `latest`.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(digest.clone()),
            (None, tag) => Self::Tag(tag.unwrap_or("latest").to_owned()),
        }
    }

    /// The text in URLs.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }

    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl Repository {
    pub(crate) fn new(name: Reference, servers: Vec<Server>) -> Self {
        Self { name, servers: servers.into() }
    }

    /// The reference that it was asked for by.
    #[must_use]
    pub fn name(&self) -> &Reference {
        &self.name
    }

    /// The servers that may be asked for this, first to last.
    pub(crate) fn servers(&self, action: Action) -> Result<Vec<&Server>, DistributionError> {
        let found: Vec<&Server> =
            self.servers.iter().filter(|server| server.endpoint().allows(action)).collect();
        if found.is_empty() {
            let registry = self.name.domain().to_owned();
            return Err(DistributionError::NoHost { registry, action: action.name() });
        }
        Ok(found)
    }

    /// The one server that is written to.
    pub(crate) fn writer(&self) -> Result<&Server, DistributionError> {
        // Mirrors that may be written to stand before the registry, and are meant then.
        self.servers(Action::Push).map(|servers| servers[0])
    }

    /// The answer of the first server that has one; the failure of the last, if none has.
    pub(crate) async fn first<'s, T>(
        &'s self,
        action: Action,
        ask: impl Fn(&'s Server) -> BoxFuture<'s, Result<T, DistributionError>>,
    ) -> Result<T, DistributionError> {
        let servers = self.servers(action)?;
        let (last, mirrors) = servers.split_last().expect("servers() gives at least one");
        for mirror in mirrors {
            match ask(mirror).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pass_over(mirror, &error),
            }
        }
        ask(last).await
    }

    /// Tells of a mirror that failed.
    pub(crate) fn pass_over(&self, mirror: &Server, error: &DistributionError) {
        let (host, error) = (mirror.name(), gantry_fault::chain(error));
        tracing::info!(host, error, repository = self.name.name(), "trying the next host");
    }

    /// The path of something of this repository at a server.
    pub(crate) fn path(&self, server: &Server, rest: &str) -> String {
        format!("/{}/{rest}", server.endpoint().repository(self.name.path()))
    }

    /// What must be allowed at a server, for these actions on this repository.
    pub(crate) fn scopes(&self, server: &Server, actions: &[&str]) -> Scopes {
        Scopes::repository(&server.endpoint().repository(self.name.path()), actions)
    }
}
