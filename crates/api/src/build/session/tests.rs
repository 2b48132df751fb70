//! Sessions with a client that the tests play, and builders that ask one thing each.

use std::time::Duration;

use futures_util::StreamExt as _;
use gantry_build::{ClientError, Output};
use gantry_build_proto::{Ask, Frame, Listing, Log, Progress, Stream, decode, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};

use super::*;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// The client's end.
struct Peer {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    bytes: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, stream: u32, message: &FromClient) {
        self.send(Kind::Message, stream, &serde_json::to_vec(message).unwrap()).await;
    }

    async fn send(&mut self, kind: Kind, stream: u32, body: &[u8]) {
        let frame = encode(&Frame { kind, stream, body: body.to_vec() });
        self.writer.write_all(&frame).await.unwrap();
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = decode(&self.bytes).unwrap() {
                self.bytes.drain(..length);
                return Some(frame);
            }
            let read = tokio::time::timeout(LIMIT, self.reader.read_buf(&mut self.bytes));
            if read.await.expect("in time").unwrap() == 0 {
                return None;
            }
        }
    }

    async fn message(&mut self) -> (u32, FromDaemon) {
        let frame = self.next().await.expect("a message");
        assert_eq!(frame.kind, Kind::Message, "{frame:?}");
        (frame.stream, serde_json::from_slice(&frame.body).unwrap())
    }

    async fn ask(&mut self) -> (u32, Ask) {
        match self.message().await {
            (number, FromDaemon::Ask(ask)) => (number, ask),
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&mut self) -> Failure {
        match self.message().await {
            (0, FromDaemon::Failed(failure)) => *failure,
            other => panic!("{other:?}"),
        }
    }
}

/// A session with this builder, and its client, which has asked for a build.
async fn begin<B, F>(build: B) -> (Peer, tokio::task::JoinHandle<()>)
where
    B: FnOnce(BuildRequest, Arc<dyn Client>) -> F + Send + 'static,
    F: Future<Output = Result<Built, Box<Failed>>> + Send,
{
    let (mut peer, session) = connect(build);
    peer.say(0, &FromClient::Build(Box::default())).await;
    (peer, session)
}

fn connect<B, F>(build: B) -> (Peer, tokio::task::JoinHandle<()>)
where
    B: FnOnce(BuildRequest, Arc<dyn Client>) -> F + Send + 'static,
    F: Future<Output = Result<Built, Box<Failed>>> + Send,
{
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let session = tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(ours);
        converse(reader, writer, &[], Keyring::default(), build).await;
    });
    let (reader, writer) = tokio::io::split(theirs);
    (Peer { reader, writer, bytes: Vec::new() }, session)
}

fn done(text: impl Into<String>) -> Result<Built, Box<Failed>> {
    Ok(Built { image: text.into(), ..Built::default() })
}

#[tokio::test]
async fn a_build_is_told_to_its_end() {
    let (mut peer, session) = begin(|request, client| async move {
        assert_eq!(request, BuildRequest::default());
        let log = Log { vertex: 1, stream: Stream::Out, at_ns: 5, text: "hi".into() };
        client.progress(Progress::Log(log));
        done("sha256:1")
    })
    .await;
    let progress = peer.message().await;
    assert!(matches!(progress, (0, FromDaemon::Progress(Progress::Log(log))) if log.text == "hi"));
    let end = peer.message().await;
    assert!(matches!(end, (0, FromDaemon::Done(built)) if built.image == "sha256:1"));
    assert!(peer.next().await.is_none());
    session.await.unwrap();
}

#[tokio::test]
async fn whatever_is_asked_is_answered() {
    let (mut peer, _session) = begin(|_, client| async move {
        let listing = client.list("c", "dir", "known", true).await.unwrap();
        let long = client.list("c", "long", "", false).await.unwrap();
        let mut read = client.read("c", "file").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = read.next().await {
            bytes.extend(piece.unwrap());
        }
        let missing = client.read("c", "missing").await.err().unwrap();
        let mut torn = client.read("c", "torn").await.unwrap();
        assert!(torn.next().await.unwrap().is_ok());
        let torn = torn.next().await.unwrap().unwrap_err();
        let secret = client.secret("s").await.unwrap();
        let large = client.secret("large").await.unwrap_err();
        done(format!(
            "{} {} {} {missing} {torn} {} {large}",
            listing.hash,
            long.hash,
            bytes.len(),
            String::from_utf8(secret).unwrap(),
        ))
    })
    .await;
    let (number, ask) = peer.ask().await;
    let want = Ask::List {
        context: "c".into(),
        directory: "dir".into(),
        known: "known".into(),
        shallow: true,
    };
    assert_eq!(ask, want);
    peer.say(number, &FromClient::Listing(Listing { hash: "h".into(), entries: None })).await;
    let (number, _) = peer.ask().await;
    let text = serde_json::to_vec(&Listing { hash: "long".into(), entries: None }).unwrap();
    for half in text.chunks(10) {
        peer.send(Kind::Data, number, half).await;
    }
    peer.send(Kind::End, number, b"").await;
    let (number, ask) = peer.ask().await;
    assert_eq!(ask, Ask::Read { context: "c".into(), path: "file".into() });
    for _ in 0..40 {
        peer.send(Kind::Data, number, &[1; 100_000]).await;
    }
    peer.send(Kind::End, number, b"").await;
    let (number, _) = peer.ask().await;
    peer.say(number, &FromClient::Refused("missing: no such file".into())).await;
    let (number, _) = peer.ask().await;
    peer.send(Kind::Data, number, b"half").await;
    peer.send(Kind::End, number, b"it changed").await;
    let (number, ask) = peer.ask().await;
    assert_eq!(ask, Ask::Secret("s".into()));
    peer.send(Kind::Data, number, b"value").await;
    peer.send(Kind::End, number, b"").await;
    let (number, _) = peer.ask().await;
    for _ in 0..6 {
        peer.send(Kind::Data, number, &[1; 100_000]).await;
    }
    peer.send(Kind::End, number, b"").await;
    let (_, end) = peer.message().await;
    let FromDaemon::Done(built) = end else { panic!("{end:?}") };
    let want = "h long 4000000 missing: not found it changed value secret large is larger than \
                512000 bytes";
    assert_eq!(built.image, want);
}

#[tokio::test]
async fn outputs_are_whole_before_the_end_is_told() {
    let (mut peer, _session) = begin(|_, client| async move {
        let mut whole: Output = client.output(3).await.unwrap();
        whole.write_all(&[7; 1 << 20]).await.unwrap();
        whole.shutdown().await.unwrap();
        let mut torn = client.cache_output(0).await.unwrap();
        torn.write_all(b"begun").await.unwrap();
        drop(torn);
        done("x")
    })
    .await;
    let (number, begun) = peer.message().await;
    assert_eq!(begun, FromDaemon::Output(3));
    let mut bytes = 0;
    loop {
        let frame = peer.next().await.unwrap();
        assert_eq!(frame.stream, number);
        match frame.kind {
            Kind::Data => bytes += frame.body.len(),
            Kind::End => break assert!(frame.body.is_empty()),
            Kind::Message => panic!("{frame:?}"),
        }
    }
    assert_eq!(bytes, 1 << 20);
    let (_, begun) = peer.message().await;
    assert_eq!(begun, FromDaemon::CacheOutput(0));
    assert_eq!(peer.next().await.unwrap().body, b"begun");
    let end = peer.next().await.unwrap();
    assert_eq!((end.kind, end.body.is_empty()), (Kind::End, false));
    assert!(matches!(peer.message().await, (0, FromDaemon::Done(_))));
}

#[tokio::test]
async fn agents_are_reached_both_ways() {
    let (mut peer, _session) = begin(|_, client| async move {
        let mut agent = client.ssh("default").await.unwrap();
        agent.write_all(b"question").await.unwrap();
        let mut answer = [0; 6];
        agent.read_exact(&mut answer).await.unwrap();
        drop(agent);
        let mut refused = client.ssh("none").await.unwrap();
        assert_eq!(refused.read(&mut answer).await.unwrap(), 0);
        done(String::from_utf8_lossy(&answer))
    })
    .await;
    let (number, ask) = peer.ask().await;
    assert_eq!(ask, Ask::Ssh("default".into()));
    assert_eq!(peer.next().await.unwrap().body, b"question");
    peer.send(Kind::Data, number, b"answer").await;
    // The end of the one and the beginning of the other come in any order.
    let mut frames = [peer.next().await.unwrap(), peer.next().await.unwrap()];
    frames.sort_by_key(|frame| frame.stream);
    assert_eq!((frames[0].kind, frames[0].stream), (Kind::End, number));
    peer.send(Kind::End, number, b"").await;
    let number = frames[1].stream;
    assert_eq!(frames[1].kind, Kind::Message);
    peer.say(number, &FromClient::Refused("unset ssh forward key none".into())).await;
    assert_eq!(peer.next().await.unwrap().kind, Kind::End);
    let (_, end) = peer.message().await;
    assert!(matches!(end, FromDaemon::Done(built) if built.image == "answer"));
}

/// Tells when a build's future is dropped.
struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn a_client_that_cancels_or_leaves_ends_its_build() {
    for leaves in [false, true] {
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let guard = Dropped(Some(sender));
        let (mut peer, session) = begin(move |_, client| async move {
            let _guard = guard;
            // A question that is never answered.
            let error = client.secret("s").await.unwrap_err();
            panic!("{error}");
        })
        .await;
        peer.ask().await;
        if leaves {
            drop(peer);
        } else {
            peer.say(0, &FromClient::Cancel).await;
            let failure = peer.failure().await;
            assert_eq!((failure.cancelled, failure.message.as_str()), (true, "context canceled"));
        }
        tokio::time::timeout(LIMIT, dropped).await.expect("in time").unwrap();
        tokio::time::timeout(LIMIT, session).await.expect("in time").unwrap();
    }
}

#[tokio::test]
async fn nonsense_ends_the_session_in_words() {
    let waits = |_, client: Arc<dyn Client>| async move {
        client.secret("s").await.map(|_| Built::default()).map_err(|error| {
            let failure = Failure { message: error.to_string(), ..Failure::default() };
            Box::new(Failed { failure, kept: None })
        })
    };
    let build = serde_json::to_vec(&FromClient::Build(Box::default())).unwrap();
    for (kind, stream, body, words) in [
        (Kind::Data, 77, &b"x"[..], "bytes for stream 77, which nobody has asked for"),
        (Kind::End, 77, b"", "bytes for stream 77, which nobody has asked for"),
        (Kind::Message, 0, b"{", "a message of a build: EOF while parsing"),
        (Kind::Message, 0, &build, "unexpected message of a build"),
    ] {
        let (mut peer, session) = begin(waits).await;
        peer.ask().await;
        peer.send(kind, stream, body).await;
        let failure = peer.failure().await;
        assert!(failure.message.starts_with(words), "{}", failure.message);
        drop(peer);
        session.await.unwrap();
    }
    // An answer that does not fit.
    let (mut peer, _session) = begin(waits).await;
    let (number, _) = peer.ask().await;
    peer.say(number, &FromClient::Listing(Listing::default())).await;
    assert!(peer.failure().await.message.contains("does not fit"), "a listing is no secret");
    // Something else than a request.
    let (mut peer, _session) = connect(waits);
    peer.say(0, &FromClient::Cancel).await;
    assert_eq!(peer.failure().await.message, "unexpected message of a build");
    // A frame that is none.
    let (mut peer, _session) = begin(waits).await;
    peer.ask().await;
    peer.writer.write_all(&[0xff; 9]).await.unwrap();
    assert_eq!(peer.failure().await.message, "a frame of 4294967295 bytes");
}

#[tokio::test]
async fn whoever_does_not_want_an_answer_any_more_holds_nothing_up() {
    let (mut peer, _session) = begin(|_, client| async move {
        let mut read = client.read("", "large").await.unwrap();
        assert!(read.next().await.unwrap().is_ok());
        drop(read);
        let gone: Result<_, ClientError> = client.secret("s").await;
        done(gone.unwrap().len().to_string())
    })
    .await;
    let (large, _) = peer.ask().await;
    for _ in 0..100 {
        peer.send(Kind::Data, large, &vec![0; 1 << 20]).await;
    }
    peer.send(Kind::End, large, b"").await;
    let (number, _) = peer.ask().await;
    peer.send(Kind::Data, number, b"1234").await;
    peer.send(Kind::End, number, b"").await;
    assert!(matches!(peer.message().await, (0, FromDaemon::Done(built)) if built.image == "4"));
}
