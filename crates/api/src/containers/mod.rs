//! `/containers`.

pub(crate) mod archive;
pub(crate) mod attach;
pub(crate) mod logs;
pub(crate) mod wait;

use bytes::Bytes;
use gantry_api_types::container::{ContainerConfig, ContainerCreateBody, UpdateBody};
use gantry_api_types::host_config::HostConfig;
use gantry_api_types::network::NetworkingConfig;
use gantry_engine::{CreateRequest, ListOptions, RemoveOptions};
use hyper::StatusCode;
use serde::Deserialize;

use crate::body::{self, Response};
use crate::call::{Call, unhurried};
use crate::error::ApiError;
use crate::shape;

/// Longest body that `start` may bring, in bytes; shorter ones hold nothing.
const START_BODY_MAX_BYTES: u64 = 7;

/// `GET /containers/json`.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call.query.number("limit")?.unwrap_or(0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let mut rows = call.api.engine.list(options).await?;
    rows.iter_mut().for_each(|row| shape::container_summary(row, call.version));
    body::ok(&rows)
}

/// `POST /containers/create`: 201, 404 no such image, 409 the name is taken.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let text = call.upload.json_text(&call.headers).await?.ok_or_else(body::no_json)?;
    let mut body = create_body(&text)?;
    shape::create_body(&mut body, call.version);
    shape::create_endpoints(&mut body, call.version)?;
    let name = call.query.filled("name").map(|name| name.trim_start_matches('/').to_owned());
    let platform = call.query.filled("platform").map(str::to_owned);
    let request = CreateRequest { name, body, platform };
    let engine = call.api.engine;
    let created = unhurried(async move { engine.create(request).await }).await?;
    Ok(body::json(StatusCode::CREATED, &created))
}

/// Reads the body in two passes, since the configuration's fields stand on its top level: in one,
/// errors could not name their field.
fn create_body(text: &Bytes) -> Result<ContainerCreateBody, ApiError> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Host {
        host_config: Option<HostConfig>,
        networking_config: Option<NetworkingConfig>,
    }
    let config: Option<ContainerConfig> = body::parse(text)?;
    let config = config.unwrap_or_default();
    if config == ContainerConfig::default() {
        return Err(ApiError::invalid("config cannot be empty in order to create a container"));
    }
    let host: Host = body::parse(text)?;
    Ok(ContainerCreateBody {
        config,
        host_config: host.host_config,
        networking_config: host.networking_config,
    })
}

/// `GET /containers/{id}/json`.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    let mut document = container.inspect(call.query.flag("size"));
    shape::container_inspect(&mut document, call.version);
    body::ok(&document)
}

/// `GET /containers/{id}/top`.
pub(crate) async fn top(call: Call) -> Result<Response, ApiError> {
    body::ok(&call.container()?.top(call.query.text("ps_args")).await?)
}

/// `POST /containers/{id}/start`: 204 started, 304 already running.
pub(crate) async fn start(call: Call) -> Result<Response, ApiError> {
    if call.upload.length.is_none_or(|length| length > START_BODY_MAX_BYTES) {
        return Err(ApiError::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and \
             removed in v1.24",
        ));
    }
    if call.query.filled("checkpoint").is_some() {
        return Err(ApiError::not_implemented("starting from a checkpoint"));
    }
    let container = call.container()?;
    unhurried(async move { container.start().await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/stop`: 204 stopped, 304 already stopped.
pub(crate) async fn stop(call: Call) -> Result<Response, ApiError> {
    let (signal, timeout_s) = stop_options(&call)?;
    let container = call.container()?;
    unhurried(async move { container.stop(signal.as_deref(), timeout_s).await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/restart`.
pub(crate) async fn restart(call: Call) -> Result<Response, ApiError> {
    let (signal, timeout_s) = stop_options(&call)?;
    let container = call.container()?;
    unhurried(async move { container.restart(signal.as_deref(), timeout_s).await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

fn stop_options(call: &Call) -> Result<(Option<String>, Option<i64>), ApiError> {
    // Older clients never sent a signal here.
    let signal = call.query.filled("signal").filter(|_| call.version.at_least(42));
    Ok((signal.map(str::to_owned), call.query.number("t")?))
}

/// `POST /containers/{id}/kill`: 204, 409 not running.
pub(crate) async fn kill(call: Call) -> Result<Response, ApiError> {
    let signal = call.query.filled("signal").map(str::to_owned);
    let name = call.name().to_owned();
    let killed = match call.container() {
        Ok(container) => unhurried(async move { container.kill(signal.as_deref()).await }).await,
        Err(error) => Err(error.into()),
    };
    killed.map_err(|error| error.within(format_args!("cannot kill container: {name}")))?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/pause`.
pub(crate) async fn pause(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    unhurried(async move { container.pause().await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/unpause`.
pub(crate) async fn unpause(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    unhurried(async move { container.unpause().await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/rename`.
pub(crate) async fn rename(call: Call) -> Result<Response, ApiError> {
    let name = call.query.text("name").trim_start_matches('/').to_owned();
    if name.is_empty() {
        return Err(ApiError::invalid("Neither old nor new names may be empty"));
    }
    let container = call.container()?;
    unhurried(async move { container.rename(&name).await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/{id}/update`.
pub(crate) async fn update(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    let body: UpdateBody = call.json().await?;
    body::ok(&unhurried(async move { container.update(body).await }).await?)
}

/// `POST /containers/{id}/resize`: 409 when it does not run.
pub(crate) async fn resize(call: Call) -> Result<Response, ApiError> {
    let (height, width) = terminal_size(&call)?;
    call.container()?.resize(height, width).await?;
    Ok(body::status(StatusCode::OK))
}

/// Height and width in cells; larger than a terminal can be is its largest.
pub(crate) fn terminal_size(call: &Call) -> Result<(u16, u16), ApiError> {
    let read = |name: &str, word: &str| {
        let text = call.query.text(name);
        let cells: u32 = text.parse().map_err(|_| {
            ApiError::invalid(format!("invalid resize {word} \"{text}\": invalid syntax"))
        })?;
        Ok::<_, ApiError>(u16::try_from(cells).unwrap_or(u16::MAX))
    };
    Ok((read("h", "height")?, read("w", "width")?))
}

/// `DELETE /containers/{id}`: 204, 409 running.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    if call.query.flag("link") {
        call.api.engine.remove_link(call.name()).await?;
        return Ok(body::status(StatusCode::NO_CONTENT));
    }
    let options = RemoveOptions { force: call.query.flag("force"), volumes: call.query.flag("v") };
    let container = call.container()?;
    unhurried(async move { container.remove(options).await }).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /containers/prune`.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let filters = call.query.filters()?;
    let engine = call.api.engine;
    body::ok(&unhurried(async move { engine.prune_containers(filters).await }).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_bodies_are_read_and_refused() {
        let read = |text: &'static str| create_body(&Bytes::from_static(text.as_bytes()));
        let body = read(r#"{"Image":"bb","Cmd":"ls","HostConfig":{"Memory":7},"x":1}"#).unwrap();
        assert_eq!(body.config.image, "bb");
        assert_eq!(body.config.cmd.as_deref(), Some(&["ls".to_owned()][..]));
        assert_eq!(body.host_config.unwrap().memory, 7);
        for (text, want) in [
            ("{}", "config cannot be empty in order to create a container"),
            ("null", "config cannot be empty in order to create a container"),
            (r#"{"HostConfig":{}}"#, "config cannot be empty in order to create a container"),
            (r#"{"Image":"bb"} x"#, "unexpected content after JSON"),
            ("", "invalid JSON: got EOF while reading request body"),
        ] {
            assert_eq!(read(text).expect_err(text).message, want, "{text}");
        }
        for (text, field) in [
            (r#"{"Image":5}"#, "Image"),
            (r#"{"Image":"bb","HostConfig":{"Memory":"x"}}"#, "HostConfig.Memory"),
            (r#"{"Image":"bb","Labels":{"a":1}}"#, "Labels.a"),
        ] {
            let message = read(text).expect_err(text).message;
            assert!(message.starts_with(&format!("invalid JSON: {field}: ")), "{message}");
        }
    }
}
