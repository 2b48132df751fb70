//! Images to and from registries, by way of the daemon: pull, push.

use gantry_api_types::auth::AuthConfig;
use gantry_client::{Client, Query};
use gantry_distribution::index_key;
use gantry_oci::Reference;
use tokio::io::AsyncRead;

use super::bars;
use super::transfer::{messages, platform_json, tagged};
use crate::app::{Call, Failure, Outcome};
use crate::output::{err, out};
use crate::registry::keyring;
use crate::term;

/// The credentials of a name's registry, as the API takes them.
pub(crate) fn auth_header(call: &Call<'_>, name: &str) -> Result<String, Failure> {
    let host = match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    };
    let found = call.app.config.credentials(&index_key(host)).unwrap_or_else(|why| {
        err(format!("WARNING: {why}\n"));
        AuthConfig::default()
    });
    Ok(keyring::header(&found))
}

/// Pulls an image. `run` and `create` say what happens on standard error.
pub(crate) async fn pull_image(
    call: &Call<'_>,
    client: &Client,
    name: &str,
    platform: &str,
    quiet: bool,
    to_stderr: bool,
) -> Result<(), Failure> {
    let full = tagged(name);
    let (repo, tag) = match name.split_once('@') {
        Some((repo, digest)) => (repo.to_owned(), digest.to_owned()),
        None => super::manage::split_tag(&full),
    };
    let query = Query::new()
        .with("fromImage", repo)
        .with("tag", tag)
        .with_some("platform", Some(platform).filter(|platform| !platform.is_empty()));
    let response = client.image_pull(&query, Some(&auth_header(call, name)?)).await?;
    show(response.body, quiet, to_stderr).await
}

/// Shows how a transfer goes: lines that move on a terminal, plain ones elsewhere.
async fn show(body: impl AsyncRead + Unpin, quiet: bool, to_stderr: bool) -> Result<(), Failure> {
    let terminal = if to_stderr { term::stderr_is_terminal() } else { term::stdout_is_terminal() };
    let print = move |text: &str| match to_stderr {
        true => {
            err(text);
            Ok(())
        }
        false => out(text),
    };
    match (quiet, terminal) {
        (true, _) => messages(body, |_| Ok(())).await,
        (_, false) => messages(body, print).await,
        (_, true) => {
            let size = if to_stderr { term::stderr_size() } else { term::size() };
            bars::show(body, size.map_or(bars::DEFAULT_WIDTH, |(_, width)| width.into()), print)
                .await
        }
    }
}

/// `push`.
pub(crate) async fn push(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let name = call.args[0].as_str();
    let reference: Reference = name.parse().map_err(|error| format!("{error}"))?;
    if reference.digest().is_some() {
        return Err("cannot push a digest reference".into());
    }
    let (quiet, all) = (flags.is_on("quiet"), flags.is_on("all-tags"));
    let mut query = Query::new();
    match (reference.tag(), all) {
        (Some(_), true) => return Err("tag can't be used with --all-tags/-a".into()),
        (None, true) => {}
        (Some(tag), false) => query = query.with("tag", tag),
        (None, false) => {
            query = query.with("tag", "latest");
            if !quiet {
                out("Using default tag: latest\n")?;
            }
        }
    }
    let platform = flags.text("platform");
    if !platform.is_empty() {
        query = query.with("platform", platform_json(platform)?);
    }
    let client = call.client().await?;
    let auth = auth_header(call, name)?;
    let response = client.image_push(&reference.familiar_name(), &query, &auth).await?;
    show(response.body, quiet, false).await?;
    if quiet {
        let named = if all { reference } else { reference.or_latest() };
        out(format!("{}\n", named.canonical()))?;
    }
    Ok(0)
}

/// `pull`.
pub(crate) async fn pull(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let name = call.args[0].as_str();
    let reference: Reference = name.parse().map_err(|error| format!("{error}"))?;
    let (quiet, all) = (flags.is_on("quiet"), flags.is_on("all-tags"));
    if all && !reference.is_name_only() {
        return Err("tag can't be used with --all-tags/-a".into());
    }
    if !all && !quiet && reference.is_name_only() {
        out("Using default tag: latest\n")?;
    }
    let client = call.client().await?;
    let platform = flags.text("platform");
    if all {
        let query = Query::new()
            .with("fromImage", reference.familiar_name())
            .with_some("platform", Some(platform).filter(|platform| !platform.is_empty()));
        let response = client.image_pull(&query, Some(&auth_header(call, name)?)).await?;
        show(response.body, quiet, false).await?;
        out(format!("{}\n", reference.canonical()))?;
        return Ok(0);
    }
    pull_image(call, client, name, platform, quiet, false).await?;
    out(format!("{}\n", reference.or_latest().canonical()))?;
    Ok(0)
}
