//! Which plugins there are, by the files in their directories.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{PluginConfig, PluginError};

/// Largest file of an address.
const FILE_LIMIT_BYTES: u64 = 64 << 10;

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this host.
    Unix(PathBuf),
    /// `host:port`, in the clear.
    Tcp(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    addr: String,
    #[serde(rename = "TLSConfig")]
    tls: Option<serde_json::Value>,
}

/// The address of a plugin; `None` when there is none of the name.
pub(super) fn by_name(config: &PluginConfig, name: &str) -> Result<Option<Address>, PluginError> {
    // A name is a file's name, and never leads elsewhere.
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Ok(None);
    }
    for dir in [config.sockets.clone(), config.sockets.join(name)] {
        let path = dir.join(format!("{name}.sock"));
        if path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
            return Ok(Some(Address::Unix(path)));
        }
    }
    for dir in config.specs.iter().flat_map(|dir| [dir.clone(), dir.join(name)]) {
        for extension in ["spec", "json"] {
            let path = dir.join(format!("{name}.{extension}"));
            if path.is_file() {
                let wrong = |why| PluginError::Spec { name: name.to_owned(), why };
                return read(&path, extension).map(Some).map_err(wrong);
            }
        }
    }
    Ok(None)
}

fn read(path: &Path, extension: &str) -> Result<Address, &'static str> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|_| "its file cannot be read")?;
    let read = file.take(FILE_LIMIT_BYTES).read_to_string(&mut text);
    read.map_err(|_| "its file cannot be read")?;
    if extension == "spec" {
        return address(text.trim());
    }
    let json: Json = serde_json::from_str(&text).map_err(|_| "its file is no JSON with Addr")?;
    let secure = json.tls.is_some_and(|tls| !tls.is_null());
    if secure || json.addr.starts_with("https://") {
        return Err("plugins by TLS are not implemented");
    }
    address(&json.addr)
}

fn address(text: &str) -> Result<Address, &'static str> {
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp" | "http", host)) if !host.is_empty() => {
            Ok(Address::Tcp(host.trim_end_matches('/').to_owned()))
        }
        _ => Err("its address is neither unix:// nor tcp://"),
    }
}

/// The names of all plugins, of whatever kind.
pub(super) fn names(config: &PluginConfig) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut look = |dir: &Path, extensions: &[&str]| {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let named = extension.is_some_and(|extension| extensions.contains(&extension));
            // A directory of its own has the plugin's name.
            let stem = if named { path.file_stem() } else { path.file_name() };
            let Some(stem) = stem.and_then(|stem| stem.to_str()) else { continue };
            let inside = |extension| path.join(format!("{stem}.{extension}")).exists();
            if named || extensions.iter().any(inside) {
                names.insert(stem.to_owned());
            }
        }
    };
    look(&config.sockets, &["sock"]);
    config.specs.iter().for_each(|dir| look(dir, &["spec", "json"]));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(address("unix:///a/b"), Ok(Address::Unix("/a/b".into())));
        assert_eq!(address("tcp://localhost:80/"), Ok(Address::Tcp("localhost:80".into())));
        assert!(address("npipe://x").is_err() && address("unix://rel").is_err());
    }

    #[test]
    fn plugins_are_found_in_every_place() {
        let dir = tempfile::tempdir().unwrap();
        let config = PluginConfig {
            sockets: dir.path().join("run"),
            specs: vec![dir.path().join("etc")],
            ..PluginConfig::default()
        };
        std::fs::create_dir_all(config.sockets.join("own")).unwrap();
        std::fs::create_dir_all(config.specs[0].join("deep")).unwrap();
        let socket = |path: PathBuf| std::os::unix::net::UnixListener::bind(path).unwrap();
        let _one = socket(config.sockets.join("one.sock"));
        let _own = socket(config.sockets.join("own/own.sock"));
        std::fs::write(config.specs[0].join("spec.spec"), "unix:///x.sock\n").unwrap();
        std::fs::write(config.specs[0].join("deep/deep.json"), r#"{"Addr":"tcp://h:1"}"#).unwrap();
        let tls = r#"{"Addr":"https://h:1","TLSConfig":{}}"#;
        std::fs::write(config.specs[0].join("tls.json"), tls).unwrap();
        let all: Vec<String> = names(&config).into_iter().collect();
        assert_eq!(all, ["deep", "one", "own", "spec", "tls"]);
        let at = |name| by_name(&config, name).unwrap();
        assert_eq!(at("one"), Some(Address::Unix(config.sockets.join("one.sock"))));
        assert_eq!(at("own"), Some(Address::Unix(config.sockets.join("own/own.sock"))));
        assert_eq!(at("spec"), Some(Address::Unix("/x.sock".into())));
        assert_eq!(at("deep"), Some(Address::Tcp("h:1".into())));
        assert!(by_name(&config, "tls").is_err());
        assert!(at("none").is_none() && at("../run/one").is_none() && at("").is_none());
    }
}
