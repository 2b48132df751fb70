//! What the flags of a build ask for: the request to the daemon, and what is the client's own.

mod caches;
mod contexts;
mod keys;
mod outputs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gantry_build_proto::{BuildRequest, Entitlement, Limits, RequestKind};
use gantry_gotext::quote;
use gantry_oci::{Platform, Reference, ReferenceError};

use super::progress::Mode;
use crate::container::{body, limits};
use crate::flags::Flags;
use crate::values;

pub(crate) use caches::CacheDirectory;
pub(crate) use contexts::{Named, Remote, remote};
pub(crate) use keys::{Agent, Secret, SecretSource};
pub(crate) use outputs::Place;

/// What of the surroundings the flags' meaning hangs on.
pub(crate) struct Surroundings<'a> {
    /// A variable of the environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Build arguments for proxies, from the configuration file.
    pub(crate) proxies: BTreeMap<String, String>,
    /// Whether standard error is a terminal that can be drawn on.
    pub(crate) terminal: bool,
}

/// Another request than a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) kind: RequestKind,
    /// Print the answer as JSON.
    pub(crate) json: bool,
    /// Exit with 0 whatever the answer is.
    pub(crate) ignore_status: bool,
}

/// What the flags ask for.
#[derive(Debug)]
pub(crate) struct Options {
    /// All but the Dockerfile and the contexts, which need the disk.
    pub(crate) request: BuildRequest,
    /// The context as given: a path, a URL or `-`.
    pub(crate) context: String,
    /// The Dockerfile as given; empty for the usual one.
    pub(crate) file: String,
    pub(crate) named: Vec<Named>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) agents: Vec<Agent>,
    /// Where each of the request's outputs goes.
    pub(crate) places: Vec<Place>,
    /// Directories of local caches.
    pub(crate) caches: Vec<CacheDirectory>,
    pub(crate) question: Option<Question>,
    pub(crate) mode: Mode,
    pub(crate) id_file: String,
    pub(crate) metadata_file: String,
    /// Start a shell in what a failed step left.
    pub(crate) shell: bool,
    pub(crate) debug: bool,
}

impl Options {
    /// Reads the flags.
    pub(crate) fn of(
        flags: &Flags,
        context: &str,
        around: &Surroundings<'_>,
    ) -> Result<Self, String> {
        unserved(flags)?;
        let question = question(flags)?;
        let mode = mode(flags, around)?;
        let mut request = request(flags, around)?;
        request.kind = question.as_ref().map_or(RequestKind::Build, |question| question.kind);
        let mut places = Vec::new();
        if question.is_none() {
            (request.outputs, places) = outputs::outputs(flags, &request.tags)?;
        }
        name_image(&mut request)?;
        let caches = caches::caches(flags, &mut request)?;
        let (secrets, agents) = (keys::secrets(flags)?, keys::agents(flags));
        request.secrets = secrets.iter().map(|secret| secret.id.clone()).collect();
        request.ssh = agents.iter().map(|agent| agent.id.clone()).collect();
        let shell = match flags.text("on-error") {
            "" => false,
            "shell" => true,
            other => return Err(format!("invalid --on-error {}: must be \"shell\"", quote(other))),
        };
        request.keep_failed = shell;
        Ok(Self {
            request,
            context: context.to_owned(),
            file: flags.text("file").to_owned(),
            named: contexts::named(flags)?,
            secrets,
            agents,
            places,
            caches,
            question,
            mode,
            id_file: flags.text("iidfile").to_owned(),
            metadata_file: flags.text("metadata-file").to_owned(),
            shell,
            debug: flags.is_on("debug"),
        })
    }
}

/// Refuses by name what nobody here can do.
fn unserved(flags: &Flags) -> Result<(), String> {
    let later = |what: &str| Err(format!("{what} is not implemented"));
    for name in ["policy", "resource"] {
        if !flags.list(name).is_empty() {
            return later(&format!("--{name}"));
        }
    }
    for name in ["provenance", "sbom"] {
        let value = flags.text(name);
        let off = values::go_bool(value) == Ok(false) || value == "disabled=true";
        if flags.is_given(name) && !off {
            return later(&format!("the attestation --{name}={value}"));
        }
    }
    for value in flags.list("attest") {
        let fields = values::csv(value)?;
        let Some(kind) = fields.iter().find_map(|field| field.strip_prefix("type=")) else {
            return Err(format!("attestation type not specified: {value}"));
        };
        if !fields.iter().any(|field| field == "disabled=true") {
            return later(&format!("the attestation {kind}"));
        }
    }
    match flags.text("isolation") {
        "" | "default" => {}
        other => return Err(format!("isolation {} is for Windows only", quote(other))),
    }
    match flags.text("builder") {
        "" | "default" => Ok(()),
        other => Err(format!("no builder {} found", quote(other))),
    }
}

fn question(flags: &Flags) -> Result<Option<Question>, String> {
    let given = if flags.is_given("print") { "print" } else { "call" };
    let text = if flags.is_on("check") { "check" } else { flags.text(given) };
    let (mut name, mut json, mut ignore_status) = (String::new(), false, false);
    for field in values::csv(text)? {
        match field.split_once('=') {
            Some(("format", format)) => match format {
                "json" => json = true,
                "text" | "" => {}
                other => return Err(format!("invalid call format: {other}")),
            },
            Some(("ignorestatus", value)) => ignore_status = values::go_bool(value)?,
            Some(_) => return Err(format!("invalid call field: {field}")),
            None if name.is_empty() => name = field,
            None => return Err(format!("invalid call value: {text}")),
        }
    }
    let kind = match name.as_str() {
        "" | "build" => return Ok(None),
        "check" | "lint" => RequestKind::Check,
        "outline" => RequestKind::Outline,
        "targets" => RequestKind::Targets,
        other => return Err(format!("unsupported call {}", quote(other))),
    };
    Ok(Some(Question { kind, json, ignore_status }))
}

fn mode(flags: &Flags, around: &Surroundings<'_>) -> Result<Mode, String> {
    let setting = (around.variable)("BUILDKIT_PROGRESS").filter(|text| !text.is_empty());
    let given = match setting {
        Some(setting) if !flags.is_given("progress") => setting,
        _ => flags.text("progress").to_owned(),
    };
    if flags.is_on("quiet") {
        if flags.is_given("progress") && !matches!(given.as_str(), "auto" | "quiet") {
            return Err(format!("progress={given} and quiet cannot be used together"));
        }
        return Ok(Mode::Quiet);
    }
    match given.as_str() {
        "auto" | "" => Ok(if around.terminal { Mode::Tty } else { Mode::Plain }),
        "plain" => Ok(Mode::Plain),
        "tty" if around.terminal => Ok(Mode::Tty),
        "tty" => Err("failed to get console: provided file is not a console".into()),
        "rawjson" => Ok(Mode::RawJson),
        "quiet" => Ok(Mode::Quiet),
        other => Err(format!("invalid progress mode {other}")),
    }
}

fn request(flags: &Flags, around: &Surroundings<'_>) -> Result<BuildRequest, String> {
    let filters = flags.list("no-cache-filter").iter();
    let mut allow = entitlements(flags)?;
    if flags.text("network") == "host" && !allow.contains(&Entitlement::NetworkHost) {
        // Whoever asks for it has allowed it.
        allow.push(Entitlement::NetworkHost);
    }
    Ok(BuildRequest {
        target: flags.text("target").to_owned(),
        args: arguments(flags, around)?,
        labels: pairs(flags.list("label"), |_| Some(String::new()))?,
        annotations: annotations(flags)?,
        tags: tags(flags)?,
        platforms: platforms(flags, around)?,
        no_cache: flags.is_on("no-cache"),
        no_cache_filter: filters.flat_map(|stages| stages.split(',')).map(str::to_owned).collect(),
        pull: flags.is_on("pull"),
        network: match flags.text("network") {
            "default" => String::new(),
            other => other.to_owned(),
        },
        add_hosts: flags.list("add-host").iter().map(|text| body::extra_host(text)).collect(),
        limits: step_limits(flags)?,
        allow,
        squash: flags.is_on("squash"),
        explain: flags.is_on("explain"),
        ..BuildRequest::default()
    })
}

/// `key=value` pairs; what stands for a value that is not given decides `missing`.
fn pairs(
    given: &[String],
    missing: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for text in given {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text.as_str(), missing(text)),
        };
        if key.is_empty() {
            return Err(format!("invalid key-value pair {}: empty key", quote(text)));
        }
        if let Some(value) = value {
            all.insert(key.to_owned(), value);
        }
    }
    Ok(all)
}

fn arguments(flags: &Flags, around: &Surroundings<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut args = pairs(flags.list("build-arg"), around.variable)?;
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    if let Some(epoch) = (around.variable)(EPOCH).filter(|text| !text.is_empty()) {
        args.entry(EPOCH.into()).or_insert(epoch);
    }
    for (name, value) in &around.proxies {
        args.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(args)
}

/// Annotations; those of the manifest need not say so, others keep their kind before the key.
fn annotations(flags: &Flags) -> Result<BTreeMap<String, String>, String> {
    const KINDS: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
    let mut all = BTreeMap::new();
    for text in flags.list("annotation").iter().filter(|text| !text.is_empty()) {
        let Some((key, value)) = text.split_once('=') else {
            return Err(format!("invalid annotation {}, expected key=value", quote(text)));
        };
        let (kinds, key) = key.split_once(':').unwrap_or(("manifest", key));
        for kind in kinds.split(',') {
            let bare = kind.split_once('[').map_or(kind, |(bare, _)| bare);
            if !KINDS.contains(&bare) {
                return Err(format!("unknown annotation type {}", quote(bare)));
            }
            let key = if kind == "manifest" { key.to_owned() } else { format!("{kind}:{key}") };
            all.insert(key, value.to_owned());
        }
    }
    Ok(all)
}

/// Checks a name for an image.
fn check_tag(text: &str) -> Result<(), String> {
    let invalid = |why: String| format!("invalid tag {}: {why}", quote(text));
    match text.parse::<Reference>() {
        Ok(name) if name.digest().is_some() => {
            Err(invalid("cannot create a tag when importing a digest reference".into()))
        }
        Ok(_) => Ok(()),
        Err(ReferenceError::Uppercase(_)) => {
            Err(invalid("repository name must be lowercase".into()))
        }
        Err(error) => Err(invalid(error.to_string())),
    }
}

fn tags(flags: &Flags) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    for text in flags.list("tag") {
        check_tag(text)?;
        if !all.contains(text) {
            all.push(text.clone());
        }
    }
    Ok(all)
}

/// An image's output may bring its names itself.
fn name_image(request: &mut BuildRequest) -> Result<(), String> {
    let images = request.outputs.iter().filter(|output| {
        output.kind == gantry_build_proto::OutputKind::Image && request.tags.is_empty()
    });
    let named = images.filter_map(|output| output.attributes.get("name"));
    let names: Vec<String> = named.flat_map(|names| names.split(',')).map(str::to_owned).collect();
    names.iter().try_for_each(|name| check_tag(name))?;
    request.tags.extend(names);
    Ok(())
}

fn platforms(flags: &Flags, around: &Surroundings<'_>) -> Result<Vec<String>, String> {
    let mut given = flags.list("platform").to_vec();
    if given.is_empty() {
        let setting = (around.variable)("DOCKER_DEFAULT_PLATFORM");
        given.extend(setting.filter(|text| !text.is_empty()));
    }
    let mut all = Vec::new();
    for text in given.iter().flat_map(|list| list.split(',')).map(str::trim) {
        if text == "local" || text.is_empty() {
            continue;
        }
        let platform: Platform = text.parse().map_err(|_| unknown_platform(text))?;
        // A word alone that no machine has is a slip of the finger.
        if !text.contains('/') && !KNOWN_MACHINES.contains(&platform.architecture.as_str()) {
            return Err(unknown_platform(text));
        }
        let name = platform.to_string();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

/// Architectures that Go knows for Linux.
const KNOWN_MACHINES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "wasm",
];

fn unknown_platform(text: &str) -> String {
    format!("{}: unknown operating system or architecture: invalid argument", quote(text))
}

fn entitlements(flags: &Flags) -> Result<Vec<Entitlement>, String> {
    let given = flags.list("allow").iter().flat_map(|list| list.split(','));
    let mut all = Vec::new();
    for text in given {
        let one = match text {
            "network.host" => Entitlement::NetworkHost,
            "security.insecure" => Entitlement::SecurityInsecure,
            "device" => return Err("the entitlement device is not implemented".into()),
            other => return Err(format!("unknown entitlement {other}")),
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Ok(all)
}

fn step_limits(flags: &Flags) -> Result<Limits, String> {
    let ulimits = flags.list("ulimit").to_vec();
    for text in &ulimits {
        limits::ulimit(text)?;
    }
    Ok(Limits {
        memory_bytes: flags.bytes("memory"),
        memory_swap_bytes: flags.bytes("memory-swap"),
        cpu_shares: flags.int("cpu-shares"),
        cpu_quota_us: flags.int("cpu-quota"),
        cpu_period_us: flags.int("cpu-period"),
        cpuset_cpus: flags.text("cpuset-cpus").to_owned(),
        cpuset_mems: flags.text("cpuset-mems").to_owned(),
        shm_size_bytes: flags.bytes("shm-size"),
        ulimits,
        cgroup_parent: flags.text("cgroup-parent").to_owned(),
        security_opt: flags.strings("security-opt"),
    })
}

/// The `key=value` fields of a value with commas; keys in lower case.
fn fields(text: &str) -> Result<Vec<(String, String)>, String> {
    values::csv(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_lowercase(), value.to_owned())),
            None => Err(format!("invalid value {field}")),
        })
        .collect()
}
