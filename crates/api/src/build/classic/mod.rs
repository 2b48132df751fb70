//! `POST /build`, as the classic builder speaks it: a tar in, lines of JSON out.
//!
//! What is wrong with the request or the Dockerfile's text is a real status; what fails behind the
//! first line comes within the stream. A client that leaves cancels its build.

mod printer;
mod sent;
mod tape;
mod words;

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use gantry_build::{Builder, Bytes, Client, ClientError, Connection, Instruction, Output};
use gantry_build_proto::{ContextSource, DockerfileSource, Listing, Progress};
use gantry_distribution::Credentials;
use hyper::header::HeaderValue;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::request::Asked;
use crate::body::{self, Response, Upload};
use crate::call::{Call, blocking};
use crate::error::ApiError;
use crate::registry::auth::{self, Keyring};
pub(crate) use printer::Seen;
use printer::{Printer, Style};
use tape::Tape;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `POST /build`: 200 and lines of JSON.
pub(crate) async fn build(call: Call) -> Result<Response, ApiError> {
    let mut asked = Asked::read(&call.query, call.version)?;
    if asked.id.is_empty() {
        asked.id = super::new_build_id();
    }
    let style = Style {
        remove: asked.remove,
        force_remove: asked.force_remove,
        aux: call.version.at_least(30),
        no_cache: asked.request.no_cache,
        labels: asked.request.labels.clone(),
    };
    let builder = call.api.builds.builder.clone();
    let taken = match asked.request.contexts.is_empty() {
        true => Some(take(&builder, call.upload).await?),
        false => None,
    };
    if let Some(taken) = &taken {
        let source = ContextSource::Taken(taken.number());
        asked.request.contexts.insert(String::new(), source);
        if let DockerfileSource::Path(path) = &asked.request.dockerfile {
            let failed = |error: io::Error| ApiError::internal(&error);
            let path = sent::dockerfile(taken, path).map_err(failed)?;
            asked.request.dockerfile = sent::leave_out(taken, path).map_err(failed)?;
        }
    }
    let printer = Printer::new(style, call.api.builds.seen.clone());
    let tape = Arc::new(Tape::new(printer, asked.quiet));
    let keyring = auth::many_of_headers(&call.headers);
    let client: Arc<dyn Client> = Arc::new(Door { tape: Arc::clone(&tape), keyring });
    // Whoever drops the answer ends the build.
    let worker = tape::Worker::start(&tape, async move {
        let _held = taken;
        builder.build(&asked.id, asked.request, client).await
    });
    let lines = tape::lines(tape, worker).await?;
    Ok(body::stream(JSON, lines))
}

/// Takes a context in, and reads its body to the end: only then the client's leaving shows.
async fn take(builder: &Builder, upload: Upload) -> Result<gantry_build::Taken, ApiError> {
    let builder = builder.clone();
    let stream = StreamReader::new(upload.into_stream());
    let body = Arc::new(Mutex::new(SyncIoBridge::new(stream)));
    blocking(move || {
        let taken = builder.take(Box::new(Shared(Arc::clone(&body))));
        let taken = taken.map_err(ApiError::from)?;
        // What follows an archive's end is nothing to anybody.
        io::copy(&mut Shared(body), &mut io::sink()).map_err(|error| ApiError::internal(&error))?;
        Ok::<_, ApiError>(taken)
    })
    .await
}

/// A reader that can be gone on with when whoever read has finished.
struct Shared<R>(Arc<Mutex<R>>);

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

/// The client, of whom nothing can be asked.
struct Door {
    tape: Arc<Tape>,
    keyring: Keyring,
}

fn nothing<T>(what: &str) -> BoxFuture<'static, Result<T, ClientError>>
where
    T: Send + 'static,
{
    let error = ClientError::Refused(format!("{what} requires BuildKit"));
    Box::pin(std::future::ready(Err(error)))
}

impl Client for Door {
    fn credentials(&self, registry: &str) -> Credentials {
        self.keyring.of(registry)
    }

    fn list<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a str,
        _: bool,
    ) -> BoxFuture<'a, Result<Listing, ClientError>> {
        nothing("a context of the client's")
    }

    fn read<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        nothing("a context of the client's")
    }

    fn tar<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        nothing("a context of the client's")
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<u8>, ClientError>> {
        Box::pin(std::future::ready(Err(ClientError::NotFound(format!("secret {id}")))))
    }

    fn ssh<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Box<dyn Connection>, ClientError>> {
        Box::pin(std::future::ready(Err(ClientError::NotFound(format!("ssh agent {id}")))))
    }

    fn output(&self, _: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        nothing("an output to the client")
    }

    fn cache_output(&self, _: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        nothing("a cache at the client")
    }

    fn planned(&self, instructions: &[Instruction]) {
        self.tape.planned(instructions);
    }

    fn progress(&self, progress: Progress) {
        self.tape.progress(progress);
    }
}
