//! Images.

use hyper::Method;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;

use crate::query::segment;
use crate::{Client, ClientError, Payload, Query, Response};

type Result<T> = std::result::Result<T, ClientError>;

/// Methods on images. Every one fails as [`Client::request`] does.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Lists images; `query` holds `all`, `digests` and `filters`.
    pub async fn image_list<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::GET, "/images/json", query, Payload::Empty).await
    }

    /// Inspects an image; `query` holds `platform`.
    pub async fn image_inspect<T: DeserializeOwned>(&self, name: &str, query: &Query) -> Result<T> {
        self.fetch(Method::GET, &path(name, "/json"), query, Payload::Empty).await
    }

    /// Gives an image's history; `query` holds `platform`.
    pub async fn image_history<T: DeserializeOwned>(&self, name: &str, query: &Query) -> Result<T> {
        self.fetch(Method::GET, &path(name, "/history"), query, Payload::Empty).await
    }

    /// Gives an image another name.
    pub async fn image_tag(&self, name: &str, repo: &str, tag: &str) -> Result<()> {
        let query = Query::new().with("repo", repo).with("tag", tag);
        self.fetch_bytes(Method::POST, &path(name, "/tag"), &query, Payload::Empty).await.map(drop)
    }

    /// Removes an image; `query` holds `force`, `noprune` and `platforms`.
    pub async fn image_remove<T: DeserializeOwned>(&self, name: &str, query: &Query) -> Result<T> {
        self.fetch(Method::DELETE, &path(name, ""), query, Payload::Empty).await
    }

    /// Pulls an image; the answer is a stream of JSON messages.
    pub async fn image_pull(&self, query: &Query, auth: Option<&str>) -> Result<Response> {
        let headers: Vec<_> =
            auth.map(|auth| ("X-Registry-Auth", auth.to_owned())).into_iter().collect();
        self.request(Method::POST, "/images/create", query, Payload::Empty, &headers).await
    }

    /// Pushes an image; the answer is a stream of JSON messages.
    pub async fn image_push(&self, name: &str, query: &Query, auth: &str) -> Result<Response> {
        let headers = [("X-Registry-Auth", auth.to_owned())];
        self.request(Method::POST, &path(name, "/push"), query, Payload::Empty, &headers).await
    }

    /// Searches a registry; `query` holds `term`, `limit` and `filters`.
    pub async fn image_search<T: DeserializeOwned>(&self, query: &Query, auth: &str) -> Result<T> {
        let headers = [("X-Registry-Auth", auth.to_owned())];
        let answer =
            self.request(Method::GET, "/images/search", query, Payload::Empty, &headers).await?;
        answer.json().await
    }

    /// Makes an image of a file system's tar archive; the answer is a stream of JSON messages.
    pub async fn image_import(
        &self,
        query: &Query,
        reader: Option<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    ) -> Result<Response> {
        let payload = match reader {
            Some(reader) => Payload::Stream { content_type: "text/plain", reader },
            None => Payload::Empty,
        };
        self.request(Method::POST, "/images/create", query, payload, &[]).await
    }

    /// Loads images; the answer is a stream of JSON messages.
    pub async fn image_load(
        &self,
        query: &Query,
        reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    ) -> Result<Response> {
        let payload = Payload::Stream { content_type: "application/x-tar", reader };
        self.request(Method::POST, "/images/load", query, payload, &[]).await
    }

    /// Saves images as a tar archive; `query` holds `names` and `platform`.
    pub async fn image_save(&self, query: &Query) -> Result<Response> {
        self.request(Method::GET, "/images/get", query, Payload::Empty, &[]).await
    }

    /// Removes unused images.
    pub async fn image_prune<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/images/prune", query, Payload::Empty).await
    }

    /// Removes build cache.
    pub async fn build_prune<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        self.fetch(Method::POST, "/build/prune", query, Payload::Empty).await
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/images/{}{rest}", segment(name))
}
