//! Search: Docker Hub's, and of registries that have the same; of others, their catalog.

use std::sync::Arc;

use gantry_oci::Reference;
use gantry_web::Address;
use hyper::Method;
use serde::Deserialize;

use crate::{
    Client, Credentials, DistributionError,
    auth::Scopes,
    hosts::{Endpoint, HUB, HUB_SEARCH, Scheme},
    server::{Call, Server},
};

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name, to pull it by.
    pub name: String,
    /// What it is.
    #[serde(deserialize_with = "null_default")]
    pub description: String,
    /// How many like it.
    pub star_count: i64,
    /// Whether Docker keeps it.
    pub is_official: bool,
    /// Whether Docker Hub built it.
    pub is_automated: bool,
}

fn null_default<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Found>,
}

impl Client {
    /// Looks for repositories: `TERM` on Docker Hub, `HOST/TERM` elsewhere; at most `limit`.
    ///
    /// # Errors
    /// When the registry has neither a search nor a catalog, or cannot be asked.
    pub async fn search(
        &self,
        term: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Found>, DistributionError> {
        let (registry, term) = split(term);
        let query =
            |address: Address| address.with_query("q", term).with_query("n", &limit.to_string());
        if registry == HUB {
            let server = self.hub_search()?;
            return ask(&server, query(server.address("/v1/search").await?), limit).await;
        }
        let server = self.own_server(registry, credentials).await?;
        let address = server.address("/").await?.with_target("/v1/search".to_owned());
        match ask(&server, query(address), limit).await {
            Ok(found) => Ok(found.into_iter().map(|found| found.of(registry)).collect()),
            // It has none, or something else there.
            Err(DistributionError::Answer(_) | DistributionError::BadAnswer { .. }) => {
                self.search_catalog(registry, term, limit, credentials).await
            }
            Err(error) => Err(error),
        }
    }

    fn hub_search(&self) -> Result<Server, DistributionError> {
        let address = Address::parse(HUB_SEARCH).ok_or_else(|| DistributionError::Host {
            text: HUB_SEARCH.to_owned(),
            why: "no URL",
        })?;
        // What it finds is public: it needs not know who asks.
        Server::new(&self.0, Endpoint::new(address, Scheme::Https), &Arc::default())
    }

    async fn search_catalog(
        &self,
        registry: &str,
        term: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Found>, DistributionError> {
        let all = self.catalog(registry, credentials).await?;
        let found = all.into_iter().filter(|name| name.contains(term)).take(limit);
        Ok(found.map(|name| Found { name, ..Found::default() }.of(registry)).collect())
    }
}

impl Found {
    /// With the registry in its name.
    fn of(mut self, registry: &str) -> Self {
        if !self.name.starts_with(&format!("{registry}/")) {
            self.name = format!("{registry}/{}", self.name);
        }
        self
    }
}

async fn ask(
    server: &Server,
    address: Address,
    limit: usize,
) -> Result<Vec<Found>, DistributionError> {
    let url = address.to_string();
    let call = Call::new(Method::GET, address, &Scopes::default());
    let (_, body) = server.document(&call, server.limits().document_bytes).await?;
    let results: Results = serde_json::from_slice(&body).map_err(|error| {
        DistributionError::BadAnswer { verb: "Get", url, why: format!("no results: {error}") }
    })?;
    Ok(results.results.into_iter().take(limit).collect())
}

/// The registry of a term, and what is looked for there.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        // A name says itself whether it begins with a host; what is looked for may be none.
        Some((host, rest))
            if format!("{host}/x").parse::<Reference>().is_ok_and(|name| name.domain() == host) =>
        {
            (host, rest)
        }
        _ => (HUB, term),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn terms() {
        for (term, want) in [
            ("busybox", ("docker.io", "busybox")),
            ("library/busybox", ("docker.io", "library/busybox")),
            ("localhost:5000/busy", ("localhost:5000", "busy")),
            ("r.example/", ("r.example", "")),
            ("docker.io/busy", ("docker.io", "busy")),
        ] {
            assert_eq!(split(term), want, "{term}");
        }
    }
}
