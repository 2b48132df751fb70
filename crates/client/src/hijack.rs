//! Taking a connection over: attach, exec and builds.
//!
//! The request is written by hand, because a daemon may answer `101` or, in the older way,
//! `200`, and in both cases the connection becomes a raw stream in both directions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf};

use crate::connect::Stream;
use crate::error::from_body;
use crate::{Client, ClientError, Query};

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Longest body of an error answer.
const MAX_ERROR_BYTES: u64 = 1 << 20;

/// A connection that belongs to streams from now on.
#[derive(Debug)]
pub struct Hijacked {
    /// Media type of the stream: raw or multiplexed; older daemons do not say.
    pub content_type: Option<String>,
    /// From the container.
    pub reader: HijackReader,
    /// To the container; shutting it down is the end of its standard input.
    pub writer: HijackWriter,
}

/// The reading half, with what came behind the head of the answer.
#[derive(Debug)]
pub struct HijackReader {
    early: Vec<u8>,
    at: usize,
    inner: ReadHalf<Stream>,
}

/// The writing half.
pub type HijackWriter = WriteHalf<Stream>;

impl AsyncRead for HijackReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.early.len() {
            let count = buf.remaining().min(this.early.len() - this.at);
            buf.put_slice(&this.early[this.at..this.at + count]);
            this.at += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(cx, buf)
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a connection is to become.
pub(crate) struct Upgrade<'a> {
    /// The protocol's name.
    pub(crate) protocol: &'a str,
    /// Headers of this request alone; values have no line ends.
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Client {
    /// Posts a request and takes its connection over.
    ///
    /// # Errors
    /// [`ClientError::Daemon`] with the daemon's words, or what broke on the way.
    pub async fn hijack(
        &self,
        path: &str,
        query: &Query,
        body: &[u8],
    ) -> Result<Hijacked, ClientError> {
        let upgrade = Upgrade { protocol: "tcp", headers: &[] };
        self.upgrade(path, query, &upgrade, body).await
    }

    /// As [`Client::hijack`], to another protocol.
    ///
    /// # Errors
    /// As [`Client::hijack`].
    pub(crate) async fn upgrade(
        &self,
        path: &str,
        query: &Query,
        upgrade: &Upgrade<'_>,
        body: &[u8],
    ) -> Result<Hijacked, ClientError> {
        let target = self.target(path, query).await?;
        let mut stream = self.dial().await?;
        let protocol = upgrade.protocol;
        let own: String =
            upgrade.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST {target} HTTP/1.1\r\n{}{own}Connection: Upgrade\r\nUpgrade: {protocol}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.head_lines(),
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        stream.flush().await?;
        let (head, early) = read_head(&mut stream).await?;
        if head.status != 101 && head.status != 200 {
            let body = read_error(&head, early, stream).await?;
            return Err(from_body(head.status, &head.reason, &body));
        }
        let content_type = head.header("content-type").map(str::to_owned);
        let (inner, writer) = tokio::io::split(stream);
        Ok(Hijacked { content_type, reader: HijackReader { early, at: 0, inner }, writer })
    }
}

async fn read_head(stream: &mut Stream) -> Result<(Head, Vec<u8>), ClientError> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = parse_head(&bytes[..end])
                .ok_or_else(|| ClientError::Transport("malformed HTTP response".into()))?;
            if head.status != 100 {
                return Ok((head, bytes.split_off(end + 4)));
            }
            bytes.drain(..end + 4);
            continue;
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(ClientError::Transport("the head of the answer is too long".into()));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ClientError::Transport("EOF".into()));
        }
    }
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut status = lines.next()?.strip_prefix("HTTP/1.")?.splitn(3, ' ').skip(1);
    let code = status.next()?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Head { status: code, reason: status.next().unwrap_or("").to_owned(), headers })
}

async fn read_error(head: &Head, early: Vec<u8>, stream: Stream) -> io::Result<Vec<u8>> {
    let mut bytes = early;
    let length = head.header("content-length").and_then(|length| length.parse::<u64>().ok());
    let chunked = head.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let mut stream = stream.take(MAX_ERROR_BYTES);
    loop {
        if chunked && let Some(body) = dechunk(&bytes) {
            return Ok(body);
        }
        if length.is_some_and(|length| bytes.len() as u64 >= length) {
            return Ok(bytes);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(bytes);
        }
    }
}

/// The body of a chunked message, once its last chunk is there.
fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = bytes.get(end + 2..end.checked_add(2)?.checked_add(size)?)?;
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads_and_chunks() {
        let head = parse_head(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: a/b\r\nX: y").expect("head");
        assert_eq!((head.status, head.header("content-type")), (101, Some("a/b")));
        assert_eq!(head.reason, "UPGRADED");
        assert!(parse_head(b"SSH-2.0").is_none());
        assert_eq!(dechunk(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").as_deref(), Some(&b"abcde"[..]));
        assert_eq!(dechunk(b"3\r\nab"), None);
        assert_eq!(dechunk(b"ffffffffffffffff\r\nab"), None);
    }
}
