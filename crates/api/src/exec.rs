//! `/exec`: further processes in a running container.

use std::io;

use gantry_api_types::exec::{ExecCreateBody, ExecStartBody};
use gantry_api_types::image::IdResponse;
use gantry_engine::{Exec, ExecError, ExecStart};
use gantry_fault::chain;
use hyper::StatusCode;
use tokio::io::AsyncWriteExt;

use crate::body::{self, Response};
use crate::call::{Call, unhurried};
use crate::connection::{RawConnection, take_over};
use crate::containers::attach::keys;
use crate::containers::terminal_size;
use crate::error::ApiError;
use crate::hijack;
use crate::pump::{self, End};

/// First version with a terminal's size in bodies.
const CONSOLE_SIZE: u16 = 42;

/// `POST /containers/{id}/exec`: 201, 409 not running or paused.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    let version = call.version;
    let mut body: ExecCreateBody = call.json().await?;
    if !version.at_least(CONSOLE_SIZE) {
        body.console_size = None;
    }
    let id = unhurried(async move { container.exec_create(body).await }).await?;
    Ok(body::json(StatusCode::CREATED, &IdResponse { id }))
}

/// `POST /exec/{id}/start`: hands the connection over unless detached.
pub(crate) async fn start(call: Call) -> Result<Response, ApiError> {
    let exec = call.api.engine.exec(call.name())?;
    let (version, headers) = (call.version, call.headers);
    let signature = [
        ("Api-Version", gantry_api_types::ApiVersion::MAX.to_string()),
        ("Docker-Experimental", call.api.version.experimental.to_string()),
        ("Ostype", "linux".to_owned()),
        ("Server", format!("Gantry/{} (linux)", call.api.version.version)),
    ];
    let body: ExecStartBody = call.upload.optional_json(&headers).await?;
    let start = ExecStart {
        detach: body.detach,
        tty: body.tty,
        console_size: body.console_size.filter(|_| version.at_least(CONSOLE_SIZE)),
    };
    match exec.check_start() {
        // An attached client gets this one within the stream, as from Docker.
        Err(ExecError::AlreadyRun(_) | ExecError::Running(_)) if !start.detach => {}
        checked => checked?,
    }
    if start.detach {
        unhurried(async move { exec.start(start).await }).await?;
        return Ok(body::status(StatusCode::OK));
    }
    let head = hijack::head(&headers, version, start.tty, &signature);
    Ok(take_over(move |mut connection| async move {
        let result = match connection.io.write_all(&head).await {
            Ok(()) => serve(connection, &exec, start).await,
            Err(gone) => Err(gone),
        };
        if let Err(error) = result {
            tracing::debug!(%error, exec = exec.id(), "an exec's attachment broke");
        }
    }))
}

/// Starts an exec behind the head; what fails from now on is told within the stream.
async fn serve(mut connection: RawConnection, exec: &Exec, start: ExecStart) -> io::Result<End> {
    let attached = match exec.start(start).await {
        Ok(attached) => attached,
        Err(error) => {
            let text = format!("{}\r\n", chain(&error)).into_bytes();
            let bytes = if start.tty { text } else { hijack::frame(1, &text) };
            connection.io.write_all(&bytes).await?;
            pump::finish(&mut connection.io).await;
            return Ok(End::Finished);
        }
    };
    match attached.stream {
        Some(stream) => {
            let keys = keys(attached.tty, attached.detach_keys);
            pump::run(connection, stream.into_inner(), keys, exec.settled()).await
        }
        None => {
            pump::finish(&mut connection.io).await;
            Ok(End::Finished)
        }
    }
}

/// `POST /exec/{id}/resize`.
pub(crate) async fn resize(call: Call) -> Result<Response, ApiError> {
    let (height, width) = terminal_size(&call)?;
    call.api.engine.exec(call.name())?.resize(height, width).await?;
    Ok(body::status(StatusCode::OK))
}

/// `GET /exec/{id}/json`.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    body::ok(&call.api.engine.exec(call.name())?.inspect())
}
