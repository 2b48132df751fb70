//! `rawjson`: a line of JSON for each event, in the form of BuildKit's status messages, which
//! programs read that show builds in their own way.

use std::collections::BTreeMap;

use base64::Engine as _;
use gantry_build_proto::{Cached, Completed, Place, Progress, Stream, Vertex, Warning};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::build::excerpt;

/// What must be repeated of earlier events: the form has whole steps only.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    steps: BTreeMap<u32, Step>,
}

#[derive(Debug, Default)]
struct Step {
    vertex: Vertex,
    digest: String,
    started: Option<String>,
    /// When each part began.
    parts: BTreeMap<String, String>,
}

impl Raw {
    pub(crate) fn event(&mut self, event: &Progress, now_ns: i64) -> String {
        let status = match event {
            Progress::Vertex(vertex) => self.vertex(vertex),
            Progress::Started(started) => {
                let step = self.steps.entry(started.vertex).or_default();
                step.started = Some(time(started.at_ns));
                json!({"vertexes": [self.step(started.vertex, None)]})
            }
            Progress::Status { .. } => self.part(event, now_ns),
            Progress::Log(log) => json!({"logs": [{
                "vertex": self.digest(log.vertex),
                "stream": if log.stream == Stream::Out { 1 } else { 2 },
                "data": base64(&log.text),
                "timestamp": time(log.at_ns),
            }]}),
            Progress::Completed(completed) => {
                json!({"vertexes": [self.step(completed.vertex, Some(completed))]})
            }
            Progress::Warning(warning) => json!({"warnings": [self.warning(warning)]}),
        };
        format!("{status}\n")
    }

    fn vertex(&mut self, vertex: &Vertex) -> Value {
        let step = self.steps.entry(vertex.id).or_default();
        let hash = Sha256::digest(format!("{} {}", vertex.id, vertex.name));
        step.digest = hash.iter().fold("sha256:".into(), |text, byte| format!("{text}{byte:02x}"));
        step.vertex = vertex.clone();
        json!({"vertexes": [self.step(vertex.id, None)]})
    }

    fn digest(&self, vertex: u32) -> &str {
        self.steps.get(&vertex).map_or("", |step| &step.digest)
    }

    fn step(&self, id: u32, completed: Option<&Completed>) -> Value {
        let mut all = Map::new();
        let Some(step) = self.steps.get(&id) else { return Value::Object(all) };
        all.insert("digest".into(), step.digest.as_str().into());
        let inputs: Vec<&str> = step.vertex.inputs.iter().map(|id| self.digest(*id)).collect();
        if !inputs.is_empty() {
            all.insert("inputs".into(), json!(inputs));
        }
        all.insert("name".into(), step.vertex.name.as_str().into());
        if let Some(started) = &step.started {
            all.insert("started".into(), started.as_str().into());
        }
        if let Some(completed) = completed {
            all.insert("completed".into(), time(completed.at_ns).into());
            if completed.cached == Cached::Hit {
                all.insert("cached".into(), true.into());
            }
            if let Some(error) = &completed.error {
                all.insert("error".into(), error.as_str().into());
            }
            if !completed.why.is_empty() {
                all.insert("why".into(), completed.why.as_str().into());
            }
        }
        Value::Object(all)
    }

    fn part(&mut self, event: &Progress, now_ns: i64) -> Value {
        let Progress::Status { vertex, name, current, total, done } = event else {
            return Value::Null;
        };
        let now = time(now_ns);
        let step = self.steps.entry(*vertex).or_default();
        let started = step.parts.entry(name.clone()).or_insert_with(|| now.clone()).clone();
        let mut all = json!({
            "id": name,
            "vertex": self.digest(*vertex),
            "current": current,
            "timestamp": now,
            "started": started,
        });
        if *total > 0 {
            all["total"] = (*total).into();
        }
        if *done {
            all["completed"] = all["timestamp"].clone();
        }
        json!({"statuses": [all]})
    }

    fn warning(&self, warning: &Warning) -> Value {
        let from = |step: &&Step| step.vertex.name.contains("load build definition");
        let vertex = self.steps.values().find(from).map_or("", |step| &step.digest);
        let mut all = json!({
            "vertex": vertex,
            "level": 1,
            "short": base64(&excerpt::short(warning)),
            "detail": [base64(&warning.description)],
            "url": warning.url,
        });
        if let Some(Place { file, first, last, .. }) = &warning.place {
            all["sourceInfo"] = json!({"filename": file, "language": "Dockerfile"});
            all["range"] = json!([{"start": {"line": first}, "end": {"line": last}}]);
        }
        all
    }
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// RFC 3339 with nanoseconds.
fn time(at_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at_ns))
        .map(|time| time.to_string())
        .unwrap_or_default()
}
