//! Lists, page by page: tags of a repository, repositories of a registry.
//!
//! Source: OCI distribution specification, "Listing Tags"; RFC 8288 for `Link`.

use std::collections::HashSet;

use futures_util::FutureExt;
use gantry_web::Address;
use hyper::{HeaderMap, Method, header::LINK};
use serde::{Deserialize, Deserializer};

use crate::{
    At, Client, Credentials, DistributionError, Repository,
    auth::Scopes,
    hosts::{Action, registry_of},
    server::{Call, Server},
};

/// How many entries a page is to have.
const PAGE: &str = "1000";

#[derive(Deserialize)]
struct Tags {
    #[serde(default, deserialize_with = "null_default")]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default, deserialize_with = "null_default")]
    repositories: Vec<String>,
}

fn null_default<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

impl Repository {
    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// [`DistributionError::RepositoryUnknown`], and all that can be wrong on the way.
    pub async fn tags(&self) -> Result<Vec<String>, DistributionError> {
        let found = self.first(Action::Resolve, |server| self.tags_at(server).boxed()).await;
        found.map_err(|error| match error {
            DistributionError::Answer(source) if source.status == 404 => {
                let name = self.name().familiar_name();
                DistributionError::RepositoryUnknown { name, source }
            }
            other => self.explain(&At::of(self.name()), other),
        })
    }

    async fn tags_at(&self, server: &Server) -> Result<Vec<String>, DistributionError> {
        let address = server.address(&self.path(server, "tags/list")).await?;
        let scopes = self.scopes(server, &["pull"]);
        let read = |page: &[u8]| Ok(serde_json::from_slice::<Tags>(page)?.tags);
        pages(server, address.with_query("n", PAGE), &scopes, read).await
    }
}

impl Client {
    /// All repositories of a registry, by their paths.
    ///
    /// # Errors
    /// When the registry gives no such list, as Docker Hub, or not to this user.
    pub async fn catalog(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Vec<String>, DistributionError> {
        let server = self.own_server(&registry_of(registry)?, credentials).await?;
        let address = server.address("/_catalog").await?.with_query("n", PAGE);
        let read = |page: &[u8]| Ok(serde_json::from_slice::<Catalog>(page)?.repositories);
        pages(&server, address, &Scopes::catalog(), read).await
    }
}

/// All entries of a list.
pub(crate) async fn pages<T>(
    server: &Server,
    first: Address,
    scopes: &Scopes,
    read: impl Fn(&[u8]) -> Result<Vec<T>, serde_json::Error>,
) -> Result<Vec<T>, DistributionError> {
    let (mut all, mut next, mut seen) = (Vec::new(), Some(first), HashSet::new());
    let mut left = server.limits().list_bytes;
    while let Some(address) = next {
        let wrong = |why: String| {
            let url = address.to_string();
            DistributionError::BadAnswer { verb: "Get", url, why }
        };
        if !seen.insert(address.target.clone()) || seen.len() > server.limits().pages {
            return Err(wrong("the list has no end".to_owned()));
        }
        let call = Call::new(Method::GET, address.clone(), scopes);
        let (headers, body) = server.document(&call, server.limits().document_bytes).await?;
        left = match left.checked_sub(body.len() as u64) {
            Some(left) => left,
            None => return Err(wrong("the list is too long".to_owned())),
        };
        all.extend(read(&body).map_err(|error| wrong(format!("it is no list: {error}")))?);
        next = following(&headers, &address);
    }
    Ok(all)
}

/// The next page: path and query of the link; whatever host it names, it is the same list.
fn following(headers: &HeaderMap, address: &Address) -> Option<Address> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = |link: &str| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            matches!(parameter.trim().trim_end_matches(','), "rel=\"next\"" | "rel=next")
        });
        is_next.then(|| address.join(target))?
    };
    let next = links.flat_map(|value| value.split(", ")).find_map(next)?;
    Some(address.with_target(next.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let address = Address::parse("https://r.example/v2/a/tags/list?n=2").unwrap();
        for (text, want) in [
            (
                "</v2/a/tags/list?n=2&last=b>; rel=\"next\"",
                Some("https://r.example/v2/a/tags/list?n=2&last=b"),
            ),
            ("<?last=b>; rel=next", Some("https://r.example/v2/a/tags/list?last=b")),
            ("<http://evil.example/v2/x>; rel=\"next\"", Some("https://r.example/v2/x")),
            ("</a>; rel=\"prev\", </b>; rel=\"next\"", Some("https://r.example/b")),
            ("</a>; rel=\"prev\"", None),
            ("/a; rel=next", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            let next = following(&headers, &address).map(|address| address.whole());
            assert_eq!(next.as_deref(), want, "{text}");
        }
    }
}
