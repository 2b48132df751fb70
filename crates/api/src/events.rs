//! `GET /events`.

use futures_util::stream;
use gantry_api_types::ApiVersion;
use gantry_api_types::events::EventMessage;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, HeaderValue};

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::{self, ApiError};
use crate::{shape, time};

/// Begins a record of a JSON text sequence; RFC 7464.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Replays, then follows until `until` or until the client leaves; the head goes out at once.
pub(crate) async fn events(call: Call) -> Result<Response, ApiError> {
    let version = call.version;
    let since_ns = time::parse_unix(call.query.text("since"))?;
    let until_ns = time::parse_unix(call.query.text("until"))?;
    if let (Some(since), Some(until)) = (since_ns, until_ns)
        && since > until
    {
        return Err(ApiError::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            call.query.text("since"),
            call.query.text("until"),
        )));
    }
    let filters = call.query.filters()?;
    let events = call.api.engine.events().subscribe(since_ns, until_ns, filters);
    let events = events.map_err(|refused| error::filter(&refused))?;
    let content_type = content_type(&call.headers, version);
    let lines = stream::unfold(events, move |mut events| async move {
        loop {
            let event = events.next().await?;
            if let Some(event) = shape::event(&event, version) {
                return Some((line(&event, content_type), events));
            }
        }
    });
    Ok(body::stream(HeaderValue::from_static(content_type), lines))
}

fn line(event: &EventMessage, content_type: &str) -> std::io::Result<bytes::Bytes> {
    let line = body::json_line(event)?;
    if content_type != SEQUENCE {
        return Ok(line);
    }
    Ok([&[RECORD_SEPARATOR][..], &line].concat().into())
}

const SEQUENCE: &str = "application/json-seq";
const NEWLINE: &str = "application/x-ndjson";
const LINES: &str = "application/jsonl";

/// Before 1.52 it was plain JSON; from then on what the client accepts.
fn content_type(headers: &HeaderMap, version: ApiVersion) -> &'static str {
    if !version.at_least(52) {
        return "application/json";
    }
    let accepts = |kind: &str| {
        headers
            .get_all(ACCEPT)
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains(kind)))
    };
    match () {
        () if accepts(LINES) => LINES,
        () if accepts(NEWLINE) => NEWLINE,
        () if accepts(SEQUENCE) => SEQUENCE,
        () => LINES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_negotiated() {
        for (version, accept, want) in [
            (51, "application/x-ndjson", "application/json"),
            (52, "", LINES),
            (52, "*/*", LINES),
            (52, "application/x-ndjson", NEWLINE),
            (52, "application/json-seq", SEQUENCE),
            (52, "application/json-seq, application/jsonl", LINES),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(content_type(&headers, ApiVersion::new(1, version)), want, "{accept}");
        }
        let line = line(&EventMessage::default(), SEQUENCE).unwrap();
        assert_eq!(line.first(), Some(&RECORD_SEPARATOR));
        assert_eq!(line.last(), Some(&b'\n'));
    }
}
