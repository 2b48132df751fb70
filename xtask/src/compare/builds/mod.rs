//! The same Dockerfile built by docker.io and by Gantry: the images must be the same.
//!
//! Cases are in `tests/compare/builds/*.builds` (see [`case`]). What is compared is a description of
//! the image: its configuration, its history, and of every layer that the build made each file with
//! type, mode, owner and content; or, where the build fails, the error.
//!
//! docker.io's BuildKit is of 2023 and does not know all of the language. A case of newer parts
//! gives it another Dockerfile that comes to the same files, or says what is wanted itself.

mod case;
mod image;
mod words;

use std::path::{Path, PathBuf};

use gantry_rig::client::DEBIAN_DOCKER;
use gantry_rig::{Client, Daemon, Kind, Ran, daemon::gantry_binary, images};

use super::normal;
use crate::chore::{ChoreError, io};
pub(super) use case::{BuildCase, Builder, read};

/// Name of the images that cases build.
const BUILT: &str = "built";

/// Imports what cases build upon.
pub(super) fn prepare(daemon: &Daemon) -> Result<(), ChoreError> {
    images::import_build_base(&daemon.client()).map_err(io("importing the base image"))
}

/// Builds every case, and describes what came of it.
pub(super) fn answers(daemon: &Daemon, cases: &[BuildCase]) -> Result<Vec<Ran>, ChoreError> {
    let gantry = gantry_binary().map_err(io("finding gantry"))?;
    cases.iter().map(|case| answer(daemon, &gantry, case)).collect()
}

fn answer(daemon: &Daemon, gantry: &Path, case: &BuildCase) -> Result<Ran, ChoreError> {
    if let (Kind::Docker, Some(want)) = (daemon.kind, &case.want) {
        let code = i32::from(want.starts_with("error:"));
        return Ok(Ran { code, stdout: want.clone(), stderr: String::new() });
    }
    let directory = daemon.root.join("case");
    let context = directory.join("context");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&context).map_err(io("making a context"))?;
    let client = daemon.client();
    let setup = client.shell(&format!("cd {} || exit 1\n{}", context.display(), case.context));
    if setup.code != 0 {
        return Ok(Ran { stdout: String::new(), ..setup });
    }
    let ours = daemon.kind == Kind::Gantry;
    let dockerfile = case.docker.as_ref().filter(|_| !ours).unwrap_or(&case.dockerfile);
    if !case.no_dockerfile {
        std::fs::write(context.join("Dockerfile"), dockerfile).map_err(io("the Dockerfile"))?;
    }
    let built = build(&client, &context, case, ours.then_some(gantry));
    let text = describe(&client, &context, &built, case)?;
    let clean = |text: &str| normal::normalise(text, &case.replace, &directory);
    let ran = Ran { code: i32::from(built.code != 0), stdout: clean(&text), stderr: String::new() };
    // What a case leaves must not reach the next one: the classic builder's cache are its images,
    // that of the others goes by itself.
    let _ = client.shell(
        "docker image ls -q built | xargs -r docker rmi -f >/dev/null 2>&1; \
         docker image prune -f >/dev/null 2>&1; \
         docker builder prune -af >/dev/null 2>&1",
    );
    let _ = std::fs::remove_dir_all(&directory);
    Ok(ran)
}

fn build(client: &Client, context: &Path, case: &BuildCase, gantry: Option<&Path>) -> Ran {
    let args = case.docker_args.as_ref().filter(|_| gantry.is_none()).unwrap_or(&case.args);
    let end = if args.ends_with(" -") { "" } else { " ." };
    let command = match (case.builder, gantry) {
        (Builder::Classic, _) => format!("DOCKER_BUILDKIT=0 {DEBIAN_DOCKER} build"),
        (Builder::Buildkit, None) => {
            format!("DOCKER_BUILDKIT=1 {DEBIAN_DOCKER} build --progress=plain")
        }
        (Builder::Buildkit, Some(gantry)) => {
            format!("{} build --progress=plain", PathBuf::from(gantry).display())
        }
    };
    client.shell(&format!("cd {} && {command} -t {BUILT} {args}{end}", context.display()))
}

fn describe(
    client: &Client,
    context: &Path,
    built: &Ran,
    case: &BuildCase,
) -> Result<String, ChoreError> {
    let mut text = String::new();
    if case.output {
        text.push_str(&words::output(&built.stdout));
    }
    if built.code != 0 {
        text.push_str(&format!("error: {}\n", words::error(&built.stderr)));
        return Ok(text);
    }
    text.push_str(&image::describe(client, BUILT, case).map_err(ChoreError::Text)?);
    if let Some(script) = &case.run {
        let ran = client.shell(&format!("cd {}; IMAGE={BUILT}\n{script}", context.display()));
        text.push_str(&format!("run: {}\n{}{}", ran.code, ran.stdout, ran.stderr));
    }
    Ok(text)
}
