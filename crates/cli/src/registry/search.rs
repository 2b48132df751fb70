//! `search`.

use gantry_client::Query;
use serde_json::Value as Json;

use crate::app::{Call, Outcome};
use crate::format::{self, Row, View, ellipsis};
use crate::image::transfer;
use crate::output::out;

const TABLE: &str = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
/// Width of a description that is cut.
const DESCRIPTION_WIDTH: usize = 45;

const FIELDS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

/// `search`.
pub(crate) async fn search(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let term = call.args[0].as_str();
    let mut query = Query::new().with("term", term);
    let limit = flags.text("limit");
    if !matches!(limit, "" | "0") {
        query = query.with("limit", limit);
    }
    query = query.with_some("filters", format::filters(flags.list("filter"))?);
    let client = call.client().await?;
    let auth = transfer::auth_header(call, term)?;
    let mut found: Vec<Json> = client.image_search(&query, &auth).await?;
    found.sort_by_key(|row| std::cmp::Reverse(row["star_count"].as_i64().unwrap_or(0)));
    let whole = flags.is_on("no-trunc");
    let rows = found.iter().map(|found| row(found, whole)).collect();
    let view = View { type_name: "*formatter.searchContext", fields: FIELDS, rows };
    out(format::render(&view, flags.text("format"), TABLE)?)?;
    Ok(0)
}

fn row(found: &Json, whole: bool) -> Row {
    let text = |key: &str| found[key].as_str().unwrap_or("").to_owned();
    let yes = |key: &str| match found[key].as_bool() {
        Some(true) => "[OK]".to_owned(),
        _ => String::new(),
    };
    // Descriptions are of one line in tables.
    let description = text("description").replace(['\n', '\r'], " ");
    let description = if whole { description } else { ellipsis(&description, DESCRIPTION_WIDTH) };
    Row::of([
        text("name"),
        description,
        found["star_count"].as_i64().unwrap_or(0).to_string(),
        yes("is_official"),
        yes("is_automated"),
    ])
}
