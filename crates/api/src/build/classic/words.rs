//! The classic builder's words for what goes wrong, which scripts look for.

use gantry_build_proto::Failure;

/// Why a build failed at a step (empty if it was none's fault).
pub(super) fn failure(failure: &Failure, step: &str) -> String {
    if failure.exit_code != 0 {
        let (command, code) = (failure.command.join(" "), failure.exit_code);
        return format!("The command '{command}' returned a non-zero code: {code}");
    }
    let words = failure.message.as_str();
    missing(words, step).or_else(|| not_run(words)).unwrap_or_else(|| words.to_owned())
}

/// Why a build failed before its first step. `path` is the Dockerfile's.
pub(super) fn early(failure: &Failure, path: &str) -> String {
    match failure.message.as_str() {
        "file with no instructions" => format!("the Dockerfile ({path}) cannot be empty"),
        words => words.to_owned(),
    }
}

/// A file that is not there to be copied.
fn missing(words: &str, step: &str) -> Option<String> {
    let rest = words.strip_prefix("failed to calculate checksum of ref")?;
    let (before, _) = rest.rsplit_once("\": not found")?;
    let path = before.rsplit_once('"')?.1.trim_start_matches('/');
    let word = step.split_ascii_whitespace().next()?.to_ascii_uppercase();
    let whose = match step.contains(" --from=") {
        true => "",
        false => "file not found in build context or excluded by .dockerignore: ",
    };
    Some(format!("{word} failed: {whose}stat {path}: file does not exist"))
}

/// A program that could not be started: the step is known from what was printed before.
fn not_run(words: &str) -> Option<String> {
    let rest = words.strip_prefix("process \"")?;
    Some(rest.split_once("\" did not complete successfully: ")?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_dockers() {
        let of = |message: &str| Failure { message: message.to_owned(), ..Failure::default() };
        let missing = "failed to calculate checksum of ref: \"/a/b\": not found";
        for (message, step, want) in [
            (
                missing,
                "COPY a/b /",
                "COPY failed: file not found in build context or excluded by .dockerignore: stat \
                 a/b: file does not exist",
            ),
            (missing, "copy --from=x /a/b /", "COPY failed: stat a/b: file does not exist"),
            (missing, "", missing),
            (
                "process \"/bin/sh -c \"x\"\" did not complete successfully: no such network",
                "RUN \"x\"",
                "no such network",
            ),
            ("anything else", "RUN x", "anything else"),
        ] {
            let got = failure(&of(message), step);
            // Of nobody's step the words stay as they are.
            assert_eq!(got, want, "{message} {step}");
        }
        let exit = Failure {
            exit_code: 3,
            command: ["sh", "-c", "exit 3"].map(str::to_owned).to_vec(),
            ..of("process")
        };
        let want = "The command 'sh -c exit 3' returned a non-zero code: 3";
        assert_eq!(failure(&exit, "RUN exit 3"), want);
        let empty = early(&of("file with no instructions"), "a/D");
        assert_eq!(empty, "the Dockerfile (a/D) cannot be empty");
        assert_eq!(early(&of("other"), "a/D"), "other");
    }
}
