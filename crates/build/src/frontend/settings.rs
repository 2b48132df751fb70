//! What a request says that counts for the graph, its `BUILDKIT_*` arguments included.

use std::collections::{BTreeMap, BTreeSet};

use gantry_build_proto::{BuildRequest, Entitlement};
use gantry_oci::{Platform, PlatformError};

use super::error::{At, PlanError};
use crate::graph::StepNetwork;

/// Arguments that every build knows without declaring them, and that no history shows: each in
/// upper and lower case.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
/// Arguments that are for the builder.
const BUILDER_PREFIX: &str = "BUILDKIT_";
/// The argument that fixes all times.
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A request's settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// Platforms to build for; empty for the machine's, or that of the base images.
    pub platforms: Vec<Platform>,
    /// Names show platforms, and the result is an index.
    pub multi_platform: bool,
    /// Time of all that is made, s since 1970.
    pub epoch_s: Option<i64>,
    /// Host name of steps; empty for one that is made up.
    pub hostname: String,
    /// Prefix of cache mounts' names.
    pub cache_namespace: String,
    /// Network of steps that name none.
    pub network: StepNetwork,
    /// Proxies, as `NAME=value`.
    pub silent_env: Vec<String>,
    /// The main context, if it is a repository, keeps its `.git`.
    pub keep_git_directory: bool,
    /// Which rules apply, if the request says so.
    pub check: Option<String>,
    /// The image of another frontend, if the request says so.
    pub syntax: Option<String>,
    /// What steps may have.
    pub allow: Vec<Entitlement>,
    /// Lines of `/etc/hosts`.
    pub add_hosts: Vec<String>,
    no_cache: bool,
    no_cache_stages: BTreeSet<String>,
}

impl Settings {
    /// Reads a request.
    ///
    /// # Errors
    /// When a platform, a time or an argument for the builder is wrong.
    pub(super) fn of(request: &BuildRequest) -> Result<Self, At> {
        let arg = |name: &str| request.args.get(name).filter(|value| !value.is_empty()).cloned();
        let platforms = request
            .platforms
            .iter()
            .map(|text| text.parse::<Platform>())
            .collect::<Result<Vec<_>, PlatformError>>()
            .map_err(PlanError::RequestPlatform)?;
        let multi_platform = match arg("BUILDKIT_MULTI_PLATFORM") {
            None => platforms.len() > 1,
            Some(text) => match truth(&text) {
                Some(false) if platforms.len() > 1 => return Err(PlanError::OnePlatform.into()),
                Some(asked) => asked,
                None => return Err(PlanError::MultiPlatform(text).into()),
            },
        };
        let epoch_s = epoch(request.args.get(EPOCH).map_or("", String::as_str))?;
        Ok(Self {
            platforms,
            multi_platform,
            epoch_s,
            hostname: arg("BUILDKIT_SANDBOX_HOSTNAME").unwrap_or_default(),
            cache_namespace: arg("BUILDKIT_CACHE_MOUNT_NS").unwrap_or_default(),
            network: match request.network.as_str() {
                "none" => StepNetwork::None,
                "host" => StepNetwork::Host,
                _ => StepNetwork::Default,
            },
            silent_env: silent_env(&request.args),
            keep_git_directory: arg("BUILDKIT_CONTEXT_KEEP_GIT_DIR")
                .is_some_and(|text| truth(&text) == Some(true)),
            check: arg("BUILDKIT_DOCKERFILE_CHECK"),
            syntax: arg("BUILDKIT_SYNTAX"),
            allow: request.allow.clone(),
            add_hosts: request.add_hosts.clone(),
            no_cache: request.no_cache,
            no_cache_stages: request.no_cache_filter.iter().map(|n| n.to_lowercase()).collect(),
            args: request.args.clone(),
        })
    }

    /// Whether nothing of the stage with this name is taken from the cache.
    pub(super) fn is_fresh(&self, stage: &str) -> bool {
        self.no_cache || self.no_cache_stages.contains(&stage.to_lowercase())
    }

    /// Whether steps may have this; the network of the whole build needs no further word.
    pub(super) fn allows(&self, entitlement: Entitlement) -> bool {
        let whole = entitlement == Entitlement::NetworkHost && self.network == StepNetwork::Host;
        whole || self.allow.contains(&entitlement)
    }
}

/// Reads `SOURCE_DATE_EPOCH`; an empty one is none.
///
/// # Errors
/// When it is no number.
pub(super) fn epoch(text: &str) -> Result<Option<i64>, At> {
    match text {
        "" => Ok(None),
        text => match text.parse() {
            Ok(s) => Ok(Some(s)),
            Err(_) => Err(PlanError::Epoch(text.to_owned()).into()),
        },
    }
}

/// A time in s since 1970 as RFC 3339.
///
/// # Errors
/// When it is beyond the years that there are.
pub(super) fn created(epoch_s: Option<i64>) -> Result<Option<String>, At> {
    let Some(s) = epoch_s else { return Ok(None) };
    match jiff::Timestamp::from_second(s) {
        Ok(time) => Ok(Some(time.to_string())),
        Err(_) => Err(PlanError::Epoch(s.to_string()).into()),
    }
}

/// Whether an argument is known without being declared.
pub(super) fn is_predefined(name: &str) -> bool {
    name == EPOCH || name.starts_with(BUILDER_PREFIX) || proxy_of(name).is_some()
}

fn proxy_of(name: &str) -> Option<&'static str> {
    PROXIES.into_iter().find(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// Both spellings of each proxy that is given: some programs read one alone.
fn silent_env(args: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = BTreeMap::new();
    for (name, value) in args {
        if let Some(proxy) = proxy_of(name) {
            found.insert(proxy, value);
        }
    }
    let both = |(name, value): (&str, &String)| {
        [format!("{name}={value}"), format!("{}={value}", name.to_lowercase())]
    };
    found.into_iter().flat_map(both).collect()
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[(&str, &str)], platforms: &[&str]) -> Result<Settings, String> {
        let own = |text: &&str| (*text).to_owned();
        let request = BuildRequest {
            args: args.iter().map(|(name, value)| (own(name), own(value))).collect(),
            platforms: platforms.iter().map(own).collect(),
            ..BuildRequest::default()
        };
        Settings::of(&request).map_err(|at| at.error.to_string())
    }

    #[test]
    fn proxies_are_given_in_both_cases() {
        let got = settings(&[("https_proxy", "a"), ("HTTP_PROXY", "b"), ("X", "c")], &[]).unwrap();
        assert_eq!(
            got.silent_env,
            ["HTTPS_PROXY=a", "https_proxy=a", "HTTP_PROXY=b", "http_proxy=b"]
        );
    }

    #[test]
    fn platforms_and_times() {
        let multi = "BUILDKIT_MULTI_PLATFORM";
        for (args, platforms, want) in [
            (&[][..], &["linux/amd64"][..], Ok(false)),
            (&[], &["linux/amd64", "linux/arm64"], Ok(true)),
            (&[(multi, "1")], &[], Ok(true)),
            (
                &[(multi, "0")],
                &["linux/amd64", "linux/arm64"],
                Err("conflicting config: returning multiple target platforms is not allowed"),
            ),
            (&[(multi, "x")], &[], Err("invalid boolean value for multi-platform: x")),
            (&[(EPOCH, "x")], &[], Err("invalid SOURCE_DATE_EPOCH: x")),
        ] {
            let got = settings(args, platforms).map(|settings| settings.multi_platform);
            assert_eq!(
                got.as_ref().map_err(String::as_str),
                want.as_ref().map_err(|e| *e),
                "{args:?}"
            );
        }
        assert_eq!(settings(&[(EPOCH, "1")], &[]).unwrap().epoch_s, Some(1));
        assert!(settings(&[], &["a/b/c/d"]).is_err());
    }

    #[test]
    fn the_builders_arguments_need_no_declaration() {
        for (name, want) in [
            ("HTTP_PROXY", true),
            ("no_proxy", true),
            ("BUILDKIT_INLINE_CACHE", true),
            ("SOURCE_DATE_EPOCH", true),
            ("FOO", false),
        ] {
            assert_eq!(is_predefined(name), want, "{name}");
        }
    }
}
