//! Words of both sides in one form. docker.io's are of 2023; Gantry's are those of today.

use std::sync::LazyLock;

use regex::Regex;

/// What comes before the error itself.
const PREFIXES: &[&str] = &[
    "ERROR: ",
    "failed to build: ",
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve: ",
    "rpc error: code = Unknown desc = ",
    "failed to create LLB definition: ",
    "failed to compute cache key: ",
    "failed to calculate checksum of ref <ref>: ",
    "failed to calculate checksum of ref: ",
    "Error response from daemon: ",
    "failed to parse Dockerfile: ",
];

fn rules(list: &[(&str, &'static str)]) -> Vec<(Regex, &'static str)> {
    let rule = |(pattern, by): &(&str, &'static str)| {
        (Regex::new(pattern).expect("a constant pattern compiles"), *by)
    };
    list.iter().map(rule).collect()
}

static ERRORS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    rules(&[
        ("^dockerfile parse error line ", "dockerfile parse error on line "),
        (
            r"^executor failed running \[(.*)\]: exit code: (\d+)$",
            "process \"$1\" did not complete successfully: exit code: $2",
        ),
        (
            r"^(executor failed running \[.*\]|process .* did not complete successfully): unable",
            "unable",
        ),
        (
            // Newer BuildKit names the line with each of these.
            r"^dockerfile parse error on line \d+: ((ENV|LABEL) must have two arguments|[Ss]yntax error - can't find = .*|no build stage in current context|only one \w+ parser directive can be used)$",
            "$1",
        ),
        (r"^secret (\S+) not found: not found$", "secret $1: not found"),
        ("^\"(.*)\" not found: not found$", "\"$1\": not found"),
        (
            r"^The command '(.*)' returned a non-zero code: (\d+)$",
            "process \"$1\" did not complete successfully: exit code: $2",
        ),
        (r"checksum of ref [0-9a-z:]+", "checksum of ref <ref>"),
        (r" \(did you mean .*\?\)$", ""),
    ])
});

static HISTORY: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    rules(&[
        // Newer BuildKit says what a copy does to owners and modes.
        (" --(chown|chmod)=[^ ]+", ""),
        (" --parents", ""),
        // It prints structures of Go otherwise.
        ("^HEALTHCHECK .*", "HEALTHCHECK ..."),
        ("^EXPOSE .*", "EXPOSE ..."),
        // It says what value an argument was given.
        ("^(ARG [^ =]+)=.*", "$1"),
        (r"/bin/sh -c #\(nop\) +", ""),
    ])
});

/// The error itself: the last line before a hint, without what each side puts before it.
pub(super) fn error(stderr: &str) -> String {
    let tells = |line: &&str| !line.is_empty() && !line.starts_with("hint: ");
    let last = stderr.lines().map(str::trim_end).rfind(tells);
    let mut line = last.unwrap_or_default().to_owned();
    for (pattern, by) in &*ERRORS {
        line = pattern.replace(&line, *by).into_owned();
    }
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        line = rest.to_owned();
        for (pattern, by) in &*ERRORS {
            line = pattern.replace(&line, *by).into_owned();
        }
    }
    lower_first(&line)
}

/// Newer Docker begins its errors in lower case; names of instructions keep their capitals.
fn lower_first(line: &str) -> String {
    let mut letters = line.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => line.to_owned(),
    }
}

/// A history entry.
pub(super) fn history(entry: &str) -> String {
    let mut entry = entry.to_owned();
    for (pattern, by) in &*HISTORY {
        entry = pattern.replace_all(&entry, *by).into_owned();
    }
    entry
}

/// What the classic builder prints, without the size of the context.
pub(super) fn output(stdout: &str) -> String {
    let kept = |line: &&str| !line.starts_with("Sending build context");
    stdout.lines().filter(kept).map(|line| format!("| {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_one_form() {
        for (line, want) in [
            (
                "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 5: unknown instruction: FOO",
                "dockerfile parse error on line 5: unknown instruction: FOO",
            ),
            (
                "executor failed running [/bin/sh -c exit 3]: exit code: 3\n",
                "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
            ),
            (
                "executor failed running [/bin/sh -c id]: unable to find user nosuch: no matching entries in passwd file",
                "unable to find user nosuch: no matching entries in passwd file",
            ),
            (
                "x\nERROR: failed to build: failed to solve: Invalid signal: SIGFOO",
                "invalid signal: SIGFOO",
            ),
        ] {
            assert_eq!(error(line), want);
        }
    }
}
