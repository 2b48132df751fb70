//! Commands that do one thing to a container and print its name, and small listings.

use gantry_api_types::container::ContainerCreateResponse;
use gantry_client::Query;
use serde_json::{Value, json};

use crate::app::{Call, Failure, Outcome, for_each};
use crate::container::attach::exit_code;
use crate::container::body::restart_policy;
use crate::format::tabs;
use crate::output::{err, out};
use crate::term;
use crate::values;

/// `docker top` separates its columns more widely.
const TOP_WIDTH: usize = 20;

fn stop_query(call: &Call<'_>) -> Result<Query, Failure> {
    let flags = &call.flags;
    if flags.is_given("time") && flags.is_given("timeout") {
        return Err("conflicting options: cannot specify both --timeout and --time".into());
    }
    let name = if flags.is_given("time") { "time" } else { "timeout" };
    let seconds = flags.is_given(name).then(|| flags.int(name).to_string());
    let signal = Some(flags.text("signal")).filter(|signal| !signal.is_empty());
    Ok(Query::new().with_some("signal", signal).with_some("t", seconds))
}

/// `stop`.
pub(crate) async fn stop(call: &Call<'_>) -> Outcome {
    let query = stop_query(call)?;
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        client.container_stop(name, &query).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

/// `restart`.
pub(crate) async fn restart(call: &Call<'_>) -> Outcome {
    let query = stop_query(call)?;
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        client.container_restart(name, &query).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

/// `kill`.
pub(crate) async fn kill(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        client.container_kill(name, call.flags.text("signal")).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

/// `pause`.
pub(crate) async fn pause(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        client.container_pause(name).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

/// `unpause`.
pub(crate) async fn unpause(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        client.container_unpause(name).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

/// `wait`.
pub(crate) async fn wait(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    for_each(&call.args, async |name| {
        let response = client.container_wait(name, "").await?;
        Ok(format!("{}\n", exit_code(response.body).await?))
    })
    .await
}

/// `rm`.
pub(crate) async fn rm(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let flags = &call.flags;
    let force = flags.is_on("force");
    let query = Query::new()
        .with_flag("v", flags.is_on("volumes"))
        .with_flag("link", flags.is_on("link"))
        .with_flag("force", force);
    for_each(&call.args, async |name| {
        let trimmed = name.trim_matches('/');
        if trimmed.is_empty() {
            return Err("Container name cannot be empty".into());
        }
        match client.container_remove(trimmed, &query).await {
            Ok(()) => Ok(format!("{name}\n")),
            // What is not there need not be removed by force, but is said.
            Err(error) if force && error.is_not_found() => {
                err(format!("{error}\n"));
                Ok(String::new())
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// `rename`.
pub(crate) async fn rename(call: &Call<'_>) -> Outcome {
    let (old, new) = (call.args[0].trim(), call.args[1].trim());
    if old.is_empty() || new.is_empty() {
        return Err("Error: Neither old nor new names may be empty".into());
    }
    call.client().await?.container_rename(old, new).await?;
    Ok(0)
}

/// `update`.
pub(crate) async fn update(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    if flags.names().next().is_none() {
        return Err("you must provide one or more flags when using this command".into());
    }
    let policy = restart_policy(flags.text("restart"))?;
    let cpus = values::nano_cpus(flags.text("cpus")).unwrap_or(0);
    let mut body = json!({
        "CpuShares": flags.int("cpu-shares"),
        "Memory": flags.bytes("memory"),
        "NanoCpus": cpus,
        "CgroupParent": "",
        "BlkioWeight": flags.int("blkio-weight"),
        "CpuPeriod": flags.int("cpu-period"),
        "CpuQuota": flags.int("cpu-quota"),
        "CpuRealtimePeriod": flags.int("cpu-rt-period"),
        "CpuRealtimeRuntime": flags.int("cpu-rt-runtime"),
        "CpusetCpus": flags.text("cpuset-cpus"),
        "CpusetMems": flags.text("cpuset-mems"),
        "MemoryReservation": flags.bytes("memory-reservation"),
        "MemorySwap": flags.bytes("memory-swap"),
        "RestartPolicy": policy,
    });
    body["PidsLimit"] = match flags.is_given("pids-limit") {
        true => flags.int("pids-limit").into(),
        false => Value::Null,
    };
    let client = call.client().await?;
    let mut warnings = Vec::new();
    let outcome = for_each(&call.args, async |name| {
        let answer: Value = client.container_update(name, &body).await?;
        let said = answer["Warnings"].as_array().into_iter().flatten();
        warnings.extend(said.filter_map(|warning| warning.as_str().map(str::to_owned)));
        Ok(format!("{name}\n"))
    })
    .await;
    for warning in warnings {
        err(format!("{warning}\n"));
    }
    outcome
}

/// `diff`.
pub(crate) async fn diff(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let changes: Value = client.container_changes(&call.args[0]).await?;
    let mut text = String::new();
    for change in changes.as_array().into_iter().flatten() {
        let kind = match change["Kind"].as_i64() {
            Some(0) => "C",
            Some(1) => "A",
            _ => "D",
        };
        text.push_str(&format!("{kind} {}\n", change["Path"].as_str().unwrap_or("")));
    }
    out(text)?;
    Ok(0)
}

/// `top`.
pub(crate) async fn top(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let list: Value = client.container_top(&call.args[0], &call.args[1..].join(" ")).await?;
    let line = |cells: &Value| {
        let cells: Vec<&str> =
            cells.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        cells.join("\t") + "\n"
    };
    let mut text = line(&list["Titles"]);
    for process in list["Processes"].as_array().into_iter().flatten() {
        text.push_str(&line(process));
    }
    out(tabs::align(&text, TOP_WIDTH, 3))?;
    Ok(0)
}

/// `port`.
pub(crate) async fn port(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let name = &call.args[0];
    let container: Value = client.container_inspect(name, false).await?;
    let ports = &container["NetworkSettings"]["Ports"];
    let address = |binding: &Value| {
        let (ip, port) =
            (binding["HostIp"].as_str().unwrap_or(""), binding["HostPort"].as_str().unwrap_or(""));
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    };
    let mut lines = Vec::new();
    if let Some(wanted) = call.args.get(1) {
        let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        if values::go_uint(number, 16).is_err() {
            return Err(format!("Error: invalid port ({number})").into());
        }
        let bindings = ports[format!("{number}/{protocol}")].as_array();
        match bindings.filter(|bindings| !bindings.is_empty()) {
            Some(bindings) => lines.extend(bindings.iter().map(address)),
            None => {
                return Err(format!("Error: No public port '{wanted}' published for {name}").into());
            }
        }
    } else {
        for (port, bindings) in ports.as_object().into_iter().flatten() {
            for binding in bindings.as_array().into_iter().flatten() {
                lines.push(format!("{port} -> {}", address(binding)));
            }
        }
        lines.sort_by(|a, b| natural(a).cmp(&natural(b)));
    }
    if !lines.is_empty() {
        out(lines.join("\n") + "\n")?;
    }
    Ok(0)
}

/// Order by number where a line begins with one, as people sort.
fn natural(line: &str) -> (u64, &str) {
    let end = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
    (line[..end].parse().unwrap_or(0), &line[end..])
}

/// `commit`.
pub(crate) async fn commit(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let client = call.client().await?;
    let (repo, tag) = match call.args.get(1) {
        Some(name) => crate::image::manage::split_tag(name),
        None => (String::new(), String::new()),
    };
    let pause = flags.is_on("pause") && !flags.is_on("no-pause");
    let mut query = Query::new()
        .with("container", &call.args[0])
        .with("repo", repo)
        .with("tag", tag)
        .with("comment", flags.text("message"))
        .with("author", flags.text("author"));
    for change in flags.list("change") {
        query = query.with("changes", change);
    }
    if !pause {
        query = query.with("pause", "0");
    }
    let answer: ContainerCreateResponse = client.container_commit(&query).await?;
    out(format!("{}\n", answer.id))?;
    Ok(0)
}

/// `export`.
pub(crate) async fn export(call: &Call<'_>) -> Outcome {
    let output = call.flags.text("output");
    let client = call.client().await?;
    if output.is_empty() && term::stdout_is_terminal() {
        return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
    }
    crate::image::transfer::check_output(output, "failed to export container: ")?;
    let response = client.container_export(&call.args[0]).await?;
    crate::image::transfer::download(response.body, output, None).await?;
    Ok(0)
}
