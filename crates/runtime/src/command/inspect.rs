//! `state`, `list`, `events`.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::time::Duration;

use gantry_gotext::parse_duration;

use gantry_cgroup::Stats;
use gantry_oci::runtime::{Status, StringMap};
use serde::Serialize;
use serde_json::json;

use super::args::{self, switch, value};
use super::state::Known;
use super::{Context, Failed, say};

/// What `state` and `list` tell of a container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    oci_version: String,
    id: String,
    pid: u32,
    status: Status,
    bundle: String,
    rootfs: String,
    created: String,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    annotations: StringMap,
    owner: String,
}

fn view(known: &Known) -> View {
    let status = known.status();
    let record = &known.record;
    View {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        pid: if status == Status::Stopped { 0 } else { record.pid },
        status,
        bundle: record.bundle.display().to_string(),
        rootfs: record.rootfs.display().to_string(),
        created: record.created.clone(),
        annotations: record.annotations.clone(),
        owner: record.owner.clone(),
    }
}

fn text(value: &impl Serialize) -> Result<String, Failed> {
    serde_json::to_string(value).map_err(|error| Failed::new(error.to_string()))
}

/// `gantry oci state`.
pub(super) fn state(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let (_, id) = super::one_id(rest, &[])?;
    let known = Known::load(&context.root, &id)?;
    let text =
        serde_json::to_string_pretty(&view(&known)).map_err(|e| Failed::new(e.to_string()))?;
    say(&format!("{text}\n"))?;
    Ok(0)
}

/// `gantry oci list`.
pub(super) fn list(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [value(&["format", "f"]), switch(&["quiet", "q"])];
    let parsed = args::parse(rest, &flags, false)?;
    let mut names: Vec<String> = match fs::read_dir(&context.root) {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
        }
        Err(_) => Vec::new(),
    };
    names.sort();
    // One that is being made or removed right now is not there.
    let views: Vec<View> = names
        .iter()
        .filter_map(|name| Known::load(&context.root, name).ok())
        .map(|k| view(&k))
        .collect();
    if parsed.is_set("quiet") {
        say(&views.iter().map(|view| format!("{}\n", view.id)).collect::<String>())?;
        return Ok(0);
    }
    match parsed.get("format").unwrap_or("table") {
        "table" => say(&table(&views))?,
        "json" if views.is_empty() => say("null")?,
        "json" => say(&text(&views)?)?,
        _ => return Err(Failed::new("invalid format option")),
    }
    Ok(0)
}

fn table(views: &[View]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(views.iter().map(|view| {
        let status = format!("{:?}", view.status).to_lowercase();
        let owner = if view.owner.is_empty() { "root" } else { &view.owner };
        [
            view.id.clone(),
            view.pid.to_string(),
            status,
            view.bundle.clone(),
            view.created.clone(),
            owner.to_owned(),
        ]
    }));
    columns(&rows)
}

/// Lines in columns at least 12 wide with three spaces between.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == N {
                text.push_str(cell);
            } else {
                text.push_str(&format!("{cell:<width$}", width = widths[column]));
            }
        }
        text.push('\n');
    }
    text
}

/// `gantry oci events`.
pub(super) fn events(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [value(&["interval"]), switch(&["stats"])];
    let (parsed, id) = super::one_id(rest, &flags)?;
    let interval = interval(parsed.get("interval").unwrap_or("5s"))?;
    let known = Known::load(&context.root, &id)?;
    if known.status() == Status::Stopped {
        return Err(Failed::new(format!("container with id {id} is not running")));
    }
    let group = known.cgroup()?;
    let mut killed = group.oom_kill_count();
    loop {
        let stats = group.stats().map_err(Failed::from_error)?;
        let event = json!({"type": "stats", "id": id, "data": data(&stats)});
        say(&format!("{event}\n"))?;
        let _ = std::io::stdout().flush();
        if parsed.is_set("stats") {
            return Ok(0);
        }
        std::thread::sleep(interval);
        let now = group.oom_kill_count();
        if now > killed {
            say(&format!("{}\n", json!({"type": "oom", "id": id})))?;
            killed = now;
        }
        if Known::load(&context.root, &id).map_or(true, |known| known.pidfd.is_none()) {
            return Ok(0);
        }
    }
}

/// A duration in Go's words (`500ms`, `5s`, `1m30s`).
fn interval(text: &str) -> Result<Duration, Failed> {
    let ns = parse_duration(text).map_err(|error| Failed::new(error.to_string()))?;
    match u64::try_from(ns) {
        Ok(ns) if ns > 0 => Ok(Duration::from_nanos(ns)),
        _ => Err(Failed::new("duration interval must be greater than 0")),
    }
}

/// Figures in runc's shape.
fn data(stats: &Stats) -> serde_json::Value {
    let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu.usage_ns,
                "percpu": stats.cpu.per_cpu_ns,
                "kernel": stats.cpu.kernel_ns,
                "user": stats.cpu.user_ns,
            },
            "throttling": {
                "periods": stats.cpu.throttling.periods,
                "throttledPeriods": stats.cpu.throttling.throttled_periods,
                "throttledTime": stats.cpu.throttling.throttled_ns,
            },
        },
        "memory": {
            "cache": stats.memory.stat.get("cache").or(stats.memory.stat.get("file")).copied().unwrap_or(0),
            "usage": {
                "limit": limit(stats.memory.limit),
                "usage": stats.memory.usage,
                "max": stats.memory.max_usage,
                "failcnt": stats.memory.failcnt,
            },
            "swap": {
                "limit": limit(stats.memory.swap_limit),
                "usage": stats.memory.swap_usage,
            },
            "raw": stats.memory.stat,
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_go_words() {
        for (text, want) in [
            ("500ms", Some(500)),
            ("5s", Some(5000)),
            ("1.5m", Some(90_000)),
            ("1m30s", Some(90_000)),
            ("-5s", None),
            ("0s", None),
            ("5", None),
        ] {
            assert_eq!(interval(text).ok().map(|d| d.as_millis()), want, "{text}");
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [["ID", "X"], ["a-rather-long-id", "y"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "ID                 X\na-rather-long-id   y\n");
    }
}
