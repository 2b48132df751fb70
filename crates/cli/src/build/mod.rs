//! `build`: what the flags ask for, what this machine offers, and how it is shown.
//!
//! ```text
//! options   flags -> request, and what is the client's own
//! source    context and Dockerfile -> the rest of the request, and the Host
//! host      answers the daemon: tree (contexts), agent (SSH), output (results)
//! session   takes events until the build ends, or is cancelled
//! progress  shows them                     excerpt, calls   texts at the end
//! shell     in what a failed step left     usage            the build cache
//! ```

mod agent;
mod calls;
mod excerpt;
mod hidden;
mod host;
mod options;
mod output;
mod progress;
mod session;
mod shell;
mod sniff;
mod source;
mod tree;
pub(crate) mod usage;

use std::path::Path;
use std::sync::Arc;

use gantry_build_proto::{Built, Failure as BuildFailure};
use gantry_client::ClientError;
use serde_json::{Map, Value};

use crate::app::{Call, Failure, Outcome};
use crate::container::reason;
use crate::format;
use crate::output::{err, out};
use crate::registry::keyring;
use crate::{config, term};
use host::Host;
use options::{Options, Surroundings};
use progress::{Colors, Mode};
use session::{End, Shown};

/// Exit code of a build that failed.
const FAILED: u8 = 1;
/// Exit code of a build that was interrupted: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// What a command line says that cannot be served.
fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::Text(format!("ERROR: {why}"))
}

/// `build`.
pub(crate) async fn build(call: &Call<'_>) -> Outcome {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let around = Surroundings {
        variable: &|name| std::env::var(name).ok(),
        proxies: call.app.config.proxies(&call.app.endpoint()?.host),
        terminal: term::stderr_is_terminal() && !dumb,
    };
    let mut options = Options::of(&call.flags, &call.args[0], &around).map_err(refused)?;
    options.debug |= call.app.globals.is_on("debug");
    forget(&options.id_file)?;
    let (request, host) = source::prepare(&mut options, std::io::stdin()).map_err(refused)?;
    let client = call.client().await?;
    let host = Arc::new(host);
    let auths = keyring::header_of_all(&call.app.config.all_credentials());
    let session = client.start_build(request, Arc::<Host>::clone(&host), auths.as_deref()).await;
    let session = session.map_err(unavailable)?;
    let shown = Shown { mode: options.mode, colors: colors(), host: &host };
    let (session, ended) = session::watch(session, shown).await?;
    if options.question.is_none() {
        let warnings = ended.warnings(options.mode);
        err(excerpt::warnings(&warnings, options.debug, &call.app.program, &colors()));
    }
    match ended.end {
        End::Done(built) => done(&options, &built),
        End::Failed(failure) => {
            failed(&failure, options.mode);
            hint(&failure, &options);
            if options.shell && !failure.kept.is_empty() {
                shell::run(call, client, &failure).await?;
            }
            drop(session);
            Ok(if failure.cancelled { INTERRUPTED } else { FAILED })
        }
        End::Interrupted => {
            let cancelled = BuildFailure { cancelled: true, ..BuildFailure::default() };
            failed(&cancelled, options.mode);
            Ok(INTERRUPTED)
        }
    }
}

/// A daemon that is not Gantry's has no such door.
fn unavailable(error: ClientError) -> Failure {
    match error.status() {
        Some(404 | 405) => {
            refused("the daemon does not build in this way: it is not Gantry's, or an older one")
        }
        Some(_) => refused(error),
        None => error.into(),
    }
}

/// Colours for standard error.
fn colors() -> Colors {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match none || !term::stderr_is_terminal() {
        true => Colors::none(),
        false => Colors::of(&std::env::var("BUILDKIT_COLORS").unwrap_or_default()),
    }
}

/// Removes an image ID file of an earlier build: it would be wrong if this one fails.
fn forget(id_file: &str) -> Result<(), Failure> {
    if id_file.is_empty() {
        return Ok(());
    }
    match std::fs::remove_file(id_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(refused(format!("removing image ID file: remove {id_file}: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}

fn failed(failure: &BuildFailure, mode: Mode) {
    let mut text = String::new();
    if mode == Mode::Quiet && !failure.last_output.is_empty() {
        // Nobody has seen what the step printed.
        let lines = failure.last_output.lines().map(|line| progress::text::safe(line, false));
        text = format!("------\n{}\n------\n", lines.collect::<Vec<_>>().join("\n"));
    }
    err(text + &excerpt::failure(failure));
}

/// Tells who sits there how to look at what a step left.
fn hint(failure: &BuildFailure, options: &Options) {
    let known = options.shell || !failure.hint.is_empty() || failure.exit_code == 0;
    if !known && term::stderr_is_terminal() {
        err("hint: --on-error=shell starts a shell in what the step left\n");
    }
}

fn done(options: &Options, built: &Built) -> Outcome {
    if !options.id_file.is_empty() {
        std::fs::write(&options.id_file, image_id(built))
            .map_err(|error| refused(format!("writing image ID file: {}", reason(&error))))?;
    }
    if !options.metadata_file.is_empty() {
        let text = format::indent(&metadata(built), "  ");
        let path = Path::new(&options.metadata_file);
        config::write_atomically(path, text.as_bytes()).map_err(refused)?;
    }
    if let Some(question) = &options.question {
        let (text, code) = calls::answer(question, built);
        out(text)?;
        return Ok(code);
    }
    let id = image_id(built);
    if options.mode == Mode::Quiet && !id.is_empty() {
        out(format!("{id}\n"))?;
    }
    Ok(0)
}

/// The image's id; the digest of its manifest where it has become no image here.
fn image_id(built: &Built) -> &str {
    if built.image.is_empty() { &built.manifest } else { &built.image }
}

/// What `--metadata-file` gets.
fn metadata(built: &Built) -> Value {
    let mut all = built.metadata.clone();
    let names = built.names.join(",");
    for (key, value) in [
        ("containerimage.config.digest", &built.image),
        ("containerimage.digest", &built.manifest),
        ("image.name", &names),
    ] {
        if !value.is_empty() {
            all.entry(key.to_owned()).or_insert_with(|| value.as_str().into());
        }
    }
    Value::Object(all.into_iter().collect::<Map<_, _>>())
}
