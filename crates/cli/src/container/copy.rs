//! `cp`: Docker's rules for what lands where.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use gantry_client::{ArchiveStat, Client, Query};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::app::{Call, Failure, Outcome};
use crate::container::mounts::clean;
use crate::container::reason;
use crate::container::tarball::{self, Unpack};
use crate::format::units;
use crate::image::transfer::{self, Counted, progress};
use crate::output::err;
use crate::term;

/// How many links are followed to find a destination.
const MAX_LINKS: usize = 10;

/// One side of a copy: a container and a path, or a path here.
struct Side<'a> {
    container: &'a str,
    path: &'a str,
}

fn side(text: &str) -> Side<'_> {
    // Absolute paths and what begins with a dot are local, even with a colon in them.
    match text.split_once(':') {
        Some((container, path)) if !text.starts_with(['/', '.']) => Side { container, path },
        _ => Side { container: "", path: text },
    }
}

/// `cp`.
pub(crate) async fn cp(call: &Call<'_>) -> Outcome {
    if call.args.iter().any(String::is_empty) {
        let which = if call.args[0].is_empty() { "source" } else { "destination" };
        return Err(format!("{which} can not be empty").into());
    }
    let (source, target) = (side(&call.args[0]), side(&call.args[1]));
    match (source.container.is_empty(), target.container.is_empty()) {
        (false, false) => Err("copying between containers is not supported".into()),
        (true, true) => Err("must specify at least one container source".into()),
        (false, true) => from_container(call, &source, target.path).await,
        (true, false) => to_container(call, source.path, &target).await,
    }
}

/// Whether a path says that it is a directory.
fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "."
}

/// Absolute and clean, with a trailing `/` or `/.` kept.
fn absolute(path: &str) -> String {
    let base = std::env::current_dir().unwrap_or_default();
    let cleaned = clean(&base.join(path));
    let separator = if cleaned == "/" { "" } else { "/" };
    match path {
        path if path.ends_with("/.") || path == "." => format!("{cleaned}{separator}."),
        path if path.ends_with('/') => format!("{cleaned}{separator}"),
        _ => cleaned,
    }
}

/// Last part of a path, as Go's `filepath.Base`.
fn base(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit('/').next() {
        Some("") | None => "/".into(),
        Some(name) => name.to_owned(),
    }
}

fn directory_of(path: &str) -> String {
    let trimmed = path.trim_end_matches("/.").trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some(("", _)) | None => "/".into(),
        Some((directory, _)) => directory.to_owned(),
    }
}

/// Where an archive is unpacked, and how its first name is changed.
struct Plan {
    directory: String,
    rename: Option<(String, String)>,
}

/// What is known of a destination.
struct Known {
    exists: bool,
    is_directory: bool,
}

/// Docker's rules: source and destination, each a directory, a file, or not there.
fn plan(
    source_base: &str,
    source_is_directory: bool,
    target: &str,
    known: &Known,
) -> Result<Plan, String> {
    let rename = || Some((source_base.to_owned(), base(target)));
    let beside = |rename| Plan { directory: directory_of(target), rename };
    match (known.exists, known.is_directory, source_is_directory) {
        (true, true, _) => Ok(Plan { directory: target.to_owned(), rename: None }),
        (true, false, true) => Err("cannot copy directory".into()),
        (true, false, false) | (false, _, true) => Ok(beside(rename())),
        (false, _, false) if asserts_directory(target) => Err("no such directory".into()),
        (false, _, false) => Ok(beside(rename())),
    }
}

async fn from_container(call: &Call<'_>, source: &Side<'_>, target: &str) -> Outcome {
    let client = call.client().await?;
    let mut path = source.path.to_owned();
    let mut asked = base(&path);
    if call.flags.is_on("follow-link") {
        let stat = client.archive_stat(source.container, &path).await?;
        if stat.is_link() {
            path = match stat.link_target.starts_with('/') {
                true => stat.link_target,
                false => format!("{}/{}", directory_of(&path), stat.link_target),
            };
            asked = base(&path);
        }
    }
    if target == "-" {
        let (_, response) = client.archive_get(source.container, &path).await?;
        transfer::download(response.body, "", None).await?;
        return Ok(0);
    }
    let target = absolute(target);
    let known = match std::fs::metadata(&target) {
        Ok(metadata) => Known { exists: true, is_directory: metadata.is_dir() },
        Err(_) => Known { exists: false, is_directory: false },
    };
    let parent = directory_of(&target);
    if !known.exists && !Path::new(&parent).exists() {
        return Err(format!("invalid output path: directory \"{parent}\" does not exist").into());
    }
    let (stat, response) = client.archive_get(source.container, &path).await?;
    let plan = plan(&asked, stat.is_directory(), &target, &known)?;
    let owners = call.flags.is_on("archive");
    let quiet = call.flags.is_on("quiet");
    let bar = progress(None, "Copying", quiet);
    let size = receive(Counted { inner: response.body, bar: bar.clone() }, plan, owners).await?;
    bar.finish_and_clear();
    say(call, size, &call.args[1]);
    Ok(0)
}

fn say(call: &Call<'_>, size: u64, target: &str) {
    if !call.flags.is_on("quiet") && term::stderr_is_terminal() {
        #[expect(clippy::cast_precision_loss, reason = "three digits of it are printed")]
        let size = units::human_size(size as f64, 3);
        err(format!("Successfully copied {size} to {target}\n"));
    }
}

/// Unpacks a stream on a thread of its own; a socket pair joins the two worlds.
async fn receive(
    mut body: impl tokio::io::AsyncRead + Unpin,
    plan: Plan,
    owners: bool,
) -> Result<u64, Failure> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut ours = UnixStream::from_std(ours)?;
    let worker = tokio::task::spawn_blocking(move || {
        let how = Unpack { into: Path::new(&plan.directory), rename: plan.rename, owners };
        tarball::unpack(&theirs, &how)
    });
    let copied = tokio::io::copy(&mut body, &mut ours).await;
    let _ = ours.shutdown().await;
    drop(ours);
    match worker.await.map_err(|error| error.to_string())? {
        Ok(size) => {
            copied?;
            Ok(size)
        }
        Err(error) => Err(Failure::Text(reason(&error))),
    }
}

/// What a path in a container is, links followed; nothing if it is not there.
async fn destination(
    client: &Client,
    side: &Side<'_>,
) -> Result<(String, Option<ArchiveStat>), Failure> {
    let mut path = side.path.to_owned();
    let mut stat = client.archive_stat(side.container, &path).await.ok();
    for _ in 0..MAX_LINKS {
        match stat {
            Some(link) if link.is_link() => {
                path = match link.link_target.starts_with('/') {
                    true => link.link_target,
                    false => format!("{}/{}", directory_of(&path), link.link_target),
                };
                stat = client.archive_stat(side.container, &path).await.ok();
            }
            stat => return Ok((path, stat)),
        }
    }
    Err(format!("too many links in {}", side.path).into())
}

async fn to_container(call: &Call<'_>, source: &str, target: &Side<'_>) -> Outcome {
    let source = if source == "-" { source.to_owned() } else { absolute(source) };
    let client = call.client().await?;
    let (path, stat) = destination(client, target).await?;
    let known = Known {
        exists: stat.is_some(),
        is_directory: stat.as_ref().is_some_and(ArchiveStat::is_directory),
    };
    let query = |directory: &str| {
        Query::new()
            .with("path", directory)
            .with("noOverwriteDirNonDir", "true")
            .with_some("copyUIDGID", call.flags.is_on("archive").then_some("true"))
    };
    if source == "-" {
        if !known.is_directory {
            let name = &call.args[1];
            return Err(format!("destination \"{name}\" must be a directory").into());
        }
        client.archive_put(target.container, &query(&path), Box::new(tokio::io::stdin())).await?;
        return Ok(0);
    }
    let local = local_source(&source, call.flags.is_on("follow-link"))?;
    let plan = plan(&local.name, local.is_directory, &path, &known)?;
    // The archive bears the name that it is to have, so nothing is renamed on the way.
    let name = match plan.rename {
        Some((_, new)) => new,
        None => local.name.clone(),
    };
    let bar = progress(Some(tarball::size(&local.path)), "Copying", call.flags.is_on("quiet"));
    let size = tarball::size(&local.path);
    send(client, target.container, &query(&plan.directory), local, name, bar).await?;
    say(call, size, &call.args[1]);
    Ok(0)
}

/// A file or directory here that is to be copied.
struct Local {
    path: PathBuf,
    name: String,
    is_directory: bool,
}

fn local_source(source: &str, follow: bool) -> Result<Local, Failure> {
    let trimmed = source.trim_end_matches("/.").trim_end_matches('/');
    let path = PathBuf::from(if trimmed.is_empty() { "/" } else { trimmed });
    let metadata = if follow { path.metadata() } else { path.symlink_metadata() };
    let metadata = metadata.map_err(|error| {
        // Docker joins directory and name with a slash of its own.
        let shown = format!("{}/{}", directory_of(source), base(trimmed));
        format!("lstat {shown}: {}", reason(&error))
    })?;
    if asserts_directory(source) && !metadata.is_dir() {
        return Err("not a directory".into());
    }
    let path = if follow { path.canonicalize()? } else { path };
    Ok(Local { path, name: base(source), is_directory: metadata.is_dir() })
}

async fn send(
    client: &Client,
    container: &str,
    query: &Query,
    local: Local,
    name: String,
    bar: indicatif::ProgressBar,
) -> Result<(), Failure> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let reader = Counted { inner: UnixStream::from_std(ours)?, bar: bar.clone() };
    let worker = tokio::task::spawn_blocking(move || {
        let done = tarball::pack(&local.path, &name, false, &theirs);
        let _ = theirs.shutdown(std::net::Shutdown::Write);
        done
    });
    let sent = client.archive_put(container, query, Box::new(reader)).await;
    bar.finish_and_clear();
    let packed = worker.await.map_err(|error| error.to_string())?;
    sent?;
    packed.map_err(|error| Failure::Text(reason(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lands_where_docker_puts_it() {
        let known = |exists, is_directory| Known { exists, is_directory };
        for (directory, target, there, want) in [
            (true, "/d", known(true, true), Ok(("/d", None))),
            (true, "/f", known(true, false), Err("cannot copy directory")),
            (false, "/x/f", known(true, false), Ok(("/x", Some("f")))),
            (true, "/x/new", known(false, false), Ok(("/x", Some("new")))),
            (false, "/x/new/", known(false, false), Err("no such directory")),
            (false, "/new", known(false, false), Ok(("/", Some("new")))),
        ] {
            let got = plan("src", directory, target, &there);
            let got = got.as_ref().map(|plan| {
                (plan.directory.as_str(), plan.rename.as_ref().map(|(_, new)| new.as_str()))
            });
            assert_eq!(got.map_err(String::as_str), want, "{target}");
        }
        assert_eq!(base("/a/b/."), ".");
        assert_eq!(base("/a/b/"), "b");
        assert_eq!(side("c:/x").container, "c");
        assert_eq!(side("./c:/x").container, "");
    }
}
