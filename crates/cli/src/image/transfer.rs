//! Moving images: pull, push, load, save, import.

use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use gantry_api_types::auth::AuthConfig;
use gantry_client::{ByteStream, Client, Query};
use gantry_distribution::index_key;
use gantry_oci::Reference;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf};

use super::bars;
use crate::app::{Call, Failure, Outcome};
use crate::container::reason;
use crate::output::{err, out};
use crate::registry::keyring;
use crate::term;

/// Size of the pieces in which archives are copied.
const CHUNK_BYTES: usize = 256 << 10;

/// An image's name with the tag that it has when none is given.
pub(crate) fn tagged(name: &str) -> String {
    let (_, tag) = super::manage::split_tag(name);
    if tag.is_empty() && !name.contains('@') { format!("{name}:latest") } else { name.to_owned() }
}

/// `os[/arch[/variant]]` as the API takes it.
pub(crate) fn platform_json(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (os, arch, variant) = match parts.as_slice() {
        [os] => (*os, "", ""),
        [os, arch] => (*os, *arch, ""),
        [os, arch, variant] => (*os, *arch, *variant),
        _ => {
            let text = gantry_gotext::quote(text);
            return Err(format!(
                "error parsing specified platform: {text}: cannot parse platform specifier: invalid argument"
            ));
        }
    };
    let mut platform = json!({"architecture": arch, "os": os});
    if !variant.is_empty() {
        platform["variant"] = variant.into();
    }
    Ok(platform.to_string())
}

/// A bar on a terminal, hidden elsewhere.
pub(crate) fn progress(total: Option<u64>, what: &str, quiet: bool) -> ProgressBar {
    if quiet || !term::stderr_is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    let template = match total {
        Some(_) => "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}",
        None => "{msg} {spinner} {bytes} {bytes_per_sec}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar
}

/// A reader that moves a bar.
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    pub(crate) bar: ProgressBar,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let answer = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.bar.inc(u64::try_from(buf.filled().len() - before).unwrap_or(0));
        answer
    }
}

/// Prints a stream of JSON messages as lines; its error is ours.
pub(crate) async fn messages(
    body: impl AsyncRead + Unpin,
    mut print: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let mut lines = BufReader::new(body);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        let message: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let text = |key: &str| message[key].as_str().filter(|text| !text.is_empty());
        if let Some(error) = error_of(&message) {
            return Err(error);
        }
        // Bars are for terminals; here they would be noise.
        if text("progress").is_some()
            || message["progressDetail"]["total"].as_i64().is_some_and(|n| n > 0)
        {
            continue;
        }
        if let Some(stream) = text("stream") {
            print(stream)?;
        } else if let Some(status) = text("status") {
            let id = text("id").map(|id| format!("{id}: ")).unwrap_or_default();
            let from = text("from").map(|from| format!("(from {from}) ")).unwrap_or_default();
            print(&format!("{id}{from}{status}\n"))?;
        }
    }
}

/// The failure that a message tells of.
pub(super) fn error_of(message: &Value) -> Option<Failure> {
    let plain = message["error"].as_str().filter(|text| !text.is_empty());
    let error = message["errorDetail"]["message"].as_str().or(plain)?;
    Some(match message["errorDetail"]["code"].as_i64() {
        Some(401) => "authentication is required".into(),
        _ => error.into(),
    })
}

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

/// `load`.
pub(crate) async fn load(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let input = flags.text("input");
    let quiet = flags.is_on("quiet");
    if input.is_empty() && term::stdin_is_terminal() {
        return Err("requested load from stdin, but stdin is empty".into());
    }
    let reader: Box<dyn AsyncRead + Send + Sync + Unpin> = match input {
        "" => Box::new(tokio::io::stdin()),
        path => {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|error| format!("open {path}: {}", reason(&error)))?;
            let total = file.metadata().await.ok().map(|metadata| metadata.len());
            Box::new(Counted { inner: file, bar: progress(total, "Loading", quiet) })
        }
    };
    let client = call.client().await?;
    let mut query = Query::new();
    if !term::stdout_is_terminal() || quiet {
        query = query.with("quiet", "1");
    } else {
        query = query.with("quiet", "0");
    }
    for platform in flags.strings("platform") {
        query = query.with("platform", platform_json(&platform)?);
    }
    let response = client.image_load(&query, reader).await?;
    messages(response.body, |text| out(text)).await?;
    Ok(0)
}

/// Checks that a file can be written: its directory is there, and it is no directory.
pub(crate) fn check_output(path: &str, what: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Ok(());
    }
    let path = Path::new(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.exists()
    {
        let parent = parent.display();
        let why = "no such file or directory";
        return Err(format!("{what}invalid output path: stat {parent}: {why}").into());
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(format!("{what}cannot write to a directory").into())
        }
        Ok(metadata) if !metadata.is_file() => {
            Err(format!("{what}cannot write to a device").into())
        }
        _ => Ok(()),
    }
}

/// Writes a stream to a file, which appears only when it is whole, or to standard output.
pub(crate) async fn download(
    mut body: ByteStream,
    output: &str,
    bar: Option<ProgressBar>,
) -> Result<(), Failure> {
    let path = Path::new(output);
    let beside = path.with_file_name(format!(
        ".tmp-{}{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let mut sink: Box<dyn std::io::Write> = match output {
        "" => Box::new(std::io::stdout().lock()),
        _ => Box::new(
            std::fs::File::create(&beside)
                .map_err(|error| format!("open {}: {}", beside.display(), reason(&error)))?,
        ),
    };
    let copied = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = body.read(&mut chunk).await?;
            if count == 0 {
                return sink.flush();
            }
            if let Some(bar) = &bar {
                bar.inc(u64::try_from(count).unwrap_or(0));
            }
            sink.write_all(&chunk[..count])?;
        }
    }
    .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if output.is_empty() {
        return Ok(copied?);
    }
    let renamed = copied.and_then(|()| std::fs::rename(&beside, path));
    renamed.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        Failure::Text(format!("{output}: {}", reason(&error)))
    })
}

/// `save`.
pub(crate) async fn save(call: &Call<'_>) -> Outcome {
    let output = call.flags.text("output");
    if output.is_empty() && term::stdout_is_terminal() {
        return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
    }
    check_output(output, "failed to save image: ")?;
    let client = call.client().await?;
    let mut query = Query::new();
    for name in &call.args {
        query = query.with("names", name);
    }
    for platform in call.flags.strings("platform") {
        query = query.with("platform", platform_json(&platform)?);
    }
    let response = client.image_save(&query).await?;
    let bar = progress(None, "Saving", output.is_empty());
    download(response.body, output, Some(bar)).await?;
    Ok(0)
}

/// `import`.
pub(crate) async fn import(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let source = call.args[0].as_str();
    let (repo, tag) = match call.args.get(1) {
        Some(name) => super::manage::split_tag(name),
        None => (String::new(), String::new()),
    };
    let url = source.starts_with("http://") || source.starts_with("https://");
    let mut query = Query::new()
        .with("fromSrc", if url { source } else { "-" })
        .with_some("message", Some(flags.text("message")).filter(|text| !text.is_empty()))
        .with_some("repo", Some(repo).filter(|repo| !repo.is_empty()))
        .with_some("tag", Some(tag).filter(|tag| !tag.is_empty()))
        .with_some("platform", Some(flags.text("platform")).filter(|text| !text.is_empty()));
    for change in flags.list("change") {
        query = query.with("changes", change);
    }
    let reader: Option<Box<dyn AsyncRead + Send + Sync + Unpin>> = match source {
        _ if url => None,
        "-" => Some(Box::new(tokio::io::stdin())),
        path => Some(Box::new(
            tokio::fs::File::open(path)
                .await
                .map_err(|error| format!("open {path}: {}", reason(&error)))?,
        )),
    };
    let response = call.client().await?.image_import(&query, reader).await?;
    messages(response.body, |text| out(text)).await?;
    Ok(0)
}
