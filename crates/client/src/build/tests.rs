//! Sessions against a daemon's end that the tests play.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_build_proto::{
    Ask, BuildRequest, Built, Frame, FromClient, FromDaemon, Kind, Listing, Log, Progress, Stream,
    encode,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::timeout;

use super::frames::Frames;
use super::{BuildEvent, BuildHost, BuildSession, Destination, session};

/// Longest time that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Offers files from memory, and keeps what is written.
#[derive(Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    written: Mutex<Vec<(Destination, Vec<u8>)>>,
    full_disk: bool,
}

impl BuildHost for Memory {
    fn list(&self, _: &str, directory: &str, known: &str, _: bool) -> Result<Listing, String> {
        match directory {
            "" if known == "h" => Ok(Listing { hash: "h".into(), entries: None }),
            "" => Ok(Listing { hash: "h".into(), entries: Some(Vec::new()) }),
            other => Err(format!("{other}: no such directory")),
        }
    }

    fn read(&self, _: &str, path: &str, sink: &mut dyn Write) -> Result<(), String> {
        let content = self.files.get(path).ok_or_else(|| format!("{path}: no such file"))?;
        sink.write_all(content).map_err(|error| error.to_string())?;
        match path {
            "torn" => Err("torn changed while it was read".into()),
            _ => Ok(()),
        }
    }

    fn tar(&self, _: &str) -> Result<Box<dyn Read + Send>, String> {
        Ok(Box::new(std::io::repeat(1).take(1_000_000)))
    }

    fn secret(&self, id: &str) -> Result<Vec<u8>, String> {
        match id {
            "s" => Ok(b"value".to_vec()),
            _ => Err(format!("secret {id}: not found")),
        }
    }

    fn agent(&self, id: &str) -> Result<UnixStream, String> {
        if id != "default" {
            return Err(format!("unset ssh forward key {id}"));
        }
        let (ours, mut theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            let mut four = [0; 4];
            theirs.read_exact(&mut four).expect("question");
            theirs.write_all(&four.map(|byte| byte + 1)).expect("answer");
        });
        Ok(ours)
    }

    fn output(&self, which: Destination, content: &mut dyn Read) -> Result<(), String> {
        if self.full_disk {
            return Err("write out/x: no space left on device".into());
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        self.written.lock().expect("lock").push((which, bytes));
        Ok(())
    }
}

/// The daemon's end.
struct Daemon {
    frames: Frames<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Daemon {
    async fn say(&mut self, stream: u32, message: &FromDaemon) {
        let body = serde_json::to_vec(message).expect("JSON");
        self.send(Kind::Message, stream, &body).await;
    }

    async fn send(&mut self, kind: Kind, stream: u32, body: &[u8]) {
        let frame = Frame { kind, stream, body: body.to_vec() };
        self.writer.write_all(&encode(&frame)).await.expect("written");
    }

    async fn ask(&mut self, stream: u32, ask: Ask) {
        self.say(stream, &FromDaemon::Ask(ask)).await;
    }

    async fn next(&mut self) -> Frame {
        let frame = timeout(LIMIT, self.frames.next()).await.expect("in time");
        frame.expect("frame").expect("not the end")
    }

    async fn message(&mut self) -> (u32, FromClient) {
        let frame = self.next().await;
        assert_eq!(frame.kind, Kind::Message, "{frame:?}");
        (frame.stream, serde_json::from_slice(&frame.body).expect("message"))
    }

    /// A stream to its end: its bytes, and the error that ended it.
    async fn stream(&mut self, stream: u32) -> (Vec<u8>, String) {
        let mut bytes = Vec::new();
        loop {
            let frame = self.next().await;
            assert_eq!(frame.stream, stream);
            match frame.kind {
                Kind::Data => bytes.extend(frame.body),
                Kind::End => return (bytes, String::from_utf8(frame.body).expect("text")),
                Kind::Message => panic!("{frame:?}"),
            }
        }
    }
}

async fn begin(host: Arc<Memory>) -> (BuildSession, Daemon) {
    let (ours, theirs) = duplex(64 << 10);
    let (reader, writer) = split(ours);
    let request = BuildRequest { target: "t".into(), ..BuildRequest::default() };
    let session = session::start(reader, writer, request, host).expect("session");
    let (reader, writer) = split(theirs);
    let mut daemon = Daemon { frames: Frames::new(reader), writer };
    let (_, first) = daemon.message().await;
    assert!(matches!(first, FromClient::Build(request) if request.target == "t"));
    (session, daemon)
}

async fn next(session: &mut BuildSession) -> BuildEvent {
    timeout(LIMIT, session.next()).await.expect("in time").expect("event")
}

fn read(path: &str) -> Ask {
    Ask::Read { context: String::new(), path: path.into() }
}

#[tokio::test]
async fn asks_are_answered() {
    let big: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let files = BTreeMap::from([
        ("a".to_owned(), b"hello".to_vec()),
        ("empty".to_owned(), Vec::new()),
        ("big".to_owned(), big.clone()),
        ("torn".to_owned(), b"half".to_vec()),
    ]);
    let host = Arc::new(Memory { files, ..Memory::default() });
    let (_session, mut daemon) = begin(host).await;
    let list = |directory: &str, known: &str| Ask::List {
        context: String::new(),
        directory: directory.into(),
        known: known.into(),
        shallow: false,
    };
    daemon.ask(1, list("", "old")).await;
    let listing = Listing { hash: "h".into(), entries: Some(Vec::new()) };
    assert_eq!(daemon.message().await, (1, FromClient::Listing(listing)));
    daemon.ask(2, list("", "h")).await;
    let listing = Listing { hash: "h".into(), entries: None };
    assert_eq!(daemon.message().await, (2, FromClient::Listing(listing)));
    daemon.ask(3, list("x", "")).await;
    assert_eq!(daemon.message().await, (3, FromClient::Refused("x: no such directory".into())));
    for (stream, path, want, error) in [
        (4, "a", b"hello".to_vec(), ""),
        (5, "empty", Vec::new(), ""),
        (6, "big", big, ""),
        (7, "torn", b"half".to_vec(), "torn changed while it was read"),
    ] {
        daemon.ask(stream, read(path)).await;
        assert_eq!(daemon.stream(stream).await, (want, error.to_owned()), "{path}");
    }
    daemon.ask(8, read("nosuch")).await;
    assert_eq!(daemon.message().await, (8, FromClient::Refused("nosuch: no such file".into())));
    daemon.ask(9, Ask::Secret("s".into())).await;
    assert_eq!(daemon.stream(9).await, (b"value".to_vec(), String::new()));
    daemon.ask(10, Ask::Secret("t".into())).await;
    assert_eq!(daemon.message().await, (10, FromClient::Refused("secret t: not found".into())));
    daemon.ask(11, Ask::Tar(String::new())).await;
    assert_eq!(daemon.stream(11).await.0.len(), 1_000_000);
}

#[tokio::test]
async fn agents_are_joined() {
    let (_session, mut daemon) = begin(Arc::default()).await;
    daemon.ask(1, Ask::Ssh("default".into())).await;
    // Bytes may come before the connection is made.
    daemon.send(Kind::Data, 1, &[1, 2, 3]).await;
    daemon.send(Kind::Data, 1, &[4]).await;
    assert_eq!(daemon.stream(1).await, (vec![2, 3, 4, 5], String::new()));
    daemon.ask(2, Ask::Ssh("other".into())).await;
    assert_eq!(
        daemon.message().await,
        (2, FromClient::Refused("unset ssh forward key other".into()))
    );
}

#[tokio::test]
async fn outputs_are_whole_before_the_build_is_done() {
    let host = Arc::<Memory>::default();
    let (mut session, mut daemon) = begin(Arc::clone(&host)).await;
    daemon.say(1, &FromDaemon::Output(3)).await;
    daemon.say(2, &FromDaemon::CacheOutput(0)).await;
    for _ in 0..100 {
        daemon.send(Kind::Data, 1, &[7; 10_000]).await;
        daemon.send(Kind::Data, 2, &[8; 10]).await;
    }
    daemon.send(Kind::End, 2, &[]).await;
    daemon.send(Kind::End, 1, &[]).await;
    let built = Built { image: "sha256:1".into(), ..Built::default() };
    daemon.say(0, &FromDaemon::Done(Box::new(built.clone()))).await;
    assert_eq!(next(&mut session).await, BuildEvent::Done(Box::new(built)));
    let mut written = host.written.lock().expect("lock").clone();
    written.sort_by_key(|(_, bytes)| bytes.len());
    assert_eq!(written[0], (Destination::Cache(0), vec![8; 1000]));
    assert_eq!(written[1], (Destination::Output(3), vec![7; 1_000_000]));
}

#[tokio::test]
async fn an_output_that_cannot_be_written_ends_the_build() {
    let host = Arc::new(Memory { full_disk: true, ..Memory::default() });
    let (mut session, mut daemon) = begin(host).await;
    daemon.say(1, &FromDaemon::Output(0)).await;
    let BuildEvent::Failed(failure) = next(&mut session).await else { panic!("not failed") };
    assert_eq!(failure.message, "write out/x: no space left on device");
    assert_eq!(daemon.message().await, (0, FromClient::Cancel));
}

#[tokio::test]
async fn an_output_that_breaks_off_is_no_output() {
    for last in ["compressing failed", ""] {
        let (mut session, mut daemon) = begin(Arc::default()).await;
        daemon.say(1, &FromDaemon::Output(0)).await;
        daemon.send(Kind::Data, 1, b"half").await;
        if !last.is_empty() {
            daemon.send(Kind::End, 1, last.as_bytes()).await;
        }
        daemon.say(0, &FromDaemon::Done(Box::default())).await;
        let BuildEvent::Failed(failure) = next(&mut session).await else { panic!("not failed") };
        assert!(failure.message.contains(last), "{failure:?}");
    }
}

#[tokio::test]
async fn the_reader_does_not_wait_for_the_writer() {
    let files = BTreeMap::from([("big".to_owned(), vec![1; 300_000])]);
    let host = Arc::new(Memory { files, ..Memory::default() });
    let (mut session, mut daemon) = begin(host).await;
    // Far more than all queues hold, and nothing of it is taken.
    for stream in 1..1000 {
        daemon.ask(stream, read("big")).await;
    }
    let log = Log { vertex: 1, stream: Stream::Out, at_ns: 0, text: "still here".into() };
    daemon.say(0, &FromDaemon::Progress(Progress::Log(log.clone()))).await;
    assert_eq!(next(&mut session).await, BuildEvent::Progress(Progress::Log(log)));
    let (mut bytes, mut ends) = (0, 0);
    while ends < 999 {
        let frame = daemon.next().await;
        bytes += frame.body.len();
        ends += usize::from(frame.kind == Kind::End);
    }
    assert_eq!(bytes, 999 * 300_000);
}

#[tokio::test]
async fn a_daemon_without_measure_is_left() {
    let files = BTreeMap::from([("big".to_owned(), vec![1; 300_000])]);
    let host = Arc::new(Memory { files, ..Memory::default() });
    let (mut session, mut daemon) = begin(host).await;
    for stream in 1..5000 {
        let frame = Frame {
            kind: Kind::Message,
            stream,
            body: serde_json::to_vec(&FromDaemon::Ask(read("big"))).expect("JSON"),
        };
        if daemon.writer.write_all(&encode(&frame)).await.is_err() {
            break;
        }
    }
    let error = timeout(LIMIT, session.next()).await.expect("in time").expect_err("error");
    assert!(error.to_string().contains("4096 things at once"), "{error}");
}

#[tokio::test]
async fn ends_are_told() {
    let (mut session, mut daemon) = begin(Arc::default()).await;
    session.cancel();
    assert_eq!(daemon.message().await, (0, FromClient::Cancel));
    drop(daemon);
    let error = timeout(LIMIT, session.next()).await.expect("in time").expect_err("error");
    assert!(error.to_string().contains("ended the connection"), "{error}");
    let (session, mut daemon) = begin(Arc::default()).await;
    drop(session);
    let end = timeout(LIMIT, daemon.frames.next()).await.expect("in time");
    assert!(matches!(end, Ok(None)), "{end:?}");
}
