//! Streams between this terminal and a container: attach and logs.

use std::io::Write as _;

use gantry_client::{ByteStream, Client, Hijacked, LogsOptions, Query};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{Call, Failure, Outcome};
use crate::term::{self, Escape, RawMode};

/// Size of the pieces in which streams are copied.
const CHUNK_BYTES: usize = 128 << 10;
/// Largest frame of a multiplexed stream that is believed.
const MAX_FRAME_BYTES: usize = 64 << 20;
/// Largest answer of `wait`.
const MAX_WAIT_BYTES: u64 = 1 << 20;

/// Which streams are joined, and how.
pub(crate) struct Join {
    pub(crate) stdin: bool,
    pub(crate) output: bool,
    pub(crate) tty: bool,
    pub(crate) detach_keys: Vec<u8>,
}

/// How a joined stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The container's side ended.
    Done,
    /// The user typed the detach keys.
    Detached,
}

/// Copies in both directions until the container's side ends or the user detaches.
pub(crate) async fn join(streams: Hijacked, join: &Join) -> std::io::Result<End> {
    let _raw = if join.tty && join.stdin { RawMode::enter() } else { None };
    let Hijacked { mut reader, mut writer, .. } = streams;
    let output = async {
        if join.tty { copy_raw(&mut reader).await } else { demultiplex(&mut reader).await }
    };
    let input = async {
        if join.stdin {
            let mut escape = join.tty.then(|| Escape::new(join.detach_keys.clone()));
            let mut stdin = tokio::io::stdin();
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let count = stdin.read(&mut chunk).await?;
                if count == 0 {
                    break;
                }
                let sent = match &mut escape {
                    Some(escape) => {
                        let (through, detached) = escape.feed(&chunk[..count]);
                        if detached {
                            return Ok(End::Detached);
                        }
                        writer.write_all(&through).await
                    }
                    None => writer.write_all(&chunk[..count]).await,
                };
                // The container has closed its standard input; its output may go on.
                if sent.is_err() {
                    break;
                }
            }
        }
        let _ = writer.shutdown().await;
        if join.output { std::future::pending().await } else { Ok(End::Done) }
    };
    tokio::select! {
        done = output => done.map(|()| End::Done),
        end = input => end,
    }
}

/// Copies a terminal's stream.
pub(crate) async fn copy_raw(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut stdout = std::io::stdout().lock();
    loop {
        let count = reader.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        stdout.write_all(&chunk[..count])?;
        stdout.flush()?;
    }
}

/// Takes a multiplexed stream apart: eight bytes of head, then as many as they say.
pub(crate) async fn demultiplex(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut bytes: Vec<u8> = Vec::with_capacity(CHUNK_BYTES);
    let (mut stdout, mut stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
    loop {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + 8) {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if head[0] > 3 || length > MAX_FRAME_BYTES {
                return Err(std::io::Error::other(format!(
                    "Unrecognized input header: {}",
                    head[0]
                )));
            }
            let Some(payload) = bytes.get(at + 8..at + 8 + length) else { break };
            match head[0] {
                0 | 1 => stdout.write_all(payload)?,
                2 => {
                    stdout.flush()?;
                    stderr.write_all(payload)?;
                }
                _ => {
                    let text = String::from_utf8_lossy(payload);
                    return Err(std::io::Error::other(format!(
                        "error from daemon in stream: {text}"
                    )));
                }
            }
            at += 8 + length;
        }
        bytes.drain(..at);
        stdout.flush()?;
        if reader.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// Reads the answer of `wait`: the exit code, or the daemon's error.
pub(crate) async fn exit_code(body: ByteStream) -> Result<u8, Failure> {
    let mut bytes = Vec::new();
    body.take(MAX_WAIT_BYTES).read_to_end(&mut bytes).await?;
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Text(format!("error waiting for container: {error}")))?;
    if let Some(message) = answer["Error"]["Message"].as_str() {
        return Err(Failure::Text(message.to_owned()));
    }
    let code = answer["StatusCode"].as_i64().unwrap_or(0);
    Ok(u8::try_from(code & 0xff).unwrap_or(125))
}

/// Tells the daemon the terminal's size, now and whenever it changes.
pub(crate) async fn follow_size<F>(mut resize: F)
where
    F: AsyncFnMut(u16, u16) -> bool,
{
    /// A container that is just starting may not have its terminal yet.
    const TRIES: u32 = 5;
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    for attempt in 0..TRIES {
        let Some((height, width)) = term::size() else { break };
        if resize(height, width).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10 << attempt)).await;
    }
    while changes.recv().await.is_some() {
        if let Some((height, width)) = term::size() {
            resize(height, width).await;
        }
    }
}

/// Signals that are passed on to the container's process.
pub(crate) struct Proxy(Vec<(Signal, &'static str)>);

impl Proxy {
    /// Begins to catch; before the container starts, so that none is lost.
    pub(crate) fn catch() -> Self {
        let kinds = [
            (SignalKind::hangup(), "HUP"),
            (SignalKind::interrupt(), "INT"),
            (SignalKind::quit(), "QUIT"),
            (SignalKind::terminate(), "TERM"),
            (SignalKind::user_defined1(), "USR1"),
            (SignalKind::user_defined2(), "USR2"),
            (SignalKind::alarm(), "ALRM"),
        ];
        Self(
            kinds.into_iter().filter_map(|(kind, name)| Some((signal(kind).ok()?, name))).collect(),
        )
    }

    async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            for (signal, name) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// Passes signals on for ever.
    pub(crate) async fn forward(mut self, client: &Client, id: &str) {
        loop {
            let name = self.next().await;
            // The process may have gone meanwhile.
            let _ = client.container_kill(id, name).await;
        }
    }
}

/// Runs `work` while signals are passed on and the terminal's size is followed.
pub(crate) async fn beside<T>(
    work: impl Future<Output = T>,
    client: &Client,
    id: &str,
    proxy: Option<Proxy>,
    tty: bool,
) -> T {
    let signals = async {
        match proxy {
            Some(proxy) => proxy.forward(client, id).await,
            None => std::future::pending().await,
        }
    };
    let size = async {
        if tty && term::stdout_is_terminal() {
            follow_size(async |h, w| client.container_resize(id, h, w).await.is_ok()).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        done = work => done,
        () = signals => unreachable_future().await,
        () = size => unreachable_future().await,
    }
}

/// The other branches of a selection never end; this gives them the type they need.
async fn unreachable_future<T>() -> T {
    std::future::pending().await
}

/// The detach keys to use: the flag's, the configuration's, or none.
pub(crate) fn keys_text<'a>(call: &'a Call<'_>) -> &'a str {
    match call.flags.text("detach-keys") {
        "" => call.app.config.text("detachKeys"),
        keys => keys,
    }
}

/// `attach`.
pub(crate) async fn attach(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let id = call.args[0].as_str();
    let container: Value = client.container_inspect(id, false).await?;
    let state = &container["State"];
    if state["Running"] != Value::Bool(true) {
        return Err("You cannot attach to a stopped container, start it first".into());
    }
    if state["Paused"] == Value::Bool(true) {
        return Err("You cannot attach to a paused container, unpause it first".into());
    }
    if state["Restarting"] == Value::Bool(true) {
        return Err("You cannot attach to a restarting container, wait until it is running".into());
    }
    let tty = container["Config"]["Tty"] == Value::Bool(true);
    let stdin =
        !call.flags.is_on("no-stdin") && container["Config"]["OpenStdin"] == Value::Bool(true);
    if tty && stdin && !term::stdin_is_terminal() {
        return Err("the input device is not a TTY".into());
    }
    let keys = keys_text(call);
    let query = Query::new()
        .with_flag("stream", true)
        .with_flag("stdin", stdin)
        .with_flag("stdout", true)
        .with_flag("stderr", true)
        .with_some("detachKeys", Some(keys).filter(|keys| !keys.is_empty()));
    let proxy = (call.flags.is_on("sig-proxy") && !tty).then(Proxy::catch);
    let wait = client.container_wait(id, "").await?;
    let streams = client.container_attach(id, &query).await?;
    let join_with = Join { stdin, output: true, tty, detach_keys: term::detach_keys(keys)? };
    let end = beside(join(streams, &join_with), client, id, proxy, tty).await?;
    if end == End::Detached {
        return Err("read escape sequence".into());
    }
    exit_code(wait.body).await
}

/// A time for the API: seconds of Unix time, from a time or a span before now.
pub(crate) fn timestamp(text: &str) -> Result<String, String> {
    if let Ok(span) = crate::values::duration(text) {
        let then = jiff::Timestamp::now().as_nanosecond() - i128::from(span);
        return Ok(format!(
            "{}.{:09}",
            then.div_euclid(1_000_000_000),
            then.rem_euclid(1_000_000_000)
        ));
    }
    if text.split('.').count() <= 2 && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Ok(text.to_owned());
    }
    let bad =
        || format!("failed to parse value as time or duration: {}", gantry_gotext::quote(text));
    let zone = jiff::tz::TimeZone::system();
    let full = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 | 16 if text.contains('T') => format!("{text}{}", &"T00:00:00"[text.len() - 10..]),
        _ => text.to_owned(),
    };
    let time = match full.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let civil: jiff::civil::DateTime = full.parse().map_err(|_| bad())?;
            civil.to_zoned(zone).map_err(|_| bad())?.timestamp()
        }
    };
    let time = time.as_nanosecond();
    Ok(format!("{}.{:09}", time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000)))
}

/// `logs`.
pub(crate) async fn logs(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let id = call.args[0].as_str();
    let container: Value = client.container_inspect(id, false).await?;
    let flags = &call.flags;
    let time = |name: &str| match flags.is_given(name) {
        true => timestamp(flags.text(name))
            .map(Some)
            .map_err(|why| format!("invalid value for \"{name}\": {why}")),
        false => Ok(None),
    };
    let options = LogsOptions {
        follow: flags.is_on("follow"),
        since: time("since")?,
        until: time("until")?,
        timestamps: flags.is_on("timestamps"),
        details: flags.is_on("details"),
        tail: Some(flags.text("tail").to_owned()),
    };
    let id = container["Id"].as_str().unwrap_or(id);
    let mut response = client.container_logs(id, &options).await?;
    if container["Config"]["Tty"] == Value::Bool(true) {
        copy_raw(&mut response.body).await?;
    } else {
        demultiplex(&mut response.body).await?;
    }
    Ok(0)
}
