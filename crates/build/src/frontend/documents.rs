//! Answers to other requests than a build, in BuildKit's JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_build_proto::Warning;
use gantry_dockerfile::{Dockerfile, Span};
use serde_json::{Value, json};

/// A place: whole lines.
pub(super) fn location(span: Span) -> Value {
    ranges(span.first_line, span.last_line)
}

fn ranges(first: usize, last: usize) -> Value {
    json!({"ranges": [{"start": {"line": first}, "end": {"line": last}}]})
}

/// The file itself, as these documents have it.
pub(super) fn source_text(text: &str) -> String {
    STANDARD.encode(text)
}

/// Without empty texts and lists, and without what is not so: BuildKit leaves them out.
pub(super) fn without_empty(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| match field {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Bool(truth) => *truth,
            _ => true,
        });
    }
    value
}

/// The stages of a file.
pub(super) fn targets(dockerfile: &Dockerfile, text: &str) -> Value {
    let last = dockerfile.stages.len().saturating_sub(1);
    let targets: Vec<_> = dockerfile
        .stages
        .iter()
        .enumerate()
        .map(|(number, stage)| {
            let from = &stage.from;
            let name = from.name.as_ref().map_or("", |name| &name.name);
            without_empty(json!({
                "name": name,
                "default": number == last,
                "description": describe(&stage.written.comments, name),
                "base": from.base.text,
                "platform": from.platform.as_ref().map_or("", |platform| &platform.text),
                "location": location(stage.written.span),
            }))
        })
        .collect();
    json!({"targets": targets, "sources": [source_text(text)]})
}

/// What a comment says of a name: it begins with the name.
pub(super) fn describe(comments: &[String], name: &str) -> String {
    let rest = |comment: &String| {
        comment.strip_prefix(name)?.strip_prefix(' ').map(|rest| rest.trim().to_owned())
    };
    if name.is_empty() { None } else { comments.iter().find_map(rest) }.unwrap_or_default()
}

/// What the rules found, and the error that ended the search, if one did.
pub(super) fn check(
    file: &str,
    text: &str,
    warnings: &[Warning],
    error: Option<(String, Option<Span>)>,
) -> Value {
    let warnings: Vec<_> = warnings
        .iter()
        .map(|warning| {
            let place = warning.place.as_ref();
            without_empty(json!({
                "ruleName": warning.rule,
                "description": warning.description,
                "url": warning.url,
                "detail": warning.message,
                "location": place.map_or(json!({}), |place| ranges(place.first, place.last)),
            }))
        })
        .collect();
    let source = json!({
        "fileName": file,
        "language": "Dockerfile",
        "data": source_text(text),
    });
    let mut document = json!({"warnings": warnings, "sources": [source]});
    if let Some((message, span)) = error {
        document["buildError"] = json!({
            "message": message,
            "location": span.map_or(json!({}), location),
        });
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_describe_names() {
        let comments = ["other x".to_owned(), "app  the program".to_owned(), "apps y".to_owned()];
        assert_eq!(describe(&comments, "app"), "the program");
        assert_eq!(
            (describe(&comments, "ap").as_str(), describe(&comments, "").as_str()),
            ("", "")
        );
    }

    #[test]
    fn errors_are_part_of_a_check() {
        let span = Span { first_line: 2, last_line: 3, start: 0, end: 0 };
        let got = check("Dockerfile", "x", &[], Some(("bad".to_owned(), Some(span))));
        assert_eq!(
            got,
            json!({
                "warnings": [],
                "sources": [{"fileName": "Dockerfile", "language": "Dockerfile", "data": "eA=="}],
                "buildError": {
                    "message": "bad",
                    "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 3}}]},
                },
            })
        );
    }
}
