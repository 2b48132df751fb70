//! `network`.

mod body;
pub(crate) mod reach;

use gantry_client::Query;
use gantry_gotemplate::Value;
use serde_json::{Value as Json, json};

use crate::app::{Call, Outcome};
use crate::container::list::render_quiet;
use crate::format::{self, Row, View, labels_map, labels_text, short_id, units};
use crate::output::{err, out};
use crate::system::volume::labels_of;

const FIELDS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

fn row(network: &Json, cut: bool) -> Row {
    let text = |key: &str| network[key].as_str().unwrap_or("").to_owned();
    let flag = |key: &str| network[key].as_bool().unwrap_or(false).to_string();
    let labels = labels_of(network);
    let id = text("Id");
    let created: Option<jiff::Timestamp> = text("Created").parse().ok();
    let values: [String; 9] = [
        if cut { short_id(&id) } else { id },
        text("Name"),
        text("Driver"),
        text("Scope"),
        flag("EnableIPv4"),
        flag("EnableIPv6"),
        flag("Internal"),
        labels_text(&labels),
        created.map(units::go_time_exact).unwrap_or_default(),
    ];
    Row { values: values.into_iter().map(Value::from).collect(), labels: Some(labels_map(&labels)) }
}

/// `network ls`.
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let quiet = flags.is_on("quiet");
    let mut wanted = flags.text("format");
    if wanted.is_empty() && !quiet {
        wanted = call.app.config.text("networksFormat");
    }
    let query = Query::new().with_some("filters", format::filters(flags.list("filter"))?);
    let mut networks: Vec<Json> = call.client().await?.network_list(&query).await?;
    networks.sort_by_key(|network| network["Name"].as_str().unwrap_or("").to_owned());
    let cut = !flags.is_on("no-trunc");
    let rows = networks.iter().map(|network| row(network, cut)).collect();
    let view = View { type_name: "*network.networkContext", fields: FIELDS, rows };
    let table = if quiet { "{{.ID}}" } else { "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}" };
    out(render_quiet(&view, wanted, table, quiet)?)?;
    Ok(0)
}

/// `network create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let mut body = body::create(&call.flags, &call.args[0])?;
    let client = call.client().await?;
    if !client.speaks("1.44") {
        body["CheckDuplicate"] = true.into();
    }
    let answer: Json = client.network_create(&body).await?;
    out(format!("{}\n", answer["Id"].as_str().unwrap_or("")))?;
    Ok(0)
}

/// `network rm`.
pub(crate) async fn remove(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let force = call.flags.is_on("force");
    let mut failed = false;
    for name in &call.args {
        match client.network_remove(name).await {
            Ok(()) => out(format!("{name}\n"))?,
            Err(error) if force && error.is_not_found() => {}
            Err(error) => {
                err(format!("{error}\n"));
                failed = true;
            }
        }
    }
    // Docker's words for a failure that has been said already.
    if failed { Err("exit status 1".into()) } else { Ok(0) }
}

/// `network connect`.
pub(crate) async fn connect(call: &Call<'_>) -> Outcome {
    let body = body::connect(&call.flags, &call.args[1])?;
    call.client().await?.network_connect(&call.args[0], &body).await?;
    Ok(0)
}

/// `network disconnect`.
pub(crate) async fn disconnect(call: &Call<'_>) -> Outcome {
    let body = json!({"Container": call.args[1], "Force": call.flags.is_on("force")});
    call.client().await?.network_disconnect(&call.args[0], &body).await?;
    Ok(0)
}
