//! Replaces what differs between any two runs.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

static ALWAYS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\b[0-9a-f]{64}\b", "<id>"),
        (r"\b[0-9a-f]{12}\b", "<id>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} [A-Z]+", "<time>"),
        (
            r"(Less than a second|About an? (minute|hour)|\d+ (second|minute|hour)s?)( ago)?",
            "<age>",
        ),
        (r"gtr\d+x\d+", "<daemon>"),
        // What the CLI logs when an upload is refused depends on how far it had come.
        (r"(?m)^time=.*msg=.Can't (add file|close tar writer).*\n", ""),
    ]
    .into_iter()
    .map(|(pattern, by)| (Regex::new(pattern).expect("a constant pattern compiles"), by))
    .collect()
});

/// Replaces ids, times, ages, the daemon's and the case's directories, and what the case names.
pub(crate) fn normalise(text: &str, rules: &[(Regex, String)], directory: &Path) -> String {
    let mut text = text.replace(&directory.display().to_string(), "<dir>");
    for (pattern, by) in rules {
        text = pattern.replace_all(&text, by.as_str()).into_owned();
    }
    for (pattern, by) in &*ALWAYS {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    lower_errors(&text)
}

/// Newer Docker begins its errors in lower case, and the words behind a colon.
fn lower_errors(text: &str) -> String {
    static CAPITAL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(rror response from daemon: |: )([A-Z])([a-z]+ )").expect("a constant pattern")
    });
    let lower = |line: &str| {
        if !line.contains("rror response from daemon: ") {
            return line.to_owned();
        }
        let small = |found: &regex::Captures<'_>| {
            // "No such container" keeps its capital: clients look for it.
            if found[3] == *"o " {
                return found[0].to_owned();
            }
            format!("{}{}{}", &found[1], found[2].to_lowercase(), &found[3])
        };
        CAPITAL.replace_all(line, small).into_owned()
    };
    text.split_inclusive('\n').map(lower).collect()
}
