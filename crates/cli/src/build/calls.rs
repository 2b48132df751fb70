//! Answers to other requests than builds: checks, outlines, targets.

use gantry_build_proto::{Built, RequestKind, Warning};
use serde_json::{Value, json};

use super::excerpt::excerpt;
use super::options::Question;
use crate::format::{self, tabs};

/// Exit code when a check found something.
const FOUND: u8 = 1;

/// The text of an answer, and the exit code.
pub(crate) fn answer(question: &Question, built: &Built) -> (String, u8) {
    let document = built.document.clone().unwrap_or(Value::Null);
    let code = match question.kind {
        RequestKind::Check if !built.warnings.is_empty() && !question.ignore_status => FOUND,
        _ => 0,
    };
    if question.json {
        let document = match (question.kind, document) {
            (RequestKind::Check, Value::Null) => found(&built.warnings),
            (_, document) => document,
        };
        return (format::indent(&document, "  ") + "\n", code);
    }
    let text = match question.kind {
        RequestKind::Check => check(&built.warnings),
        RequestKind::Outline => outline(&document),
        RequestKind::Targets => targets(&document),
        RequestKind::Build => String::new(),
    };
    (text, code)
}

fn check(warnings: &[Warning]) -> String {
    let mut text = match warnings.len() {
        0 => return "Check complete, no warnings found.\n".into(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    let mut sorted: Vec<&Warning> = warnings.iter().collect();
    sorted.sort_by_key(|warning| warning.place.as_ref().map_or(0, |place| place.first));
    for warning in sorted {
        text.push_str(&format!("\nWARNING: {}", warning.rule));
        if !warning.url.is_empty() {
            text.push_str(&format!(" - {}", warning.url));
        }
        text.push_str(&format!("\n{}\n", warning.message));
        text.push_str(&warning.place.as_ref().map(excerpt).unwrap_or_default());
    }
    text
}

/// Warnings as the document of a check.
fn found(warnings: &[Warning]) -> Value {
    let all: Vec<Value> = warnings
        .iter()
        .map(|warning| {
            let place = warning.place.clone().unwrap_or_default();
            json!({
                "ruleName": warning.rule,
                "description": warning.description,
                "url": warning.url,
                "detail": warning.message,
                "location": {
                    "ranges": [{"start": {"line": place.first}, "end": {"line": place.last}}],
                },
            })
        })
        .collect();
    json!({"warnings": all, "sources": []})
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn outline(document: &Value) -> String {
    let mut text = String::new();
    let (name, description) = (text_of(document, "name"), text_of(document, "description"));
    if !name.is_empty() || !description.is_empty() {
        let name = if name.is_empty() { "(default)" } else { name };
        let mut head = format!("TARGET:\t{name}\n");
        if !description.is_empty() {
            head.push_str(&format!("DESCRIPTION:\t{description}\n"));
        }
        text.push_str(&tabs::align(&head, 0, 1));
        text.push('\n');
    }
    let mut table = |head: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            text.push_str(&tabs::align(&format!("{head}\n{}\n", rows.join("\n")), 0, 3));
            text.push('\n');
        }
    };
    let args = list(document, "args").iter().map(|arg| {
        let of = |key| text_of(arg, key);
        format!("{}\t{}\t{}", of("name"), of("value"), of("description"))
    });
    table("BUILD ARG\tVALUE\tDESCRIPTION", args.collect());
    for (key, head) in [("secrets", "SECRET\tREQUIRED"), ("ssh", "SSH\tREQUIRED")] {
        let rows = list(document, key).iter().map(|row| {
            let required = if row["required"] == Value::Bool(true) { "true" } else { "" };
            format!("{}\t{required}", text_of(row, "name"))
        });
        table(head, rows.collect());
    }
    text
}

fn targets(document: &Value) -> String {
    let mut text = String::from("TARGET\tDESCRIPTION\n");
    let all = match list(document, "targets") {
        [] => list(document, "Targets"),
        all => all,
    };
    for target in all {
        let name = match (text_of(target, "name"), target["default"] == Value::Bool(true)) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        text.push_str(&format!("{name}\t{}\n", text_of(target, "description")));
    }
    tabs::align(&text, 0, 3)
}

#[cfg(test)]
mod tests {
    use gantry_build_proto::Place;

    use super::*;

    fn ask(kind: RequestKind, json: bool, ignore_status: bool) -> Question {
        Question { kind, json, ignore_status }
    }

    #[test]
    fn answers_are_printed() {
        let place = Place {
            file: "Dockerfile".into(),
            first: 1,
            last: 1,
            shown_from: 1,
            lines: vec!["FROM busybox AS Base".into(), String::new()],
        };
        let warning = Warning {
            rule: "StageNameCasing".into(),
            url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/".into(),
            message: "Stage name 'Base' should be lowercase".into(),
            place: Some(place),
            ..Warning::default()
        };
        let found = Built { warnings: vec![warning], ..Built::default() };
        let outline = json!({
            "name": "base",
            "description": "all that others need",
            "args": [{"name": "A", "value": "1", "description": "first"}, {"name": "LONG_NAME"}],
            "secrets": [{"name": "s", "required": true}, {"name": "t"}],
            "ssh": [{"name": "default"}],
        });
        let targets = json!({"targets": [
            {"name": "base", "description": "all that others need"},
            {"name": "app", "default": true},
            {"default": true},
        ]});
        let document = |value: Value| Built { document: Some(value), ..Built::default() };
        let mut all = String::new();
        for (question, built, code) in [
            (ask(RequestKind::Check, false, false), Built::default(), 0),
            (ask(RequestKind::Check, false, false), found.clone(), 1),
            (ask(RequestKind::Check, true, true), found, 0),
            (ask(RequestKind::Outline, false, false), document(outline), 0),
            (ask(RequestKind::Targets, false, false), document(targets.clone()), 0),
            (ask(RequestKind::Targets, true, false), document(targets), 0),
        ] {
            let (text, got) = answer(&question, &built);
            assert_eq!(got, code, "{question:?}");
            all.push_str(&format!("== {:?}\n{text}", question.kind));
        }
        assert_eq!(all, include_str!("../../tests/golden/build/answers.txt"));
    }
}
