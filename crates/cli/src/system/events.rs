//! `events`.

use gantry_client::Query;
use gantry_gotemplate::{Functions, Template, Value};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::app::{Call, Outcome};
use crate::container::attach::timestamp;
use crate::format;
use crate::output::out;

/// One event as a line: time, type, action, ID, attributes.
fn line(event: &Json) -> String {
    let nanoseconds = event["timeNano"].as_i64().unwrap_or(0);
    let seconds = event["time"].as_i64().unwrap_or(0);
    let total = if nanoseconds != 0 {
        i128::from(nanoseconds)
    } else {
        i128::from(seconds) * 1_000_000_000
    };
    let mut text = String::new();
    if let (true, Ok(time)) = (total != 0, jiff::Timestamp::from_nanosecond(total)) {
        let zoned = time.to_zoned(jiff::tz::TimeZone::system());
        let zone = if zoned.offset().seconds() == 0 { "Z" } else { "%:z" };
        text = zoned.strftime(&format!("%Y-%m-%dT%H:%M:%S.%9f{zone} ")).to_string();
    }
    let word = |value: &Json| value.as_str().unwrap_or("").to_owned();
    let actor = &event["Actor"];
    text.push_str(&format!(
        "{} {} {}",
        word(&event["Type"]),
        word(&event["Action"]),
        word(&actor["ID"])
    ));
    if let Some(attributes) = actor["Attributes"].as_object()
        && !attributes.is_empty()
    {
        let mut pairs: Vec<_> = attributes.iter().collect();
        pairs.sort_by_key(|(name, _)| name.as_str());
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
        text.push_str(&format!(" ({})", pairs.join(", ")));
    }
    text
}

/// The event under the names that templates use.
fn view(event: &Json) -> Value {
    let mut named = event.clone();
    if let Some(object) = named.as_object_mut() {
        for (from, to) in [
            ("status", "Status"),
            ("id", "ID"),
            ("from", "From"),
            ("scope", "Scope"),
            ("time", "Time"),
            ("timeNano", "TimeNano"),
        ] {
            let value = object.get(from).cloned().unwrap_or_else(|| "".into());
            object.insert(to.into(), value);
        }
    }
    let Value::Map(map) = Value::from(named) else { return Value::Missing };
    Value::Struct(Box::new(gantry_gotemplate::Struct {
        type_name: "events.Message".into(),
        fields: map.entries.into_iter().collect(),
        json: Some(event.clone()),
        marshals: false,
        text: None,
    }))
}

/// `events`.
pub(crate) async fn events(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let template = match flags.text("format") {
        "" => None,
        "json" => Some("{{json .}}"),
        source => Some(source),
    };
    let template = match template {
        Some(source) => Some(
            Template::parse(&source.replace("\\t", "\t").replace("\\n", "\n"), Functions::Docker)
                .map_err(|error| format!("Error parsing format: {error}"))?,
        ),
        None => None,
    };
    let time = |name: &str| match flags.text(name) {
        "" => Ok(None),
        text => timestamp(text).map(Some),
    };
    let query = Query::new()
        .with_some("since", time("since")?)
        .with_some("until", time("until")?)
        .with_some("filters", format::filters(flags.list("filter"))?);
    let response = call.client().await?.events(&query).await?;
    let mut lines = BufReader::new(response.body).lines();
    while let Some(text) = lines.next_line().await? {
        if text.trim().is_empty() {
            continue;
        }
        let event: Json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let text = match &template {
            Some(template) => template.execute(&view(&event)).map_err(|error| error.to_string())?,
            None => line(&event),
        };
        out(format!("{text}\n"))?;
    }
    Ok(0)
}
