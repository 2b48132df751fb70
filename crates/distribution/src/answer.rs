//! A registry's refusal: status, codes and messages.
//!
//! ```text
//! {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": …}]}
//! {"details": "incorrect username or password"}          servers of tokens
//! ```
//!
//! Source: OCI distribution specification, "Error Codes"; Docker's registry API, "Errors".

use std::{fmt, time::Duration};

use gantry_fault::Kind;
use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde::Deserialize;

/// Longest text of a server that is shown, characters.
const TEXT_MAX: usize = 300;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked, `Get`, `Head`, ….
    pub verb: &'static str,
    /// Of which URL, without its secrets.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// What it says.
    pub errors: Vec<RegistryError>,
    /// Its words, if they are not in the specified form.
    pub text: String,
    /// After which time it may be asked again.
    pub retry_after: Option<Duration>,
    /// `RateLimit-Limit`: requests, and in how many seconds.
    pub rate: Option<String>,
    /// `RateLimit-Remaining`.
    pub remaining: Option<String>,
}

/// One error of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    /// `MANIFEST_UNKNOWN`, ….
    pub code: String,
    /// For people.
    pub message: String,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<BodyError>,
    #[serde(default)]
    details: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct BodyError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Answer {
    /// Reads a refusal.
    pub(crate) fn read(
        verb: &'static str,
        url: String,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let text = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).map(|text| clean(text.trim()))
        };
        let mut answer = Self {
            verb,
            url,
            status: status.as_u16(),
            errors: Vec::new(),
            text: String::new(),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|text| wait(&text)),
            rate: text("ratelimit-limit"),
            remaining: text("ratelimit-remaining"),
        };
        answer.read_body(body);
        answer
    }

    fn read_body(&mut self, body: &[u8]) {
        let Ok(document) = serde_json::from_slice::<Body>(body) else {
            // A page for browsers says nothing here.
            if !body.trim_ascii_start().starts_with(b"<") {
                self.text = clean(&String::from_utf8_lossy(body));
            }
            return;
        };
        self.errors = document.errors.into_iter().filter_map(BodyError::known).collect();
        if let Some(serde_json::Value::String(details)) = document.details {
            self.text = clean(&details);
        }
    }

    /// The code of the first error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.errors.first().map_or("", |error| error.code.as_str())
    }

    /// Whether it asked for fewer requests.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS.as_u16() || self.code() == "TOOMANYREQUESTS"
    }

    pub(crate) fn is_passing(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(is_passing) && !self.is_rate_limit()
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.status {
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            405 | 501 => Kind::NotImplemented,
            400..=499 => Kind::InvalidArgument,
            _ => Kind::Unavailable,
        }
    }

    /// What to do about a limit of requests.
    pub(crate) fn rate_hint(&self) -> String {
        let mut text = match self.rate.as_deref().map(rate) {
            Some((requests, Some(seconds))) => {
                format!("the registry allows {requests} requests in {seconds} s")
            }
            Some((requests, None)) => format!("the registry allows {requests} requests"),
            None => "the registry limits requests".to_owned(),
        };
        if let Some(wait) = self.retry_after {
            text.push_str(&format!(", and may be asked again in {} s", wait.as_secs()));
        }
        text.push_str("; log in for a higher limit, or use a mirror");
        text
    }
}

impl BodyError {
    fn known(self) -> Option<RegistryError> {
        let (code, message) = (self.code.unwrap_or_default(), self.message.unwrap_or_default());
        let empty = code.is_empty() && message.is_empty();
        (!empty).then(|| RegistryError { code: clean(&code), message: clean(&message) })
    }
}

impl fmt::Display for RegistryError {
    /// As Docker prints it: the code in words, then the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        match (code.is_empty(), self.message.is_empty()) {
            (true, _) => f.write_str(&self.message),
            (false, true) => f.write_str(&code),
            (false, false) => write!(f, "{code}: {}", self.message),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.as_slice() {
            [one] => return one.fmt(f),
            [] => {}
            several => {
                f.write_str("errors:")?;
                return several.iter().try_for_each(|error| write!(f, "\n{error}"));
            }
        }
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        if status == StatusCode::UNAUTHORIZED && !self.text.is_empty() {
            return write!(f, "unauthorized: {}", self.text);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let text = if self.text.is_empty() { "too many requests" } else { &self.text };
            return write!(f, "toomanyrequests: {text} ({} {:?})", self.verb, self.url);
        }
        write!(f, "{} {:?}: received unexpected HTTP status: {status}", self.verb, self.url)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

impl std::error::Error for Answer {}

/// Whether a status may be another one soon.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// What is safe to print of a server's text.
fn clean(text: &str) -> String {
    let text = text.trim().chars().take(TEXT_MAX);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `Retry-After`: seconds, or a date.
fn wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default())
}

/// `100;w=21600`: how many, and in how many seconds.
fn rate(text: &str) -> (&str, Option<&str>) {
    let (requests, rest) = text.split_once(';').unwrap_or((text, ""));
    (requests.trim(), rest.split(';').find_map(|part| part.trim().strip_prefix("w=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer::read("Get", "https://r/v2/".to_owned(), status, &map, body.as_bytes())
    }

    #[test]
    fn words() {
        for (status, body, want) in [
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                "manifest unknown: manifest unknown",
            ),
            (
                401,
                r#"{"details":"incorrect username or password"}"#,
                "unauthorized: incorrect username or password",
            ),
            (
                400,
                r#"{"errors":[{"code":"A_B","message":"x"},{"code":"C"},{}]}"#,
                "errors:\na b: x\nc",
            ),
            (
                502,
                "<html>bad</html>",
                r#"Get "https://r/v2/": received unexpected HTTP status: 502 Bad Gateway"#,
            ),
            (
                500,
                "out of\u{1b}[31m luck\n",
                r#"Get "https://r/v2/": received unexpected HTTP status: 500 Internal Server Error: out of [31m luck"#,
            ),
            (429, "", r#"toomanyrequests: too many requests (Get "https://r/v2/")"#),
            (
                429,
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
                "toomanyrequests: You have reached your pull rate limit.",
            ),
        ] {
            assert_eq!(answer(status, &[], body).to_string(), want, "{status} {body}");
        }
    }

    #[test]
    fn limits_of_requests() {
        let limited = answer(429, &[("retry-after", "7"), ("ratelimit-limit", "100;w=21600")], "");
        assert_eq!(limited.retry_after, Some(Duration::from_secs(7)));
        assert!(limited.rate_hint().contains("100 requests in 21600 s"), "{}", limited.rate_hint());
        let dated = answer(429, &[("retry-after", "Mon, 01 Jan 2001 00:00:00 GMT")], "");
        assert_eq!(dated.retry_after, Some(Duration::ZERO));
        assert_eq!(answer(429, &[("retry-after", "soon")], "").retry_after, None);
    }
}
