//! Heads of handed-over connections.
//!
//! Only the presence of an `Upgrade` header decides: with it the answer is `101 UPGRADED`, without
//! it a plain `200 OK` whose body is the raw stream to the end of the connection. Neither has a
//! length nor chunks, and the reason phrase is Docker's own, which clients compare.

use gantry_api_types::ApiVersion;
use hyper::HeaderMap;
use hyper::header::UPGRADE;

/// Bytes without frames; what every stream was called before 1.42.
pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
/// Bytes in frames, from 1.42.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Length of the header before each frame.
pub(crate) const FRAME_HEADER_BYTES: usize = 8;

/// The `Content-Type` of a container's output.
pub(crate) fn content_type(version: ApiVersion, tty: bool) -> &'static str {
    if !tty && version.at_least(42) { MULTIPLEXED } else { RAW }
}

/// The head of a handed-over connection. `further` are whole header lines.
pub(crate) fn head(
    request: &HeaderMap,
    version: ApiVersion,
    tty: bool,
    further: &[(&'static str, String)],
) -> Vec<u8> {
    let mut head = if request.contains_key(UPGRADE) {
        let content_type = content_type(version, tty);
        format!(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {content_type}\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n"
        )
    } else {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n")
    };
    for (name, value) in further {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Puts bytes into a frame of the stream with this number: 1 output, 2 error, 3 the engine's own.
pub(crate) fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut framed = Vec::with_capacity(FRAME_HEADER_BYTES + bytes.len());
    framed.extend_from_slice(&[stream, 0, 0, 0]);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_dockers() {
        let mut upgrade = HeaderMap::new();
        upgrade.insert(UPGRADE, "tcp".parse().unwrap());
        let none = HeaderMap::new();
        let (old, new) = (ApiVersion::new(1, 41), ApiVersion::new(1, 42));
        let upgraded = |kind| {
            format!(
                "HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
        };
        let plain = format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n");
        for (headers, version, tty, want) in [
            (&upgrade, old, false, upgraded(RAW)),
            (&upgrade, new, false, upgraded(MULTIPLEXED)),
            (&upgrade, new, true, upgraded(RAW)),
            (&none, new, false, plain),
        ] {
            let head = head(headers, version, tty, &[]);
            assert_eq!(String::from_utf8_lossy(&head), want, "{version} tty {tty}");
        }
    }

    #[test]
    fn frames_have_length_and_stream() {
        assert_eq!(frame(2, b"ab"), [2, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']);
    }
}
