//! Plans as text.

use gantry_build_proto::{Failure, Warning};
use serde_json::Value;

use crate::{
    graph::{Op, Target},
    plan::Plan,
};

pub(super) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (number, vertex) in plan.graph.vertices.iter().enumerate() {
        let op = short(serde_json::to_value(&vertex.op).unwrap());
        let fresh = if vertex.no_cache { " (fresh)" } else { "" };
        text.push_str(&format!("{number}{fresh} {}\n  {op}\n", vertex.name));
        if let Op::Exec(exec) = &vertex.op
            && !exec.silent_env.is_empty()
        {
            text.push_str(&format!("  ~ {}\n", exec.silent_env.join(" ")));
        }
    }
    for target in &plan.targets {
        text.push_str(&self::target(target));
    }
    for warning in &plan.warnings {
        text.push_str(&self::warning(warning));
    }
    if let Some(document) = &plan.document {
        text.push_str(&format!("{}\n", serde_json::to_string_pretty(document).unwrap()));
    }
    text
}

fn target(target: &Target) -> String {
    let mut text = format!("= {} {}\n", target.vertex.0, target.platform);
    let mut config = target.config.clone();
    let history = std::mem::take(&mut config.history);
    text.push_str(&format!("  {}\n", short(serde_json::to_value(&config).unwrap())));
    for (number, entry) in history.iter().enumerate() {
        let layer = match (target.layers_of_history.get(&number), entry.empty_layer) {
            (Some(vertex), false) => format!("{}", vertex.0),
            (None, true) => "-".to_owned(),
            // Of the base.
            (None, false) => "+".to_owned(),
            (Some(vertex), true) => panic!("entry {number} has a vertex {vertex:?} and no layer"),
        };
        text.push_str(&format!("  {layer} {}\n", entry.created_by));
    }
    text
}

fn warning(warning: &Warning) -> String {
    let line = warning.place.as_ref().map_or(0, |place| place.first);
    format!("! {} line {line}: {}\n", warning.rule, warning.message)
}

pub(super) fn failure(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.message);
    if let Some(place) = &failure.place {
        text.push_str(&format!("lines {}-{}\n", place.first, place.last));
    }
    if !failure.hint.is_empty() {
        text.push_str(&format!("hint: {}\n", failure.hint));
    }
    text
}

/// Without what says nothing.
fn short(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, short(value)))
            .filter(|(_, value)| !says_nothing(value))
            .collect(),
        Value::Array(list) => list.into_iter().map(short).collect(),
        other => other,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
