//! `POST /containers/{id}/wait`: how a container's run ends.

use futures_util::stream;
use gantry_api_types::ApiVersion;
use gantry_api_types::container::WaitResponse;
use gantry_engine::WaitCondition;
use hyper::header::HeaderValue;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;

/// From 1.30 the head goes out at once, since clients start the container only then.
pub(crate) async fn wait(call: Call) -> Result<Response, ApiError> {
    let version = call.version;
    let condition = condition(call.query.text("condition"), version)?;
    let result = call.container()?.wait(condition);
    if !version.at_least(30) {
        return body::ok(&answer(result.await, version));
    }
    let line = stream::once(async move { body::json_line(&answer(result.await, version)) });
    Ok(body::stream(HeaderValue::from_static("application/json"), line))
}

fn condition(text: &str, version: ApiVersion) -> Result<WaitCondition, ApiError> {
    if !version.at_least(30) {
        return Ok(WaitCondition::NotRunning);
    }
    WaitCondition::parse(text)
        .ok_or_else(|| ApiError::invalid(format!("invalid condition: \"{text}\"")))
}

/// The error's text came with 1.34.
fn answer(mut result: WaitResponse, version: ApiVersion) -> WaitResponse {
    if !version.at_least(34) {
        result.error = None;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let new = ApiVersion::MAX;
        for (text, want) in [
            ("", WaitCondition::NotRunning),
            ("not-running", WaitCondition::NotRunning),
            ("next-exit", WaitCondition::NextExit),
            ("removed", WaitCondition::Removed),
        ] {
            assert_eq!(condition(text, new), Ok(want), "{text}");
        }
        assert_eq!(condition("x", new), Err(ApiError::invalid("invalid condition: \"x\"")));
        assert_eq!(condition("x", ApiVersion::new(1, 29)), Ok(WaitCondition::NotRunning));
    }
}
