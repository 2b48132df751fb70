//! Whole connections over socket pairs, with a fake stream source instead of a container.

use std::future::ready;
use std::sync::Mutex;
use std::time::Duration;

use hyper::HeaderMap;
use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::router::tests::{fake, reading};
use crate::{ApiVersion, hijack, pump, websocket};

const ATTACH: &str = "POST /v1.42/containers/x/attach HTTP/1.1\r\nHost: d\r\n";
const LIMIT: Duration = Duration::from_secs(20);
const HEAD_200: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
const HEAD_101: &str = "HTTP/1.1 101 UPGRADED\r\n\
    Content-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// A router whose attach connects the client with `container`; everything else says its pattern.
fn attaching(upgrade: bool, container: UnixStream) -> Router {
    let container = Arc::new(Mutex::new(Some(container)));
    fake(move |pattern| {
        if pattern != "/containers/{id}/attach" {
            return body::full(hyper::StatusCode::OK, pattern);
        }
        let mut headers = HeaderMap::new();
        if upgrade {
            headers.insert("upgrade", "tcp".parse().unwrap());
        }
        let head = hijack::head(&headers, ApiVersion::new(1, 42), false, &[]);
        let container = container.lock().unwrap().take().expect("attached once");
        take_over(move |mut connection| async move {
            connection.io.write_all(&head).await.unwrap();
            // A client that leaves is no failure of the test.
            let _ = pump::run(connection, container, Vec::new(), ready(())).await;
        })
    })
}

fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: IO,
    router: Router,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(serve_connection(io, router, CancellationToken::new()))
}

async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    tokio::time::timeout(LIMIT, io.read_to_end(&mut all)).await.expect("ends in time").unwrap();
    String::from_utf8(all).unwrap()
}

async fn read_exactly(io: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut got = vec![0; text.len()];
    tokio::time::timeout(LIMIT, io.read_exact(&mut got)).await.expect("comes in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&got), text);
}

/// Attaches with everything sent at once, behind another request on the same connection.
async fn attach_half_closed<IO>(client: IO, server: impl AnyIo + 'static, upgrade: bool)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (container, mut program) = UnixStream::pair().unwrap();
    let served = serve(server, attaching(upgrade, container));
    let mut client = client;
    client.write_all(b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n/info") {
        answer.push(client.read_u8().await.unwrap());
    }
    let headers = if upgrade { "Upgrade: tcp\r\nConnection: Upgrade\r\n" } else { "" };
    let request = format!("{ATTACH}{headers}Content-Length: 0\r\n\r\nearly input");
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut program).await, "early input", "all input, then its end");
    program.write_all(b"output after the half-close").await.unwrap();
    drop(program);
    let head = if upgrade { HEAD_101 } else { HEAD_200 };
    assert_eq!(read_all(&mut client).await, format!("{head}output after the half-close"));
    served.await.unwrap();
}

#[tokio::test]
async fn both_hijacks_over_a_unix_socket() {
    for upgrade in [true, false] {
        let (client, server) = UnixStream::pair().unwrap();
        attach_half_closed(client, server, upgrade).await;
    }
}

#[tokio::test]
async fn both_hijacks_over_another_stream() {
    for upgrade in [true, false] {
        let (client, server): (DuplexStream, _) = tokio::io::duplex(1 << 16);
        attach_half_closed(client, server, upgrade).await;
    }
}

#[tokio::test]
async fn streams_are_full_duplex() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let (container, mut program) = UnixStream::pair().unwrap();
    serve(server, attaching(false, container));
    client.write_all(format!("{ATTACH}\r\n").as_bytes()).await.unwrap();
    read_exactly(&mut client, HEAD_200).await;
    for turn in 0..3 {
        let (out, back) = (format!("out {turn}"), format!("in {turn}"));
        program.write_all(out.as_bytes()).await.unwrap();
        read_exactly(&mut client, &out).await;
        client.write_all(back.as_bytes()).await.unwrap();
        read_exactly(&mut program, &back).await;
    }
}

#[tokio::test]
async fn large_output_arrives_whole() {
    const BYTES: usize = 8 << 20;
    let (mut client, server) = UnixStream::pair().unwrap();
    let (container, mut program) = UnixStream::pair().unwrap();
    serve(server, attaching(false, container));
    client.write_all(format!("{ATTACH}\r\n").as_bytes()).await.unwrap();
    read_exactly(&mut client, HEAD_200).await;
    let pattern: Vec<u8> = (0..251).cycle().take(BYTES).collect();
    let sent = pattern.clone();
    let writer = tokio::spawn(async move { program.write_all(&sent).await });
    let mut got = Vec::new();
    tokio::time::timeout(LIMIT, client.read_to_end(&mut got)).await.expect("ends").unwrap();
    writer.await.unwrap().unwrap();
    assert!(got == pattern, "{} bytes", got.len());
}

#[tokio::test]
async fn a_client_that_is_gone_ends_a_silent_attachment() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let (container, _program) = UnixStream::pair().unwrap();
    let served = serve(server, attaching(false, container));
    client.write_all(format!("{ATTACH}\r\n").as_bytes()).await.unwrap();
    read_exactly(&mut client, HEAD_200).await;
    drop(client);
    tokio::time::timeout(LIMIT, served).await.expect("ends in time").unwrap();
}

#[tokio::test]
async fn detach_keys_leave_the_program_alone() {
    let (client, server) = UnixStream::pair().unwrap();
    let (container, mut program) = UnixStream::pair().unwrap();
    let mut client = client;
    client.write_all(b"ls\x10x\x10\x11more").await.unwrap();
    let connection = RawConnection { io: RawIo::new(server), early: Bytes::new() };
    let end = pump::run(connection, container, vec![0x10, 0x11], ready(())).await.unwrap();
    assert_eq!(end, pump::End::Detached);
    assert_eq!(read_all(&mut program).await, "ls\x10x");
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let served = serve(server, fake(|pattern| body::full(hyper::StatusCode::OK, pattern)));
    client.write_all(b"GET /v1.41/info HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nApi-Version: 1.56\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/info"), "{answer}");
    served.await.unwrap();
}

#[tokio::test]
async fn streams_end_with_their_client() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
    let alive = Mutex::new(Some(alive));
    let router = fake(move |_| {
        let alive = alive.lock().unwrap().take();
        let silence = futures_util::stream::once(async move {
            let _alive = alive;
            std::future::pending().await
        });
        body::stream("application/json".parse().unwrap(), silence)
    });
    let served = serve(server, router);
    client.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    read_exactly(&mut client, "HTTP/1.1 200 OK\r\n").await;
    drop(client);
    let ended = tokio::time::timeout(LIMIT, dropped).await.expect("dropped in time");
    assert!(ended.is_err(), "the sender was dropped");
    tokio::time::timeout(LIMIT, served).await.expect("closed in time").unwrap();
}

#[tokio::test]
async fn websockets_carry_plain_messages() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    for binary in [true, false] {
        let (client, server) = UnixStream::pair().unwrap();
        let (container, mut program) = UnixStream::pair().unwrap();
        let connection = RawConnection { io: RawIo::new(server), early: Bytes::new() };
        let messages = websocket::Messages { binary, framed: true };
        let run = tokio::spawn(websocket::run(connection, None, container, messages, Vec::new()));
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        program.write_all(&hijack::frame(1, b"hello")).await.unwrap();
        let message = client.next().await.unwrap().unwrap();
        assert_eq!(message.is_binary(), binary);
        assert_eq!(message.into_data(), "hello".as_bytes());
        client.send(Message::text("input")).await.unwrap();
        read_exactly(&mut program, "input").await;
        drop(program);
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))), "closed in order");
        assert_eq!(run.await.unwrap().unwrap(), pump::End::Finished);
    }
}

#[tokio::test]
async fn requests_under_way_are_finished_at_shutdown() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let shutdown = CancellationToken::new();
    let router = fake(|pattern| body::full(hyper::StatusCode::OK, pattern));
    let served = tokio::spawn(serve_connection(server, router, shutdown.clone()));
    client.write_all(b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    read_exactly(&mut client, "HTTP/1.1 200 OK\r\n").await;
    shutdown.cancel();
    assert!(read_all(&mut client).await.ends_with("/info"));
    tokio::time::timeout(LIMIT, served).await.expect("closed in time").unwrap();
}

#[tokio::test]
async fn an_answer_that_comes_early_reaches_a_client_that_still_sends() {
    const BYTES: usize = 8 << 20;
    let (mut client, server) = UnixStream::pair().unwrap();
    // The fake handler drops every body unread.
    serve(server, fake(|pattern| body::full(hyper::StatusCode::OK, pattern)));
    for _ in 0..2 {
        let head =
            format!("POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {BYTES}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        tokio::time::timeout(LIMIT, client.write_all(&vec![0; BYTES])).await.unwrap().unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n/images/load") {
            answer.push(client.read_u8().await.unwrap());
        }
    }
}

#[tokio::test]
async fn the_end_of_the_output_is_told_when_all_is_settled() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let (program, container) = UnixStream::pair().unwrap();
    let (settle, settled) = tokio::sync::oneshot::channel::<()>();
    let connection = RawConnection { io: RawIo::new(server), early: Bytes::new() };
    let run = pump::run(connection, container, Vec::new(), async { drop(settled.await) });
    let run = tokio::spawn(run);
    drop(program);
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), client.read(&mut byte)).await;
    assert!(early.is_err(), "the client was told before");
    settle.send(()).unwrap();
    assert_eq!(tokio::time::timeout(LIMIT, client.read(&mut byte)).await.unwrap().unwrap(), 0);
    assert_eq!(run.await.unwrap().unwrap(), pump::End::Finished);
}

/// Tells when it is dropped.
struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn a_client_that_leaves_behind_its_body_is_noticed() {
    for (answers, chunked) in [(true, false), (false, false), (true, true), (false, true)] {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let slot = Mutex::new(Some(Dropped(Some(sender))));
        let router = reading(move |_| {
            let guard = slot.lock().unwrap().take().unwrap();
            let lines = futures_util::stream::unfold((0, guard), move |(line, guard)| async move {
                if line > 0 || !answers {
                    std::future::pending::<()>().await;
                }
                Some((Ok(Bytes::from_static(b"line")), (line + 1, guard)))
            });
            body::stream(hyper::header::HeaderValue::from_static("text/plain"), lines)
        });
        serve(server, router);
        let head = "POST /build HTTP/1.1\r\nHost: d\r\n";
        let request = match chunked {
            true => format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\ntar\r\n0\r\n\r\n"),
            false => format!("{head}Content-Length: 3\r\n\r\ntar"),
        };
        client.write_all(request.as_bytes()).await.unwrap();
        if answers {
            read_exactly(&mut client, "HTTP/1.1 200 OK\r\n").await;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(client);
        tokio::time::timeout(Duration::from_secs(1), dropped).await.expect("in time").unwrap();
    }
}

#[tokio::test]
async fn refusals_on_stream_routes_keep_their_length() {
    let (mut client, server) = UnixStream::pair().unwrap();
    serve(server, fake(|pattern| body::full(hyper::StatusCode::BAD_REQUEST, pattern)));
    client
        .write_all(b"GET /events HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.contains("\r\nContent-Length: 7\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/events"), "{answer}");
}
