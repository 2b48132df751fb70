//! From a request to its handler and back: version, browser check, route, common headers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gantry_api_types::ApiVersion;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, SERVER};
use hyper::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;

use crate::Api;
use crate::body::{self, Body, Response, Upload};
use crate::call::Call;
use crate::error::ApiError;
use crate::origin;
use crate::query::Query;
use crate::routes::{self, Action, Route};

const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
const OS_TYPE: HeaderName = HeaderName::from_static("ostype");

/// Answers requests; clones are the same router.
#[derive(Clone)]
pub struct Router {
    door: Arc<Door>,
    answer: Answer,
    network: bool,
}

/// What every answer tells, and what is asked of every request.
struct Door {
    min_version: ApiVersion,
    host_names: Vec<String>,
    server: HeaderValue,
    experimental: HeaderValue,
}

/// Runs a handler: a function, so that connections are tested without an engine.
type Answer = Arc<dyn Fn(Asked) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

/// A request that a route was found for.
struct Asked {
    route: &'static Route,
    params: Vec<String>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
    upload: Upload,
}

/// The router over an engine.
#[must_use]
pub fn router(api: Api) -> Router {
    let door = Door::new(&api);
    let answer = move |asked: Asked| -> BoxFuture<'static, Result<Response, ApiError>> {
        let route = asked.route;
        let call = Call {
            api: api.clone(),
            version: asked.version,
            params: asked.params,
            query: asked.query,
            headers: asked.headers,
            upload: asked.upload,
        };
        match route.action {
            Action::Do(handler) => handler(call),
            Action::Refuse(refusal) => Box::pin(std::future::ready(Err(refusal.error(&call)))),
        }
    };
    Router { door: Arc::new(door), answer: Arc::new(answer), network: false }
}

impl Router {
    /// The same router for connections that come over the network, where browsers are.
    #[must_use]
    pub fn over_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Answers one request.
    pub async fn call(&self, request: Request<Body>) -> Response {
        // Any path answers this, and nothing is done.
        if request.method() == Method::OPTIONS {
            return body::status(StatusCode::OK);
        }
        let asked = match self.find(request) {
            Ok(asked) => asked,
            Err(error) => return self.door.sign(error.into_response()),
        };
        let raw_errors = asked.route.raw_errors;
        // A defect in one handler costs its own request only.
        let result = AssertUnwindSafe((self.answer)(asked)).catch_unwind().await;
        let response = match result {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if raw_errors => error.into_raw_response(),
            Ok(Err(error)) => error.into_response(),
            Err(_) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error: panic")
                .into_response(),
        };
        self.door.sign(response)
    }

    /// Whether the answer to this request is of no use without its client.
    pub(crate) fn ends_with_client(&self, method: &Method, path: &str) -> bool {
        let Ok(path) = decode(path) else { return false };
        let (_, path) = split_version(&path);
        routes::find(method, path).is_some_and(|(route, _)| route.ends_with_client)
    }

    fn find(&self, request: Request<Body>) -> Result<Asked, ApiError> {
        let (head, body) = request.into_parts();
        if self.network {
            origin::check(&head.headers, &self.door.host_names)?;
        }
        let path = decode(head.uri.path())?;
        let (version, path) = split_version(&path);
        let (route, params) = routes::find(&head.method, path).ok_or_else(ApiError::no_page)?;
        let version = self.door.negotiate(version)?;
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let upload = Upload::new(body, &head.headers);
        Ok(Asked { route, params, version, query, headers: head.headers, upload })
    }
}

impl Door {
    fn new(api: &Api) -> Self {
        Self::of(&api.version.version, api.version.experimental, api.min_version, &api.host_names)
    }

    fn of(version: &str, experimental: bool, min: ApiVersion, host_names: &[String]) -> Self {
        let server = HeaderValue::try_from(format!("Gantry/{version} (linux)"));
        Self {
            min_version: min,
            host_names: host_names.to_vec(),
            server: server.unwrap_or(HeaderValue::from_static("Gantry (linux)")),
            experimental: HeaderValue::from_static(if experimental { "true" } else { "false" }),
        }
    }

    /// The version to speak; a path without one gets the newest.
    fn negotiate(&self, asked: Option<&str>) -> Result<ApiVersion, ApiError> {
        let Some(text) = asked else { return Ok(ApiVersion::MAX) };
        let (min, max) = (self.min_version, ApiVersion::MAX);
        let version: ApiVersion = text.parse().map_err(|_| ApiError::no_page())?;
        if version < min {
            return Err(ApiError::invalid(format!(
                "client version {text} is too old. Minimum supported API version is {min}, \
                 please upgrade your client to a newer version"
            )));
        }
        if version > max {
            return Err(ApiError::invalid(format!(
                "client version {text} is too new. Maximum supported API version is {max}"
            )));
        }
        Ok(version)
    }

    /// Puts the headers on that every answer has.
    fn sign(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
        response
    }

    fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        const NEWEST: HeaderValue = HeaderValue::from_static("1.56");
        [
            (API_VERSION, NEWEST),
            (EXPERIMENTAL, self.experimental.clone()),
            (OS_TYPE, HeaderValue::from_static("linux")),
            (SERVER, self.server.clone()),
        ]
    }
}

fn decode(path: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(path).decode_utf8();
    decoded.map(Into::into).map_err(|_| ApiError::invalid("the path is not UTF-8"))
}

/// Takes `/v1.47` off a path. A first element of another form belongs to the path.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let Some(behind) = path.strip_prefix("/v") else { return (None, path) };
    let end = behind.find('/').unwrap_or(behind.len());
    let (version, rest) = behind.split_at(end);
    let numeric = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric { (Some(version), rest) } else { (None, path) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// A router whose handlers read the whole body and then are all this function.
    pub(crate) fn reading(
        answer: impl Fn(&'static str) -> Response + Send + Sync + 'static,
    ) -> Router {
        let answer = Arc::new(answer);
        let answer = move |asked: Asked| -> BoxFuture<'static, Result<Response, ApiError>> {
            let answer = Arc::clone(&answer);
            Box::pin(async move {
                let mut body = asked.upload.into_stream();
                while futures_util::StreamExt::next(&mut body).await.is_some() {}
                Ok(answer(asked.route.pattern))
            })
        };
        Router { answer: Arc::new(answer), ..fake(|_| body::status(StatusCode::OK)) }
    }

    /// A router whose handlers are all this function.
    pub(crate) fn fake(
        answer: impl Fn(&'static str) -> Response + Send + Sync + 'static,
    ) -> Router {
        let answer = Arc::new(answer);
        let answer = move |asked: Asked| -> BoxFuture<'static, Result<Response, ApiError>> {
            let answer = Arc::clone(&answer);
            Box::pin(async move { Ok(answer(asked.route.pattern)) })
        };
        Router {
            door: Arc::new(Door::of("1.0", false, ApiVersion::MIN, &[])),
            answer: Arc::new(answer),
            network: false,
        }
    }

    async fn get(path: &str) -> (u16, HeaderMap, String) {
        let router = fake(|pattern| body::full(StatusCode::OK, pattern));
        let request = Request::get(path).body(body::empty()).unwrap();
        let response = router.call(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn versions_are_negotiated_in_dockers_words() {
        let too_old = "{\"message\":\"client version 1.10 is too old. Minimum supported API \
                       version is 1.24, please upgrade your client to a newer version\"}\n";
        let too_new = "{\"message\":\"client version 9.99 is too new. Maximum supported API \
                       version is 1.56\"}\n";
        let no_page = "{\"message\":\"page not found\"}\n";
        for (path, status, text) in [
            ("/info", 200, "/info"),
            ("/v1.24/info", 200, "/info"),
            ("/v1.56/info", 200, "/info"),
            ("/v1.41/volumes", 200, "/volumes"),
            ("/volumes", 200, "/volumes"),
            ("/v1.10/info", 400, too_old),
            ("/v9.99/info", 400, too_new),
            ("/v1.41/nope", 404, no_page),
            ("/v1.10/nope", 404, no_page),
            ("/v1/info", 404, no_page),
            ("/", 404, no_page),
        ] {
            let (got, headers, body) = get(path).await;
            assert_eq!((got, body.as_str()), (status, text), "{path}");
            assert_eq!(headers["api-version"], "1.56", "{path}");
            assert_eq!(headers["ostype"], "linux");
            assert_eq!(headers["docker-experimental"], "false");
            assert_eq!(headers["server"], "Gantry/1.0 (linux)");
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_request() {
        let router = fake(|_| panic!("on purpose"));
        let request = Request::get("/info").body(body::empty()).unwrap();
        assert_eq!(router.call(request).await.status(), 500);
    }

    #[tokio::test]
    async fn browsers_are_refused_on_the_network_only() {
        let router = fake(|pattern| body::full(StatusCode::OK, pattern));
        let ask = || {
            let request = Request::get("/info").header("Host", "localhost:2375");
            request.header("Origin", "http://evil.example").body(body::empty()).unwrap()
        };
        assert_eq!(router.call(ask()).await.status(), 200);
        assert_eq!(router.over_network().call(ask()).await.status(), 403);
    }
}
