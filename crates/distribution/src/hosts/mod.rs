//! Where a repository is looked for: its registry, mirrors, certificates.
//!
//! ```text
//! <certs dir>/<host:port>/hosts.toml             containerd's: servers in order
//!                         *.crt                  authorities, beside those of the machine
//!                         NAME.cert, NAME.key    who we are
//! <certs dir>/<host_port_>/…                     the same, for file systems that have no colons
//! <certs dir>/_default/hosts.toml                registries that have no directory
//! ```
//!
//! Files are read for each question, so that a change takes effect without a restart.
//!
//! Sources: Docker's "Verify repository client with certificates" and `registry-mirrors`;
//! containerd's `docs/hosts.md`.

mod certs;
mod endpoint;
mod file;
mod listed;
mod trust;

use std::path::{Path, PathBuf};

use gantry_web::{Address, Trust, host_and_port};

use self::{endpoint::Capabilities, listed::Listed};
pub(crate) use self::{
    endpoint::{Action, Endpoint, Scheme},
    trust::fingerprint,
};
use crate::{DistributionError, HostsConfig};

/// Docker Hub's name in references.
pub(crate) const HUB: &str = "docker.io";
/// Docker Hub's other name.
const HUB_INDEX: &str = "index.docker.io";
/// Where Docker Hub's repositories are.
const HUB_REGISTRY: &str = "registry-1.docker.io";
/// What Docker Hub's credentials are called in `config.json`.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Docker Hub's search.
pub(crate) const HUB_SEARCH: &str = "https://index.docker.io";
/// The directory of registries that have none.
const DEFAULT_DIR: &str = "_default";

/// What a registry's credentials are called in `config.json`: Docker Hub's by a URL, others by
/// their host.
#[must_use]
pub fn index_key(registry: &str) -> String {
    if is_hub(registry) { HUB_KEY.to_owned() } else { registry.to_owned() }
}

fn is_hub(registry: &str) -> bool {
    matches!(registry, HUB | HUB_INDEX | HUB_REGISTRY)
}

/// The registry that a text names: nothing, a host, or a URL as it stands in `config.json`.
pub(crate) fn registry_of(text: &str) -> Result<String, DistributionError> {
    let rest = text.trim();
    let rest =
        rest.strip_prefix("https://").or_else(|| rest.strip_prefix("http://")).unwrap_or(rest);
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() && text.trim().is_empty() || is_hub(host) {
        return Ok(HUB.to_owned());
    }
    match host_and_port(host) {
        Some(_) => Ok(host.to_owned()),
        None => Err(DistributionError::Host { text: text.to_owned(), why: "it names no host" }),
    }
}

/// Where repositories are looked for.
#[derive(Debug)]
pub(crate) struct Hosts {
    insecure: Listed,
    nondistributable: Listed,
    mirrors: Vec<Address>,
    certs_dirs: Vec<PathBuf>,
}

impl Hosts {
    pub(crate) fn new(config: &HostsConfig) -> Result<Self, DistributionError> {
        Ok(Self {
            insecure: Listed::new(
                &config.insecure_registries,
                "an insecure registry is a host or a network",
            )?,
            nondistributable: Listed::new(
                &config.nondistributable,
                "a registry that gets foreign layers is a host or a network",
            )?,
            mirrors: config.mirrors.iter().map(|text| mirror(text)).collect::<Result<_, _>>()?,
            certs_dirs: config.certs_dirs.clone(),
        })
    }

    /// Where the repositories of `registry` are looked for, in this order.
    pub(crate) async fn endpoints(
        &self,
        registry: &str,
    ) -> Result<Vec<Endpoint>, DistributionError> {
        let own = self.own(registry).await?;
        let Some(dir) = self.dir(registry, true) else {
            return self.with_mirrors(registry, own).await;
        };
        match file::read(&dir, registry, &own)? {
            Some(endpoints) => Ok(endpoints),
            None => {
                let trust = certs::read(&dir, own.trust.skip_verify)?;
                self.with_mirrors(registry, Endpoint { trust, ..own }).await
            }
        }
    }

    /// Whether a registry may get layers that are not for everybody to give away.
    pub(crate) async fn gets_nondistributable(&self, registry: &str) -> bool {
        let Some((host, _)) = host_and_port(registry) else { return false };
        self.nondistributable.holds(registry, &host).await
    }

    /// The server of a URL that a manifest tells for a blob. It is not the machine's user who
    /// says so: a certificate must speak for it, unless the user called it insecure. Nothing of
    /// ours goes there, no client's certificate either.
    pub(crate) async fn elsewhere(&self, url: &Address) -> Option<Endpoint> {
        let insecure = self.insecure.holds(&url.authority(), &url.host).await;
        let scheme = match url.tls {
            true => Scheme::Https,
            false if insecure => Scheme::Http,
            false => return None,
        };
        let trust = Trust::system(insecure);
        Some(Endpoint { trust, ..Endpoint::new(url.with_target("/".to_owned()), scheme) })
    }

    async fn with_mirrors(
        &self,
        registry: &str,
        own: Endpoint,
    ) -> Result<Vec<Endpoint>, DistributionError> {
        let mut endpoints = Vec::new();
        if registry == HUB {
            for mirror in &self.mirrors {
                endpoints.push(self.mirror(mirror).await?);
            }
        }
        endpoints.push(own);
        Ok(endpoints)
    }

    async fn mirror(&self, address: &Address) -> Result<Endpoint, DistributionError> {
        let insecure = self.insecure.is_insecure(&address.authority(), &address.host).await;
        let trust = match self.dir(&address.authority(), false) {
            Some(dir) => certs::read(&dir, insecure)?,
            None => Trust::system(insecure),
        };
        let scheme = if address.tls { Scheme::Https } else { Scheme::Http };
        let capabilities = Capabilities::reading();
        let endpoint = Endpoint::new(address.clone(), scheme);
        Ok(Endpoint { trust, capabilities, greets: true, ..endpoint })
    }

    /// The registry itself, as if nothing was configured for it.
    async fn own(&self, registry: &str) -> Result<Endpoint, DistributionError> {
        let name = if registry == HUB { HUB_REGISTRY } else { registry };
        let address = Address::parse(&format!("https://{name}/v2"))
            .ok_or(DistributionError::Host { text: name.to_owned(), why: "it is no host" })?;
        let insecure = self.insecure.is_insecure(name, &address.host).await;
        let scheme = if insecure { Scheme::Either } else { Scheme::Https };
        let trust = Trust::system(insecure);
        Ok(Endpoint { trust, is_own: true, greets: true, ..Endpoint::new(address, scheme) })
    }

    /// The directory of a registry.
    fn dir(&self, registry: &str, or_default: bool) -> Option<PathBuf> {
        // References are checked, and this is what a path is made of: check again.
        host_and_port(registry)?;
        let mut names = vec![registry.to_owned()];
        if let Some((host, port)) = registry.rsplit_once(':') {
            names.push(format!("{host}_{port}_"));
        }
        if or_default {
            names.push(DEFAULT_DIR.to_owned());
        }
        let found =
            |root: &PathBuf| names.iter().map(|name| root.join(name)).find(|dir| dir.is_dir());
        self.certs_dirs.iter().find_map(found)
    }
}

fn mirror(text: &str) -> Result<Address, DistributionError> {
    let wrong = |why| DistributionError::Host { text: hide_user(text), why };
    if text.split('/').nth(2).is_some_and(|authority| authority.contains('@')) {
        return Err(wrong("a mirror's URL may hold no user"));
    }
    let mut address = Address::parse(text).ok_or(wrong("a mirror is an http or https URL"))?;
    if address.target != "/" {
        return Err(wrong("a mirror's URL ends with its host"));
    }
    "/v2".clone_into(&mut address.target);
    Ok(address)
}

fn hide_user(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => text.to_owned(),
    }
}

/// Reads a file that a configuration names.
fn read_file(path: &Path) -> Result<Vec<u8>, DistributionError> {
    std::fs::read(path).map_err(|error| wrong_file(path, error))
}

fn wrong_file(path: &Path, why: impl std::fmt::Display) -> DistributionError {
    DistributionError::File { path: path.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests;
