//! `hosts.toml`, as containerd reads it.
//!
//! ```text
//! server = "https://registry.example"         the registry itself, asked last
//! [host."https://mirror.example"]             asked before, in the order of the file
//!   capabilities = ["pull", "resolve"]        all, if it is left out
//!   ca = "mirror.crt"                         or a list; relative to the file
//!   client = [["us.cert", "us.key"]]          or a file that holds both, or a list of such
//!   skip_verify = false
//!   override_path = false                     the URL's path is the API's root, "/v2" is not added
//!   dial_timeout = "5s"
//!   [host."https://mirror.example".header]    sent with each request
//!     x-team = ["a", "b"]
//!   [host."https://mirror.example".rewrite]   repositories: the first pattern that fits is replaced
//!     "^library/(.*)" = "hub/$1"
//! ```

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use regex_lite::Regex;
use serde::Deserialize;

use gantry_web::{Address, Trust};

use super::{endpoint::Capabilities, endpoint::Endpoint, endpoint::Scheme, trust, wrong_file};
use crate::DistributionError;

const NAME: &str = "hosts.toml";

#[derive(Deserialize)]
struct File {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    #[serde(flatten)]
    own: Host,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Host {
    capabilities: Vec<String>,
    ca: Option<Texts>,
    client: Option<Clients>,
    skip_verify: Option<bool>,
    override_path: bool,
    dial_timeout: Option<String>,
    header: toml::Table,
    rewrite: toml::Table,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Clients {
    One(String),
    Many(Vec<Pair>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pair {
    Both(String),
    Apart([String; 2]),
}

/// Reads the file of a directory, if it has one.
pub(super) fn read(
    dir: &Path,
    registry: &str,
    own: &Endpoint,
) -> Result<Option<Vec<Endpoint>>, DistributionError> {
    let path = dir.join(NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong_file(&path, error)),
    };
    let reader = Reader { dir, path: &path, registry, own };
    reader.endpoints(&text).map(Some)
}

struct Reader<'a> {
    dir: &'a Path,
    path: &'a Path,
    registry: &'a str,
    own: &'a Endpoint,
}

impl Reader<'_> {
    fn endpoints(&self, text: &str) -> Result<Vec<Endpoint>, DistributionError> {
        let file: File = toml::from_str(text).map_err(|error| self.wrong(error))?;
        let mut endpoints = Vec::new();
        for (server, table) in file.host {
            let host: Host = table
                .try_into()
                .map_err(|error| self.wrong(format!("host {server:?}: {error}")))?;
            endpoints.push(self.endpoint(&server, host)?);
        }
        endpoints.push(match file.server.filter(|server| !server.is_empty()) {
            Some(server) => self.endpoint(&server, file.own)?,
            None => self.configure(self.own.clone(), file.own)?,
        });
        let mut seen = HashSet::new();
        endpoints.retain(|endpoint: &Endpoint| seen.insert(endpoint.address.whole()));
        Ok(endpoints)
    }

    fn endpoint(&self, server: &str, host: Host) -> Result<Endpoint, DistributionError> {
        let url =
            if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
        let mut address = Address::parse(&url)
            .filter(|address| !address.target.contains('?'))
            .ok_or_else(|| self.wrong(format!("{server:?} is no server")))?;
        let path = address.target.trim_end_matches('/');
        let add = !host.override_path && !path.ends_with("/v2");
        address.target = format!("{path}{}", if add { "/v2" } else { "" });
        let own = &self.own.address;
        let usual = own.port == 443 && !address.tls && address.port == 80;
        let is_own = address.host == own.host && (address.port == own.port || usual);
        let scheme = if address.tls { Scheme::Https } else { Scheme::Http };
        let mut endpoint = Endpoint { is_own, ..Endpoint::new(address, scheme) };
        if !is_own {
            endpoint.namespace = Some(self.registry.to_owned());
        }
        self.configure(endpoint, host)
    }

    fn configure(&self, mut endpoint: Endpoint, host: Host) -> Result<Endpoint, DistributionError> {
        endpoint.capabilities = self.capabilities(&host.capabilities)?;
        endpoint.headers = self.headers(&host.header)?;
        endpoint.rewrites = self.rewrites(&host.rewrite)?;
        if let Some(text) = &host.dial_timeout {
            let wrong = || self.wrong(format!("dial_timeout {text:?} is no time"));
            let timeout_ns = gantry_gotext::parse_duration(text).map_err(|_| wrong())?;
            endpoint.connect =
                Some(Duration::from_nanos(u64::try_from(timeout_ns).map_err(|_| wrong())?));
        }
        let mut trust = Trust::system(host.skip_verify.unwrap_or(endpoint.trust.skip_verify));
        for file in host.ca.map(Texts::list).unwrap_or_default() {
            trust::add_authorities(&mut trust, &self.dir.join(file))?;
        }
        for (cert, key) in self.identities(host.client) {
            trust::add_identity(&mut trust, &cert, &key)?;
        }
        // Somebody who writes "http" and says how TLS is checked has both in mind.
        if endpoint.scheme == Scheme::Http && !trust.is_plain() && endpoint.address.port != 80 {
            endpoint.scheme = Scheme::Either;
            endpoint.address.tls = true;
        }
        endpoint.trust = trust;
        Ok(endpoint)
    }

    fn identities(&self, clients: Option<Clients>) -> Vec<(PathBuf, PathBuf)> {
        let pair = |pair| match pair {
            Pair::Both(file) => (self.dir.join(&file), self.dir.join(file)),
            Pair::Apart([cert, key]) => (self.dir.join(cert), self.dir.join(key)),
        };
        match clients {
            None => Vec::new(),
            Some(Clients::One(file)) => vec![pair(Pair::Both(file))],
            Some(Clients::Many(pairs)) => pairs.into_iter().map(pair).collect(),
        }
    }

    fn capabilities(&self, names: &[String]) -> Result<Capabilities, DistributionError> {
        if names.is_empty() {
            return Ok(Capabilities::all());
        }
        let mut found = Capabilities { pull: false, resolve: false, push: false };
        for name in names {
            match name.to_ascii_lowercase().as_str() {
                "pull" => found.pull = true,
                "resolve" => found.resolve = true,
                "push" => found.push = true,
                // Newer ones that restrict what is asked by digest and tag anyway.
                "referrers" => {}
                _ => return Err(self.wrong(format!("unknown capability {name:?}"))),
            }
        }
        Ok(found)
    }

    fn headers(&self, table: &toml::Table) -> Result<HeaderMap, DistributionError> {
        let mut headers = HeaderMap::new();
        for (name, value) in table {
            let wrong = || self.wrong(format!("header {name:?} cannot be sent"));
            let values: Texts = value.clone().try_into().map_err(|_| wrong())?;
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            for value in values.list() {
                let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
        Ok(headers)
    }

    fn rewrites(&self, table: &toml::Table) -> Result<Vec<(Regex, String)>, DistributionError> {
        let read = |(pattern, replacement): (&String, &toml::Value)| {
            let text = replacement.as_str();
            let text = text.ok_or_else(|| self.wrong(format!("rewrite {pattern:?}: no text")))?;
            let regex = Regex::new(pattern);
            let regex =
                regex.map_err(|error| self.wrong(format!("rewrite {pattern:?}: {error}")))?;
            Ok((regex, text.to_owned()))
        };
        table.iter().map(read).collect()
    }

    fn wrong(&self, why: impl std::fmt::Display) -> DistributionError {
        wrong_file(self.path, why)
    }
}
