//! `stats`.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join_all;
use gantry_client::{Client, Query};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::app::{Call, Failure, Outcome};
use crate::format::{self, Row, View, short_id, units};
use crate::output::out;

const FIELDS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("ID", "CONTAINER ID"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
const COLUMNS: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
/// How often the table is drawn again.
const REDRAW: Duration = Duration::from_millis(500);

/// What is known of one container.
#[derive(Debug, Clone, Default)]
struct Usage {
    container: String,
    name: String,
    id: String,
    cpu: f64,
    memory: f64,
    limit: f64,
    network: (f64, f64),
    block: (f64, f64),
    pids: u64,
    known: bool,
}

#[expect(clippy::cast_precision_loss, reason = "a few digits of it are printed")]
fn number(value: &Json) -> f64 {
    value.as_u64().map_or_else(|| value.as_f64().unwrap_or(0.0), |number| number as f64)
}

/// Percent of the CPUs that the container used between the two samples.
fn cpu_percent(stats: &Json) -> f64 {
    let (now, before) = (&stats["cpu_stats"], &stats["precpu_stats"]);
    let used =
        number(&now["cpu_usage"]["total_usage"]) - number(&before["cpu_usage"]["total_usage"]);
    let system = number(&now["system_cpu_usage"]) - number(&before["system_cpu_usage"]);
    let mut cpus = number(&now["online_cpus"]);
    if cpus == 0.0 {
        let each = now["cpu_usage"]["percpu_usage"].as_array().map_or(0, Vec::len);
        cpus = f64::from(u32::try_from(each).unwrap_or(0));
    }
    if system > 0.0 && used > 0.0 { used / system * cpus * 100.0 } else { 0.0 }
}

/// Memory in use without the page cache that can be dropped.
fn memory(stats: &Json) -> f64 {
    let all = number(&stats["memory_stats"]["usage"]);
    let details = &stats["memory_stats"]["stats"];
    for key in ["total_inactive_file", "inactive_file"] {
        let cache = number(&details[key]);
        if details[key].is_number() && cache < all {
            return all - cache;
        }
    }
    all
}

fn block(stats: &Json) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    for entry in stats["blkio_stats"]["io_service_bytes_recursive"].as_array().into_iter().flatten()
    {
        match entry["op"].as_str().and_then(|op| op.chars().next()) {
            Some('r' | 'R') => sums.0 += number(&entry["value"]),
            Some('w' | 'W') => sums.1 += number(&entry["value"]),
            _ => {}
        }
    }
    sums
}

impl Usage {
    fn update(&mut self, stats: &Json) {
        self.name = stats["name"].as_str().unwrap_or("").trim_start_matches('/').to_owned();
        self.id = stats["id"].as_str().unwrap_or("").to_owned();
        self.cpu = cpu_percent(stats);
        self.memory = memory(stats);
        self.limit = number(&stats["memory_stats"]["limit"]);
        self.network = (0.0, 0.0);
        for network in stats["networks"].as_object().into_iter().flat_map(|all| all.values()) {
            self.network.0 += number(&network["rx_bytes"]);
            self.network.1 += number(&network["tx_bytes"]);
        }
        self.block = block(stats);
        self.pids = stats["pids_stats"]["current"].as_u64().unwrap_or(0);
        self.known = true;
    }

    fn row(&self, cut: bool) -> Row {
        let dashes = "--".to_owned();
        let id = if cut { short_id(&self.id) } else { self.id.clone() };
        if !self.known {
            return Row::of([
                self.container.clone(),
                if self.name.is_empty() { dashes.clone() } else { self.name.clone() },
                if id.is_empty() { dashes.clone() } else { id },
                dashes.clone(),
                "-- / --".into(),
                dashes.clone(),
                dashes.clone(),
                dashes.clone(),
                dashes,
            ]);
        }
        let percent = if self.limit > 0.0 { self.memory / self.limit * 100.0 } else { 0.0 };
        let pair = |(a, b): (f64, f64)| {
            format!("{} / {}", units::human_size(a, 3), units::human_size(b, 3))
        };
        Row::of([
            self.container.clone(),
            self.name.clone(),
            id,
            format!("{:.2}%", self.cpu),
            format!("{} / {}", units::bytes_size(self.memory), units::bytes_size(self.limit)),
            format!("{percent:.2}%"),
            pair(self.network),
            pair(self.block),
            self.pids.to_string(),
        ])
    }
}

/// The containers to watch: those named, else all that run.
async fn targets(call: &Call<'_>, client: &Client) -> Result<Vec<Usage>, Failure> {
    if !call.args.is_empty() {
        let named = |name: &String| Usage { container: name.clone(), ..Usage::default() };
        return Ok(call.args.iter().map(named).collect());
    }
    let query = Query::new().with_flag("all", call.flags.is_on("all"));
    let list: Vec<Json> = client.container_list(&query).await?;
    Ok(list
        .iter()
        .map(|container| {
            let id = container["Id"].as_str().unwrap_or("");
            Usage { container: short_id(id), id: id.to_owned(), ..Usage::default() }
        })
        .collect())
}

fn render(call: &Call<'_>, usages: &[Usage]) -> Result<String, String> {
    let wanted = match call.flags.text("format") {
        "" => call.app.config.text("statsFormat"),
        given => given,
    };
    let cut = !call.flags.is_on("no-trunc");
    let rows = usages.iter().map(|usage| usage.row(cut)).collect();
    let view = View { type_name: "*container.statsContext", fields: FIELDS, rows };
    format::render(&view, wanted, COLUMNS)
}

/// `stats`.
pub(crate) async fn stats(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let usages = targets(call, client).await?;
    if call.flags.is_on("no-stream") {
        return once(call, client, usages).await;
    }
    let shared = RefCell::new(usages);
    let watches = (0..shared.borrow().len()).map(|index| watch(client, &shared, index));
    let draw = async {
        let mut ticks = tokio::time::interval(REDRAW);
        loop {
            ticks.tick().await;
            let text = render(call, &shared.borrow())?;
            // Home, the text with every line cleared to its end, then what was below.
            let text = text.replace('\n', "\x1b[K\n");
            out(format!("\x1b[H{text}\x1b[J"))?;
        }
    };
    out("\x1b[2J")?;
    tokio::select! {
        failures = join_all(watches) => failures.into_iter().next().unwrap_or(Ok(0)),
        done = draw => done,
    }
}

async fn watch(client: &Client, usages: &RefCell<Vec<Usage>>, index: usize) -> Outcome {
    let name = usages.borrow()[index].container.clone();
    let response = client.container_stats(&name, true).await?;
    let mut lines = BufReader::new(response.body).lines();
    while let Some(line) = lines.next_line().await? {
        if let Ok(stats) = serde_json::from_str::<Json>(&line) {
            usages.borrow_mut()[index].update(&stats);
        }
    }
    usages.borrow_mut()[index].known = false;
    Ok(0)
}

async fn once(call: &Call<'_>, client: &Client, mut usages: Vec<Usage>) -> Outcome {
    let samples = usages.iter().map(|usage| async {
        let response = client.container_stats(&usage.container, false).await?;
        let mut line = String::new();
        BufReader::new(response.body).read_line(&mut line).await?;
        serde_json::from_str::<Json>(&line).map_err(|error| Failure::Text(error.to_string()))
    });
    let samples = join_all(samples).await;
    for (usage, sample) in usages.iter_mut().zip(samples) {
        usage.update(&sample?);
    }
    out(render(call, &usages)?)?;
    Ok(0)
}
