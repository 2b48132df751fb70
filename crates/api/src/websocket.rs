//! `GET /containers/{id}/attach/ws`: the streams in messages instead of raw bytes.
//!
//! Output comes without frames, as Docker sends it here; messages are binary from API 1.28 and
//! text before.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use gantry_engine::{DetachScanner, LogStream};
use gantry_task::AttachStream;
use hyper::HeaderMap;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::connection::RawConnection;
use crate::containers::logs::log_bytes;
use crate::error::ApiError;
use crate::hijack::FRAME_HEADER_BYTES;
use crate::pump::End;

/// Bytes of output in one message.
const MESSAGE_BYTES: usize = 32 << 10;

/// The head that accepts a websocket.
pub(crate) fn accept(headers: &HeaderMap) -> Result<Vec<u8>, ApiError> {
    let has = |name, word: &str| {
        headers.get_all(name).iter().any(|value| {
            let text = value.to_str().unwrap_or_default();
            text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|value| value == "13");
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") || !version {
        return Err(ApiError::invalid("not a websocket request of version 13"));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or_else(|| ApiError::invalid("missing Sec-WebSocket-Key header"))?;
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes())
}

/// How messages are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages {
    /// Binary messages; else text.
    pub(crate) binary: bool,
    /// The output comes in frames, which are taken off.
    pub(crate) framed: bool,
}

/// Connects a client with a container's streams until one of them ends.
pub(crate) async fn run(
    client: RawConnection,
    logs: Option<LogStream>,
    container: AttachStream,
    messages: Messages,
    detach_keys: Vec<u8>,
) -> Result<End, SocketError> {
    let early = client.early.to_vec();
    let socket = WebSocketStream::from_partially_read(client.io, early, Role::Server, None).await;
    let (mut to_client, mut from_client) = socket.split();
    if let Some(mut logs) = logs {
        while let Some(bytes) = log_bytes(&mut logs, false).await {
            to_client.send(message(bytes, messages.binary)).await?;
        }
    }
    let mut container = container.into_inner();
    let (mut output, mut stdin) = container.split();
    let mut scanner = DetachScanner::new(detach_keys);
    let mut unframe = Unframe::default();
    let mut buffer = vec![0; MESSAGE_BYTES];
    loop {
        tokio::select! {
            read = output.read(&mut buffer) => {
                let length = read?;
                if length == 0 {
                    // The client may have left before.
                    let _ = to_client.close().await;
                    return Ok(End::Finished);
                }
                let bytes = match messages.framed {
                    true => unframe.take(&buffer[..length]),
                    false => Bytes::copy_from_slice(&buffer[..length]),
                };
                if !bytes.is_empty() {
                    to_client.send(message(bytes, messages.binary)).await?;
                }
            }
            received = from_client.next() => {
                let Some(received) = received else { return Ok(End::Gone) };
                let sent = match received? {
                    Message::Close(_) => return Ok(End::Gone),
                    message @ (Message::Binary(_) | Message::Text(_)) => message.into_data(),
                    _ => continue,
                };
                let (bytes, detached) = scanner.scan(&sent);
                if detached {
                    let _ = to_client.close().await;
                    return Ok(End::Detached);
                }
                // A program that has closed its standard input may still write output.
                let _ = stdin.write_all(&bytes).await;
            }
        }
    }
}

fn message(bytes: Bytes, binary: bool) -> Message {
    if binary {
        Message::Binary(bytes)
    } else {
        Message::text(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Takes frames off a stream that may be cut anywhere.
#[derive(Debug, Default)]
struct Unframe {
    header: BytesMut,
    left: usize,
}

impl Unframe {
    fn take(&mut self, mut bytes: &[u8]) -> Bytes {
        let mut plain = BytesMut::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left == 0 {
                let wanted = (FRAME_HEADER_BYTES - self.header.len()).min(bytes.len());
                self.header.extend_from_slice(&bytes[..wanted]);
                bytes.advance(wanted);
                if self.header.len() == FRAME_HEADER_BYTES {
                    self.header.advance(4);
                    self.left = usize::try_from(self.header.get_u32()).unwrap_or(usize::MAX);
                    self.header.clear();
                }
                continue;
            }
            let length = self.left.min(bytes.len());
            plain.extend_from_slice(&bytes[..length]);
            bytes.advance(length);
            self.left -= length;
        }
        plain.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hijack::frame;

    #[test]
    fn frames_come_off_wherever_they_are_cut() {
        let stream = [frame(1, b"hello "), frame(2, b""), frame(2, b"world")].concat();
        for cut in 0..=stream.len() {
            let mut unframe = Unframe::default();
            let plain = [unframe.take(&stream[..cut]), unframe.take(&stream[cut..])].concat();
            assert_eq!(plain, b"hello world", "cut at {cut}");
        }
    }

    #[test]
    fn only_websocket_requests_are_accepted() {
        let mut headers = HeaderMap::new();
        assert!(accept(&headers).is_err());
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        // The key and its answer are the example of RFC 6455, section 1.3.
        let head = String::from_utf8(accept(&headers).expect("complete")).unwrap();
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    }
}
