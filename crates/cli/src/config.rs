//! The configuration file, contexts and where the daemon is.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use gantry_client::TlsOptions;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::container::reason;
use crate::flags::Flags;

/// The client's configuration directory and the file in it.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) directory: PathBuf,
    file: Map<String, Value>,
}

impl Config {
    /// Reads `config.json`; a missing one is an empty one.
    pub(crate) fn load(directory: PathBuf) -> Result<Self, String> {
        let path = directory.join("config.json");
        let file = match std::fs::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                format!("WARNING: Error parsing config file ({}): {error}", path.display())
            })?,
            Err(_) => Map::new(),
        };
        Ok(Self { directory, file })
    }

    /// An empty configuration.
    pub(crate) fn empty(directory: PathBuf) -> Self {
        Self { directory, file: Map::new() }
    }

    /// A text of the file; empty if it is not there.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.file.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// Headers for every request.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let headers = self.file.get("HttpHeaders").and_then(Value::as_object);
        let pair =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        headers.into_iter().flatten().filter_map(pair).collect()
    }

    /// Entries of an object of the file.
    pub(crate) fn object(&self, key: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.file.get(key).and_then(Value::as_object).into_iter().flatten()
    }

    /// Changes what the file says of registries, and writes it.
    pub(crate) fn change_auths(
        &mut self,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<(), String> {
        let mut auths =
            self.file.get("auths").and_then(Value::as_object).cloned().unwrap_or_default();
        change(&mut auths);
        self.file.insert("auths".to_owned(), auths.into());
        self.write()
    }

    /// Variables for proxies that containers and builds get, in both cases of their names: those
    /// of the daemon at `host`, or the default ones.
    pub(crate) fn proxies(&self, host: &str) -> BTreeMap<String, String> {
        const NAMES: [(&str, &str); 5] = [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ];
        let mut all = BTreeMap::new();
        let proxies = self.file.get("proxies");
        let of = |name: &str| proxies.and_then(|proxies| proxies.get(name));
        let Some(chosen) = of(host).or_else(|| of("default")) else { return all };
        for (key, name) in NAMES {
            let value = chosen.get(key).and_then(Value::as_str).filter(|value| !value.is_empty());
            for name in value.iter().flat_map(|_| [name.to_owned(), name.to_lowercase()]) {
                all.insert(name, value.unwrap_or_default().to_owned());
            }
        }
        all
    }

    /// Sets a text, or removes it if empty, and writes the file.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            self.file.remove(key);
        } else {
            self.file.insert(key.to_owned(), Value::String(value.to_owned()));
        }
        self.write()
    }

    fn write(&self) -> Result<(), String> {
        let mut sorted: Vec<_> = self.file.iter().collect();
        sorted.sort_by_key(|(key, _)| key.to_lowercase());
        let object: Map<String, Value> =
            sorted.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let text = crate::format::indent(&Value::Object(object), "\t");
        let path = self.directory.join("config.json");
        // It may be a link to where such files are kept.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        write_private(&path, text.as_bytes())
    }
}

/// As [`write_atomically`], for a file that only its owner reads unless it was otherwise before.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {}", path.display(), reason(&error));
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let old = std::fs::metadata(path).ok();
    let mode = old.as_ref().map_or(0o600, |old| old.mode() & 0o777);
    let beside = path.with_extension(format!("tmp{}", std::process::id()));
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        if let Some(old) = &old {
            // Where root writes a user's file it stays the user's.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// Writes beside the file and renames, so that a reader sees the old or the new text.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {}", path.display(), reason(&error));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let beside = path.with_extension(format!("tmp{}", std::process::id()));
    std::fs::write(&beside, bytes).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// Where the daemon is, and who said so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) tls: Option<TlsOptions>,
    /// Nobody named it, so a daemon may be started there.
    pub(crate) implicit: bool,
}

/// Name of the context that stands for the environment.
pub(crate) const DEFAULT_CONTEXT: &str = "default";

/// The name of the context in use.
pub(crate) fn context_name(flags: &Flags, config: &Config) -> String {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if flags.is_given("context") && !flags.text("context").is_empty() {
        return flags.text("context").to_owned();
    }
    if flags.is_given("host") || env("DOCKER_HOST").is_some() {
        return DEFAULT_CONTEXT.to_owned();
    }
    let current = config.text("currentContext");
    env("DOCKER_CONTEXT").unwrap_or_else(|| match current {
        "" => DEFAULT_CONTEXT.to_owned(),
        name => name.to_owned(),
    })
}

/// Settles the endpoint from flags, environment and configuration.
pub(crate) fn endpoint(flags: &Flags, config: &Config, program: &str) -> Result<Endpoint, String> {
    let hosts = flags.list("host");
    if hosts.len() > 1 {
        return Err("Specify only one -H".into());
    }
    let name = context_name(flags, config);
    if name != DEFAULT_CONTEXT {
        let stored = Context::load(config, &name)?;
        let host = stored.host();
        let tls = stored.tls(config)?;
        return Ok(Endpoint { host, tls, implicit: false });
    }
    let env = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let named = hosts.first().cloned().filter(|host| !host.is_empty()).or(env);
    let tls = tls(flags, config);
    Ok(match named {
        Some(host) if host.contains("://") => Endpoint { host, tls, implicit: false },
        Some(host) if host.starts_with('/') => {
            Endpoint { host: format!("unix://{host}"), tls, implicit: false }
        }
        Some(host) => Endpoint { host: format!("tcp://{host}"), tls, implicit: false },
        None => Endpoint { host: default_host(program), tls, implicit: true },
    })
}

/// Docker's socket for who calls us docker, if it is there; else ours.
pub(crate) fn default_host(program: &str) -> String {
    const DOCKER: &str = "/var/run/docker.sock";
    const OURS: &str = "/var/run/gantry.sock";
    let docker = program == "docker" && (Path::new(DOCKER).exists() || !Path::new(OURS).exists());
    format!("unix://{}", if docker { DOCKER } else { OURS })
}

fn tls(flags: &Flags, config: &Config) -> Option<TlsOptions> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let verify = if flags.is_given("tlsverify") {
        flags.is_on("tlsverify")
    } else {
        set("DOCKER_TLS_VERIFY")
    };
    if !verify && !flags.is_on("tls") && !set("DOCKER_TLS") {
        return None;
    }
    let directory = std::env::var_os("DOCKER_CERT_PATH").map(PathBuf::from);
    let directory = directory
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| config.directory.clone());
    let file = |flag: &str, name: &str| match flags.is_given(flag) {
        true => PathBuf::from(flags.text(flag)),
        false => directory.join(name),
    };
    // The default certificate and key may be missing; the authority may not.
    let present = |flag: &str, name: &str| {
        Some(file(flag, name)).filter(|path| flags.is_given(flag) || path.exists())
    };
    Some(TlsOptions {
        ca: Some(file("tlscacert", "ca.pem")),
        cert: present("tlscert", "cert.pem"),
        key: present("tlskey", "key.pem"),
        verify,
    })
}

/// A stored context: its document and where it lies.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) meta: Value,
}

impl Context {
    /// Directory of a kind (`meta`, `tls`) of a context: by the hash of its name.
    pub(crate) fn directory(config: &Config, kind: &str, name: &str) -> PathBuf {
        let hash: String =
            Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        config.directory.join("contexts").join(kind).join(hash)
    }

    /// Reads a context.
    pub(crate) fn load(config: &Config, name: &str) -> Result<Self, String> {
        let path = Self::directory(config, "meta", name).join("meta.json");
        let bytes = std::fs::read(&path).map_err(|error| {
            let why = format!("open {}: {}", path.display(), reason(&error));
            format!("context {}: context not found: {why}", gantry_gotext::quote(name))
        })?;
        let meta: Value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("parsing {}: {error}", path.display()))?;
        Ok(Self { name: name.to_owned(), meta })
    }

    /// All stored contexts, by name.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        let entries = std::fs::read_dir(config.directory.join("contexts/meta"));
        let mut all: Vec<Self> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let bytes = std::fs::read(entry.path().join("meta.json")).ok()?;
                let meta: Value = serde_json::from_slice(&bytes).ok()?;
                Some(Self { name: meta["Name"].as_str()?.to_owned(), meta })
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The endpoint's host.
    pub(crate) fn host(&self) -> String {
        self.meta["Endpoints"]["docker"]["Host"].as_str().unwrap_or("").to_owned()
    }

    fn tls(&self, config: &Config) -> Result<Option<TlsOptions>, String> {
        let directory = Self::directory(config, "tls", &self.name).join("docker");
        let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
        let options = TlsOptions {
            ca: file("ca.pem"),
            cert: file("cert.pem"),
            key: file("key.pem"),
            verify: self.meta["Endpoints"]["docker"]["SkipTLSVerify"] != Value::Bool(true),
        };
        let any = options.ca.is_some() || options.cert.is_some() || options.key.is_some();
        Ok((any || !options.verify).then_some(options))
    }
}
