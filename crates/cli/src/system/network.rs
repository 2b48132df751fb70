//! `network`.

use gantry_client::Query;
use gantry_gotemplate::Value;
use serde_json::{Value as Json, json};

use crate::app::{Call, Outcome};
use crate::container::list::render_quiet;
use crate::format::{self, Row, View, labels_map, labels_text, short_id, units};
use crate::output::{err, out};
use crate::system::volume::{labels_of, object};

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

/// Subnets with their ranges, gateways and reserved addresses.
fn ipam_config(call: &Call<'_>) -> Result<Vec<Json>, String> {
    let flags = &call.flags;
    let subnets = flags.strings("subnet");
    let (ranges, gateways) = (flags.strings("ip-range"), flags.strings("gateway"));
    if subnets.is_empty() {
        if !ranges.is_empty() || !gateways.is_empty() {
            return Err("every ip-range or gateway must have a corresponding subnet".into());
        }
        return Ok(Vec::new());
    }
    let mut configs: Vec<Json> = subnets.iter().map(|subnet| json!({"Subnet": subnet})).collect();
    let index = |address: &str| {
        let address = address.split('/').next().unwrap_or("");
        subnets.iter().position(|subnet| contains(subnet, address))
    };
    for (key, values) in [("IPRange", &ranges), ("Gateway", &gateways)] {
        for value in values {
            let Some(at) = index(value) else {
                return Err(format!("no matching subnet for {} {value}", key.to_lowercase()));
            };
            configs[at][key] = value.as_str().into();
        }
    }
    for pair in flags.list("aux-address") {
        let (name, address) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = index(address) else {
            return Err(format!("no matching subnet for aux-address {address}"));
        };
        configs[at]["AuxiliaryAddresses"][name] = address.into();
    }
    Ok(configs)
}

/// Whether a subnet, `address/bits`, holds an address.
fn contains(subnet: &str, address: &str) -> bool {
    use std::net::IpAddr;
    let Some((base, bits)) = subnet.split_once('/') else { return false };
    let (Ok(base), Ok(address), Ok(bits)) =
        (base.parse::<IpAddr>(), address.parse::<IpAddr>(), bits.parse::<u32>())
    else {
        return false;
    };
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((base, width), (address, other)) = (number(base), number(address));
    let differ = (base ^ address).checked_shr(128 - bits.min(128)).unwrap_or(0);
    width == other && (bits == 0 || differ == 0)
}

/// `network create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let mut body = json!({
        "Name": call.args[0],
        "Driver": flags.text("driver"),
        "Scope": flags.text("scope"),
        "IPAM": {
            "Driver": flags.text("ipam-driver"),
            "Options": object(flags.list("ipam-opt")),
            "Config": ipam_config(call)?,
        },
        "Internal": flags.is_on("internal"),
        "Attachable": flags.is_on("attachable"),
        "Ingress": flags.is_on("ingress"),
        "ConfigOnly": flags.is_on("config-only"),
        "ConfigFrom": null,
        "Options": object(flags.list("opt")),
        "Labels": object(flags.list("label")),
    });
    if flags.is_given("config-from") {
        body["ConfigFrom"] = json!({"Network": flags.text("config-from")});
    }
    for (flag, key) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if flags.is_given(flag) {
            body[key] = flags.is_on(flag).into();
        }
    }
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
    let flags = &call.flags;
    let mut ipam = json!({});
    for (flag, key) in [("ip", "IPv4Address"), ("ip6", "IPv6Address")] {
        if flags.is_given(flag) {
            ipam[key] = flags.text(flag).into();
        }
    }
    if flags.is_given("link-local-ip") {
        ipam["LinkLocalIPs"] = flags.strings("link-local-ip").into();
    }
    let body = json!({
        "Container": call.args[1],
        "EndpointConfig": {
            "IPAMConfig": ipam,
            "Links": flags.list("link"),
            "Aliases": flags.strings("alias"),
            "DriverOpts": object(&flags.strings("driver-opt")),
            "GwPriority": flags.int("gw-priority"),
        },
    });
    call.client().await?.network_connect(&call.args[0], &body).await?;
    Ok(0)
}

/// `network disconnect`.
pub(crate) async fn disconnect(call: &Call<'_>) -> Outcome {
    let body = json!({"Container": call.args[1], "Force": call.flags.is_on("force")});
    call.client().await?.network_disconnect(&call.args[0], &body).await?;
    Ok(0)
}
