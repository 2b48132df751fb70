//! The daemon itself: `_ping`, `version`, `info`, `system/df`.

use std::collections::BTreeMap;

use gantry_api_types::ApiVersion;
use gantry_api_types::system::{ComponentVersion, PlatformName, Version};
use gantry_engine::DiskUsageKinds;
use gantry_oci::Platform;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;
use crate::{Api, shape};

/// The classic builder is named until there is a BuildKit door, so that clients do not choose that.
const BUILDER_VERSION: &str = "1";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// `GET /_ping`.
pub(crate) async fn ping(_call: Call) -> Result<Response, ApiError> {
    Ok(pong(body::full(StatusCode::OK, "OK")))
}

/// `HEAD /_ping`.
pub(crate) async fn ping_head(_call: Call) -> Result<Response, ApiError> {
    Ok(pong(body::status(StatusCode::OK)))
}

fn pong(response: Response) -> Response {
    let mut response = body::typed(response, TEXT);
    let headers = response.headers_mut();
    for (name, value) in [
        (HeaderName::from_static("builder-version"), BUILDER_VERSION),
        (HeaderName::from_static("swarm"), "inactive"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `GET /version`.
pub(crate) async fn version(call: Call) -> Result<Response, ApiError> {
    body::ok(&version_document(&call.api))
}

fn version_document(api: &Api) -> Version {
    let own = &api.version;
    let arch = Platform::host().architecture;
    let (newest, oldest) = (ApiVersion::MAX.to_string(), api.min_version.to_string());
    let details = [
        ("ApiVersion", newest.as_str()),
        ("Arch", &arch),
        ("BuildTime", &own.build_time),
        ("Experimental", if own.experimental { "true" } else { "false" }),
        ("GitCommit", &own.git_commit),
        ("GoVersion", &own.compiler),
        ("KernelVersion", &own.kernel),
        ("MinAPIVersion", &oldest),
        ("Os", "linux"),
    ];
    let details: BTreeMap<_, _> =
        details.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Version {
        platform: PlatformName { name: "Gantry".to_owned() },
        components: vec![ComponentVersion {
            name: "Engine".to_owned(),
            version: own.version.clone(),
            details: Some(details),
        }],
        version: own.version.clone(),
        api_version: newest,
        min_api_version: oldest,
        git_commit: own.git_commit.clone(),
        go_version: own.compiler.clone(),
        os: "linux".to_owned(),
        arch,
        kernel_version: own.kernel.clone(),
        experimental: own.experimental,
        build_time: own.build_time.clone(),
    }
}

/// `GET /info`.
pub(crate) async fn info(call: Call) -> Result<Response, ApiError> {
    let mut info = call.api.engine.info().await?;
    info.server_version.clone_from(&call.api.version.version);
    info.experimental_build = call.api.version.experimental;
    shape::info(&mut info, call.version);
    body::ok(&info)
}

/// `GET /system/df`.
pub(crate) async fn disk_usage(call: Call) -> Result<Response, ApiError> {
    let kinds = kinds(&call.query.all("type"), call.version)?;
    let verbose = call.query.filled("verbose").map(|_| call.query.flag("verbose"));
    let mut usage = call.api.engine.disk_usage(kinds).await?;
    if kinds.build_cache {
        usage.build_cache = Some(call.api.builds.records().await?);
    }
    body::ok(&shape::disk_usage(usage, call.version, verbose))
}

/// What to count; everything when nothing is named, and before 1.42.
fn kinds(types: &[String], version: ApiVersion) -> Result<DiskUsageKinds, ApiError> {
    let all = types.is_empty() || !version.at_least(42);
    let mut kinds = DiskUsageKinds { images: all, containers: all, volumes: all, build_cache: all };
    for kind in types.iter().filter(|_| !all) {
        match kind.as_str() {
            "image" => kinds.images = true,
            "container" => kinds.containers = true,
            "volume" => kinds.volumes = true,
            "build-cache" => kinds.build_cache = true,
            _ => return Err(ApiError::invalid(format!("unknown object type: {kind}"))),
        }
    }
    Ok(kinds)
}

/// `GET /plugins`: there are none.
pub(crate) async fn plugins(call: Call) -> Result<Response, ApiError> {
    call.query.filters()?;
    body::ok::<[(); 0]>(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_usage_kinds() {
        let read = |types: &[&str], minor| {
            let types: Vec<_> = types.iter().map(|kind| (*kind).to_owned()).collect();
            kinds(&types, ApiVersion::new(1, minor))
        };
        let all = read(&[], 56).unwrap();
        assert!(all.images && all.containers && all.volumes && all.build_cache);
        assert_eq!(read(&["image"], 41), Ok(all));
        let two = read(&["image", "volume"], 42).unwrap();
        assert!(two.images && two.volumes && !two.containers && !two.build_cache);
        assert_eq!(read(&["x"], 42), Err(ApiError::invalid("unknown object type: x")));
    }

    #[test]
    fn ping_has_dockers_headers() {
        let response = pong(body::status(StatusCode::OK));
        let headers = response.headers();
        assert_eq!(headers["builder-version"], "1");
        assert_eq!(headers["swarm"], "inactive");
        assert_eq!(headers["cache-control"], "no-cache, no-store, must-revalidate");
        assert_eq!(headers["pragma"], "no-cache");
    }
}
