//! `context`.

use serde_json::{Value as Json, json};

use gantry_gotemplate::Value;

use crate::app::{Call, Failure, Outcome, for_each};
use crate::config::{Config, Context, DEFAULT_CONTEXT, endpoint, write_atomically};
use crate::container::list::render_quiet;
use crate::format::{self, Row, View};
use crate::output::{err, out};

const FIELDS: &[(&str, &str)] = &[
    ("Current", ""),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Name", "NAME"),
];
const TABLE: &str =
    "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
const DEFAULT_DESCRIPTION: &str = "Current DOCKER_HOST based configuration";
const NAME_RULE: &str = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";
const OVERRIDE: &str = "environment variable overrides the active context. To use a context, either set the global --context flag, or unset";

fn check_name(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest =
        chars.clone().count() > 0 && chars.all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    if first && rest {
        return Ok(());
    }
    let name = gantry_gotext::quote(name);
    Err(format!(
        "context name {name} is invalid, names are validated against regexp \"{NAME_RULE}\""
    ))
}

/// The default context's endpoint, whichever context is in use.
fn default_host(call: &Call<'_>) -> Result<String, String> {
    let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    match named {
        Some(host) => Ok(host),
        None if call.app.globals.is_given("host") => {
            Ok(endpoint(&call.app.globals, &call.app.config, &call.app.program)?.host)
        }
        None => Ok(crate::config::default_host(&call.app.program)),
    }
}

/// `context ls`.
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    let current = call.app.context();
    let mut all =
        vec![(DEFAULT_CONTEXT.to_owned(), DEFAULT_DESCRIPTION.to_owned(), default_host(call)?)];
    all.extend(Context::all(&call.app.config).into_iter().map(|context| {
        let description = context.meta["Metadata"]["Description"].as_str().unwrap_or("").to_owned();
        let host = context.host();
        (context.name, description, host)
    }));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let quiet = call.flags.is_on("quiet");
    let rows = all
        .into_iter()
        .map(|(name, description, host)| Row {
            values: vec![
                Value::Bool(name == current),
                if quiet { description } else { format::ellipsis(&description, 60) }.into(),
                host.into(),
                "".into(),
                name.into(),
            ],
            labels: None,
        })
        .collect();
    let view = View { type_name: "*formatter.clientContextContext", fields: FIELDS, rows };
    let table = if quiet { "{{.Name}}" } else { TABLE };
    out(render_quiet(&view, call.flags.text("format"), table, quiet)?)?;
    let overridden = !quiet && std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty());
    if overridden && !call.app.globals.is_given("context") {
        err(format!("Warning: DOCKER_HOST {OVERRIDE} DOCKER_HOST environment variable.\n"));
    }
    Ok(0)
}

/// Certificate files: the name to keep each under, and where it lies.
type Files = Vec<(&'static str, String)>;

/// The endpoint and the certificates' files of `--docker`.
fn docker_endpoint(call: &Call<'_>) -> Result<(Json, Files), Failure> {
    let mut host = String::new();
    let (mut skip, mut files) = (false, Vec::new());
    for text in call.flags.list("docker") {
        for pair in crate::values::csv(text)? {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("{pair} must be formatted as key=value").into());
            };
            match key {
                "host" => host = value.to_owned(),
                "ca" => files.push(("ca.pem", value.to_owned())),
                "cert" => files.push(("cert.pem", value.to_owned())),
                "key" => files.push(("key.pem", value.to_owned())),
                "skip-tls-verify" => skip = crate::values::go_bool(value)?,
                "from" => host = Context::load(&call.app.config, value)?.host(),
                other => {
                    let other = gantry_gotext::quote(other);
                    return Err(format!(
                        "unable to create docker endpoint config: unrecognized config key: {other}"
                    )
                    .into());
                }
            }
        }
    }
    if !host.is_empty() {
        gantry_client::Host::parse(&host, !files.is_empty())
            .map_err(|error| format!("unable to create docker endpoint config: {error}"))?;
    }
    Ok((json!({"Host": host, "SkipTLSVerify": skip}), files))
}

fn store(
    config: &Config,
    name: &str,
    meta: &Json,
    files: &[(&str, String)],
) -> Result<(), Failure> {
    let directory = Context::directory(config, "tls", name).join("docker");
    for (file, source) in files {
        let bytes = std::fs::read(source)
            .map_err(|error| format!("open {source}: {}", crate::container::reason(&error)))?;
        write_atomically(&directory.join(file), &bytes)?;
    }
    let path = Context::directory(config, "meta", name).join("meta.json");
    Ok(write_atomically(&path, meta.to_string().as_bytes())?)
}

/// `context create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let (name, config) = (call.args[0].as_str(), &call.app.config);
    if name == DEFAULT_CONTEXT {
        return Err("\"default\" is a reserved context name".into());
    }
    check_name(name)?;
    if Context::load(config, name).is_ok() {
        return Err(format!("context {} already exists", gantry_gotext::quote(name)).into());
    }
    let (endpoint, files) = match call.flags.is_given("docker") {
        true => docker_endpoint(call)?,
        false => {
            let from = call.flags.text("from");
            let host = match from {
                "" | DEFAULT_CONTEXT => default_host(call)?,
                from => Context::load(config, from)?.host(),
            };
            (json!({"Host": host, "SkipTLSVerify": false}), Vec::new())
        }
    };
    let mut metadata = json!({});
    if call.flags.is_given("description") {
        metadata["Description"] = call.flags.text("description").into();
    }
    let meta = json!({"Name": name, "Metadata": metadata, "Endpoints": {"docker": endpoint}});
    store(config, name, &meta, &files)?;
    out(format!("{name}\n"))?;
    err(format!("Successfully created context \"{name}\"\n"));
    Ok(0)
}

/// `context update`.
pub(crate) async fn update(call: &Call<'_>) -> Outcome {
    let (name, config) = (call.args[0].as_str(), &call.app.config);
    check_name(name)?;
    let mut context = Context::load(config, name)?;
    if call.flags.is_given("description") {
        context.meta["Metadata"]["Description"] = call.flags.text("description").into();
    }
    let mut files = Vec::new();
    if call.flags.is_given("docker") {
        let (endpoint, given) = docker_endpoint(call)?;
        context.meta["Endpoints"]["docker"] = endpoint;
        files = given;
    }
    store(config, name, &context.meta, &files)?;
    out(format!("{name}\n"))?;
    err(format!("Successfully updated context \"{name}\"\n"));
    Ok(0)
}

/// `context use`.
pub(crate) async fn select(call: &Call<'_>) -> Outcome {
    let name = call.args[0].as_str();
    check_name(name)?;
    if name != DEFAULT_CONTEXT {
        Context::load(&call.app.config, name)?;
    }
    let mut config = Config::load(call.app.config.directory.clone())?;
    let stored = if name == DEFAULT_CONTEXT { "" } else { name };
    if config.text("currentContext") != stored {
        config.set("currentContext", stored)?;
    }
    out(format!("{name}\n"))?;
    err(format!("Current context is now \"{name}\"\n"));
    if name != DEFAULT_CONTEXT && std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
        err(format!("Warning: DOCKER_HOST {OVERRIDE} DOCKER_HOST environment variable.\n"));
    }
    Ok(0)
}

/// `context show`.
pub(crate) async fn show(call: &Call<'_>) -> Outcome {
    out(format!("{}\n", call.app.context()))?;
    Ok(0)
}

/// `context rm`.
pub(crate) async fn remove(call: &Call<'_>) -> Outcome {
    let force = call.flags.is_on("force");
    let current = call.app.config.text("currentContext").to_owned();
    for_each(&call.args, async |name| {
        if name == DEFAULT_CONTEXT {
            return Err("context \"default\" cannot be removed".into());
        }
        let quoted = gantry_gotext::quote(name);
        let meta = Context::directory(&call.app.config, "meta", name);
        if !meta.exists() {
            if force {
                return Ok(format!("{name}\n"));
            }
            return Err(format!("context {quoted} does not exist").into());
        }
        if name == current {
            if !force {
                return Err(
                    format!("context {quoted} is in use, set -f flag to force remove").into()
                );
            }
            Config::load(call.app.config.directory.clone())?.set("currentContext", "")?;
        }
        for directory in [meta, Context::directory(&call.app.config, "tls", name)] {
            if directory.exists() {
                std::fs::remove_dir_all(directory)?;
            }
        }
        Ok(format!("{name}\n"))
    })
    .await
}

fn document(call: &Call<'_>, name: &str) -> Result<Json, Failure> {
    if name == DEFAULT_CONTEXT {
        return Ok(json!({
            "Name": name,
            "Metadata": {},
            "Endpoints": {"docker": {"Host": default_host(call)?, "SkipTLSVerify": false}},
            "TLSMaterial": {},
            "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
        }));
    }
    let context = Context::load(&call.app.config, name)?;
    let tls = Context::directory(&call.app.config, "tls", name);
    let mut files: Vec<String> = std::fs::read_dir(tls.join("docker"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let material = if files.is_empty() { json!({}) } else { json!({"docker": files}) };
    let meta = Context::directory(&call.app.config, "meta", name);
    Ok(json!({
        "Name": name,
        "Metadata": context.meta["Metadata"],
        "Endpoints": context.meta["Endpoints"],
        "TLSMaterial": material,
        "Storage": {"MetadataPath": meta, "TLSPath": tls},
    }))
}

/// `context inspect`.
pub(crate) async fn inspect(call: &Call<'_>) -> Outcome {
    let current = [call.app.context()];
    let names = if call.args.is_empty() { &current[..] } else { &call.args };
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match document(call, name) {
            Ok(document) => documents.push(document),
            Err(failure) => errors.push(failure.text()),
        }
    }
    match call.flags.text("format") {
        "" => out(format::indent(&Json::Array(documents), "    ") + "\n")?,
        source => {
            for document in documents {
                out(format::one(source, &Value::from(document))? + "\n")?;
            }
        }
    }
    if errors.is_empty() { Ok(0) } else { Err(errors.join("\n").into()) }
}
