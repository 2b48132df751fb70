//! `inspect`, of everything.
//!
//! Without a template the daemon's document is printed as it came. A template sees a typed view
//! first, where fields that the daemon left out have their zero value, and if that fails the
//! plain document, where a missing key is an error: as Docker does.

use gantry_client::{Client, Query};
use gantry_gotemplate::{Functions, Map, Struct, Template, Value};
use serde_json::Value as Json;

use crate::app::{Call, Failure, Outcome};
use crate::format;
use crate::output::{err, out};

/// Fields that Go's types have although the daemon leaves them out, by the part they are in.
const ZEROES: &[(&str, &[(&str, Zero)])] = &[
    ("State", &[("Health", Zero::Nil)]),
    (
        "Config",
        &[
            ("Healthcheck", Zero::Nil),
            ("Volumes", Zero::Map),
            ("ExposedPorts", Zero::Map),
            ("Labels", Zero::Map),
            ("StopSignal", Zero::Text),
            ("StopTimeout", Zero::Nil),
            ("Shell", Zero::List),
            ("Entrypoint", Zero::List),
            ("OnBuild", Zero::List),
            ("MacAddress", Zero::Text),
            ("NetworkDisabled", Zero::False),
            ("ArgsEscaped", Zero::False),
        ],
    ),
    (
        "HostConfig",
        &[
            ("Init", Zero::Nil),
            ("Tmpfs", Zero::Map),
            ("Sysctls", Zero::Map),
            ("StorageOpt", Zero::Map),
            ("Annotations", Zero::Map),
            ("PortBindings", Zero::Map),
            ("Mounts", Zero::List),
            ("Runtime", Zero::Text),
            ("OomKillDisable", Zero::Nil),
            ("MemorySwappiness", Zero::Nil),
            ("PidsLimit", Zero::Nil),
        ],
    ),
    (
        "",
        &[
            ("ID", Zero::Text),
            ("SizeRw", Zero::Nil),
            ("SizeRootFs", Zero::Nil),
            ("RepoTags", Zero::List),
            ("RepoDigests", Zero::List),
            ("Comment", Zero::Text),
            ("Parent", Zero::Text),
            ("Author", Zero::Text),
            ("Variant", Zero::Text),
            ("Labels", Zero::Map),
            ("Options", Zero::Map),
            ("Status", Zero::Map),
            ("UsageData", Zero::Nil),
        ],
    ),
];

/// Objects that are structs in Go; all others are maps.
const STRUCTS: &[&str] = &[
    "State",
    "Config",
    "HostConfig",
    "NetworkSettings",
    "LogConfig",
    "RestartPolicy",
    "Health",
    "IPAM",
    "GraphDriver",
    "RootFS",
];

#[derive(Clone, Copy)]
enum Zero {
    Nil,
    Map,
    List,
    Text,
    False,
}

impl Zero {
    fn value(self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Map => Value::Map(Map { of_strings: true, ..Map::default() }),
            Self::List => Value::List(vec![]),
            Self::Text => Value::from(""),
            Self::False => Value::Bool(false),
        }
    }
}

/// Makes the typed view of a part of a document.
fn typed(part: &str, json: &Json) -> Value {
    match json {
        Json::Object(object) if part.is_empty() || STRUCTS.contains(&part) => {
            let zeroes = ZEROES.iter().find(|(name, _)| *name == part).map_or(&[][..], |(_, z)| z);
            let zero =
                |key: &str| zeroes.iter().find(|(name, _)| *name == key).map(|(_, z)| z.value());
            let mut fields: Vec<(String, Value)> = object
                .iter()
                .map(|(key, value)| match value {
                    Json::Null => (key.clone(), zero(key).unwrap_or(Value::List(vec![]))),
                    value => (key.clone(), typed(key, value)),
                })
                .collect();
            for (name, value) in zeroes {
                if !object.contains_key(*name) {
                    let id = (*name == "ID").then(|| object.get("Id")).flatten();
                    fields.push((
                        (*name).into(),
                        id.map_or_else(|| value.value(), |id| typed("", id)),
                    ));
                }
            }
            Value::Struct(Box::new(Struct {
                type_name: type_name(part).into(),
                fields,
                json: Some(json.clone()),
                marshals: false,
                text: None,
            }))
        }
        Json::Object(object) => {
            let inner =
                if matches!(part, "Networks" | "Containers") { "NetworkSettings" } else { "-" };
            let of_strings = object.values().all(Json::is_string);
            let entries =
                object.iter().map(|(key, value)| (key.clone(), typed(inner, value))).collect();
            Value::Map(Map { entries, of_strings })
        }
        Json::Array(items) => {
            // Lists of objects are lists of structs.
            let inner = "NetworkSettings";
            Value::List(items.iter().map(|item| typed(inner, item)).collect())
        }
        Json::Null => Value::Nil,
        other => Value::from(other.clone()),
    }
}

fn type_name(part: &str) -> &'static str {
    match part {
        "" => "*container.InspectResponse",
        "State" => "*container.State",
        "Config" => "*container.Config",
        "HostConfig" => "*container.HostConfig",
        "NetworkSettings" => "*container.NetworkSettings",
        _ => "struct",
    }
}

/// Docker's exit code for a template that is none.
const TEMPLATE_ERROR: u8 = 64;

/// Go's name for a volume's document, and for any other.
const VOLUME: &str = "volume.Volume";
const ANY: &str = "*container.InspectResponse";

fn rename(value: Value, type_name: &str) -> Value {
    match value {
        Value::Struct(inner) => {
            Value::Struct(Box::new(Struct { type_name: type_name.to_owned(), ..*inner }))
        }
        other => other,
    }
}

/// Prints what `find` gives for every argument.
async fn show<F>(call: &Call<'_>, kind: &str, mut find: F) -> Outcome
where
    F: AsyncFnMut(&str) -> Result<Json, Failure>,
{
    let source = call.flags.text("format");
    let json = source == "json";
    let template = match source {
        "" | "json" => None,
        source => match Template::parse(source, Functions::Docker) {
            Ok(template) => Some(template),
            Err(error) => {
                err(format!("template parsing error: {error}\n"));
                return Ok(TEMPLATE_ERROR);
            }
        },
    };
    let (mut documents, mut text, mut errors) = (Vec::new(), String::new(), Vec::new());
    for name in &call.args {
        match (find(name).await, &template) {
            (Ok(document), None) => documents.push(document),
            (Ok(document), Some(template)) => {
                let typed = rename(typed("", &document), kind);
                // Of volumes Docker keeps no plain document to fall back on.
                match template.execute(&typed).or_else(|error| match kind {
                    VOLUME => Err(error),
                    _ => template.execute_strict(&Value::from(document)),
                }) {
                    Ok(line) => text.push_str(&line),
                    Err(error) => errors.push(format!("template parsing error: {error}")),
                }
                text.push('\n');
            }
            (Err(failure), _) => errors.push(failure.text()),
        }
    }
    if json {
        text = format!("{}\n", Json::Array(documents));
    } else if template.is_none() {
        text = format::indent_plain(&Json::Array(documents), "    ") + "\n";
    } else if text.is_empty() {
        text.push('\n');
    }
    out(text)?;
    if errors.is_empty() {
        return Ok(0);
    }
    err(errors.join("\n") + "\n");
    Ok(1)
}

/// `container inspect`.
pub(crate) async fn containers(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let size = call.flags.is_on("size");
    show(call, ANY, async |name| Ok(client.container_inspect(name, size).await?)).await
}

/// `image inspect`.
pub(crate) async fn images(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let mut query = Query::new();
    if call.flags.is_given("platform") {
        let platform = crate::image::transfer::platform_json(call.flags.text("platform"))?;
        query = query.with("platform", platform);
    }
    show(call, ANY, async |name| Ok(client.image_inspect(name, &query).await?)).await
}

/// `volume inspect`.
pub(crate) async fn volumes(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    show(call, VOLUME, async |name| Ok(client.volume_inspect(name).await?)).await
}

/// `network inspect`.
pub(crate) async fn networks(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let query = network_query(call.flags.is_on("verbose"));
    show(call, ANY, async |name| Ok(client.network_inspect(name, &query).await?)).await
}

fn network_query(verbose: bool) -> Query {
    if verbose { Query::new().with("verbose", "true") } else { Query::new() }
}

/// `inspect`: whatever has the name.
pub(crate) async fn any(call: &Call<'_>) -> Outcome {
    const TYPES: &[&str] = &[
        "config",
        "container",
        "image",
        "network",
        "node",
        "plugin",
        "secret",
        "service",
        "task",
        "volume",
    ];
    let kind = call.flags.text("type");
    if call.flags.is_given("type") && !TYPES.contains(&kind) {
        let known: Vec<String> = TYPES.iter().map(|kind| format!("\"{kind}\"")).collect();
        let kind = gantry_gotext::quote(kind);
        return Err(format!("unknown type: {kind}: must be one of {}", known.join(", ")).into());
    }
    let client = call.client().await?;
    let size = call.flags.is_on("size");
    let query = network_query(false);
    show(call, ANY, async |name| match kind {
        "container" => Ok(client.container_inspect(name, size).await?),
        "image" => Ok(client.image_inspect(name, &Query::new()).await?),
        "network" => Ok(client.network_inspect(name, &query).await?),
        "volume" => Ok(client.volume_inspect(name).await?),
        "" => first(client, name, size).await,
        other => Err(format!("inspecting a {other} is not implemented").into()),
    })
    .await
}

async fn first(client: &Client, name: &str, size: bool) -> Result<Json, Failure> {
    let query = network_query(false);
    let mut answer = client.container_inspect(name, size).await;
    for step in 0..3 {
        match answer {
            Err(error) if error.is_not_found() => {}
            done => return Ok(done?),
        }
        answer = match step {
            0 => client.image_inspect(name, &Query::new()).await,
            1 => client.network_inspect(name, &query).await,
            _ => client.volume_inspect(name).await,
        };
    }
    match answer {
        Err(error) if error.is_not_found() => Err(format!("Error: No such object: {name}").into()),
        done => Ok(done?),
    }
}
