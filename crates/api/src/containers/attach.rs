//! `attach`, raw and over a websocket.

use std::future::ready;
use std::io;

use gantry_engine::{AttachOptions, Attached, Container};
use gantry_task::AttachStream;
use tokio::io::AsyncWriteExt;

use super::logs::log_bytes;
use crate::body::Response;
use crate::call::Call;
use crate::connection::{RawConnection, take_over};
use crate::error::ApiError;
use crate::hijack;
use crate::pump::{self, End};
use crate::websocket::{self, Messages};

/// First version whose websockets carry binary messages.
const BINARY_MESSAGES: u16 = 28;

/// `POST /containers/{id}/attach`: hands the connection over.
pub(crate) async fn attach(call: Call) -> Result<Response, ApiError> {
    let container = call.container()?;
    let attached = container.attach(options(&call)).await?;
    let head = hijack::head(&call.headers, call.version, attached.tty, &[]);
    Ok(take_over(|mut connection| async move {
        let result = match connection.io.write_all(&head).await {
            Ok(()) => serve(connection, attached).await,
            Err(gone) => Err(gone),
        };
        finish(&container, result);
    }))
}

/// The log so far, then the live streams.
async fn serve(mut connection: RawConnection, attached: Attached) -> io::Result<End> {
    if let Some(mut logs) = attached.logs {
        let framed = !logs.tty;
        while let Some(bytes) = log_bytes(&mut logs, framed).await {
            connection.io.write_all(&bytes).await?;
        }
    }
    match attached.stream {
        Some(stream) => {
            let keys = keys(attached.tty, attached.detach_keys);
            pump::run(connection, stream.into_inner(), keys, ready(())).await
        }
        None => {
            pump::finish(&mut connection.io).await;
            Ok(End::Finished)
        }
    }
}

/// `GET /containers/{id}/attach/ws`.
pub(crate) async fn attach_websocket(call: Call) -> Result<Response, ApiError> {
    let head = websocket::accept(&call.headers)?;
    let container = call.container()?;
    let mut attached = container.attach(options(&call)).await?;
    let Some(stream) = attached.stream.take() else {
        return Err(ApiError::invalid("a websocket needs stream=1"));
    };
    let messages =
        Messages { binary: call.version.at_least(BINARY_MESSAGES), framed: !attached.tty };
    let keys = keys(attached.tty, std::mem::take(&mut attached.detach_keys));
    Ok(take_over(move |mut connection| async move {
        let result = match connection.io.write_all(&head).await {
            Ok(()) => serve_messages(connection, attached, stream, messages, keys).await,
            Err(gone) => Err(gone),
        };
        finish(&container, result);
    }))
}

async fn serve_messages(
    connection: RawConnection,
    attached: Attached,
    stream: AttachStream,
    messages: Messages,
    keys: Vec<u8>,
) -> io::Result<End> {
    let logs = attached.logs;
    websocket::run(connection, logs, stream.into_inner(), messages, keys)
        .await
        .map_err(io::Error::other)
}

fn options(call: &Call) -> AttachOptions {
    AttachOptions {
        stdin: call.query.flag("stdin"),
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        logs: call.query.flag("logs"),
        stream: call.query.flag("stream"),
        detach_keys: call.query.text("detachKeys").to_owned(),
    }
}

/// Keys detach from terminals only: elsewhere every byte belongs to the program.
pub(crate) fn keys(tty: bool, keys: Vec<u8>) -> Vec<u8> {
    if tty { keys } else { Vec::new() }
}

fn finish(container: &Container, result: io::Result<End>) {
    match result {
        Ok(End::Detached) => container.detached(),
        Ok(End::Finished | End::Gone) => {}
        Err(error) => tracing::debug!(%error, container = container.id(), "an attachment broke"),
    }
}
