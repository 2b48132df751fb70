//! One kept-open connection to a daemon's API: what a client library holds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use gantry_rig::Client;

/// A connection that is used again for each request.
pub(crate) struct Api {
    stream: BufReader<UnixStream>,
}

impl Api {
    /// Connects to a daemon.
    pub(crate) fn connect(client: &Client) -> io::Result<Self> {
        let stream = UnixStream::connect(client.socket())?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// One request; fails on a status of 400 or more.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let request = format!(
            "{method} /v1.41{path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, length) = self.head()?;
        let answer = match length {
            Some(length) => {
                let mut answer = vec![0; length];
                self.stream.read_exact(&mut answer)?;
                answer
            }
            None => self.chunks()?,
        };
        if status >= 400 {
            let text = String::from_utf8_lossy(&answer);
            return Err(io::Error::other(format!("{method} {path}: {status} {text}")));
        }
        Ok(answer)
    }

    /// Creates a container and gives its id.
    pub(crate) fn create(&mut self, body: &str) -> io::Result<String> {
        let answer = self.call("POST", "/containers/create", body)?;
        let json: serde_json::Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        json["Id"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other("no Id"))
    }

    /// Starts a container.
    pub(crate) fn start(&mut self, id: &str) -> io::Result<()> {
        self.call("POST", &format!("/containers/{id}/start"), "").map(drop)
    }

    /// Waits for a container's end and gives its exit code.
    pub(crate) fn wait(&mut self, id: &str) -> io::Result<i64> {
        let answer = self.call("POST", &format!("/containers/{id}/wait"), "")?;
        let json: serde_json::Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        json["StatusCode"].as_i64().ok_or_else(|| io::Error::other("no StatusCode"))
    }

    /// Removes a container.
    pub(crate) fn remove(&mut self, id: &str, force: bool) -> io::Result<()> {
        self.call("DELETE", &format!("/containers/{id}?force={force}&v=1"), "").map(drop)
    }

    /// Creates and runs an exec, discarding its output.
    pub(crate) fn exec(&mut self, client: &Client, id: &str, command: &str) -> io::Result<()> {
        let body = format!(r#"{{"AttachStdout":true,"Cmd":[{command}]}}"#);
        let answer = self.call("POST", &format!("/containers/{id}/exec"), &body)?;
        let json: serde_json::Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        let exec = json["Id"].as_str().unwrap_or_default();
        let path = format!("/exec/{exec}/start");
        hijack(client, &path, r#"{"Detach":false}"#, || ()).map(drop)
    }

    fn head(&mut self) -> io::Result<(u16, Option<usize>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut length = (status == 204 || status == 304).then_some(0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                return Ok((status, length));
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let from = answer.len();
            answer.resize(from + size, 0);
            self.stream.read_exact(&mut answer[from..])?;
            line.clear();
            self.stream.read_line(&mut line)?;
            if size == 0 {
                return Ok(answer);
            }
        }
    }
}

/// What came through a hijacked stream.
pub(crate) struct Seen {
    /// How many bytes, frame headers among them.
    pub bytes: u64,
    /// Seconds from the first of them to the end.
    pub span_s: f64,
}

/// Opens a hijacked stream and reads it to its end. `ready` is called once it is open.
pub(crate) fn hijack(
    client: &Client,
    path: &str,
    body: &str,
    ready: impl FnOnce(),
) -> io::Result<Seen> {
    let mut stream = BufReader::with_capacity(1 << 18, UnixStream::connect(client.socket())?);
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(300)))?;
    write!(
        stream.get_mut(),
        "POST /v1.41{path} HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if !head.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(head));
    }
    ready();
    let (mut bytes, mut begin) = (0, Instant::now());
    loop {
        let count = stream.fill_buf()?.len();
        if count == 0 {
            return Ok(Seen { bytes, span_s: begin.elapsed().as_secs_f64() });
        }
        if bytes == 0 {
            begin = Instant::now();
        }
        bytes += count as u64;
        stream.consume(count);
    }
}
