//! `GET /containers/json`: from memory alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gantry_api_types::container::{ContainerSummary, HealthSummary, Port, SummaryHostConfig};
use gantry_api_types::filters::FilterError;
use gantry_api_types::network::SummaryNetworkSettings;
use gantry_api_types::port::parse_port_range;
use gantry_api_types::{Filters, NullableMap as _};
use gantry_gotext::human_duration;
use gantry_oci::Digest;
use regex_lite::Regex;

use crate::container::phase::Phase;
use crate::container::{Cell, View, endpoints, mount_points};
use crate::engine::Inner;
use crate::events::now_ns;
use crate::record::{ContainerRecord, NetworkMode};
use crate::{Container, Engine, QueryError};

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// Only so many of the newest; 0 or less for all.
    pub limit: i64,
    /// With the sizes of the writable layer and the image.
    pub size: bool,
    /// Filters.
    pub filters: Filters,
}

/// The keys that the list takes.
const KEYS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] =
    ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

impl Engine {
    /// Lists containers, newest first.
    ///
    /// # Errors
    /// [`QueryError`] for an unknown filter or value.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>, QueryError> {
        let inner = &self.0;
        let wanted = Wanted::read(inner, &options)?;
        let mut rows: Vec<(Arc<Cell>, View)> = inner
            .registry
            .all()
            .into_iter()
            .map(|cell| (Arc::clone(&cell), cell.view()))
            .filter(|(cell, view)| wanted.takes(inner, cell, view))
            .collect();
        rows.sort_by_key(|(_, view)| std::cmp::Reverse(view.record.created_ns));
        if let Ok(limit @ 1..) = usize::try_from(options.limit) {
            rows.truncate(limit);
        }
        let (mut images, links) = (HashMap::new(), inner.link_names());
        let mut list: Vec<ContainerSummary> =
            rows.iter().map(|(cell, view)| summary(inner, cell, view, &mut images)).collect();
        for row in &mut list {
            row.names.extend(links.get(&row.id).into_iter().flatten().cloned());
        }
        if options.size {
            self.measure(&mut list, rows).await;
        }
        Ok(list)
    }

    /// Fills the sizes, off the reactor.
    async fn measure(&self, list: &mut [ContainerSummary], rows: Vec<(Arc<Cell>, View)>) {
        let engine = self.clone();
        let sizes = tokio::task::spawn_blocking(move || {
            let measure = |(cell, view): (Arc<Cell>, View)| {
                let image = engine.0.image_size(&view.record);
                let own = Container { engine: engine.clone(), cell }.size_rw().unwrap_or(0);
                (own, own + image)
            };
            rows.into_iter().map(measure).collect::<Vec<_>>()
        });
        for (row, (own, all)) in list.iter_mut().zip(sizes.await.unwrap_or_default()) {
            // Docker leaves a zero out.
            (row.size_rw, row.size_root_fs) = (Some(own).filter(|size| *size != 0), Some(all));
        }
    }
}

/// Filters, read once.
struct Wanted<'a> {
    filters: &'a Filters,
    running_only: bool,
    names: Vec<Regex>,
    ids: Vec<Regex>,
    codes: Vec<i32>,
    ancestors: Option<Vec<Digest>>,
    before_ns: Option<i64>,
    since_ns: Option<i64>,
    exposed: Vec<String>,
    published: Vec<String>,
    is_task: Option<bool>,
}

impl<'a> Wanted<'a> {
    fn read(inner: &Inner, options: &'a ListOptions) -> Result<Self, QueryError> {
        let filters = &options.filters;
        filters.validate(KEYS)?;
        for (key, words) in [("status", &STATES[..]), ("health", &HEALTHS[..])] {
            // Docker names the one word here, and the whole list elsewhere.
            if let Some(word) = filters.get(key).into_iter().find(|word| !words.contains(word)) {
                let (key, word) = (key.to_owned(), word.to_owned());
                return Err(QueryError::Filter(FilterError::Word { key, word }));
            }
        }
        let patterns = |key: &str| -> Result<Vec<Regex>, QueryError> {
            let read = |text: &str| Regex::new(text).map_err(|_| QueryError::value(filters, key));
            filters.get(key).into_iter().map(read).collect()
        };
        let codes = filters.get("exited").into_iter().map(str::parse).collect::<Result<_, _>>();
        let created = |key: &str| -> Result<Option<i64>, QueryError> {
            let find = |name: &&str| inner.registry.find(name);
            let cells: Vec<_> = filters.get(key).iter().map(find).collect::<Result<_, _>>()?;
            Ok(cells.first().map(|cell| cell.record().created_ns))
        };
        let ports = |key: &str| -> Result<Vec<String>, QueryError> {
            let mut all = Vec::new();
            for text in filters.get(key) {
                let ports = parse_port_range(text).map_err(|_| QueryError::value(filters, key))?;
                all.extend(ports.iter().map(ToString::to_string));
            }
            Ok(all)
        };
        let is_set = options.all
            || options.limit > 0
            || ["status", "exited", "before", "since"].iter().any(|key| filters.contains_key(key));
        Ok(Self {
            filters,
            running_only: !is_set,
            names: patterns("name")?,
            ids: patterns("id")?,
            codes: codes.map_err(|_| QueryError::value(filters, "exited"))?,
            ancestors: ancestors(inner, filters),
            before_ns: created("before")?,
            since_ns: created("since")?,
            exposed: ports("expose")?,
            published: ports("publish")?,
            is_task: filters.get_bool("is-task")?,
        })
    }

    fn takes(&self, inner: &Inner, cell: &Cell, view: &View) -> bool {
        let (record, phase) = (&view.record, view.phase);
        let any = |patterns: &[Regex], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(text))
        };
        // A pattern may name the slash that names begin with in the API.
        let named =
            any(&self.names, &record.name) || any(&self.names, &format!("/{}", record.name));
        let exited = self.codes.is_empty()
            || (self.codes.contains(&view.state.exit_code)
                && matches!(phase, Phase::Exited { .. } | Phase::Dead));
        let health = cell.health();
        let health = health.as_ref().map_or("none", |health| health.status.as_str());
        (!self.running_only || phase.counts_as_running())
            && self.is_task != Some(true)
            && named
            && any(&self.ids, &record.id)
            && exited
            && self.filters.exact_match("status", phase.word())
            && self.filters.exact_match("health", health)
            && self.filters.match_nullable_labels("label", &record.config.labels)
            && self.before_ns.is_none_or(|before| record.created_ns < before)
            && self.since_ns.is_none_or(|since| record.created_ns > since)
            && self.ancestors.as_ref().is_none_or(|images| images.contains(&record.image))
            && self.filters.allows("volume", |wanted| {
                let wanted_path = wanted.trim_end_matches('/');
                record.mounts.iter().any(|m| m.source == wanted || m.target == wanted_path)
            })
            && self.filters.allows("network", |wanted| in_network(inner, record, wanted))
            && self.has_ports(view)
    }

    fn has_ports(&self, view: &View) -> bool {
        let exposed = &view.record.config.exposed_ports;
        let is_exposed = |port: &String| exposed.contains_key(port);
        let published = |port: &String| {
            let sandbox = view.state.sandbox.as_ref();
            sandbox.is_some_and(|sandbox| {
                sandbox.ports.iter().any(|p| format!("{}/{}", p.container_port, p.proto) == *port)
            })
        };
        (self.exposed.is_empty() || self.exposed.iter().any(is_exposed))
            && (self.published.is_empty() || self.published.iter().any(published))
    }
}

/// The images of the `ancestor` filter and all made from them; `None` without the filter.
fn ancestors(inner: &Inner, filters: &Filters) -> Option<Vec<Digest>> {
    if !filters.contains_key("ancestor") {
        return None;
    }
    let images = &inner.parts.images;
    let roots = filters.get("ancestor");
    let roots: Vec<_> = roots.iter().filter_map(|name| images.resolve(name).ok()).collect();
    let from = |image: &Vec<Digest>| {
        roots.iter().any(|root| {
            let layers = root.lowers();
            !layers.is_empty() && image.starts_with(&layers)
        })
    };
    let mut found: Vec<Digest> = roots.iter().map(|root| root.id.clone()).collect();
    found.extend(images.list().iter().filter(|i| from(&i.lowers())).map(|i| i.id.clone()));
    Some(found)
}

fn in_network(inner: &Inner, record: &ContainerRecord, wanted: &str) -> bool {
    let is_wanted = |name: &str| name == wanted || inner.network_id(name) == wanted;
    record.endpoints.keys().any(|name| is_wanted(name))
        || record.main_network().is_some_and(|name| {
            matches!(record.network(), NetworkMode::Host | NetworkMode::None) && is_wanted(name)
        })
}

fn summary(
    inner: &Inner,
    cell: &Cell,
    view: &View,
    images: &mut HashMap<String, Option<Digest>>,
) -> ContainerSummary {
    let record = &view.record;
    let health = cell.health();
    let health_word = health.as_ref().map(|health| health.status.as_str());
    // A name that has moved on to another image would mislead.
    let named = images.entry(record.config.image.clone()).or_insert_with(|| {
        inner.parts.images.resolve(&record.config.image).ok().map(|image| image.id.clone())
    });
    let image = match named {
        Some(id) if *id == record.image => record.config.image.clone(),
        _ => record.image.to_string(),
    };
    ContainerSummary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)],
        image,
        image_id: record.image.to_string(),
        command: command(record),
        created: record.created_ns / 1_000_000_000,
        ports: ports(view),
        labels: record.config.labels.pairs().map(|(k, v)| (k.clone(), v.clone())).collect(),
        state: view.phase.word().to_owned(),
        status: status(view, health_word, now_ns()),
        host_config: SummaryHostConfig {
            network_mode: record.host.network_mode.clone(),
            annotations: record.host.annotations.clone(),
        },
        health: Some(HealthSummary {
            status: health_word.unwrap_or("none").to_owned(),
            failing_streak: health.as_ref().map_or(0, |health| health.failing_streak),
        }),
        network_settings: SummaryNetworkSettings { networks: endpoints(inner, view) },
        mounts: mount_points(inner, record),
        ..ContainerSummary::default()
    }
}

fn command(record: &ContainerRecord) -> String {
    let quote = |arg: &String| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() };
    let args: Vec<String> = record.args.iter().map(quote).collect();
    match args.is_empty() {
        true => record.path.clone(),
        false => format!("{} {}", record.path, args.join(" ")),
    }
}

fn ports(view: &View) -> Vec<Port> {
    let own = matches!(view.record.network(), NetworkMode::Bridge | NetworkMode::Other(_));
    if !view.phase.is_up() || !own {
        return Vec::new();
    }
    let mut by_port: BTreeMap<(u16, String), Vec<Port>> = BTreeMap::new();
    for text in view.record.config.exposed_ports.keys() {
        for port in parse_port_range(text).unwrap_or_default() {
            by_port.entry((port.port, port.protocol.to_string())).or_default();
        }
    }
    for port in view.state.sandbox.iter().flat_map(|sandbox| &sandbox.ports) {
        by_port.entry((port.container_port, port.proto.to_string())).or_default().push(Port {
            ip: port.host_ip.to_string(),
            private_port: port.container_port,
            public_port: port.host_port,
            kind: port.proto.to_string(),
        });
    }
    let spread = |((private_port, kind), published): ((u16, String), Vec<Port>)| match published {
        none if none.is_empty() => vec![Port { private_port, kind, ..Port::default() }],
        published => published,
    };
    by_port.into_iter().flat_map(spread).collect()
}

/// The state in a sentence.
fn status(view: &View, health: Option<&str>, now_ns: i64) -> String {
    let state = &view.state;
    let since = |ns: i64| human_duration(i128::from(now_ns - ns));
    match view.phase {
        Phase::Created => "Created".to_owned(),
        Phase::Running { .. } => {
            let up = format!("Up {}", since(state.started_at_ns));
            match health {
                None => up,
                Some("starting") => format!("{up} (health: starting)"),
                Some(word) => format!("{up} ({word})"),
            }
        }
        Phase::Paused { .. } => format!("Up {} (Paused)", since(state.started_at_ns)),
        Phase::Restarting { code } => {
            format!("Restarting ({code}) {} ago", since(state.finished_at_ns))
        }
        Phase::Exited { code } => format!("Exited ({code}) {} ago", since(state.finished_at_ns)),
        Phase::Removing => "Removal In Progress".to_owned(),
        Phase::Dead => "Dead".to_owned(),
    }
}
