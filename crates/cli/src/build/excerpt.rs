//! Places of a Dockerfile as texts: with errors, with warnings.

use gantry_build_proto::{Failure, Place, Warning};

use super::progress::Colors;

/// Line above and below an excerpt.
const RULE: &str = "--------------------\n";

/// The lines of a place with some around them; those that are meant have a mark.
pub(crate) fn excerpt(place: &Place) -> String {
    let Place { file, first, last, shown_from, lines } = place;
    if lines.is_empty() || *shown_from == 0 {
        return String::new();
    }
    let around = if first == last { 2 } else { 1 };
    let shown = (*shown_from..)
        .zip(lines)
        .filter(|(number, _)| number + around >= *first && *number <= last + around);
    let mut text = format!("{}:{first}\n{RULE}", printable(file));
    for (number, line) in shown {
        let mark = if (*first..=*last).contains(&number) { ">>>" } else { "   " };
        text.push_str(&format!(" {number:3} | {mark} {}\n", printable(line)));
    }
    text + RULE
}

/// What is said of a build that failed, the excerpt first.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = failure.place.as_ref().map(excerpt).unwrap_or_default();
    let message = match failure.cancelled {
        true => "Canceled: context canceled",
        false => failure.message.trim_end(),
    };
    text.push_str(&format!("ERROR: failed to solve: {}\n", printable(message)));
    if !failure.hint.is_empty() {
        text.push_str(&format!("hint: {}\n", printable(&failure.hint)));
    }
    text
}

/// A warning on one line.
pub(crate) fn short(warning: &Warning) -> String {
    let mut text = printable(&warning.message);
    if !warning.rule.is_empty() {
        text = format!("{}: {text}", warning.rule);
    }
    match &warning.place {
        Some(place) if place.first > 0 => format!("{text} (line {})", place.first),
        _ => text,
    }
}

/// The warnings that stand below a build; `expand` shows all that is known of each.
pub(crate) fn warnings(all: &[Warning], expand: bool, program: &str, colors: &Colors) -> String {
    if all.is_empty() {
        return String::new();
    }
    let count = match all.len() {
        1 => "1 warning found".to_owned(),
        count => format!("{count} warnings found"),
    };
    let hint = match expand {
        true => String::new(),
        false => format!(" (use {program} --debug to expand)"),
    };
    let mut text = format!("\n {}\n", colors.paint(&colors.warning, &format!("{count}{hint}:")));
    for warning in all {
        text.push_str(&format!(" - {}\n", short(warning)));
        if !expand {
            continue;
        }
        if !warning.description.is_empty() {
            text.push_str(&format!("{}\n", printable(&warning.description)));
        }
        if !warning.url.is_empty() {
            text.push_str(&format!("More info: {}\n", printable(&warning.url)));
        }
        text.push_str(&warning.place.as_ref().map(excerpt).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// Without what would do something to a terminal; tabs and newlines stay.
fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() || matches!(char, '\t' | '\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM busybox\n\nRUN echo a && \\\n    echo b && \\\n    exit 3\n\nRUN true\nRUN \u{1b}[2Jfalse\n";

    fn place(first: usize, last: usize) -> Place {
        let all: Vec<&str> = DOCKERFILE.split('\n').collect();
        let from = first.saturating_sub(2).max(1);
        let lines = all[from - 1..(last + 2).min(all.len())].iter().map(|l| (*l).to_owned());
        let file = "Dockerfile".to_owned();
        Place { file, first, last, shown_from: from, lines: lines.collect() }
    }

    #[test]
    fn excerpts_are_as_buildkit_prints_them() {
        let mut all = String::new();
        for (first, last) in [(1, 1), (3, 5), (7, 7), (8, 8)] {
            all.push_str(&excerpt(&place(first, last)));
        }
        assert_eq!(all, include_str!("../../tests/golden/build/excerpts.txt"));
        assert_eq!(excerpt(&Place::default()), "");
    }

    #[test]
    fn failures_and_warnings_are_said() {
        let mut failed = Failure {
            message: "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3"
                .into(),
            place: Some(place(3, 5)),
            hint: "run it again with --on-error=shell".into(),
            ..Failure::default()
        };
        let mut all = failure(&failed);
        failed.cancelled = true;
        failed.place = None;
        failed.hint.clear();
        all.push_str(&failure(&failed));
        let warning = Warning {
            rule: "StageNameCasing".into(),
            description: "Stage names should be lowercase".into(),
            url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/".into(),
            message: "Stage name 'X' should be lowercase".into(),
            place: Some(place(1, 1)),
        };
        let socket = Warning { message: "socket s is left out".into(), ..Warning::default() };
        let none = Colors::none();
        all.push_str(&warnings(std::slice::from_ref(&warning), false, "docker", &none));
        all.push_str(&warnings(&[warning, socket], true, "docker", &none));
        assert_eq!(all, include_str!("../../tests/golden/build/failures.txt"));
    }
}
