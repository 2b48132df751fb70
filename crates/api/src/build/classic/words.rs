//! The classic builder's words for what goes wrong, which scripts look for.

use gantry_build_proto::{Cause, Failure};
use hyper::StatusCode;

use crate::error::ApiError;

/// Why a build failed at a step (empty if it was none's fault).
pub(super) fn late(failure: &Failure, step: &str) -> String {
    match (failure.exit_code, &failure.cause) {
        (0, Cause::NoSource(path)) if !step.is_empty() => no_source(path, step),
        // The step is known from what was printed before.
        (0, Cause::NotStarted(why)) => why.clone(),
        (0, _) => failure.message.clone(),
        (code, _) => {
            let command = failure.command.join(" ");
            format!("The command '{command}' returned a non-zero code: {code}")
        }
    }
}

/// What a request answers whose text could not be built at all.
pub(super) fn early(failure: &Failure) -> ApiError {
    match &failure.cause {
        // The classic builder takes this one for a fault of the daemon.
        Cause::NoDockerfile(path) => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Cannot locate specified Dockerfile: {path}"),
        ),
        Cause::EmptyDockerfile(path) => {
            ApiError::invalid(format!("the Dockerfile ({path}) cannot be empty"))
        }
        _ => ApiError::invalid(failure.message.clone()),
    }
}

/// A file that is not there to be copied.
fn no_source(path: &str, step: &str) -> String {
    let word = step.split_ascii_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let whose = match step.contains(" --from=") {
        true => "",
        false => "file not found in build context or excluded by .dockerignore: ",
    };
    format!("{word} failed: {whose}stat {}: file does not exist", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_dockers() {
        let missing = Cause::NoSource("/a/b".to_owned());
        let not_started = Cause::NotStarted("no such network".to_owned());
        for (cause, step, want) in [
            (
                &missing,
                "COPY a/b /",
                "COPY failed: file not found in build context or excluded by .dockerignore: stat \
                 a/b: file does not exist",
            ),
            (&missing, "copy --from=x /a/b /", "COPY failed: stat a/b: file does not exist"),
            // Of nobody's step the words stay as they are.
            (&missing, "", "as it is"),
            (&not_started, "RUN \"x\"", "no such network"),
            (&Cause::Other, "RUN x", "as it is"),
        ] {
            let message = "as it is".to_owned();
            let failure = Failure { message, cause: cause.clone(), ..Failure::default() };
            assert_eq!(late(&failure, step), want, "{cause:?} {step}");
        }
        let exit = Failure {
            exit_code: 3,
            command: ["sh", "-c", "exit 3"].map(str::to_owned).to_vec(),
            ..Failure::default()
        };
        let want = "The command 'sh -c exit 3' returned a non-zero code: 3";
        assert_eq!(late(&exit, "RUN exit 3"), want);
    }

    #[test]
    fn failures_before_the_first_step_have_a_status() {
        let path = || "a/D".to_owned();
        for (cause, status, want) in [
            (Cause::Other, 400, "as it is"),
            (Cause::EmptyDockerfile(path()), 400, "the Dockerfile (a/D) cannot be empty"),
            (Cause::NoDockerfile(path()), 500, "Cannot locate specified Dockerfile: a/D"),
        ] {
            let failure = Failure { message: "as it is".into(), cause, ..Failure::default() };
            let error = early(&failure);
            assert_eq!((error.status.as_u16(), error.message.as_str()), (status, want));
        }
    }
}
