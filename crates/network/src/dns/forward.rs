//! Asking others: queries go on as the bytes that they came in, and answers come back so.
//!
//! Only the id is another, drawn at random, and each query leaves by a socket of its own on a
//! random port. What comes back counts if it is from the server that was asked, has the id and
//! repeats the question; anything else is dropped and the wait goes on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::answer::Transport;
use super::sockets::Place;
use super::wire::{self, Query, Rcode};
use super::{DnsError, with_buffers};
use crate::ports::Proto;

/// How long a server may take before the next one is asked: Docker's value.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks servers in turn; the answer as the client is to get it.
///
/// A server that fails or refuses is passed over; if all do, the last one's words are the answer.
pub(super) async fn ask(
    query: &Query<'_>,
    transport: Transport,
    (place, servers): (&Place, &[SocketAddr]),
) -> Vec<u8> {
    let mut refused = None;
    for server in servers {
        match exchange(query, transport, (place, *server)).await {
            Ok(answer) if is_refusal(&answer) => refused = Some(answer),
            Ok(answer) => return for_client(query, transport, answer),
            Err(error) => tracing::debug!(%error, %server, "asking a name server"),
        }
    }
    match refused {
        Some(answer) => for_client(query, transport, answer),
        None => {
            let mut answer = Vec::new();
            query.reply(Rcode::ServFail, &mut answer);
            answer
        }
    }
}

fn for_client(query: &Query<'_>, transport: Transport, mut answer: Vec<u8>) -> Vec<u8> {
    if let (Some(to), Some(id)) = (answer.get_mut(..2), query.message.get(..2)) {
        to.copy_from_slice(id);
    }
    query.fit(&mut answer, transport.limit(query));
    answer
}

fn is_refusal(answer: &[u8]) -> bool {
    [Rcode::ServFail as u8, Rcode::Refused as u8].contains(&wire::rcode(answer))
}

/// One server: by datagram, and then for those who can take it by a connection if it was cut.
async fn exchange(
    query: &Query<'_>,
    transport: Transport,
    (place, server): (&Place, SocketAddr),
) -> Result<Vec<u8>, DnsError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let failed = |proto| move |source| DnsError::Upstream { proto, source };
    let id = random_id()?;
    let mut message = query.message.to_vec();
    message[..2].copy_from_slice(&id.to_be_bytes());
    let asked = Question { query, id, message: &message };

    let socket = place.udp(server).await?;
    let answer = timeout(PATIENCE, by_datagram(&socket, asked)).await.map_err(late);
    let answer = answer.flatten().map_err(failed(Proto::Udp))?;
    if transport == Transport::Udp || !wire::is_truncated(&answer) {
        return Ok(answer);
    }
    let socket = place.tcp(server).await?;
    let answer = timeout(PATIENCE, by_connection(socket, server, asked)).await.map_err(late);
    answer.flatten().map_err(failed(Proto::Tcp))
}

/// A query under its new id.
#[derive(Clone, Copy)]
struct Question<'a> {
    query: &'a Query<'a>,
    id: u16,
    message: &'a [u8],
}

async fn by_datagram(socket: &tokio::net::UdpSocket, asked: Question<'_>) -> io::Result<Vec<u8>> {
    socket.send(asked.message).await?;
    loop {
        socket.readable().await?;
        // The buffer belongs to the thread, not to the query: a thousand may be waiting.
        let received: io::Result<_> = with_buffers(|buffer, _| {
            let len = socket.try_recv(buffer)?;
            let answer = &buffer[..len];
            Ok(asked.query.is_answered_by(asked.id, answer).then(|| answer.to_vec()))
        });
        match received {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn by_connection(
    socket: tokio::net::TcpSocket,
    server: SocketAddr,
    asked: Question<'_>,
) -> io::Result<Vec<u8>> {
    let mut stream = socket.connect(server).await?;
    write_message(&mut stream, asked.message).await?;
    let answer = read_message(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match asked.query.is_answered_by(asked.id, &answer) {
        true => Ok(answer),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes a message with its length before it (RFC 1035, 4.2.2), in one piece.
pub(super) async fn write_message(
    stream: &mut tokio::net::TcpStream,
    message: &[u8],
) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&len.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Reads a message; `None` where the peer ends. Room is made as bytes arrive, not as announced.
pub(super) async fn read_message(
    stream: &mut tokio::net::TcpStream,
) -> io::Result<Option<Vec<u8>>> {
    let len = match stream.read_u16().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let mut message = Vec::new();
    stream.take(u64::from(len)).read_to_end(&mut message).await?;
    Ok((message.len() == usize::from(len)).then_some(message))
}

fn random_id() -> Result<u16, DnsError> {
    let mut id = [0; 2];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut id, flags).map_err(|error| DnsError::Random(error.into()))?;
    Ok(u16::from_ne_bytes(id))
}
