//! `logs` and `stats`: what a container wrote, and what it uses.

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, stream};
use gantry_engine::{LogChunk, LogOptions, LogStream};
use gantry_fault::chain;
use gantry_logs::Stream;
use hyper::header::HeaderValue;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;
use crate::{hijack, shape, time};

/// Stream number of what the engine itself says.
const SYSTEM_STREAM: u8 = 3;
/// Lines are gathered up to this many bytes, as long as they are there.
const GATHER_BYTES: usize = 64 << 10;

/// `GET /containers/{id}/logs`.
pub(crate) async fn logs(call: Call) -> Result<Response, ApiError> {
    let query = &call.query;
    let options = LogOptions {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        // Everything that is no number means all, as in Docker.
        tail: query.text("tail").parse().ok(),
        since_ns: time::parse_unix(query.text("since"))?,
        until_ns: time::parse_unix(query.text("until"))?.filter(|until| *until != 0),
    };
    if !options.stdout && !options.stderr {
        return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
    }
    let logs = call.container()?.logs(options).await?;
    let content_type = hijack::content_type(call.version, logs.tty);
    let framed = !logs.tty;
    let lines = stream::unfold(logs, move |mut logs| async move {
        log_bytes(&mut logs, framed).await.map(|bytes| (Ok(bytes), logs))
    });
    Ok(body::stream(HeaderValue::from_static(content_type), lines))
}

/// The next lines of a log, as the client gets them; `None` at the end.
pub(crate) async fn log_bytes(logs: &mut LogStream, framed: bool) -> Option<Bytes> {
    let mut gathered = BytesMut::new();
    let mut next = logs.next().await?;
    loop {
        gathered.extend_from_slice(&chunk_bytes(next, framed));
        if gathered.len() >= GATHER_BYTES {
            break;
        }
        match logs.next().now_or_never() {
            Some(Some(more)) => next = more,
            _ => break,
        }
    }
    Some(gathered.freeze())
}

fn chunk_bytes(chunk: std::io::Result<LogChunk>, framed: bool) -> Bytes {
    let (number, bytes) = match chunk {
        Ok(chunk) => (if chunk.stream == Stream::Stderr { 2 } else { 1 }, chunk.bytes),
        Err(error) => {
            let text = format!("Error grabbing logs: {}\n", chain(&error));
            (SYSTEM_STREAM, text.into())
        }
    };
    if framed { hijack::frame(number, &bytes).into() } else { bytes }
}

/// `GET /containers/{id}/stats`: a document each second, or one.
pub(crate) async fn stats(call: Call) -> Result<Response, ApiError> {
    let version = call.version;
    let stream = call.query.flag_or("stream", true);
    let one_shot = version.at_least(41) && call.query.flag("one-shot");
    if stream && one_shot {
        return Err(ApiError::invalid("cannot have stream=true and one-shot=true"));
    }
    let samples = call.container()?.stats(stream, one_shot).await?;
    let lines = stream::unfold(samples, move |mut samples| async move {
        let mut sample = samples.next().await?;
        shape::stats(&mut sample, version);
        Some((body::json_line(&sample), samples))
    });
    Ok(body::stream(HeaderValue::from_static("application/json"), lines))
}
