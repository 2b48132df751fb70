//! Docker's `json-file` format: one object a line.
//!
//! `{"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2026-01-02T03:04:05.6Z"}`

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::{self, TimeText};
use crate::entry::{Decoded, Stream};
use crate::escape;

/// Writes lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `,"attrs":{...}`, or nothing.
    attrs: Vec<u8>,
    time: TimeText,
}

impl Encoder {
    pub(crate) fn new(attrs: &BTreeMap<String, String>) -> Encoder {
        let mut text = Vec::new();
        if !attrs.is_empty() {
            text.extend_from_slice(b",\"attrs\":");
            append_attrs(attrs, &mut text);
        }
        Encoder { attrs: text, time: TimeText::new() }
    }

    pub(crate) fn append(&mut self, stream: Stream, time_ns: i64, line: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"log\":\"");
        escape::append(line, out);
        out.extend_from_slice(b"\",\"stream\":\"");
        out.extend_from_slice(stream.name().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.attrs);
        out.extend_from_slice(b",\"time\":\"");
        self.time.append(time_ns, out);
        out.extend_from_slice(b"\"}\n");
    }
}

/// Appends attributes as a JSON object.
pub(crate) fn append_attrs(attrs: &BTreeMap<String, String>, out: &mut Vec<u8>) {
    let mut separator = b'{';
    for (name, value) in attrs {
        out.push(separator);
        separator = b',';
        out.push(b'"');
        escape::append(name.as_bytes(), out);
        out.extend_from_slice(b"\":\"");
        escape::append(value.as_bytes(), out);
        out.push(b'"');
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Reads one line, without its newline, into `out`; false if it is damaged.
pub(crate) fn decode(line: &[u8], out: &mut Decoded) -> bool {
    decode_checked(line, out).is_some()
}

fn decode_checked(line: &[u8], out: &mut Decoded) -> Option<()> {
    out.line.clear();
    out.attrs.clear();
    if let Some(found) = scan(line) {
        escape::decode(found.log, &mut out.line)?;
        out.attrs.extend_from_slice(found.attrs);
        (out.stream, out.time_ns) = (found.stream, found.time_ns);
        return Some(());
    }
    let any: AnyShape<'_> = serde_json::from_slice(line).ok()?;
    out.line.extend_from_slice(any.log.as_bytes());
    if let Some(attrs) = any.attrs {
        out.attrs.extend_from_slice(attrs.get().as_bytes());
    }
    out.stream = if any.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    out.time_ns = clock::parse(any.time.as_bytes())?;
    Some(())
}

struct Scan<'a> {
    log: &'a [u8],
    stream: Stream,
    attrs: &'a [u8],
    time_ns: i64,
}

/// Takes a line apart that has exactly the shape that [`Encoder`] and dockerd write.
fn scan(line: &[u8]) -> Option<Scan<'_>> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let log = &rest[..string_end(rest)?];
    let rest = rest[log.len()..].strip_prefix(b"\",\"stream\":\"std")?;
    let (stream, rest) = if let Some(rest) = rest.strip_prefix(b"out\"") {
        (Stream::Stdout, rest)
    } else {
        (Stream::Stderr, rest.strip_prefix(b"err\"")?)
    };
    let rest = rest.strip_suffix(b"\"}")?;
    // The time has no escapes, so the last quote starts it.
    let start = memchr::memrchr(b'"', rest)?;
    let time_ns = clock::parse(&rest[start + 1..])?;
    let attrs = rest[..start].strip_suffix(b",\"time\":")?;
    let attrs = if attrs.is_empty() { attrs } else { attrs.strip_prefix(b",\"attrs\":")? };
    Some(Scan { log, stream, attrs, time_ns })
}

/// Where the closing quote of a string is.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A line that another tool wrote or changed.
#[derive(Deserialize)]
struct AnyShape<'a> {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default, borrow)]
    attrs: Option<&'a RawValue>,
    time: String,
}

#[cfg(test)]
mod tests {
    use super::{Encoder, decode, scan};
    use crate::entry::{Decoded, Stream};
    use std::collections::BTreeMap;

    #[test]
    fn one_line_as_docker_writes_it() {
        let mut out = Vec::new();
        let attrs = BTreeMap::from([("a".to_owned(), "<1>".to_owned())]);
        Encoder::new(&attrs).append(Stream::Stderr, 1_600_000_000_500_000_000, b"hi\n", &mut out);
        let want = "{\"log\":\"hi\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"\\u003c1\\u003e\"},\
                    \"time\":\"2020-09-13T12:26:40.5Z\"}\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
        let mut text = Decoded::default();
        assert!(scan(out.trim_ascii_end()).is_some());
        assert!(decode(out.trim_ascii_end(), &mut text));
        assert_eq!((text.stream, &text.line[..]), (Stream::Stderr, &b"hi\n"[..]));
        assert_eq!(text.entry().attrs(), attrs);
    }

    #[test]
    fn other_shapes_and_damage() {
        let mut text = Decoded::default();
        let odd = br#"{ "time": "1970-01-01T00:00:01Z", "stream":"stdout", "log": "x\"y" }"#;
        assert!(decode(odd, &mut text));
        assert_eq!((text.time_ns, &text.line[..]), (1_000_000_000, &b"x\"y"[..]));
        for damaged in ["", "{\"log\":\"ab", "\0\0\0", "{\"log\":\"a\",\"stream\":\"stdout\"}"] {
            assert!(!decode(damaged.as_bytes(), &mut text), "{damaged}");
        }
    }
}
