//! What `POST /build` asks for: its query parameters, in Docker's words where they are wrong.

use std::collections::{BTreeMap, BTreeSet};

use gantry_api_types::ApiVersion;
use gantry_api_types::host_config::Ulimit;
use gantry_build::remote::Remote;
use gantry_build_proto::{
    BuildRequest, CacheSpec, ContextSource, DockerfileSource, Entitlement, Limits, OutputSpec,
};
use gantry_oci::Reference;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::images::bad_reference;
use crate::query::Query;

/// The Dockerfile of a request that names none.
const DOCKERFILE: &str = "Dockerfile";
/// What a client names as the context that it offers in a session of BuildKit's.
const CLIENT_SESSION: &str = "client-session";

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// What to build; without its context when that comes as the body.
    pub(super) request: BuildRequest,
    /// Id to cancel it by; empty for none.
    pub(super) id: String,
    /// Only the image's id is told.
    pub(super) quiet: bool,
    /// Steps' containers are removed, says the stream.
    pub(super) remove: bool,
    /// Also that of the step that fails.
    pub(super) force_remove: bool,
}

impl Asked {
    /// Reads the parameters.
    pub(super) fn read(query: &Query, version: ApiVersion) -> Result<Self, ApiError> {
        refuse(query)?;
        let (quiet, force_remove) = (query.flag("q"), query.flag("forcerm"));
        let network = query.text("networkmode").to_owned();
        let request = BuildRequest {
            dockerfile: DockerfileSource::Path(
                query.filled("dockerfile").unwrap_or(DOCKERFILE).to_owned(),
            ),
            target: query.text("target").to_owned(),
            args: build_args(query)?,
            labels: json(query, "labels", "error reading labels")?.unwrap_or_default(),
            tags: tags(&query.all("t"))?,
            contexts: context(query.text("remote"))?,
            platforms: match version.at_least(32) {
                true => query.filled("platform").map(str::to_owned).into_iter().collect(),
                false => Vec::new(),
            },
            no_cache: query.flag("nocache"),
            pull: query.flag("pull"),
            cache_from: cache_from(query)?,
            allow: (network == "host").then_some(Entitlement::NetworkHost).into_iter().collect(),
            network,
            add_hosts: query.all("extrahosts"),
            limits: limits(query)?,
            outputs: outputs(query, version)?,
            squash: query.flag("squash"),
            ..BuildRequest::default()
        };
        Ok(Self {
            request,
            id: query.text("buildid").to_owned(),
            quiet,
            remove: force_remove || query.flag_or("rm", true),
            force_remove,
        })
    }
}

/// Refuses what is not there.
fn refuse(query: &Query) -> Result<(), ApiError> {
    match query.text("version") {
        "" | "1" => {}
        "2" => return Err(ApiError::not_implemented("building with BuildKit's interface")),
        other => return Err(ApiError::invalid(format!("invalid version \"{other}\""))),
    }
    if !query.all("securityopt").is_empty() {
        return Err(ApiError::invalid("security options are not supported on linux"));
    }
    match query.text("isolation") {
        "" => Ok(()),
        name if name.eq_ignore_ascii_case("default") => Ok(()),
        name => Err(ApiError::invalid(format!("unsupported isolation: \"{name}\""))),
    }
}

/// A parameter in JSON; nothing when it is missing. `words` begin the error.
fn json<T: DeserializeOwned>(
    query: &Query,
    name: &str,
    words: &str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = query.filled(name) else { return Ok(None) };
    let wrong = |error| ApiError::invalid(format!("{words}: {error}"));
    serde_json::from_str::<Option<T>>(text).map_err(wrong)
}

/// Arguments. One without a value was named, but has none where the client runs: it is as if it
/// were not there.
fn build_args(query: &Query) -> Result<BTreeMap<String, String>, ApiError> {
    let args: Option<BTreeMap<String, Option<String>>> =
        json(query, "buildargs", "error reading build args")?;
    let with_value = |(name, value): (String, Option<String>)| value.map(|value| (name, value));
    Ok(args.unwrap_or_default().into_iter().filter_map(with_value).collect())
}

/// Names for the image, each once.
fn tags(names: &[String]) -> Result<Vec<String>, ApiError> {
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let reference: Reference = name.parse().map_err(|error| bad_reference(&error))?;
        if reference.digest().is_some() {
            return Err(ApiError::invalid("build tag cannot contain a digest"));
        }
        let full = reference.or_latest();
        if seen.insert(full.canonical()) {
            tags.push(full.familiar());
        }
    }
    Ok(tags)
}

/// The main context, unless it comes as the body.
fn context(remote: &str) -> Result<BTreeMap<String, ContextSource>, ApiError> {
    let source = match remote {
        "" => return Ok(BTreeMap::new()),
        CLIENT_SESSION => {
            return Err(ApiError::invalid(
                "experimental session with v1 builder is no longer supported, use builder version \
                 v2 (BuildKit) instead",
            ));
        }
        address => match Remote::parse_context(address) {
            Ok(Remote::Git(_)) => ContextSource::Git(address.to_owned()),
            Ok(Remote::Http(url)) => ContextSource::Http(url),
            Ok(Remote::Local) => {
                let words = format!("remoteURL ({address}) could not be recognized as URL");
                return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, words));
            }
            Err(error) => return Err(ApiError::invalid(error.to_string())),
        },
    };
    Ok([(String::new(), source)].into())
}

/// Images that are here, whose layers may be taken: the classic builder asks no registry for them.
fn cache_from(query: &Query) -> Result<Vec<CacheSpec>, ApiError> {
    let names: Option<Vec<String>> = json(query, "cachefrom", "error reading cache-from")?;
    let spec = |name: String| CacheSpec {
        kind: "inline".to_owned(),
        attributes: [("ref".to_owned(), name)].into(),
    };
    Ok(names.unwrap_or_default().into_iter().map(spec).collect())
}

/// The image. The classic builder has no other output, and no way to send one.
fn outputs(query: &Query, version: ApiVersion) -> Result<Vec<OutputSpec>, ApiError> {
    #[derive(Deserialize)]
    struct Output {
        #[serde(rename = "Type", default)]
        kind: String,
    }
    if version.at_least(40) {
        let asked: Option<Vec<Output>> = json(query, "outputs", "invalid outputs specified")?;
        if let Some(output) = asked.iter().flatten().find(|output| output.kind != "image") {
            let feature = format!("an output of type \"{}\" without BuildKit", output.kind);
            return Err(ApiError::not_implemented(&feature));
        }
    }
    Ok(vec![OutputSpec::default()])
}

fn limits(query: &Query) -> Result<Limits, ApiError> {
    // What is no number counts as none, as in Docker.
    let number = |name: &str| query.number(name).ok().flatten().unwrap_or_default();
    let ulimits: Option<Vec<Ulimit>> = json(query, "ulimits", "error reading ulimit settings")?;
    let ulimit = |limit: Ulimit| format!("{}={}:{}", limit.name, limit.soft, limit.hard);
    Ok(Limits {
        memory_bytes: number("memory"),
        memory_swap_bytes: number("memswap"),
        cpu_shares: number("cpushares"),
        cpu_quota_us: number("cpuquota"),
        cpu_period_us: number("cpuperiod"),
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        shm_size_bytes: query.number("shmsize")?.unwrap_or_default(),
        ulimits: ulimits.unwrap_or_default().into_iter().map(ulimit).collect(),
        cgroup_parent: query.text("cgroupparent").to_owned(),
        security_opt: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Asked, ApiError> {
        Asked::read(&Query::parse(text), ApiVersion::MAX)
    }

    #[test]
    fn everything_is_read() {
        let asked = read(
            "dockerfile=sub/D&t=a&t=&t=docker.io%2Flibrary%2Fa%3Alatest&t=b%3A1&q=1&nocache=1&pull=1\
             &extrahosts=h%3A1.2.3.4&buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D\
             &labels=%7B%22l%22%3A%22v%22%7D&networkmode=host&target=t&platform=linux%2Famd64\
             &cachefrom=%5B%22c%22%5D&memory=5&memswap=-1&cpushares=2&cpuquota=3&cpuperiod=4\
             &cpusetcpus=0-1&cpusetmems=0&shmsize=6&cgroupparent=p&buildid=id&squash=1\
             &ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Hard%22%3A2%2C%22Soft%22%3A1%7D%5D&rm=0",
        )
        .unwrap();
        let request = BuildRequest {
            dockerfile: DockerfileSource::Path("sub/D".into()),
            target: "t".into(),
            args: [("A".to_owned(), "1".to_owned())].into(),
            labels: [("l".to_owned(), "v".to_owned())].into(),
            tags: vec!["a:latest".into(), "b:1".into()],
            platforms: vec!["linux/amd64".into()],
            no_cache: true,
            pull: true,
            cache_from: vec![CacheSpec {
                kind: "inline".into(),
                attributes: [("ref".to_owned(), "c".to_owned())].into(),
            }],
            network: "host".into(),
            add_hosts: vec!["h:1.2.3.4".into()],
            limits: Limits {
                memory_bytes: 5,
                memory_swap_bytes: -1,
                cpu_shares: 2,
                cpu_quota_us: 3,
                cpu_period_us: 4,
                cpuset_cpus: "0-1".into(),
                cpuset_mems: "0".into(),
                shm_size_bytes: 6,
                ulimits: vec!["nofile=1:2".into()],
                cgroup_parent: "p".into(),
                security_opt: Vec::new(),
            },
            allow: vec![Entitlement::NetworkHost],
            outputs: vec![OutputSpec::default()],
            squash: true,
            ..BuildRequest::default()
        };
        let want =
            Asked { request, id: "id".into(), quiet: true, remove: false, force_remove: false };
        assert_eq!(asked, want);
    }

    #[test]
    fn what_is_left_out_has_dockers_defaults() {
        let asked = read("").unwrap();
        assert_eq!(asked.request.dockerfile, DockerfileSource::Path("Dockerfile".into()));
        assert!(asked.remove && !asked.quiet && asked.request.contexts.is_empty());
        assert!(read("rm=0&forcerm=1").unwrap().remove);
        assert!(!read("rm=0").unwrap().remove);
        let old = Asked::read(&Query::parse("platform=x"), ApiVersion::new(1, 31)).unwrap();
        assert!(old.request.platforms.is_empty());
        for (remote, git) in
            [("https%3A%2F%2Fh%2Fx.git%23main", true), ("https%3A%2F%2Fh%2Fx.tar", false)]
        {
            let asked = read(&format!("remote={remote}")).unwrap();
            let source = &asked.request.contexts[""];
            assert_eq!(matches!(source, ContextSource::Git(_)), git, "{remote}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (query, status, words) in [
            (
                "version=2",
                501,
                "building with BuildKit's interface is not implemented by Gantry yet",
            ),
            ("version=3", 400, "invalid version \"3\""),
            ("securityopt=x", 400, "security options are not supported on linux"),
            ("isolation=hyperv", 400, "unsupported isolation: \"hyperv\""),
            ("t=A", 400, "invalid reference format: repository name (library/A) must be lowercase"),
            ("buildargs=x", 400, "error reading build args: expected value at line 1 column 1"),
            ("labels=x", 400, "error reading labels: expected value at line 1 column 1"),
            ("cachefrom=x", 400, "error reading cache-from: expected value at line 1 column 1"),
            ("ulimits=x", 400, "error reading ulimit settings: expected value at line 1 column 1"),
            ("outputs=x", 400, "invalid outputs specified: expected value at line 1 column 1"),
            (
                "outputs=%5B%7B%22Type%22%3A%22tar%22%7D%5D",
                501,
                "an output of type \"tar\" without BuildKit is not implemented by Gantry yet",
            ),
            ("remote=odd", 500, "remoteURL (odd) could not be recognized as URL"),
        ] {
            let error = read(query).expect_err(query);
            assert_eq!((error.status.as_u16(), error.message.as_str()), (status, words), "{query}");
        }
        let session = read("remote=client-session").expect_err("no session");
        assert!(session.message.contains("use builder version v2"), "{}", session.message);
    }
}
