//! `ps`.

use gantry_api_types::container::{ContainerSummary, Port};
use gantry_client::Query;
use gantry_gotemplate::{Functions, Template, Value};

use crate::app::{Call, Outcome};
use crate::format::{self, Row, View, ellipsis, labels_map, labels_text, short_id, units};
use crate::output::out;

const TABLE: &str =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
/// Width of a command that is cut.
const COMMAND_WIDTH: usize = 20;

/// Fields of a row, with their headers.
pub(crate) const FIELDS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

/// Go's name for a row.
pub(crate) const TYPE_NAME: &str = "*formatter.ContainerContext";

/// `ps`.
pub(crate) async fn ps(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let quiet = flags.is_on("quiet");
    let mut wanted = flags.text("format").to_owned();
    if wanted.is_empty() && !quiet {
        wanted = call.app.config.text("psFormat").to_owned();
    }
    let size = flags.is_on("size") || uses_size(&wanted)?;
    let latest = flags.is_on("latest");
    let last = if latest { 1 } else { flags.int("last") };
    let query = Query::new()
        .with_flag("all", flags.is_on("all"))
        .with_some("limit", (last > 0).then(|| last.to_string()))
        .with_flag("size", size)
        .with_some("filters", format::filters(flags.list("filter"))?);
    let client = call.client().await?;
    let containers: Vec<ContainerSummary> = client.container_list(&query).await?;
    let cut = !flags.is_on("no-trunc");
    let rows = containers.iter().map(|container| row(container, cut)).collect();
    let view = View { type_name: TYPE_NAME, fields: FIELDS, rows };
    let table = match (quiet, flags.is_on("size")) {
        (true, _) => "{{.ID}}".to_owned(),
        (_, true) => format!("{TABLE}\t{{{{.Size}}}}"),
        _ => TABLE.to_owned(),
    };
    out(render_quiet(&view, &wanted, &table, quiet)?)?;
    Ok(0)
}

/// Quiet lists have no header, whatever the table.
pub(crate) fn render_quiet(
    view: &View,
    wanted: &str,
    table: &str,
    quiet: bool,
) -> Result<String, String> {
    match (quiet, wanted) {
        (true, "" | "table") => format::render(view, table.trim_start_matches("table "), ""),
        _ => format::render(view, wanted, table.trim_start_matches("table ")),
    }
}

/// Sizes cost the daemon a walk, so they are asked for only if the template shows them.
fn uses_size(wanted: &str) -> Result<bool, String> {
    if matches!(wanted, "" | "table") {
        return Ok(false);
    }
    if wanted == "json" {
        return Ok(false);
    }
    let source = wanted.strip_prefix("table").unwrap_or(wanted);
    let source = source.replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse(&source, Functions::Docker)
        .map_err(|error| format!("failed to parse template: {error}"))?;
    let empty = ContainerSummary::default();
    let view = View { type_name: TYPE_NAME, fields: FIELDS, rows: vec![] };
    template
        .execute(&view.value_of(&row(&empty, true)))
        .map_err(|error| format!("failed to execute template: {error}"))?;
    Ok(source.contains(".Size") || source.contains("json .}") || source.contains("json . "))
}

/// A container as a row.
pub(crate) fn row(container: &ContainerSummary, cut: bool) -> Row {
    let id = if cut { short_id(&container.id) } else { container.id.clone() };
    let names: Vec<&str> = container
        .names
        .iter()
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        // A name with a slash is a link's.
        .filter(|name| !cut || !name.contains('/'))
        .collect();
    let image = match container.image.as_str() {
        "" => "<no image>".to_owned(),
        image if cut && is_id(image) => short_id(image),
        image if cut => image.split_once('@').map_or(image, |(name, _)| name).to_owned(),
        image => image.to_owned(),
    };
    let command = match cut {
        true => ellipsis(&container.command, COMMAND_WIDTH),
        false => container.command.clone(),
    };
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| if cut { ellipsis(name, 15) } else { name.clone() })
        .collect();
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let networks: Vec<&str> =
        container.network_settings.networks.keys().map(String::as_str).collect();
    Row {
        values: vec![
            id.into(),
            names.join(",").into(),
            image.into(),
            format!("\"{command}\"").into(),
            units::go_time(container.created).into(),
            units::ago(container.created).into(),
            ports(&container.ports).into(),
            container.state.as_str().into(),
            container.status.as_str().into(),
            size(container).into(),
            labels_text(&container.labels).into(),
            mounts.join(",").into(),
            local.to_string().into(),
            networks.join(",").into(),
            Value::Nil,
        ],
        labels: Some(labels_map(&container.labels)),
    }
}

fn is_id(image: &str) -> bool {
    image.starts_with("sha256:")
}

#[expect(clippy::cast_precision_loss, reason = "three digits of it are printed")]
fn size(container: &ContainerSummary) -> String {
    let own = units::human_size(container.size_rw.unwrap_or(0) as f64, 3);
    match container.size_root_fs {
        Some(all) if all > 0 => format!("{own} (virtual {})", units::human_size(all as f64, 3)),
        _ => own,
    }
}

/// A run of ports with the same address and protocol.
struct Run {
    address: String,
    protocol: String,
    private: (u16, u16),
    public: (u16, u16),
}

/// Ports as one text: neighbours are joined, exposed ones stand before published ones.
pub(crate) fn ports(all: &[Port]) -> String {
    let mut sorted: Vec<&Port> = all.iter().collect();
    sorted.sort_by(|a, b| {
        (a.private_port, &a.ip, a.public_port, &a.kind).cmp(&(
            b.private_port,
            &b.ip,
            b.public_port,
            &b.kind,
        ))
    });
    let mut runs: Vec<Run> = Vec::new();
    let mut alone = Vec::new();
    for port in sorted {
        let public = port.public_port;
        if public != 0 && public != port.private_port {
            alone.push(format!("{}->{}/{}", host(&port.ip, public), port.private_port, port.kind));
            continue;
        }
        let address = if public == 0 { String::new() } else { port.ip.clone() };
        let next = runs.iter_mut().find(|run| {
            run.address == address
                && run.protocol == port.kind
                && (run.public.0 == 0) == (public == 0)
                && run.private.1.checked_add(1) == Some(port.private_port)
        });
        match next {
            Some(run) => {
                run.private.1 = port.private_port;
                run.public.1 = public;
            }
            None => runs.push(Run {
                address,
                protocol: port.kind.clone(),
                private: (port.private_port, port.private_port),
                public: (public, public),
            }),
        }
    }
    runs.sort_by_key(|run| (run.private.0, run.public.0 != 0));
    let mut parts: Vec<String> = runs.iter().map(text_of).collect();
    parts.extend(alone);
    parts.join(", ")
}

fn host(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn text_of(run: &Run) -> String {
    let range = |(from, to): (u16, u16)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    };
    let inside = format!("{}/{}", range(run.private), run.protocol);
    if run.public.0 == 0 {
        return inside;
    }
    let address =
        if run.address.contains(':') { format!("[{}]", run.address) } else { run.address.clone() };
    format!("{address}:{}->{inside}", range(run.public))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_joined() {
        let port = |ip: &str, private: u16, public: u16, kind: &str| Port {
            ip: ip.into(),
            private_port: private,
            public_port: public,
            kind: kind.into(),
        };
        let all = [
            port("0.0.0.0", 80, 8080, "tcp"),
            port("127.0.0.1", 9001, 9001, "udp"),
            port("127.0.0.1", 9000, 9000, "udp"),
            port("", 5, 0, "tcp"),
        ];
        assert_eq!(ports(&all), "5/tcp, 127.0.0.1:9000-9001->9000-9001/udp, 0.0.0.0:8080->80/tcp");
    }
}
