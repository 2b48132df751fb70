//! `volume`.

use gantry_client::Query;
use gantry_gotemplate::Value;
use serde_json::{Value as Json, json};

use crate::app::{Call, Outcome, for_each};
use crate::container::list::render_quiet;
use crate::format::{self, Row, View, labels_map, labels_text};
use crate::output::out;

/// Fields of a row.
pub(crate) const FIELDS: &[(&str, &str)] = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

/// Flags of `name=value` as a JSON object.
pub(crate) fn object(pairs: &[String]) -> Json {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), Json::String(value.to_owned()))
    };
    Json::Object(pairs.iter().map(pair).collect())
}

/// Labels of a document.
pub(crate) fn labels_of(document: &Json) -> gantry_api_types::Map {
    let labels = document["Labels"].as_object().into_iter().flatten();
    labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect()
}

/// A volume as a row.
#[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
pub(crate) fn row(volume: &Json) -> Row {
    let text = |key: &str| volume[key].as_str().unwrap_or("").to_owned();
    let labels = labels_of(volume);
    let usage = &volume["UsageData"];
    let missing = || "N/A".to_owned();
    let values: [String; 10] = [
        missing(),
        text("Driver"),
        missing(),
        labels_text(&labels),
        usage["RefCount"].as_i64().map_or_else(missing, |count| count.to_string()),
        text("Mountpoint"),
        text("Name"),
        text("Scope"),
        usage["Size"]
            .as_i64()
            .map_or_else(missing, |size| format::units::human_size(size as f64, 4)),
        missing(),
    ];
    Row { values: values.into_iter().map(Value::from).collect(), labels: Some(labels_map(&labels)) }
}

/// `volume ls`.
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let quiet = flags.is_on("quiet");
    let mut wanted = flags.text("format");
    if wanted.is_empty() && !quiet {
        wanted = call.app.config.text("volumesFormat");
    }
    let query = Query::new().with_some("filters", format::filters(flags.list("filter"))?);
    let answer: Json = call.client().await?.volume_list(&query).await?;
    let mut volumes = answer["Volumes"].as_array().cloned().unwrap_or_default();
    volumes.sort_by_key(|volume| volume["Name"].as_str().unwrap_or("").to_owned());
    let rows = volumes.iter().map(row).collect();
    let view = View { type_name: "*formatter.volumeContext", fields: FIELDS, rows };
    let table = if quiet { "{{.Name}}" } else { "{{.Driver}}\t{{.Name}}" };
    out(render_quiet(&view, wanted, table, quiet)?)?;
    Ok(0)
}

/// `volume create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let named = flags.text("name");
    if !named.is_empty() && !call.args.is_empty() {
        return Err("conflicting options: cannot specify a volume-name through both --name and as a positional arg".into());
    }
    let name = call.args.first().map_or(named, String::as_str);
    let body = json!({
        "Driver": flags.text("driver"),
        "DriverOpts": object(flags.list("opt")),
        "Labels": object(flags.list("label")),
        "Name": name,
    });
    let volume: Json = call.client().await?.volume_create(&body).await?;
    out(format!("{}\n", volume["Name"].as_str().unwrap_or("")))?;
    Ok(0)
}

/// `volume rm`.
pub(crate) async fn remove(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let force = call.flags.is_on("force");
    for_each(&call.args, async |name| {
        client.volume_remove(name, force).await?;
        Ok(format!("{name}\n"))
    })
    .await
}
