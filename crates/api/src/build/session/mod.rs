//! `POST /gantry/build`: a build over frames, with the client's directories read on demand.
//!
//! ```text
//! connection -> Inbox::read_from -> those who asked (Asker) <- Builder::build
//! connection <- Outbox::write_to <- questions, outputs, progress <-+
//! ```
//!
//! The reader never waits for the writer, so that the two ends of a connection cannot wait for each
//! other.

mod asker;
mod inbox;
mod outbox;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gantry_build::{Builder, Client, Failed};
use gantry_build_proto::{BuildRequest, Built, Failure, FromClient, FromDaemon, Kind};
use hyper::StatusCode;
use hyper::header::UPGRADE;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::body::Response;
use crate::call::Call;
use crate::connection::{RawConnection, take_over};
use crate::error::ApiError;
use crate::registry::auth::{self, Keyring};
use asker::Asker;
use inbox::{Frames, Inbox, ReadError};
use outbox::Outbox;

/// What a connection is upgraded to.
const PROTOCOL: &str = "gantry-build";
/// How long a client may take to say what it wants.
const FIRST_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may take to read what is left when its build has ended.
const LAST_LIMIT: Duration = Duration::from_secs(300);

/// `POST /gantry/build`: 101, then frames.
pub(crate) async fn session(call: Call) -> Result<Response, ApiError> {
    let asked = call.headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    if !asked.is_some_and(|protocol| protocol.eq_ignore_ascii_case(PROTOCOL)) {
        let words = format!("this request needs the header \"Upgrade: {PROTOCOL}\"");
        return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, words));
    }
    let builder = call.api.builds.builder.clone();
    let keyring = auth::many_of_headers(&call.headers);
    Ok(take_over(move |connection| serve(connection, builder, keyring)))
}

async fn serve(connection: RawConnection, builder: Builder, keyring: Keyring) {
    let RawConnection { mut io, early } = connection;
    let head =
        format!("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\r\n");
    if io.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let (reader, writer) = tokio::io::split(io);
    let id = super::new_build_id();
    let build = |request, client| async move { builder.build(&id, request, client).await };
    converse(reader, writer, &early, keyring, build).await;
}

/// A session on a connection, of which `early` has been read already.
async fn converse<B, F>(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    early: &[u8],
    keyring: Keyring,
    build: B,
) where
    B: FnOnce(BuildRequest, Arc<dyn Client>) -> F,
    F: Future<Output = Result<Built, Box<Failed>>>,
{
    let outbox = Arc::new(Outbox::default());
    let talk = talk(Frames::new(reader, early), Arc::clone(&outbox), keyring, build);
    let mut writing = pin!(outbox.write_to(writer));
    tokio::select! {
        () = talk => {
            // The last words may still be on their way.
            let _ = tokio::time::timeout(LAST_LIMIT, writing).await;
        }
        // The client is gone, and with it the build.
        _ = &mut writing => {}
    }
}

/// The session; when it returns nothing more is said.
async fn talk<B, F>(
    mut frames: Frames<impl AsyncRead + Unpin>,
    outbox: Arc<Outbox>,
    keyring: Keyring,
    build: B,
) where
    B: FnOnce(BuildRequest, Arc<dyn Client>) -> F,
    F: Future<Output = Result<Built, Box<Failed>>>,
{
    let inbox = Arc::new(Inbox::default());
    let asker = Arc::new(Asker::new(Arc::clone(&outbox), Arc::clone(&inbox), keyring));
    let mut kept = None;
    let last = match tokio::time::timeout(FIRST_LIMIT, first(&mut frames)).await {
        Err(_) => failed("no request came"),
        Ok(Err(error)) => failed(error),
        Ok(Ok(request)) => {
            let client: Arc<dyn Client> = Arc::<Asker>::clone(&asker);
            tokio::select! {
                built = build(*request, client) => match built {
                    Ok(built) => FromDaemon::Done(Box::new(built)),
                    Err(error) => {
                        kept = error.kept;
                        FromDaemon::Failed(Box::new(error.failure))
                    }
                },
                gone = inbox.read_from(&mut frames) => left(&gone),
            }
        }
    };
    inbox.close();
    let say = async {
        asker.settle().await;
        // A client that is gone is not told.
        let _ = outbox.message(0, &last).await;
    };
    let said = tokio::time::timeout(LAST_LIMIT, say).await;
    if said.is_ok() && kept.is_some() {
        // The failed step's file system is there for as long as somebody may look at it.
        while let Ok(Some(_)) = frames.next().await {}
    }
    outbox.finish();
}

/// What the client wants.
async fn first(
    frames: &mut Frames<impl AsyncRead + Unpin>,
) -> Result<Box<BuildRequest>, ReadError> {
    let frame = frames.next().await?.ok_or(ReadError::Unexpected)?;
    match (frame.kind, serde_json::from_slice(&frame.body)?) {
        (Kind::Message, FromClient::Build(request)) => Ok(request),
        _ => Err(ReadError::Unexpected),
    }
}

fn left(why: &ReadError) -> FromDaemon {
    let cancelled = matches!(why, ReadError::Cancelled | ReadError::Io(_));
    let message = match cancelled {
        true => "context canceled".to_owned(),
        false => why.to_string(),
    };
    FromDaemon::Failed(Box::new(Failure { message, cancelled, ..Failure::default() }))
}

fn failed(why: impl ToString) -> FromDaemon {
    FromDaemon::Failed(Box::new(Failure { message: why.to_string(), ..Failure::default() }))
}
