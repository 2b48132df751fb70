//! One end of a connection: frames with descriptors over a non-blocking socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message taken.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The most descriptors with one message.
pub const MAX_DESCRIPTORS: usize = 64;

const HEADER_BYTES: usize = 8;
const CHUNK_BYTES: usize = 16 * 1024;
/// What may wait to be sent to a peer that does not read.
const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("socket")]
    Socket(#[from] io::Error),
    /// A message is longer than [`MAX_MESSAGE_BYTES`], or has too many descriptors.
    #[error("message too large")]
    TooLarge,
    /// Descriptors were announced and did not come, or came unannounced.
    #[error("descriptors are missing")]
    Descriptors,
    /// The peer does not read what it is sent.
    #[error("peer does not read")]
    Stuck,
    /// A message cannot be written as JSON.
    #[error("encoding a message")]
    Encode(#[source] serde_json::Error),
}

/// A connection.
#[derive(Debug)]
pub struct Channel<S> {
    socket: S,
    input: Vec<u8>,
    received: VecDeque<OwnedFd>,
    output: VecDeque<Frame>,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

/// A message as it came: text and descriptors.
#[derive(Debug)]
pub struct Incoming {
    /// The JSON text.
    pub text: Vec<u8>,
    /// What travelled with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Incoming {
    /// Reads the text.
    ///
    /// # Errors
    /// Those of serde: not JSON, or not such a message.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.text)
    }
}

impl<S: AsFd> Channel<S> {
    /// Takes a connected socket, which must be non-blocking.
    pub fn new(socket: S) -> Channel<S> {
        Channel { socket, input: Vec::new(), received: VecDeque::new(), output: VecDeque::new() }
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Reads what is there; false at the end of the connection.
    ///
    /// # Errors
    /// [`ChannelError`]; `WouldBlock` of the socket is none here but `Ok(true)`.
    pub fn receive(&mut self) -> Result<bool, ChannelError> {
        loop {
            let held = self.input.len();
            self.input.resize(held + CHUNK_BYTES, 0);
            let result = receive_once(self.socket.as_fd(), &mut self.input[held..]);
            let bytes = *result.as_ref().map(|(bytes, _)| bytes).unwrap_or(&0);
            self.input.truncate(held + bytes);
            match result {
                Ok((bytes, mut descriptors)) => {
                    self.received.append(&mut descriptors);
                    if bytes == 0 {
                        return Ok(false);
                    }
                    // A frame may hold many chunks, but nothing beyond the next frame is needed.
                    if self.received.len() > 2 * MAX_DESCRIPTORS
                        || self.input.len() > MAX_MESSAGE_BYTES + HEADER_BYTES + CHUNK_BYTES
                    {
                        return Err(ChannelError::TooLarge);
                    }
                    if bytes < CHUNK_BYTES {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.input.is_empty() {
                        self.input = Vec::new();
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`], [`ChannelError::Descriptors`].
    pub fn next_message(&mut self) -> Result<Option<Incoming>, ChannelError> {
        let Some(header) = self.input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let descriptors = u32::from_le_bytes([e, f, g, h]) as usize;
        if length > MAX_MESSAGE_BYTES || descriptors > MAX_DESCRIPTORS {
            return Err(ChannelError::TooLarge);
        }
        let end = HEADER_BYTES + length;
        if self.input.len() < end {
            return Ok(None);
        }
        if self.received.len() < descriptors {
            return Err(ChannelError::Descriptors);
        }
        let text = self.input[HEADER_BYTES..end].to_vec();
        self.input.drain(..end);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(Some(Incoming { text, descriptors: self.received.drain(..descriptors).collect() }))
    }

    /// Queues a message; [`Channel::flush`] sends it.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`], [`ChannelError::Stuck`], [`ChannelError::Encode`].
    pub fn queue<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), ChannelError> {
        let mut bytes = vec![0; HEADER_BYTES];
        serde_json::to_writer(&mut bytes, message).map_err(ChannelError::Encode)?;
        let length = bytes.len() - HEADER_BYTES;
        if length > MAX_MESSAGE_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(ChannelError::TooLarge);
        }
        let queued: usize = self.output.iter().map(|frame| frame.bytes.len()).sum();
        if queued + length > MAX_QUEUED_BYTES {
            return Err(ChannelError::Stuck);
        }
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        bytes[..4].copy_from_slice(&number(length));
        bytes[4..HEADER_BYTES].copy_from_slice(&number(descriptors.len()));
        self.output.push_back(Frame { bytes, sent: 0, descriptors });
        Ok(())
    }

    /// Sends what is queued; false if the socket takes no more for now.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn flush(&mut self) -> Result<bool, ChannelError> {
        while let Some(frame) = self.output.front_mut() {
            match send_once(self.socket.as_fd(), &frame.bytes[frame.sent..], &frame.descriptors) {
                Ok(bytes) => {
                    frame.sent += bytes;
                    frame.descriptors.clear();
                    if frame.sent == frame.bytes.len() {
                        self.output.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Whether anything waits to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }
}

impl<S: AsFd> AsFd for Channel<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn receive_once(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, VecDeque<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut descriptors = VecDeque::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were cut off"));
    }
    Ok((message.bytes, descriptors))
}

fn send_once(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

#[cfg(test)]
mod tests {
    use super::{Channel, ChannelError, MAX_MESSAGE_BYTES};
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Channel<UnixStream>, Channel<UnixStream>) {
        let (a, b) = UnixStream::pair().expect("pair");
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (mut near, mut far) = pair();
        for size in [0, 10, 100_000, 1] {
            let (keep, travel) = UnixStream::pair().expect("pair");
            let text = "x".repeat(size);
            near.queue(&text, vec![OwnedFd::from(travel)]).expect("queue");
            let got = loop {
                near.flush().expect("flush");
                assert!(far.receive().expect("receive"));
                if let Some(message) = far.next_message().expect("next") {
                    break message;
                }
            };
            assert_eq!(got.parse::<String>().expect("string"), text);
            let mut peer = UnixStream::from(got.descriptors.into_iter().next().expect("one"));
            (&keep).write_all(b"!").expect("write");
            let mut byte = [0];
            peer.read_exact(&mut byte).expect("read");
        }
        drop(near);
        assert!(!far.receive().expect("end"));
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let (near, mut far) = pair();
        let mut header = u32::try_from(MAX_MESSAGE_BYTES + 1).expect("fits").to_le_bytes().to_vec();
        header.extend_from_slice(&[0; 4]);
        (&near.socket).write_all(&header).expect("write");
        far.receive().expect("receive");
        assert!(matches!(far.next_message(), Err(ChannelError::TooLarge)));

        let (near, mut far) = pair();
        (&near.socket).write_all(&[1, 0, 0, 0, 1, 0, 0, 0, b'1']).expect("write");
        far.receive().expect("receive");
        assert!(matches!(far.next_message(), Err(ChannelError::Descriptors)));
    }
}
