//! `ps`.

use std::ffi::OsString;
use std::fs;

use super::args::{self, value};
use super::inspect::columns;
use super::state::Known;
use super::{Context, Failed, say};

/// Clock ticks a second: the kernel's `USER_HZ`.
const TICKS: u64 = 100;

/// `gantry oci ps`.
pub(super) fn ps(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let parsed = args::parse(rest, &[value(&["format", "f"])], false)?;
    let Some(id) = parsed.rest.first() else {
        return Err(Failed::usage("a container id is needed"));
    };
    let known = Known::load(&context.root, id)?;
    let mut pids = known.cgroup()?.pids().map_err(Failed::from_error)?;
    pids.sort_unstable();
    match parsed.get("format").unwrap_or("table") {
        "json" => say(&serde_json::json!(pids).to_string())?,
        "table" => {
            if parsed.rest.len() > 1 {
                return Err(Failed::new("ps options are not implemented"));
            }
            say(&table(&pids))?;
        }
        other => return Err(Failed::new(format!("invalid format option {other:?}"))),
    }
    Ok(0)
}

fn table(pids: &[u32]) -> String {
    let mut rows = vec![["UID", "PID", "PPID", "C", "TIME", "CMD"].map(str::to_owned)];
    // One that has just ended is not listed.
    rows.extend(pids.iter().filter_map(|pid| row(*pid)));
    columns(&rows)
}

fn row(pid: u32) -> Option<[String; 6]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid = uid.split_ascii_whitespace().nth(1)?;
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let seconds = ticks / TICKS;
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = words
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    let command = if words.is_empty() { format!("[{name}]") } else { words.join(" ") };
    // What a container calls its processes must not reach the terminal as control characters.
    let command = command.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some([
        uid.to_owned(),
        pid.to_string(),
        (*fields.get(1)?).to_owned(),
        "0".to_owned(),
        time,
        command,
    ])
}
