//! Arguments that are there before the first `FROM`, and those that are there by themselves.

use std::collections::BTreeMap;

use crate::Span;
use crate::ast::Dockerfile;
use crate::expand::{ExpandError, Expander};

/// Arguments for proxies: steps see them without `ARG`, and they count for no cache key and stand
/// in no history unless they are declared.
pub const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that `FROM` sees without `ARG`; stages see them after `ARG` without a default.
pub const PLATFORM_ARGS: [&str; 9] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETSTAGE",
];

/// Values of arguments by name.
pub type Scope = BTreeMap<String, String>;

impl Dockerfile {
    /// The arguments that `FROM` sees: `predefined` ones, and those of the `ARG`s before the first
    /// `FROM`, in order, with the values that are `given` or else their defaults. A given value is
    /// taken as it is; a default sees the arguments before it.
    ///
    /// # Errors
    /// A default that cannot be expanded, and where it is.
    pub fn global_scope(
        &self,
        predefined: &Scope,
        given: &Scope,
    ) -> Result<Scope, (ExpandError, Span)> {
        let mut scope = predefined.clone();
        let args = self.global_args.iter().flat_map(|global| &global.args);
        for arg in args {
            let value = match (given.get(&arg.name), &arg.default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => Expander::new(self.escape, &scope)
                    .word(default)
                    .map_err(|error| (error, arg.span))?,
                (None, None) => continue,
            };
            scope.insert(arg.name.clone(), value);
        }
        Ok(scope)
    }
}
