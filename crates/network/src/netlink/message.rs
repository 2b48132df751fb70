//! Building and taking apart netlink messages (`netlink(7)`).
//!
//! A message is a 16-byte header, a fixed header of its family, and attributes; an attribute is
//! length, kind and value, padded to four bytes, and a nested attribute's value is attributes.

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// Ask for an answer, good or bad.
pub(crate) const ACK: u16 = 4;
/// Ask for all objects (`NLM_F_ROOT | NLM_F_MATCH`).
pub(crate) const DUMP: u16 = 0x300;
/// Fail if the object exists.
pub(crate) const EXCL: u16 = 0x200;
/// Put the object in the place of one that exists.
pub(crate) const REPLACE: u16 = 0x100;
/// Make the object if it does not exist.
pub(crate) const CREATE: u16 = 0x400;
/// Put a rule behind the others.
pub(crate) const APPEND: u16 = 0x800;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Flags of an attribute's kind that are no part of the number.
const KIND_MASK: u16 = 0x3fff;

/// Requests that go to the kernel in one call.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    buffer: Vec<u8>,
    messages: Vec<(usize, &'static str)>,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch::default()
    }

    /// Adds a request; `step` names it in errors, `fill` writes what follows the header.
    pub(crate) fn push(
        &mut self,
        step: &'static str,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Body<'_>),
    ) {
        let start = self.buffer.len();
        self.messages.push((start, step));
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.buffer.extend_from_slice(&[0; 8]);
        fill(&mut Body { buffer: &mut self.buffer });
        let length = u32::try_from(self.buffer.len() - start).expect("a batch is under 4 GiB");
        self.buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Numbers the messages from `first` on and gives the bytes to send.
    pub(crate) fn finish(&mut self, first: u32) -> &[u8] {
        let mut sequence = first;
        for (start, _) in &self.messages {
            self.buffer[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
            sequence = sequence.wrapping_add(1);
        }
        &self.buffer
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.messages.len()).expect("a batch has under 2^32 messages")
    }

    /// The name of the message at `index`.
    pub(crate) fn step(&self, index: u32) -> &'static str {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.messages.get(index).map_or("netlink request", |(_, step)| step)
    }
}

/// Writes what follows a message's header.
pub(crate) struct Body<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Body<'_> {
    /// Raw bytes, for the family's fixed header.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// An attribute with these bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.nest_as(kind, |body| body.buffer.extend_from_slice(value))
    }

    /// An attribute with a string and its terminating zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.nest_as(kind, |body| {
            body.buffer.extend_from_slice(value.as_bytes());
            body.buffer.push(0);
        })
    }

    /// An attribute with a number in the host's byte order (rtnetlink).
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute with a number in network byte order (nfnetlink).
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Body<'_>)) -> &mut Self {
        self.nest_as(kind | NESTED, fill)
    }

    fn nest_as(&mut self, kind: u16, fill: impl FnOnce(&mut Body<'_>)) -> &mut Self {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        fill(&mut Body { buffer: self.buffer });
        let length = self.buffer.len() - start;
        let length = u16::try_from(length).expect("callers keep attributes under 64 KiB");
        self.buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.buffer.resize(self.buffer.len().next_multiple_of(4), 0);
    }
}

/// One message of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// The socket of who asked; in a notification, of who made the change.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// Splits a received datagram; stops at a header that makes no sense.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        // An error echoes the request; a datagram that was cut short still has its code.
        let message = datagram.get(..length).unwrap_or(datagram);
        let found = Message {
            kind: u16_at(message, 4)?,
            sequence: u32_at(message, 8)?,
            port: u32_at(message, 12)?,
            body: message.get(HEADER_LEN..)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(found)
    })
}

/// Splits attributes: kind and value of each.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & KIND_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(attrs: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(attrs).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_taken_apart() {
        let mut batch = Batch::new();
        batch.push("first", 7, ACK, |body| {
            body.raw(&[1, 2, 3, 4]).text(5, "abc").nest(6, |body| {
                body.u32(1, 0x0102_0304).bytes(2, &[9]);
            });
        });
        batch.push("second", 8, 0, |_| ());
        assert_eq!((batch.count(), batch.step(1), batch.step(2)), (2, "second", "netlink request"));
        let bytes = batch.finish(41).to_vec();
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].sequence), (7, 41));
        assert_eq!((found[1].kind, found[1].sequence, found[1].body.len()), (8, 42, 0));
        let attrs = &found[0].body[4..];
        assert_eq!(attribute(attrs, 5), Some(&b"abc\0"[..]));
        let nested = attribute(attrs, 6).unwrap();
        assert_eq!(u32_at(attribute(nested, 1).unwrap(), 0), Some(0x0102_0304));
        assert_eq!(attribute(nested, 2), Some(&[9][..]));
        assert_eq!(attribute(nested, 3), None);
    }

    #[test]
    fn hostile_lengths_end_the_walk() {
        for bytes in [&[][..], &[0; 4], &[3, 0, 0, 0], &[255, 255, 1, 0, 1], &[4, 0]] {
            assert!(attributes(bytes).take(3).count() <= 1, "{bytes:?}");
            assert!(messages(bytes).take(3).count() == 0, "{bytes:?}");
        }
    }
}
