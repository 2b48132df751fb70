//! `system df`.

use gantry_api_types::container::ContainerSummary;
use gantry_client::Query;
use serde_json::Value as Json;

use crate::app::{Call, Outcome};
use crate::container::list as containers;
use crate::format::{self, Row, View, units};
use crate::image::list as images;
use crate::output::out;
use crate::system::volume;

const FIELDS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const CACHE_FIELDS: &[(&str, &str)] = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

fn items<'a>(usage: &'a Json, key: &str) -> &'a [Json] {
    usage[key].as_array().map_or(&[], Vec::as_slice)
}

fn sum(list: &[Json], key: &str) -> i64 {
    list.iter().filter_map(|item| item[key].as_i64()).filter(|size| *size > 0).sum()
}

fn size(bytes: i64) -> String {
    human(bytes, 4)
}

#[expect(clippy::cast_precision_loss, reason = "a few digits of it are printed")]
fn human(bytes: i64, digits: usize) -> String {
    units::human_size(bytes as f64, digits)
}

fn share(part: i64, all: i64) -> String {
    match all {
        0 => size(part),
        _ => format!("{} ({}%)", size(part), i128::from(part) * 100 / i128::from(all)),
    }
}

fn image_row(usage: &Json) -> Row {
    let list = items(usage, "Images");
    let used: Vec<&Json> =
        list.iter().filter(|image| image["Containers"].as_i64().is_some_and(|n| n > 0)).collect();
    let used_size: i64 = used
        .iter()
        .filter_map(|image| match (image["Size"].as_i64(), image["SharedSize"].as_i64()) {
            (Some(-1) | None, _) | (_, Some(-1) | None) => None,
            (Some(size), Some(shared)) => Some(size - shared),
        })
        .sum();
    let all = usage["LayersSize"].as_i64().unwrap_or(0);
    let free = all - used_size;
    let free = if all > 0 { share(free, all) } else { size(free) };
    Row::of(["Images".into(), list.len().to_string(), used.len().to_string(), size(all), free])
}

fn is_active(container: &Json) -> bool {
    matches!(container["State"].as_str(), Some("running" | "paused" | "restarting"))
}

fn container_row(usage: &Json) -> Row {
    let list = items(usage, "Containers");
    let all = sum(list, "SizeRw");
    let idle: Vec<Json> = list.iter().filter(|c| !is_active(c)).cloned().collect();
    let free = share(sum(&idle, "SizeRw"), all);
    let active = list.len() - idle.len();
    Row::of(["Containers".into(), list.len().to_string(), active.to_string(), size(all), free])
}

fn volume_row(usage: &Json) -> Row {
    let list = items(usage, "Volumes");
    let of =
        |volume: &Json| volume["UsageData"]["Size"].as_i64().filter(|size| *size > 0).unwrap_or(0);
    let used = |volume: &&Json| volume["UsageData"]["RefCount"].as_i64().is_some_and(|n| n > 0);
    let all: i64 = list.iter().map(of).sum();
    let kept: i64 = list.iter().filter(used).map(of).sum();
    let active = list.iter().filter(used).count();
    let free = share(all - kept, all);
    Row::of(["Local Volumes".into(), list.len().to_string(), active.to_string(), size(all), free])
}

/// Bytes of the build cache that no image has, too.
fn cache_bytes(list: &[Json]) -> i64 {
    let own = list.iter().filter(|entry| entry["Shared"] != true);
    own.filter_map(|entry| entry["Size"].as_i64()).sum()
}

/// Records of the build cache; those that were used last come last.
fn cache_sorted(usage: &Json) -> Vec<&Json> {
    let mut list: Vec<&Json> = items(usage, "BuildCache").iter().collect();
    list.sort_by_key(|entry| {
        let used = entry["LastUsedAt"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        (used, entry["ID"].as_str().unwrap_or(""))
    });
    list
}

fn cache_row(usage: &Json) -> Row {
    let list = items(usage, "BuildCache");
    let all = cache_bytes(list);
    let active = list.iter().filter(|entry| entry["InUse"] == true).count();
    let idle = list.iter().filter(|entry| entry["InUse"] != true && entry["Shared"] != true);
    let free: i64 = idle.filter_map(|entry| entry["Size"].as_i64()).sum();
    Row::of([
        "Build Cache".into(),
        list.len().to_string(),
        active.to_string(),
        size(all),
        size(free),
    ])
}

/// `system df`.
pub(crate) async fn df(call: &Call<'_>) -> Outcome {
    let wanted = call.flags.text("format");
    let usage: Json = call.client().await?.disk_usage(&Query::new()).await?;
    if call.flags.is_on("verbose") {
        out(verbose(&usage, wanted)?)?;
        return Ok(0);
    }
    let rows =
        vec![image_row(&usage), container_row(&usage), volume_row(&usage), cache_row(&usage)];
    let view = View { type_name: "*formatter.diskUsageContext", fields: FIELDS, rows };
    out(format::render(&view, wanted, TABLE)?)?;
    Ok(0)
}

fn verbose(usage: &Json, wanted: &str) -> Result<String, String> {
    if !matches!(wanted, "" | "table") {
        return Err("--format with --verbose is not implemented".into());
    }
    let image_rows =
        items(usage, "Images").iter().flat_map(|image| images::rows(image, true, false));
    let all = View { type_name: "", fields: images::FIELDS, rows: image_rows.collect() };
    let mut text = String::from("Images space usage:\n\n");
    text.push_str(&format::render(&all, "", "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}")?);
    let list: Vec<ContainerSummary> = items(usage, "Containers")
        .iter()
        .filter_map(|container| serde_json::from_value(container.clone()).ok())
        .collect();
    let rows = list
        .into_iter()
        .map(|container| {
            containers::row(&ContainerSummary { size_root_fs: None, ..container }, true)
        })
        .collect();
    let all = View { type_name: "", fields: containers::FIELDS, rows };
    text.push_str("\nContainers space usage:\n\n");
    text.push_str(&format::render(&all, "", "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}")?);
    let rows = items(usage, "Volumes").iter().map(volume::row).collect();
    let all = View { type_name: "", fields: volume::FIELDS, rows };
    text.push_str("\nLocal Volumes space usage:\n\n");
    text.push_str(&format::render(&all, "", "{{.Name}}\t{{.Links}}\t{{.Size}}")?);
    let bytes = cache_bytes(items(usage, "BuildCache"));
    text.push_str(&format!("\nBuild cache usage: {}\n\n", size(bytes)));
    let rows = cache_sorted(usage).into_iter().map(cache_entry).collect();
    let all = View { type_name: "", fields: CACHE_FIELDS, rows };
    text.push_str(&format::render(&all, "", "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}")?);
    Ok(text)
}

fn cache_entry(entry: &Json) -> Row {
    let since = |key: &str| entry[key].as_str().and_then(units::ago_of).unwrap_or_default();
    let mut id: String = entry["ID"].as_str().unwrap_or("").chars().take(12).collect();
    if entry["InUse"] == true {
        id.push('*');
    }
    Row::of([
        id,
        entry["Type"].as_str().unwrap_or("").to_owned(),
        human(entry["Size"].as_i64().unwrap_or(0), 3),
        since("CreatedAt"),
        since("LastUsedAt"),
        entry["UsageCount"].as_i64().unwrap_or(0).to_string(),
        entry["Shared"].as_bool().unwrap_or(false).to_string(),
    ])
}
