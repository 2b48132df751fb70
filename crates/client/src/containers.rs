//! Containers and execs.

use base64::Engine as _;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;

use crate::query::segment;
use crate::{Client, ClientError, Hijacked, Payload, Query, Response};

type Result<T> = std::result::Result<T, ClientError>;

/// What `logs` is to give.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Stay for what comes.
    pub follow: bool,
    /// From this time on: seconds, perhaps with a fraction.
    pub since: Option<String>,
    /// Up to this time.
    pub until: Option<String>,
    /// Begin every line with its time.
    pub timestamps: bool,
    /// Begin every line with the log driver's attributes.
    pub details: bool,
    /// Number of lines from the end, or `all`.
    pub tail: Option<String>,
}

/// What the archive endpoint tells of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct ArchiveStat {
    /// Last part of the path.
    pub name: String,
    /// Size in bytes.
    pub size: i64,
    /// Go's mode bits.
    pub mode: u32,
    /// Where a symbolic link points to.
    #[serde(rename = "linkTarget", default)]
    pub link_target: String,
}

/// Go's `os.ModeDir`.
const MODE_DIRECTORY: u32 = 1 << 31;
/// Go's `os.ModeSymlink`.
const MODE_LINK: u32 = 1 << 27;

impl ArchiveStat {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.mode & MODE_DIRECTORY != 0
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.mode & MODE_LINK != 0
    }

    fn of(headers: &hyper::HeaderMap) -> Result<Self> {
        let broken = || ClientError::Answer("no X-Docker-Container-Path-Stat header".into());
        let header = headers.get("x-docker-container-path-stat").ok_or_else(broken)?;
        let json = base64::engine::general_purpose::STANDARD
            .decode(header.as_bytes())
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| ClientError::Answer(error.to_string()))
    }
}

/// Methods on containers. Every one fails as [`Client::request`] does.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Lists containers; `query` holds `all`, `limit`, `size` and `filters`.
    pub async fn container_list<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/containers/json", query, Payload::Empty).await
    }

    /// Creates a container; `query` holds `name` and `platform`.
    pub async fn container_create<T: DeserializeOwned>(
        &self,
        query: &Query,
        body: &impl Serialize,
    ) -> Result<T> {
        self.fetch(Method::POST, "/containers/create", query, Payload::json(body)?).await
    }

    /// Inspects a container.
    pub async fn container_inspect<T: DeserializeOwned>(&self, id: &str, size: bool) -> Result<T> {
        let query = Query::new().with_flag("size", size);
        self.fetch(Method::GET, &path(id, "/json"), &query, Payload::Empty).await
    }

    /// Starts a container.
    pub async fn container_start(&self, id: &str, query: &Query) -> Result<()> {
        self.act(id, "/start", query).await
    }

    /// Stops a container; `query` holds `t` and `signal`.
    pub async fn container_stop(&self, id: &str, query: &Query) -> Result<()> {
        self.act(id, "/stop", query).await
    }

    /// Restarts a container; `query` holds `t` and `signal`.
    pub async fn container_restart(&self, id: &str, query: &Query) -> Result<()> {
        self.act(id, "/restart", query).await
    }

    /// Sends a signal.
    pub async fn container_kill(&self, id: &str, signal: &str) -> Result<()> {
        let query = match signal {
            "" => Query::new(),
            signal => Query::new().with("signal", signal),
        };
        self.act(id, "/kill", &query).await
    }

    /// Pauses a container.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        self.act(id, "/pause", &Query::new()).await
    }

    /// Lets a paused container go on.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        self.act(id, "/unpause", &Query::new()).await
    }

    /// Renames a container.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        self.act(id, "/rename", &Query::new().with("name", name)).await
    }

    /// Sets the size of a container's terminal.
    pub async fn container_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let query = Query::new().with("h", height.to_string()).with("w", width.to_string());
        self.act(id, "/resize", &query).await
    }

    /// Removes a container; `query` holds `force`, `v` and `link`.
    pub async fn container_remove(&self, id: &str, query: &Query) -> Result<()> {
        self.fetch_bytes(Method::DELETE, &path(id, ""), query, Payload::Empty).await.map(drop)
    }

    /// Changes a container's limits.
    pub async fn container_update<T: DeserializeOwned>(
        &self,
        id: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let payload = Payload::json(body)?;
        self.fetch(Method::POST, &path(id, "/update"), &Query::new(), payload).await
    }

    /// Begins to wait; the answer's head comes once the wait is registered.
    pub async fn container_wait(&self, id: &str, condition: &str) -> Result<Response> {
        let query = match condition {
            "" => Query::new(),
            condition => Query::new().with("condition", condition),
        };
        self.request(Method::POST, &path(id, "/wait"), &query, Payload::Empty, &[]).await
    }

    /// Gives a container's log.
    pub async fn container_logs(&self, id: &str, options: &LogsOptions) -> Result<Response> {
        let query = Query::new()
            .with_flag("stdout", true)
            .with_flag("stderr", true)
            .with_some("since", options.since.as_ref())
            .with_some("until", options.until.as_ref())
            .with_flag("timestamps", options.timestamps)
            .with_flag("details", options.details)
            .with_flag("follow", options.follow)
            .with_some("tail", options.tail.as_ref());
        self.request(Method::GET, &path(id, "/logs"), &query, Payload::Empty, &[]).await
    }

    /// Attaches to a container's streams.
    pub async fn container_attach(&self, id: &str, query: &Query) -> Result<Hijacked> {
        self.hijack(&path(id, "/attach"), query, b"").await
    }

    /// Lists a container's processes.
    pub async fn container_top<T: DeserializeOwned>(&self, id: &str, args: &str) -> Result<T> {
        let query = match args {
            "" => Query::new(),
            args => Query::new().with("ps_args", args),
        };
        self.fetch(Method::GET, &path(id, "/top"), &query, Payload::Empty).await
    }

    /// Lists what a container has changed.
    pub async fn container_changes<T: DeserializeOwned>(&self, id: &str) -> Result<T> {
        self.fetch(Method::GET, &path(id, "/changes"), &Query::new(), Payload::Empty).await
    }

    /// Gives a container's usage, once or as a stream.
    pub async fn container_stats(&self, id: &str, stream: bool) -> Result<Response> {
        let query = Query::new().with("stream", if stream { "1" } else { "0" });
        self.request(Method::GET, &path(id, "/stats"), &query, Payload::Empty, &[]).await
    }

    /// Gives a container's file system as a tar archive.
    pub async fn container_export(&self, id: &str) -> Result<Response> {
        let query = Query::new();
        self.request(Method::GET, &path(id, "/export"), &query, Payload::Empty, &[]).await
    }

    /// Makes an image of a container; `query` holds the rest.
    pub async fn container_commit<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/commit", query, Payload::Empty).await
    }

    /// Removes stopped containers.
    pub async fn container_prune<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/containers/prune", query, Payload::Empty).await
    }

    /// Tells what a path in a container is.
    pub async fn archive_stat(&self, id: &str, file: &str) -> Result<ArchiveStat> {
        let query = Query::new().with("path", file);
        let path = path(id, "/archive");
        let response = self.request(Method::HEAD, &path, &query, Payload::Empty, &[]).await;
        match response {
            Ok(response) => ArchiveStat::of(&response.headers),
            // HEAD has no body, so the words are ours to supply.
            Err(ClientError::Daemon { status: 404, .. }) => Err(ClientError::Daemon {
                status: 404,
                message: format!("Could not find the file {file} in container {id}"),
            }),
            Err(error) => Err(error),
        }
    }

    /// Gives a path of a container as a tar archive.
    pub async fn archive_get(&self, id: &str, file: &str) -> Result<(ArchiveStat, Response)> {
        let query = Query::new().with("path", file);
        let path = path(id, "/archive");
        let response = self.request(Method::GET, &path, &query, Payload::Empty, &[]).await?;
        Ok((ArchiveStat::of(&response.headers)?, response))
    }

    /// Unpacks a tar archive in a container.
    pub async fn archive_put(
        &self,
        id: &str,
        query: &Query,
        reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    ) -> Result<()> {
        let payload = Payload::Stream { content_type: "application/x-tar", reader };
        self.fetch_bytes(Method::PUT, &path(id, "/archive"), query, payload).await.map(drop)
    }

    /// Prepares a process in a container.
    pub async fn exec_create<T: DeserializeOwned>(
        &self,
        id: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let payload = Payload::json(body)?;
        self.fetch(Method::POST, &path(id, "/exec"), &Query::new(), payload).await
    }

    /// Starts a prepared process and leaves it alone.
    pub async fn exec_start_detached(&self, id: &str, body: &impl Serialize) -> Result<()> {
        let path = format!("/exec/{}/start", segment(id));
        self.fetch_bytes(Method::POST, &path, &Query::new(), Payload::json(body)?).await.map(drop)
    }

    /// Starts a prepared process and takes its streams.
    pub async fn exec_start(&self, id: &str, body: &impl Serialize) -> Result<Hijacked> {
        let json = serde_json::to_vec(body).map_err(|e| ClientError::Answer(e.to_string()))?;
        self.hijack(&format!("/exec/{}/start", segment(id)), &Query::new(), &json).await
    }

    /// Inspects a process started by exec.
    pub async fn exec_inspect<T: DeserializeOwned>(&self, id: &str) -> Result<T> {
        let path = format!("/exec/{}/json", segment(id));
        self.fetch(Method::GET, &path, &Query::new(), Payload::Empty).await
    }

    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let query = Query::new().with("h", height.to_string()).with("w", width.to_string());
        let path = format!("/exec/{}/resize", segment(id));
        self.fetch_bytes(Method::POST, &path, &query, Payload::Empty).await.map(drop)
    }

    async fn act(&self, id: &str, verb: &str, query: &Query) -> Result<()> {
        self.fetch_bytes(Method::POST, &path(id, verb), query, Payload::Empty).await.map(drop)
    }
}

fn path(id: &str, rest: &str) -> String {
    // A slash in a name would be another path.
    format!("/containers/{}{rest}", segment(id).replace('/', "%2F"))
}
