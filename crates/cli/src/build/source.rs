//! From the context and the Dockerfile as they are named to what the request says of them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gantry_build_proto::{BuildRequest, ContextSource, DockerfileSource};

use super::hidden::Hidden;
use super::host::{self, Host};
use super::options::{CacheDirectory, Named, Options, Remote, remote};
use super::tree::{Tree, identity, whole};
use super::{agent, sniff};
use crate::container::reason;

/// The usual name of a Dockerfile.
const DOCKERFILE: &str = "Dockerfile";
/// The usual name of an ignore file, and what stands behind a Dockerfile's for its own.
const IGNORE_FILE: &str = ".dockerignore";
/// Longest Dockerfile or ignore file.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// Fills the request and opens what it needs of this machine.
pub(crate) fn prepare(
    options: &mut Options,
    stdin: impl Read + Send + 'static,
) -> Result<(BuildRequest, Host), String> {
    let mut request = std::mem::take(&mut options.request);
    let mut host = Host {
        places: std::mem::take(&mut options.places),
        secrets: host::secrets(std::mem::take(&mut options.secrets))?,
        agents: agent::sources(std::mem::take(&mut options.agents))?,
        ..Host::default()
    };
    let (context, file) = (options.context.as_str(), options.file.as_str());
    let path = Path::new(context);
    if is_url(file) {
        return Err(format!("a Dockerfile behind a URL is not implemented: {file}"));
    }
    match (context, remote(context)) {
        ("-", _) if file == "-" => {
            return Err(
                "invalid argument: can't use stdin for both build context and dockerfile".into()
            );
        }
        ("-", _) => from_stdin(stdin, file, &mut request, &mut host)?,
        ("", _) => {
            return Err(
                "please specify build context (e.g. \".\" for the current directory)".into()
            );
        }
        _ if path.is_dir() => from_directory(path, file, stdin, &mut request, &mut host)?,
        (_, Some(source)) => {
            request.dockerfile = match file {
                "-" => text(DOCKERFILE, read_stdin(stdin)?),
                "" => DockerfileSource::default(),
                file if Path::new(file).is_absolute() => dockerfile(Path::new(file))?,
                file => DockerfileSource::Path(file.to_owned()),
            };
            request.contexts.insert(String::new(), source);
        }
        _ => {
            let quoted = gantry_gotext::quote(context);
            return Err(format!("unable to prepare context: path {quoted} not found"));
        }
    }
    named(std::mem::take(&mut options.named), &mut request, &mut host)?;
    for cache in std::mem::take(&mut options.caches) {
        match cache {
            CacheDirectory::From { context, path } => {
                host.trees.insert(context, open(&path, Hidden::nothing())?);
            }
            CacheDirectory::To { path, .. } if path.exists() && !path.is_dir() => {
                return Err(format!("destination directory {} is a file", path.display()));
            }
            CacheDirectory::To { index, path } => {
                host.caches.insert(index, path);
            }
        }
    }
    Ok((request, host))
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// A tar or a Dockerfile on standard input.
fn from_stdin(
    mut stdin: impl Read + Send + 'static,
    file: &str,
    request: &mut BuildRequest,
    host: &mut Host,
) -> Result<(), String> {
    let failed =
        |error: io::Error| format!("failed to peek context header from STDIN: {}", reason(&error));
    let head = sniff::head(&mut stdin).map_err(failed)?;
    if sniff::is_archive(&head) {
        let reader: Box<dyn Read + Send> = Box::new(io::Cursor::new(head).chain(stdin));
        host.stream = Mutex::new(Some((String::new(), reader)));
        request.contexts.insert(String::new(), ContextSource::ClientTar);
        if !file.is_empty() {
            request.dockerfile = DockerfileSource::Path(file.to_owned());
        }
        return Ok(());
    }
    if !file.is_empty() {
        return Err(
            "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles".into()
        );
    }
    request.dockerfile = text(DOCKERFILE, read_stdin(io::Cursor::new(head).chain(stdin))?);
    request.contexts.insert(String::new(), ContextSource::Empty);
    Ok(())
}

fn read_stdin(stdin: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    stdin
        .take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("failed to read dockerfile: {}", reason(&error)))?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= TEXT_BYTES_MAX) {
        true => Ok(bytes),
        false => Err("failed to read dockerfile: it is longer than 16 MiB".into()),
    }
}

fn from_directory(
    path: &Path,
    file: &str,
    stdin: impl Read,
    request: &mut BuildRequest,
    host: &mut Host,
) -> Result<(), String> {
    let at = match file {
        "-" => None,
        "" => Some(usual(path)),
        file => Some(PathBuf::from(file)),
    };
    request.dockerfile = match &at {
        None => text(DOCKERFILE, read_stdin(stdin)?),
        Some(at) => dockerfile(at)?,
    };
    let own = at.map(|at| {
        let mut name = at.file_name().unwrap_or_default().to_owned();
        name.push(IGNORE_FILE);
        at.with_file_name(name)
    });
    let common = path.join(IGNORE_FILE);
    let (ignore, hidden) = match own.filter(|own| own.is_file()) {
        Some(own) => ignore_file(&own)?,
        None => ignore_file(&common)?,
    };
    request.ignore = ignore;
    host.trees.insert(String::new(), open(path, hidden)?);
    let source = ContextSource::Client { identity: identity(path) };
    request.contexts.insert(String::new(), source);
    Ok(())
}

/// The Dockerfile of a directory; one in lower case will do.
fn usual(directory: &Path) -> PathBuf {
    let usual = directory.join(DOCKERFILE);
    let lower = directory.join(DOCKERFILE.to_lowercase());
    if !usual.exists() && lower.exists() { lower } else { usual }
}

fn dockerfile(path: &Path) -> Result<DockerfileSource, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let failed =
        |why: &str| format!("failed to solve: failed to read dockerfile: open {name}: {why}");
    match whole(path, TEXT_BYTES_MAX) {
        Ok(Some(bytes)) => Ok(text(&name, bytes)),
        Ok(None) => Err(failed("it is longer than 16 MiB")),
        Err(error) => Err(failed(&reason(&error))),
    }
}

fn text(name: &str, bytes: Vec<u8>) -> DockerfileSource {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    DockerfileSource::Text { name: name.to_owned(), text }
}

/// An ignore file's text and what it hides; nothing if it is not there.
fn ignore_file(path: &Path) -> Result<(String, Hidden), String> {
    let failed = |why: String| format!("failed to read {}: {why}", path.display());
    let bytes = match whole(path, TEXT_BYTES_MAX) {
        Ok(bytes) => bytes.ok_or_else(|| failed("it is longer than 16 MiB".into()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((String::new(), Hidden::nothing()));
        }
        Err(error) => return Err(failed(reason(&error))),
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let hidden = Hidden::parse(&text).map_err(failed)?;
    Ok((text, hidden))
}

fn open(path: &Path, hidden: Hidden) -> Result<Tree, String> {
    Tree::open(path, hidden).map_err(|error| format!("open {}: {}", path.display(), reason(&error)))
}

/// Further contexts.
fn named(given: Vec<Named>, request: &mut BuildRequest, host: &mut Host) -> Result<(), String> {
    // The same directory under two names is one to the daemon, and is walked once for each.
    let mut identities: HashMap<PathBuf, String> = HashMap::new();
    for Named { name, from } in given {
        let (path, hidden) = match &from {
            Remote::Source(source) => {
                request.contexts.insert(name, source.clone());
                continue;
            }
            Remote::Directory(path) => (path, ignore_file(&path.join(IGNORE_FILE))?.1),
            Remote::Layout { path, .. } => (path, Hidden::nothing()),
        };
        let metadata = std::fs::metadata(path).map_err(|error| {
            let (shown, why) = (path.display(), reason(&error));
            format!("failed to get build context {name}: stat {shown}: {why}")
        })?;
        if !metadata.is_dir() {
            return Err(format!(
                "failed to get build context path {}: not a directory",
                path.display()
            ));
        }
        host.trees.insert(name.clone(), open(path, hidden)?);
        let identity = identities.entry(path.clone()).or_insert_with(|| identity(path)).clone();
        let source = match from {
            Remote::Layout { reference, .. } => ContextSource::OciLayout { identity, reference },
            _ => ContextSource::Client { identity },
        };
        request.contexts.insert(name, source);
    }
    Ok(())
}
