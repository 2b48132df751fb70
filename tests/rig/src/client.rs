//! The docker CLI, our own CLI and plain shell, pointed at one daemon.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::inside;

/// Longest time that one command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Exit code of a command that was ended for its time, as `timeout(1)` has it.
const TIMED_OUT: i32 = 124;

/// docker.io's own client. It builds with BuildKit by itself, where later ones want a plugin.
pub const DEBIAN_DOCKER: &str = "/usr/bin/docker";

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    netns: Option<u32>,
    limit: Duration,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output without the last newline; the test ends when the command failed.
    ///
    /// # Panics
    /// When the exit code is not 0.
    #[must_use]
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n')
    }
}

impl Client {
    /// A client of the daemon at `socket`, run in the network namespace of process `netns`.
    #[must_use]
    pub fn new(socket: PathBuf, netns: Option<u32>) -> Self {
        Self { socket, netns, limit: COMMAND_LIMIT }
    }

    /// The same client, whose commands may take this long.
    #[must_use]
    pub fn patient(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A name for files of this client's daemon, told apart from others'.
    #[must_use]
    pub fn socket_name(&self) -> String {
        let directory = self.socket.parent().and_then(Path::file_name).unwrap_or_default();
        directory.to_string_lossy().into_owned()
    }

    /// Whether the daemon answers.
    #[must_use]
    pub fn ping(&self) -> bool {
        self.http("GET", "/_ping", None).is_ok_and(|(status, body)| status == 200 && body == "OK")
    }

    /// The real docker CLI.
    #[must_use]
    pub fn docker(&self, args: &[&str]) -> Ran {
        self.run(Path::new("docker"), args, None)
    }

    /// The real docker CLI, fed with `stdin`.
    #[must_use]
    pub fn docker_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        self.run(Path::new("docker"), args, Some(stdin))
    }

    /// A shell script whose `docker` speaks to this daemon.
    #[must_use]
    pub fn shell(&self, script: &str) -> Ran {
        self.run(Path::new("sh"), &["-c", script], None)
    }

    /// Any program with this daemon as `DOCKER_HOST`.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn run(&self, program: &Path, args: &[&str], stdin: Option<&[u8]>) -> Ran {
        let mut command = self.command(program);
        command.args(args).stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        finish_within(self.limit, command, stdin)
    }

    /// A command with this daemon as `DOCKER_HOST`, in the daemon's network namespace.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = inside(self.netns, program);
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", "/nonexistent")
            .env("DOCKER_CLI_HINTS", "false")
            .env_remove("DOCKER_API_VERSION");
        command
    }

    /// One plain HTTP request, so that status and body are seen as they are.
    ///
    /// # Errors
    /// When the daemon does not answer or its answer is not HTTP.
    pub fn http(&self, method: &str, path: &str, body: Option<&str>) -> io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(COMMAND_LIMIT))?;
        let body = body.unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(bad)?;
        let head = String::from_utf8_lossy(&answer[..split]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
        let raw = &answer[split + 4..];
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let bytes = if chunked { unchunk(raw) } else { raw.to_vec() };
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// `inspect` of an object as JSON.
    ///
    /// # Panics
    /// When there is no such object.
    #[must_use]
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let ran = self.docker(&["inspect", name]);
        let list: serde_json::Value =
            serde_json::from_str(ran.ok()).expect("inspect prints a JSON list");
        list[0].clone()
    }

    /// Repeats `check` until it holds.
    ///
    /// # Panics
    /// When it does not within `limit`.
    #[track_caller]
    pub fn eventually(&self, what: &str, limit: Duration, mut check: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !check(self) {
            assert!(begin.elapsed() < limit, "not within {limit:?}: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs a command to its end with a time limit; one that takes longer ends with code 124.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn finish(command: Command, stdin: Option<&[u8]>) -> Ran {
    finish_within(COMMAND_LIMIT, command, stdin)
}

fn finish_within(limit: Duration, mut command: Command, stdin: Option<&[u8]>) -> Ran {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let pid = child.id();
    let feeder = child.stdin.take().zip(stdin.map(<[u8]>::to_vec)).map(|(mut pipe, bytes)| {
        std::thread::spawn(move || {
            let _ = pipe.write_all(&bytes);
        })
    });
    let (sender, receiver) = std::sync::mpsc::channel::<io::Result<Output>>();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = match receiver.recv_timeout(limit) {
        Ok(output) => output.expect("a started command can be waited for"),
        Err(_) => {
            // The whole group: a shell's children hold its output open.
            if let Some(group) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let stderr = format!("did not end in {limit:?}: {command:?}");
            return Ran { code: TIMED_OUT, stdout: String::new(), stderr };
        }
    };
    if let Some(feeder) = feeder {
        let _ = feeder.join();
    }
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    Ran {
        code: output.status.code().or(signal.map(|number| 128 + number)).unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn unchunk(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&raw[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text.trim(), 16).ok())
            .unwrap_or(0);
        if size == 0 || raw.len() < end + 2 + size {
            break;
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = raw.get(end + 2 + size + 2..).unwrap_or_default();
    }
    body
}
