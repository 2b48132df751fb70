//! `--cache-from` and `--cache-to`.

use std::path::PathBuf;

use gantry_build_proto::{BuildRequest, CacheSpec};
use gantry_gotext::quote;

use super::fields;
use crate::flags::Flags;
use crate::values;

/// Names of contexts that local caches are offered as; no Dockerfile can write them.
const CONTEXT: &str = "cache:";

/// A directory of a local cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheDirectory {
    /// Offered as a context of this name.
    From { context: String, path: PathBuf },
    /// Where the request's cache of this number is written to.
    To { index: usize, path: PathBuf },
}

/// Puts the caches into the request; gives those that are the client's directories.
pub(super) fn caches(
    flags: &Flags,
    request: &mut BuildRequest,
) -> Result<Vec<CacheDirectory>, String> {
    let mut directories = Vec::new();
    request.cache_from = read(flags.list("cache-from"))?;
    request.cache_to = read(flags.list("cache-to"))?;
    for (caches, what) in [(&request.cache_from, "importer"), (&request.cache_to, "exporter")] {
        let is_named =
            |cache: &CacheSpec| cache.attributes.get("ref").is_some_and(|n| !n.is_empty());
        if caches.iter().any(|cache| cache.kind == "registry" && !is_named(cache)) {
            return Err(format!("registry cache {what} requires ref"));
        }
    }
    let inline = request.args.get("BUILDKIT_INLINE_CACHE").map(|text| values::go_bool(text));
    if inline == Some(Ok(true)) && !request.cache_to.iter().any(|cache| cache.kind == "inline") {
        request.cache_to.push(CacheSpec { kind: "inline".into(), ..CacheSpec::default() });
    }
    let sources = request.cache_from.iter_mut().filter(|cache| cache.kind == "local");
    for (number, cache) in sources.enumerate() {
        let path = PathBuf::from(directory(cache, "src")?);
        let context = format!("{CONTEXT}{number}");
        cache.attributes.insert("context".into(), context.clone());
        directories.push(CacheDirectory::From { context, path });
    }
    let targets = request.cache_to.iter_mut().enumerate();
    for (index, cache) in targets.filter(|(_, cache)| cache.kind == "local") {
        let path = PathBuf::from(directory(cache, "dest")?);
        directories.push(CacheDirectory::To { index, path });
    }
    Ok(directories)
}

/// Takes a cache's directory out of its attributes: it means nothing to the daemon.
fn directory(cache: &mut CacheSpec, key: &str) -> Result<String, String> {
    let path = cache.attributes.remove(key).filter(|path| !path.is_empty());
    path.ok_or_else(|| match key {
        "src" => "local cache importer requires src".to_owned(),
        _ => "local cache exporter requires dest".to_owned(),
    })
}

fn read(given: &[String]) -> Result<Vec<CacheSpec>, String> {
    let mut all = Vec::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        if !text.contains('=') {
            all.extend(values::csv(text)?.into_iter().map(|name| CacheSpec {
                kind: "registry".into(),
                attributes: [("ref".to_owned(), name)].into(),
            }));
            continue;
        }
        let mut cache = CacheSpec::default();
        for (key, value) in fields(text)? {
            match key.as_str() {
                "type" => cache.kind = value,
                _ => {
                    cache.attributes.insert(key, value);
                }
            }
        }
        match cache.kind.as_str() {
            "" => return Err(format!("type required for {}", quote(text))),
            "registry" | "local" | "inline" => all.push(cache),
            "gha" | "s3" | "azblob" => {
                return Err(format!("the cache type={} is not implemented", cache.kind));
            }
            other => return Err(format!("unknown cache exporter: {}", quote(other))),
        }
    }
    Ok(all)
}
