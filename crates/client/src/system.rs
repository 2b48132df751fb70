//! The daemon itself, volumes and networks.

use gantry_api_types::auth::{AuthConfig, AuthResponse};
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;

use crate::query::segment;
use crate::{Client, ClientError, Payload, Query, Response};

type Result<T> = std::result::Result<T, ClientError>;

/// Methods on the daemon. Every one fails as [`Client::request`] does.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The daemon's version.
    pub async fn server_version<T: DeserializeOwned>(&self) -> Result<T> {
        self.fetch(Method::GET, "/version", &Query::new(), Payload::Empty).await
    }

    /// The daemon's state.
    pub async fn info<T: DeserializeOwned>(&self) -> Result<T> {
        self.fetch(Method::GET, "/info", &Query::new(), Payload::Empty).await
    }

    /// What takes space; `query` holds `type`.
    pub async fn disk_usage<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/system/df", query, Payload::Empty).await
    }

    /// Asks a registry whether it takes credentials.
    pub async fn login(&self, credentials: &AuthConfig) -> Result<AuthResponse> {
        self.fetch(Method::POST, "/auth", &Query::new(), Payload::json(credentials)?).await
    }

    /// Events as a stream of JSON; `query` holds `since`, `until` and `filters`.
    pub async fn events(&self, query: &Query) -> Result<Response> {
        self.request(Method::GET, "/events", query, Payload::Empty, &[]).await
    }

    /// Lists volumes; `query` holds `filters`.
    pub async fn volume_list<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/volumes", query, Payload::Empty).await
    }

    /// Inspects a volume.
    pub async fn volume_inspect<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = format!("/volumes/{}", segment(name));
        self.fetch(Method::GET, &path, &Query::new(), Payload::Empty).await
    }

    /// Makes a volume.
    pub async fn volume_create<T: DeserializeOwned>(&self, body: &impl Serialize) -> Result<T> {
        self.fetch(Method::POST, "/volumes/create", &Query::new(), Payload::json(body)?).await
    }

    /// Removes a volume.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let path = format!("/volumes/{}", segment(name));
        let query = Query::new().with_flag("force", force);
        self.fetch_bytes(Method::DELETE, &path, &query, Payload::Empty).await.map(drop)
    }

    /// Removes unused volumes.
    pub async fn volume_prune<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/volumes/prune", query, Payload::Empty).await
    }

    /// A volume's content as a tar archive; `query` holds `compression`. Gantry's alone.
    pub async fn volume_backup(&self, name: &str, query: &Query) -> Result<Response> {
        let path = format!("/gantry/volumes/{}/archive", segment(name));
        self.request(Method::GET, &path, query, Payload::Empty, &[]).await
    }

    /// Fills a volume from a tar archive; `query` holds `replace`. Gantry's alone.
    pub async fn volume_restore(
        &self,
        name: &str,
        query: &Query,
        reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    ) -> Result<()> {
        let path = format!("/gantry/volumes/{}/archive", segment(name));
        let payload = Payload::Stream { content_type: "application/x-tar", reader };
        self.fetch_bytes(Method::PUT, &path, query, payload).await.map(drop)
    }

    /// Makes a volume with the content of another. Gantry's alone.
    pub async fn volume_clone<T: DeserializeOwned>(&self, name: &str, to: &str) -> Result<T> {
        let path = format!("/gantry/volumes/{}/clone", segment(name));
        self.fetch(Method::POST, &path, &Query::new().with("to", to), Payload::Empty).await
    }

    /// Lists networks; `query` holds `filters`.
    pub async fn network_list<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/networks", query, Payload::Empty).await
    }

    /// Inspects a network; `query` holds `verbose` and `scope`.
    pub async fn network_inspect<T: DeserializeOwned>(
        &self,
        name: &str,
        query: &Query,
    ) -> Result<T> {
        let path = format!("/networks/{}", segment(name));
        self.fetch(Method::GET, &path, query, Payload::Empty).await
    }

    /// Makes a network.
    pub async fn network_create<T: DeserializeOwned>(&self, body: &impl Serialize) -> Result<T> {
        self.fetch(Method::POST, "/networks/create", &Query::new(), Payload::json(body)?).await
    }

    /// Removes a network.
    pub async fn network_remove(&self, name: &str) -> Result<()> {
        let path = format!("/networks/{}", segment(name));
        self.fetch_bytes(Method::DELETE, &path, &Query::new(), Payload::Empty).await.map(drop)
    }

    /// Removes unused networks.
    pub async fn network_prune<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/networks/prune", query, Payload::Empty).await
    }

    /// Explains who reaches a container; `query` holds `container` and `port`. Gantry's own.
    pub async fn network_reach<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/gantry/networks/reach", query, Payload::Empty).await
    }

    /// Checks the networks and the host's rules. Gantry's own.
    pub async fn network_doctor<T: DeserializeOwned>(&self) -> Result<T> {
        self.fetch(Method::GET, "/gantry/networks/doctor", &Query::new(), Payload::Empty).await
    }

    /// Connects a container to a network.
    pub async fn network_connect(&self, name: &str, body: &impl Serialize) -> Result<()> {
        let path = format!("/networks/{}/connect", segment(name));
        self.fetch_bytes(Method::POST, &path, &Query::new(), Payload::json(body)?).await.map(drop)
    }

    /// Disconnects a container from a network.
    pub async fn network_disconnect(&self, name: &str, body: &impl Serialize) -> Result<()> {
        let path = format!("/networks/{}/disconnect", segment(name));
        self.fetch_bytes(Method::POST, &path, &Query::new(), Payload::json(body)?).await.map(drop)
    }
}
