//! One server that is asked for a repository.

use std::time::Duration;

use hyper::HeaderMap;
use regex_lite::Regex;

use gantry_web::{Address, Trust};

/// What is done at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Fetch by digest.
    Pull,
    /// Find out what a tag means.
    Resolve,
    /// Everything that writes, and lists of what is there.
    Push,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Resolve => "resolve",
            Self::Push => "push",
        }
    }
}

/// What may be done at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub pull: bool,
    pub resolve: bool,
    pub push: bool,
}

impl Capabilities {
    pub(super) fn all() -> Self {
        Self { pull: true, resolve: true, push: true }
    }

    pub(super) fn reading() -> Self {
        Self { push: false, ..Self::all() }
    }
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// By TLS.
    Https,
    /// Without.
    Http,
    /// By TLS if it can, else without.
    Either,
}

/// A server that is asked for a repository.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Where it is; the path is what the API's paths begin with.
    pub address: Address,
    pub scheme: Scheme,
    pub trust: Trust,
    pub(super) capabilities: Capabilities,
    /// Sent with each request.
    pub headers: HeaderMap,
    pub(super) rewrites: Vec<(Regex, String)>,
    /// How long it may take to be reached.
    pub connect: Option<Duration>,
    /// A mirror of many registries is told which one is meant.
    pub namespace: Option<String>,
    /// It is the registry itself: credentials are for it.
    pub is_own: bool,
    /// It is greeted before it is asked for something; mirrors in files may know no greeting.
    pub greets: bool,
}

impl Endpoint {
    /// One that is trusted as the machine trusts, and allows everything.
    pub(crate) fn new(address: Address, scheme: Scheme) -> Self {
        Self {
            address,
            scheme,
            trust: Trust::system(false),
            capabilities: Capabilities::all(),
            headers: HeaderMap::new(),
            rewrites: Vec::new(),
            connect: None,
            namespace: None,
            is_own: false,
            greets: false,
        }
    }

    pub(crate) fn allows(&self, action: Action) -> bool {
        match action {
            Action::Pull => self.capabilities.pull,
            Action::Resolve => self.capabilities.resolve,
            Action::Push => self.capabilities.push,
        }
    }

    /// The repository's path at this server.
    pub(crate) fn repository(&self, path: &str) -> String {
        let found = self.rewrites.iter().find(|(pattern, _)| pattern.is_match(path));
        match found {
            Some((pattern, replacement)) => {
                pattern.replace_all(path, replacement.as_str()).into_owned()
            }
            None => path.to_owned(),
        }
    }

    /// The address of `rest` below the API's root; `rest` begins with a slash.
    pub(crate) fn at(&self, rest: &str) -> Address {
        let root = self.address.target.trim_end_matches('/');
        let address = self.address.with_target(format!("{root}{rest}"));
        match &self.namespace {
            Some(namespace) => address.with_query("ns", namespace),
            None => address,
        }
    }
}
