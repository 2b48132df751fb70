//! The `prune` commands.

use std::io::BufRead as _;

use gantry_client::{Client, Query};
use serde_json::Value;

use crate::app::{Call, Failure, Outcome};
use crate::format::{self, units};
use crate::output::out;

/// Asks; anything but a yes is a no.
fn confirmed(call: &Call<'_>, warning: &str) -> Result<bool, Failure> {
    asked(call, &format!("{warning}\n"))
}

/// Asks whether the build cache is to go, on one line, as docker and buildx do.
pub(crate) fn cache_confirmed(call: &Call<'_>) -> Result<bool, Failure> {
    let what = if call.flags.is_on("all") { "all" } else { "all dangling" };
    asked(call, &format!("WARNING! This will remove {what} build cache. "))
}

fn asked(call: &Call<'_>, warning: &str) -> Result<bool, Failure> {
    if call.flags.is_on("force") {
        return Ok(true);
    }
    out(format!("{warning}Are you sure you want to continue? [y/N] "))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y"))
}

fn query(call: &Call<'_>, more: &[(&str, &str)]) -> Result<Query, Failure> {
    let mut given = call.flags.list("filter").to_vec();
    let configured = call.app.config.text("pruneFilters");
    given.extend(Some(configured.to_owned()).filter(|text| !text.is_empty()));
    given.extend(more.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(Query::new().with_some("filters", format::filters(&given)?))
}

#[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
fn reclaimed(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", units::human_size(bytes as f64, 4))
}

/// What one kind of prune has done: its lines, and the space won.
struct Done {
    text: String,
    bytes: u64,
}

fn done(answer: &Value, key: &str, title: &str) -> Done {
    let names: Vec<&str> =
        answer[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = String::new();
    if !names.is_empty() {
        text = format!("{title}:\n{}\n", names.join("\n"));
    }
    Done { text, bytes: answer["SpaceReclaimed"].as_u64().unwrap_or(0) }
}

fn print_one(done: &Done) -> Outcome {
    let gap = if done.text.is_empty() { "" } else { "\n" };
    out(format!("{}{gap}{}", done.text, reclaimed(done.bytes)))?;
    Ok(0)
}

async fn prune_containers(call: &Call<'_>) -> Result<Done, Failure> {
    let answer: Value = call.client().await?.container_prune(&query(call, &[])?).await?;
    Ok(done(&answer, "ContainersDeleted", "Deleted Containers"))
}

async fn prune_networks(call: &Call<'_>) -> Result<Done, Failure> {
    let answer: Value = call.client().await?.network_prune(&query(call, &[])?).await?;
    Ok(done(&answer, "NetworksDeleted", "Deleted Networks"))
}

async fn prune_volumes(call: &Call<'_>, all: bool) -> Result<Done, Failure> {
    let client = call.client().await?;
    let more: &[_] = if all && client.speaks("1.42") { &[("all", "true")] } else { &[] };
    let answer: Value = client.volume_prune(&query(call, more)?).await?;
    Ok(done(&answer, "VolumesDeleted", "Deleted Volumes"))
}

async fn prune_images(call: &Call<'_>) -> Result<Done, Failure> {
    let dangling = if call.flags.is_on("all") { "false" } else { "true" };
    let answer: Value =
        call.client().await?.image_prune(&query(call, &[("dangling", dangling)])?).await?;
    let mut text = String::new();
    for item in answer["ImagesDeleted"].as_array().into_iter().flatten() {
        match (item["Untagged"].as_str(), item["Deleted"].as_str()) {
            (Some(name), _) if !name.is_empty() => text.push_str(&format!("untagged: {name}\n")),
            (_, Some(id)) => text.push_str(&format!("deleted: {id}\n")),
            _ => {}
        }
    }
    if !text.is_empty() {
        text = format!("Deleted Images:\n{text}");
    }
    Ok(Done { text, bytes: answer["SpaceReclaimed"].as_u64().unwrap_or(0) })
}

/// What a prune of the build cache is asked with.
pub(crate) fn cache_query(call: &Call<'_>, client: &Client) -> Result<Query, Failure> {
    let mut query = query(call, &[])?.with_flag("all", call.flags.is_on("all"));
    for name in ["keep-storage", "reserved-space"] {
        if call.flags.is_given(name) {
            let bytes = call.flags.bytes(name).to_string();
            // It has had two names.
            let known = if client.speaks("1.48") { "reserved-space" } else { "keep-storage" };
            query = query.with(known, bytes);
        }
    }
    for name in ["max-used-space", "min-free-space"] {
        if call.flags.is_given(name) {
            query = query.with(name, call.flags.bytes(name).to_string());
        }
    }
    Ok(query)
}

async fn prune_cache(call: &Call<'_>) -> Result<Done, Failure> {
    let client = call.client().await?;
    let answer: Value = client.build_prune(&cache_query(call, client)?).await?;
    Ok(done(&answer, "CachesDeleted", "Deleted build cache objects"))
}

/// `container prune`.
pub(crate) async fn containers(call: &Call<'_>) -> Outcome {
    if !confirmed(call, "WARNING! This will remove all stopped containers.")? {
        return Ok(0);
    }
    print_one(&prune_containers(call).await?)
}

/// `image prune`.
pub(crate) async fn images(call: &Call<'_>) -> Outcome {
    let warning = match call.flags.is_on("all") {
        true => {
            "WARNING! This will remove all images without at least one container associated to them."
        }
        false => "WARNING! This will remove all dangling images.",
    };
    if !confirmed(call, warning)? {
        return Ok(0);
    }
    print_one(&prune_images(call).await?)
}

/// `volume prune`.
pub(crate) async fn volumes(call: &Call<'_>) -> Outcome {
    let all = call.flags.is_on("all") || !call.client().await?.speaks("1.42");
    let warning = match all {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => {
            "WARNING! This will remove anonymous local volumes not used by at least one container."
        }
    };
    if !confirmed(call, warning)? {
        return Ok(0);
    }
    print_one(&prune_volumes(call, call.flags.is_on("all")).await?)
}

/// `network prune`.
pub(crate) async fn networks(call: &Call<'_>) -> Outcome {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if !confirmed(call, warning)? {
        return Ok(0);
    }
    let done = prune_networks(call).await?;
    if !done.text.is_empty() {
        out(format!("{}\n", done.text))?;
    }
    Ok(0)
}

/// `builder prune`.
pub(crate) async fn builder(call: &Call<'_>) -> Outcome {
    if !cache_confirmed(call)? {
        return Ok(0);
    }
    print_one(&prune_cache(call).await?)
}

/// `system prune`.
pub(crate) async fn system(call: &Call<'_>) -> Outcome {
    let (all, volumes) = (call.flags.is_on("all"), call.flags.is_on("volumes"));
    let until = call.flags.list("filter").iter().any(|filter| filter.starts_with("until="));
    if volumes && until {
        return Err("ERROR: The \"until\" filter is not supported with \"--volumes\"".into());
    }
    let mut lines =
        vec!["all stopped containers", "all networks not used by at least one container"];
    if volumes {
        lines.push("all anonymous volumes not used by at least one container");
    }
    lines.push(match all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    });
    lines.push(if all { "all build cache" } else { "unused build cache" });
    let mut warning = String::from("WARNING! This will remove:\n");
    for line in lines {
        warning.push_str(&format!("  - {line}\n"));
    }
    for filter in call.flags.list("filter").iter().take(1) {
        warning.push_str(&format!("\n  Items to be pruned will be filtered with:\n  - {filter}\n"));
    }
    if !confirmed(call, &warning)? {
        return Ok(0);
    }
    let mut bytes = 0;
    let mut steps = vec![prune_containers(call).await?, prune_networks(call).await?];
    if volumes {
        steps.push(prune_volumes(call, false).await?);
    }
    steps.push(prune_images(call).await?);
    steps.push(prune_cache(call).await?);
    for step in steps {
        bytes += step.bytes;
        if !step.text.is_empty() {
            out(format!("{}\n", step.text))?;
        }
    }
    out(reclaimed(bytes))?;
    Ok(0)
}
