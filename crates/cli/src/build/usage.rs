//! The build cache: `du`, `buildx prune`, `buildx version`.

use gantry_client::{Client, Query};
use serde_json::Value as Json;

use gantry_gotemplate::Value;

use crate::app::{Call, Failure, Outcome};
use crate::format::{self, Row, View, tabs, units};
use crate::output::out;
use crate::{prune, values};

const FIELDS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Parents", "PARENTS"),
    ("CreatedAt", "CREATED AT"),
    ("Mutable", "MUTABLE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Shared", "SHARED"),
    ("Size", "SIZE"),
    ("Description", "DESCRIPTION"),
    ("UsageCount", "USAGE COUNT"),
    ("LastUsedAt", "LAST ACCESSED"),
    ("Type", "TYPE"),
];
const TABLE: &str = "{{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsedAt}}";
/// A record of the cache, as the daemon tells it.
struct Record(Json);

impl Record {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or("")
    }

    fn is(&self, key: &str) -> bool {
        self.0[key] == Json::Bool(true)
    }

    fn bytes(&self) -> i64 {
        self.0["Size"].as_i64().unwrap_or(0).max(0)
    }

    fn parents(&self) -> Vec<&str> {
        let list = self.0["Parents"].as_array().map_or(&[][..], Vec::as_slice);
        let one = Some(self.text("Parent")).filter(|parent| !parent.is_empty());
        list.iter().filter_map(Json::as_str).chain(one).collect()
    }

    fn last_used(&self) -> String {
        units::ago_of(self.text("LastUsedAt")).unwrap_or_default()
    }

    /// Whether it has not been used for so long.
    fn is_unused_for(&self, span_ns: i64) -> bool {
        let used = [self.text("LastUsedAt"), self.text("CreatedAt")];
        let used = used.into_iter().find_map(|time| time.parse::<jiff::Timestamp>().ok());
        let now = jiff::Timestamp::now().as_nanosecond();
        used.is_none_or(|used| now - used.as_nanosecond() >= i128::from(span_ns))
    }

    fn row(&self) -> Row {
        let shared = if self.is("Shared") { "*" } else { "" };
        Row {
            values: vec![
                self.text("ID").into(),
                Value::from(Json::from(self.parents())),
                self.text("CreatedAt").into(),
                Value::Bool(false),
                Value::Bool(!self.is("InUse")),
                Value::Bool(self.is("Shared")),
                format!("{}{shared}", size(self.bytes())).into(),
                self.text("Description").into(),
                Value::from(self.0["UsageCount"].clone()),
                self.last_used().into(),
                self.text("Type").into(),
            ],
            labels: None,
        }
    }

    /// All that is known, a line each.
    fn verbose(&self) -> String {
        let parents = self.parents().join(",");
        let (reclaimable, shared) = (!self.is("InUse"), self.is("Shared"));
        let count = self.0["UsageCount"].as_i64().unwrap_or(0);
        let lines = [
            ("ID", self.text("ID").to_owned()),
            ("Parent", parents),
            ("Created at", go_time(self.text("CreatedAt"))),
            ("Mutable", "false".to_owned()),
            ("Reclaimable", reclaimable.to_string()),
            ("Shared", shared.to_string()),
            ("Size", size(self.bytes())),
            ("Description", self.text("Description").to_owned()),
            ("Usage count", count.to_string()),
            ("Last used", self.last_used()),
            ("Type", self.text("Type").to_owned()),
        ];
        let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
        lines.map(|(name, value)| format!("{name}:\t{value}\n")).collect::<String>() + "\n"
    }
}

fn go_time(text: &str) -> String {
    text.parse().map(units::go_time_exact).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
fn size(bytes: i64) -> String {
    units::human_size(bytes as f64, 4)
}

/// All records of the cache.
async fn records(client: &Client) -> Result<Vec<Record>, Failure> {
    let usage: Json = client.disk_usage(&Query::new().with("type", "build-cache")).await?;
    let list = usage["BuildCache"].as_array().cloned().unwrap_or_default();
    Ok(list.into_iter().map(Record).collect())
}

/// Whether a record is one that a filter lets through.
fn matches(record: &Record, name: &str, value: &str) -> Result<bool, String> {
    let flag = |of: bool| match value {
        "" => Ok(of),
        value => Ok(values::go_bool(value)? == of),
    };
    match name {
        "id" => Ok(record.text("ID").contains(value)),
        "parent" => Ok(record.parents().iter().any(|parent| parent.starts_with(value))),
        "type" => Ok(record.text("Type") == value),
        "description" => Ok(record.text("Description") == value),
        "description~" => Ok(record.text("Description").contains(value)),
        "inuse" => flag(record.is("InUse")),
        "shared" => flag(record.is("Shared")),
        "private" => flag(!record.is("Shared")),
        "mutable" => flag(false),
        "immutable" => flag(true),
        "until" | "unused-for" => {
            let span = values::duration(value).map_err(|why| {
                format!("\"{name}\" filter expects a duration (e.g., '24h'): {why}")
            })?;
            Ok(record.is_unused_for(span))
        }
        other => Err(format!("invalid filter '{other}'")),
    }
}

fn filtered(records: Vec<Record>, filters: &[String]) -> Result<Vec<Record>, String> {
    let mut wanted = Vec::new();
    for text in filters {
        // A word alone is a flag.
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        wanted.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let mut all = Vec::new();
    for record in records {
        let mut kept = true;
        for (name, value) in &wanted {
            kept &= matches(&record, name, value)?;
        }
        if kept {
            all.push(record);
        }
    }
    Ok(all)
}

fn listing(records: &[Record], verbose: bool, wanted: &str) -> Result<String, String> {
    if verbose {
        let text: String = records.iter().map(Record::verbose).collect();
        return Ok(tabs::align(&text, 0, 1));
    }
    let rows = records.iter().map(Record::row).collect();
    let view = View { type_name: "*commands.duContext", fields: FIELDS, rows };
    format::render(&view, wanted, TABLE)
}

fn summary(records: &[Record]) -> String {
    let sum = |chosen: &dyn Fn(&&Record) -> bool| -> i64 {
        records.iter().filter(|record| chosen(record)).map(Record::bytes).sum()
    };
    let (all, shared) = (sum(&|_| true), sum(&|record| record.is("Shared")));
    let free = sum(&|record| !record.is("InUse"));
    let mut text = String::new();
    if shared > 0 {
        text = format!("Shared:\t{}\nPrivate:\t{}\n", size(shared), size(all - shared));
    }
    text.push_str(&format!("Reclaimable:\t{}\nTotal:\t{}\n", size(free), size(all)));
    tabs::align(&text, 0, 3)
}

fn check_builder(call: &Call<'_>) -> Result<(), String> {
    match call.flags.text("builder") {
        "" | "default" => Ok(()),
        other => Err(format!("ERROR: no builder {} found", gantry_gotext::quote(other))),
    }
}

/// `buildx du`, `builder du` and `builder df`.
pub(crate) async fn usage(call: &Call<'_>) -> Outcome {
    check_builder(call)?;
    let filters = call.flags.list("filter");
    let records = filtered(records(call.client().await?).await?, filters)?;
    let wanted = call.flags.text("format");
    let mut text = listing(&records, call.flags.is_on("verbose"), wanted)?;
    if filters.is_empty() && matches!(wanted, "" | "table") {
        text.push_str(&summary(&records));
    }
    out(text)?;
    Ok(0)
}

/// `buildx prune`.
pub(crate) async fn prune(call: &Call<'_>) -> Outcome {
    check_builder(call)?;
    if !prune::cache_confirmed(call)? {
        return Ok(0);
    }
    let client = call.client().await?;
    // The daemon tells the removed records by their ids alone.
    let before = records(client).await?;
    let answer: Json = client.build_prune(&prune::cache_query(call, client)?).await?;
    let removed: Vec<&str> =
        answer["CachesDeleted"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let gone: Vec<Record> =
        before.into_iter().filter(|record| removed.contains(&record.text("ID"))).collect();
    if !gone.is_empty() {
        out(listing(&gone, call.flags.is_on("verbose"), "")?)?;
    }
    let bytes = answer["SpaceReclaimed"].as_i64().unwrap_or(0);
    out(tabs::align(&format!("Total:\t{}\n", size(bytes)), 0, 3))?;
    Ok(0)
}

/// `buildx version`.
pub(crate) async fn version(_: &Call<'_>) -> Outcome {
    out(format!("gantry/buildx v{}\n", env!("CARGO_PKG_VERSION")))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Nanoseconds in a second.
    const SECOND_NS: i128 = 1_000_000_000;

    fn all() -> Vec<Record> {
        let old = jiff::Timestamp::now().as_nanosecond() - 7200 * SECOND_NS;
        let old = jiff::Timestamp::from_nanosecond(old).expect("time").to_string();
        [
            json!({
                "ID": "aaaa", "Type": "regular", "Description": "mount / from exec /bin/sh -c make",
                "Parents": ["bbbb"], "InUse": false, "Shared": false, "Size": 1_234_567,
                "CreatedAt": old, "LastUsedAt": old, "UsageCount": 2,
            }),
            json!({
                "ID": "bbbb", "Type": "source.local", "Description": "local source for context",
                "InUse": true, "Shared": true, "Size": 5_000_000_000_u64,
                "CreatedAt": old, "LastUsedAt": null, "UsageCount": 1,
            }),
        ]
        .map(Record)
        .into()
    }

    #[test]
    fn records_are_listed() {
        let all = all();
        let mut text = listing(&all, false, "").expect("table");
        text.push_str(&summary(&all));
        text.push_str(&listing(&all[..1], true, "").expect("verbose"));
        text.push_str(&listing(&all, false, "{{.ID}} {{.Parents}} {{.Mutable}}").expect("format"));
        let created = all[0].text("CreatedAt").to_owned();
        let text = text.replace(&go_time(&created), "CREATED");
        assert_eq!(text, include_str!("../../tests/golden/build/usage.txt"));
    }

    #[test]
    fn records_are_filtered() {
        for (filter, want) in [
            ("id=aa", Ok(vec!["aaaa"])),
            ("type=source.local", Ok(vec!["bbbb"])),
            ("inuse", Ok(vec!["bbbb"])),
            ("inuse=false", Ok(vec!["aaaa"])),
            ("private", Ok(vec!["aaaa"])),
            ("until=1h", Ok(vec!["aaaa", "bbbb"])),
            ("until=24h", Ok(Vec::new())),
            ("description~=make", Ok(vec!["aaaa"])),
            ("parent=bb", Ok(vec!["aaaa"])),
            ("foo=x", Err("invalid filter 'foo'")),
        ] {
            let got = filtered(all(), &[filter.to_owned()]);
            let got = got.map(|records| {
                records.iter().map(|record| record.text("ID").to_owned()).collect::<Vec<_>>()
            });
            let want =
                want.map(|ids| ids.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(got, want, "{filter}");
        }
    }
}
