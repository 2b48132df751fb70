//! One HTTP request and its answer over a socket, each step within a deadline.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::find::Address;

/// What a plugin is spoken to in.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// Longest line of an answer's head, and most of its lines.
const LINE_LIMIT_BYTES: u64 = 16 << 10;
const LINES_LIMIT: usize = 128;
/// Largest body that is taken: a list of 20,000 volumes fits.
const BODY_LIMIT_BYTES: u64 = 16 << 20;
/// How long to wait before a plugin that is just starting is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a plugin may refuse connections: it is being restarted, or it is gone.
const REFUSED_LIMIT: Duration = Duration::from_secs(5);

/// A connection whose every read and write ends by a moment.
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

struct Timed {
    socket: Socket,
    end: Instant,
}

impl Timed {
    /// Sets the time that is left; none is an error.
    fn arm(&self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        match &self.socket {
            Socket::Unix(socket) => {
                socket.set_read_timeout(Some(left))?;
                socket.set_write_timeout(Some(left))
            }
            Socket::Tcp(socket) => {
                socket.set_read_timeout(Some(left))?;
                socket.set_write_timeout(Some(left))
            }
        }
    }
}

/// What the kernel says of a socket's timeout is "try again", which tells nobody anything.
fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within the time limit")
}

fn told(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        let read = match &mut self.socket {
            Socket::Unix(socket) => socket.read(buffer),
            Socket::Tcp(socket) => socket.read(buffer),
        };
        read.map_err(told)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        let written = match &mut self.socket {
            Socket::Unix(socket) => socket.write(bytes),
            Socket::Tcp(socket) => socket.write(bytes),
        };
        written.map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Posts JSON to `/method`; gives the status and the body.
pub(super) fn post(
    address: &Address,
    method: &str,
    body: &[u8],
    limit: Duration,
) -> io::Result<(u16, Vec<u8>)> {
    let begin = Instant::now();
    let socket = connect(address, begin, limit)?;
    let mut stream = Timed { socket, end: begin + limit };
    let host = match address {
        Address::Unix(_) => "plugin",
        Address::Tcp(host) => host,
    };
    let head = format!(
        "POST /{method} HTTP/1.1\r\nHost: {host}\r\nAccept: {MEDIA_TYPE}\r\n\
         Content-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    answer(BufReader::new(stream))
}

/// Connects; a plugin that is being restarted gets a little time.
fn connect(address: &Address, begin: Instant, limit: Duration) -> io::Result<Socket> {
    loop {
        let connected = match address {
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
            Address::Tcp(host) => dial(host, limit.saturating_sub(begin.elapsed())),
        };
        let error = match connected {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => error,
            other => return other,
        };
        if begin.elapsed() + RETRY > limit.min(REFUSED_LIMIT) {
            return Err(error);
        }
        std::thread::sleep(RETRY);
    }
}

fn dial(host: &str, limit: Duration) -> io::Result<Socket> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "no such host");
    let address = host.to_socket_addrs()?.next().ok_or_else(none)?;
    if limit.is_zero() {
        return Err(late());
    }
    TcpStream::connect_timeout(&address, limit).map(Socket::Tcp)
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How long a body is.
enum Length {
    Bytes(u64),
    Chunked,
    ToTheEnd,
}

fn answer(mut stream: BufReader<impl Read>) -> io::Result<(u16, Vec<u8>)> {
    let first = line(&mut stream)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| bad("the answer is not HTTP"))?;
    let mut length = Length::ToTheEnd;
    for _ in 0..LINES_LIMIT {
        let header = line(&mut stream)?;
        if header.is_empty() {
            return Ok((status, body(&mut stream, length)?));
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let bytes = value.parse().map_err(|_| bad("the answer's length is no number"))?;
            length = Length::Bytes(bytes);
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            && value.eq_ignore_ascii_case("chunked")
        {
            length = Length::Chunked;
        }
    }
    Err(bad("the answer's head is too long"))
}

fn line(stream: &mut BufReader<impl Read>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(bad("the answer ends in its head"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| bad("the answer's head is no text"))
}

fn body(stream: &mut BufReader<impl Read>, length: Length) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match length {
        Length::Bytes(bytes) => exactly(stream, bytes, &mut body)?,
        Length::ToTheEnd => {
            stream.by_ref().take(BODY_LIMIT_BYTES + 1).read_to_end(&mut body)?;
        }
        Length::Chunked => loop {
            let size = line(stream)?;
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(|_| bad("a chunk has no size"))?;
            if size == 0 {
                break;
            }
            exactly(stream, size, &mut body)?;
            line(stream)?;
        },
    }
    match body.len() as u64 > BODY_LIMIT_BYTES {
        true => Err(bad("the answer is too long")),
        false => Ok(body),
    }
}

fn exactly(stream: &mut BufReader<impl Read>, bytes: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if bytes.saturating_add(body.len() as u64) > BODY_LIMIT_BYTES {
        return Err(bad("the answer is too long"));
    }
    let read = stream.by_ref().take(bytes).read_to_end(body)?;
    if read as u64 == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(u16, String), String> {
        let (status, body) =
            answer(BufReader::new(text.as_bytes())).map_err(|error| error.to_string())?;
        Ok((status, String::from_utf8(body).unwrap()))
    }

    #[test]
    fn answers_are_read_in_every_form() {
        for (text, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}junk", Ok((200, "{}"))),
            ("HTTP/1.0 404 Not Found\r\n\r\ngone", Ok((404, "gone"))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                Ok((200, "{}")),
            ),
            ("SSH-2.0\r\n", Err("the answer is not HTTP")),
            ("HTTP/1.1 200 OK\r\n", Err("the answer ends in its head")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                Err("the answer is too long"),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", Err("unexpected end of file")),
        ] {
            let got = read(text);
            let got = got.as_ref().map(|(status, body)| (*status, body.as_str()));
            assert_eq!(got.map_err(String::as_str), want, "{text:?}");
        }
    }
}
