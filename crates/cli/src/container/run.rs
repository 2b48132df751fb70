//! `run`, `create` and `start`.

use std::path::Path;

use gantry_api_types::container::{ContainerCreateBody, ContainerCreateResponse};
use gantry_client::{Client, ClientError, Query, Response};
use serde_json::Value;

use crate::app::{Call, Failure, Outcome, USAGE_ERROR};
use crate::container::attach::{End, Join, Proxy, beside, exit_code, join, keys_text};
use crate::container::body::create_body;
use crate::image::manage::check_reference;
use crate::image::{remote, transfer};
use crate::output::{err, out};
use crate::term;

/// A failure of `run` itself, not of what it runs.
fn refused(failure: Failure) -> Failure {
    match failure {
        Failure::Text(text) => Failure::Run { text, code: USAGE_ERROR },
        Failure::Client(error) => Failure::Run { text: error.to_string(), code: USAGE_ERROR },
        other => other,
    }
}

/// `create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let made = prepare(call)?;
    let id = make(call, &made).await?;
    out(format!("{id}\n"))?;
    Ok(0)
}

/// Checks the flags and builds the body.
fn prepare(call: &Call<'_>) -> Result<ContainerCreateBody, Failure> {
    let pull = call.flags.text("pull");
    if !matches!(pull, "always" | "missing" | "never") {
        let text = format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        );
        return Err(Failure::Run { text, code: USAGE_ERROR });
    }
    if call.flags.is_on("use-api-socket") {
        let text = "--use-api-socket is not implemented".to_owned();
        return Err(Failure::Run { text, code: USAGE_ERROR });
    }
    transfer::platform_json(call.flags.text("platform"))
        .and_then(|_| check_reference(&call.args[0]))
        .and_then(|()| create_body(&call.flags, &call.args))
        .map_err(|text| Failure::Run { text, code: USAGE_ERROR })
}

/// Creates the container, pulling its image if need be; gives its ID.
async fn make(call: &Call<'_>, body: &ContainerCreateBody) -> Result<String, Failure> {
    let flags = &call.flags;
    let cid_file = flags.text("cidfile");
    if !cid_file.is_empty() && Path::new(cid_file).exists() {
        let text = format!(
            "container ID file found, make sure the other container isn't running or delete {cid_file}"
        );
        return Err(Failure::Run { text, code: USAGE_ERROR });
    }
    let client = call.client().await?;
    let image = body.config.image.as_str();
    let platform = flags.text("platform");
    let pull = || remote::pull_image(call, client, image, platform, flags.is_on("quiet"), true);
    let policy = flags.text("pull");
    if policy == "always" {
        pull().await?;
    }
    let query = Query::new()
        .with_some("name", Some(flags.text("name")).filter(|name| !name.is_empty()))
        .with_some("platform", Some(platform).filter(|platform| !platform.is_empty()));
    let answer: Result<ContainerCreateResponse, ClientError> =
        client.container_create(&query, body).await;
    let answer = match answer {
        Err(error) if policy == "missing" && no_such_image(&error) => {
            if !flags.is_on("quiet") {
                err(format!("Unable to find image '{}' locally\n", transfer::tagged(image)));
            }
            pull().await?;
            client.container_create(&query, body).await?
        }
        answer => answer?,
    };
    for warning in &answer.warnings {
        err(format!("WARNING: {warning}\n"));
    }
    if !cid_file.is_empty() {
        std::fs::write(cid_file, &answer.id).map_err(|error| {
            let why = crate::container::reason(&error);
            format!("failed to write the container ID to the file ({cid_file}): {why}")
        })?;
    }
    Ok(answer.id)
}

fn no_such_image(error: &ClientError) -> bool {
    let text = error.to_string().to_lowercase();
    error.is_not_found() && (text.contains("no such image") || text.contains("image not known"))
}

/// `run`.
pub(crate) async fn run(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let detach = flags.is_on("detach");
    if detach && !flags.list("attach").is_empty() {
        return Err("conflicting options: cannot specify both --attach and --detach".into());
    }
    let mut body = prepare(call)?;
    if detach {
        body.config.attach_stdin = false;
        body.config.attach_stdout = false;
        body.config.attach_stderr = false;
        body.config.stdin_once = false;
    }
    if body.config.tty
        && let Some(host) = &mut body.host_config
        && let Some((height, width)) = term::size()
    {
        host.console_size = [u32::from(height), u32::from(width)];
    }
    if body.config.tty && body.config.attach_stdin && !term::stdin_is_terminal() {
        return Err("the input device is not a TTY".into());
    }
    let keys = term::detach_keys(keys_text(call)).unwrap_or_else(|_| vec![16, 17]);
    // A terminal's own signals come through it; the others are ours to pass on.
    let proxy = (!detach && flags.is_on("sig-proxy") && !body.config.tty).then(Proxy::catch);
    let id = make(call, &body).await.map_err(refused)?;
    let client = call.client().await.map_err(refused)?;
    if detach {
        // The container exists whether or not it starts, so its ID is said first.
        out(format!("{id}\n"))?;
        client.container_start(&id, &Query::new()).await.map_err(start_failure)?;
        return Ok(0);
    }
    foreground(call, client, &id, &body, keys, proxy).await
}

/// Runs a container on this terminal, and removes it if that is asked for.
pub(crate) async fn interactive(
    call: &Call<'_>,
    client: &Client,
    body: &ContainerCreateBody,
) -> Outcome {
    let answer: ContainerCreateResponse =
        client.container_create(&Query::new(), body).await.map_err(|e| refused(e.into()))?;
    foreground(call, client, &answer.id, body, term::detach_keys("")?, None).await
}

async fn foreground(
    call: &Call<'_>,
    client: &Client,
    id: &str,
    body: &ContainerCreateBody,
    keys: Vec<u8>,
    proxy: Option<Proxy>,
) -> Outcome {
    let config = &body.config;
    let output = config.attach_stdout || config.attach_stderr;
    let any = output || config.attach_stdin;
    let remove = body.host_config.as_ref().is_some_and(|host| host.auto_remove);
    let query = attach_query(call, config.attach_stdin, config.attach_stdout, config.attach_stderr);
    let streams = match any {
        true => Some(client.container_attach(id, &query).await.map_err(|e| refused(e.into()))?),
        false => None,
    };
    let wait = registered_wait(client, id, remove).await.map_err(|e| refused(e.into()))?;
    if let Err(error) = client.container_start(id, &Query::new()).await {
        drop(streams);
        if remove {
            // Its name and ID are to be free once we have said what happened.
            let _ = exit_code(wait.body).await;
        }
        return Err(start_failure(error));
    }
    let joined = Join { stdin: config.attach_stdin, output, tty: config.tty, detach_keys: keys };
    let work = async {
        if let Some(streams) = streams
            && join(streams, &joined).await? == End::Detached
        {
            return Ok(0);
        }
        exit_code(wait.body).await
    };
    beside(work, client, id, proxy, config.tty).await
}

fn attach_query(call: &Call<'_>, stdin: bool, stdout: bool, stderr: bool) -> Query {
    Query::new()
        .with_flag("stream", true)
        .with_flag("stdin", stdin)
        .with_flag("stdout", stdout)
        .with_flag("stderr", stderr)
        .with_some("detachKeys", Some(keys_text(call)).filter(|keys| !keys.is_empty()))
}

/// Begins to wait before the start, so that no exit is missed.
async fn registered_wait(client: &Client, id: &str, remove: bool) -> Result<Response, ClientError> {
    client.container_wait(id, if remove { "removed" } else { "next-exit" }).await
}

/// Exit codes of what cannot be run: 127 if it is not there, 126 if it cannot be executed.
fn start_failure(error: ClientError) -> Failure {
    let text = error.to_string();
    let code = if text.contains("executable file not found")
        || text.contains("no such file or directory")
        || text.contains("system cannot find the file specified")
    {
        127
    } else if text.contains("permission denied") || text.contains("is a directory") {
        126
    } else {
        USAGE_ERROR
    };
    Failure::Run { text, code }
}

/// `start`.
pub(crate) async fn start(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let attach = call.flags.is_on("attach") || call.flags.is_on("interactive");
    if attach {
        if call.args.len() > 1 {
            return Err("you cannot start and attach multiple containers at once".into());
        }
        return start_attached(call, client, &call.args[0]).await;
    }
    let mut failed = Vec::new();
    for name in &call.args {
        match client.container_start(name, &Query::new()).await {
            Ok(()) => out(format!("{name}\n"))?,
            Err(error) => {
                err(format!("{error}\n"));
                failed.push(name.clone());
            }
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(format!("Error: failed to start containers: {}", failed.join(", ")).into())
}

async fn start_attached(call: &Call<'_>, client: &Client, name: &str) -> Outcome {
    let container: Value = client.container_inspect(name, false).await?;
    let config = &container["Config"];
    let id = container["Id"].as_str().unwrap_or(name);
    let tty = config["Tty"] == Value::Bool(true);
    let stdin = call.flags.is_on("interactive") && config["OpenStdin"] == Value::Bool(true);
    let remove = container["HostConfig"]["AutoRemove"] == Value::Bool(true);
    let proxy = (!tty).then(Proxy::catch);
    let query = attach_query(call, stdin, true, true);
    let streams = client.container_attach(id, &query).await?;
    let wait = registered_wait(client, id, remove).await?;
    client.container_start(id, &Query::new()).await?;
    let detach_keys = term::detach_keys(keys_text(call))?;
    let joined = Join { stdin, output: true, tty, detach_keys };
    let work = async {
        match join(streams, &joined).await? {
            End::Detached => Ok(0),
            End::Done => exit_code(wait.body).await,
        }
    };
    beside(work, client, id, proxy, tty).await
}
