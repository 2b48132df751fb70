//! DNS messages, as far as a server must look into them: RFC 1035, section 4, and RFC 6891.
//!
//! A query is checked and walked without an allocation, and forwarded as the bytes that it came
//! in. Names are never followed through compression pointers: the name of a question stands at
//! offset 12 and can point nowhere, and other names are only skipped. So no message can make the
//! walk longer than itself.

use std::net::IpAddr;

/// Length of a message's header.
pub(super) const HEADER_LEN: usize = 12;
/// Longest name, with its length bytes.
const NAME_LEN: usize = 255;
/// Longest label.
const LABEL_LEN: usize = 63;
/// What every client takes in a datagram (RFC 1035, 4.2.1).
pub(super) const PLAIN_UDP_LEN: usize = 512;
/// The longest datagram over IPv4, and what we say that we take.
pub(super) const MAX_UDP_LEN: u16 = 65_507;
/// The longest message over TCP.
pub(super) const MAX_TCP_LEN: usize = 65_535;
/// How long an answer may be kept, in seconds: Docker's value.
const TTL_S: u32 = 600;
/// Where the name of the question stands, as a compression pointer.
const NAME_POINTER: [u8; 2] = [0xc0, 12];
/// An OPT record without options.
const OPT_LEN: usize = 11;
/// A record's fixed part after its name: type, class, time to live, length.
const RECORD_LEN: usize = 10;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_PTR: u16 = 12;
pub(super) const TYPE_MX: u16 = 15;
pub(super) const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
pub(super) const CLASS_IN: u16 = 1;

const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
/// Operation code and "recursion desired", which an answer repeats.
const ECHOED: u16 = 0x7900;
const OPCODE: u16 = 0x7800;

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
}

/// What is wrong with a message that should be a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Too short for a header, or itself a response: no answer, or two servers talk forever.
    Ignore,
    /// To be answered with this code.
    Answer(Rcode),
}

/// A name in dotted form, lower case, without the last dot.
#[derive(Clone)]
pub(super) struct Name {
    bytes: [u8; NAME_LEN],
    len: usize,
    /// Whether a label has a dot in itself; such a name equals no name of ours.
    odd: bool,
}

impl Name {
    /// The dotted form; `None` if a label holds a dot.
    pub(super) fn dotted(&self) -> Option<&[u8]> {
        if self.odd { None } else { self.bytes.get(..self.len) }
    }

    fn push(&mut self, label: &[u8]) -> Option<()> {
        let dot = usize::from(self.len > 0);
        let room = self.bytes.get_mut(self.len..self.len + dot + label.len())?;
        let (dots, rest) = room.split_at_mut(dot);
        dots.fill(b'.');
        for (to, from) in rest.iter_mut().zip(label) {
            *to = from.to_ascii_lowercase();
        }
        self.odd |= label.contains(&b'.');
        self.len += dot + label.len();
        Some(())
    }
}

/// A well-formed query.
#[derive(Clone)]
pub(super) struct Query<'a> {
    pub(super) message: &'a [u8],
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// Where the question ends.
    end: usize,
    /// How long a datagram the client takes, if it speaks EDNS.
    edns: Option<u16>,
}

impl<'a> Query<'a> {
    /// Takes a message apart.
    pub(super) fn parse(message: &'a [u8]) -> Result<Query<'a>, Wrong> {
        let flags = u16_at(message, 2).filter(|_| message.len() >= HEADER_LEN);
        let flags = flags.filter(|flags| flags & FLAG_RESPONSE == 0).ok_or(Wrong::Ignore)?;
        if flags & OPCODE != 0 {
            return Err(Wrong::Answer(Rcode::NotImp));
        }
        Query::parse_question(message).ok_or(Wrong::Answer(Rcode::FormErr))
    }

    fn parse_question(message: &'a [u8]) -> Option<Query<'a>> {
        if u16_at(message, 4)? != 1 {
            return None;
        }
        let mut name = Name { bytes: [0; NAME_LEN], len: 0, odd: false };
        let mut at = HEADER_LEN;
        loop {
            let len = usize::from(*message.get(at)?);
            at += 1;
            match len {
                0 => break,
                1..=LABEL_LEN => name.push(message.get(at..at + len)?)?,
                _ => return None,
            }
            at += len;
        }
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let end = at + 4;
        // The length bytes count too: one a label, as the dots do, and the last zero.
        (end - 4 - HEADER_LEN <= NAME_LEN).then_some(())?;
        let edns = edns(message, end)?;
        Some(Query { message, name, kind, class, end, edns })
    }

    /// How long an answer by datagram may be.
    pub(super) fn udp_limit(&self) -> usize {
        self.edns
            .map_or(PLAIN_UDP_LEN, |size| usize::from(size.min(MAX_UDP_LEN)).max(PLAIN_UDP_LEN))
    }

    /// Writes an answer without records.
    pub(super) fn reply(&self, rcode: Rcode, out: &mut Vec<u8>) {
        Reply::begin(self, MAX_TCP_LEN, out).finish(rcode);
    }

    /// Writes an answer with addresses; those that are too many are left out, and it says so.
    pub(super) fn reply_addresses(
        &self,
        addresses: impl Iterator<Item = IpAddr>,
        limit: usize,
        out: &mut Vec<u8>,
    ) {
        let mut reply = Reply::begin(self, limit, out);
        for address in addresses {
            match address {
                IpAddr::V4(address) => reply.push(TYPE_A, &address.octets()),
                IpAddr::V6(address) => reply.push(TYPE_AAAA, &address.octets()),
            }
        }
        reply.finish(Rcode::NoError);
    }

    /// Writes an answer with a name, which is given in wire form.
    pub(super) fn reply_pointer(&self, name: &[u8], limit: usize, out: &mut Vec<u8>) {
        let mut reply = Reply::begin(self, limit, out);
        reply.push(TYPE_PTR, name);
        reply.finish(Rcode::NoError);
    }

    /// Whether a message is an answer to this query under another id.
    ///
    /// A server that does not understand a query may answer with the bare header.
    pub(super) fn is_answered_by(&self, id: u16, answer: &[u8]) -> bool {
        let Some((found, flags)) = u16_at(answer, 0).zip(u16_at(answer, 2)) else { return false };
        if found != id || flags & FLAG_RESPONSE == 0 || answer.len() < HEADER_LEN {
            return false;
        }
        match u16_at(answer, 4) {
            Some(0) => rcode(answer) != Rcode::NoError as u8,
            Some(1) => {
                let question = &self.message[HEADER_LEN..self.end];
                let echoed = answer.get(HEADER_LEN..self.end);
                echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(question))
            }
            _ => false,
        }
    }

    /// Cuts an answer that is longer than the client takes down to its question.
    pub(super) fn fit(&self, answer: &mut Vec<u8>, limit: usize) {
        if answer.len() > limit {
            let id_and_flags = answer.first_chunk::<4>().copied();
            Reply::begin(self, limit, answer).finish(Rcode::NoError);
            if let Some([_, _, high, low]) = id_and_flags {
                let flags = u16::from_be_bytes([high, low]) | FLAG_TRUNCATED;
                answer[2..4].copy_from_slice(&flags.to_be_bytes());
            }
        }
    }
}

/// Writes the answer to a message that is no query; it repeats nothing but the id.
pub(super) fn reply_wrong(message: &[u8], rcode: Rcode, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(message.get(..2).unwrap_or(&[0, 0]));
    let flags = u16_at(message, 2).unwrap_or(0) & ECHOED;
    out.extend_from_slice(&(flags | FLAG_RESPONSE | rcode as u16).to_be_bytes());
    out.extend_from_slice(&[0; 8]);
}

/// An answer being written.
struct Reply<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    edns: bool,
    answers: u16,
    flags: u16,
}

impl<'a> Reply<'a> {
    fn begin(query: &Query<'_>, limit: usize, out: &'a mut Vec<u8>) -> Reply<'a> {
        let flags = u16_at(query.message, 2).unwrap_or(0) & ECHOED;
        let edns = query.edns.is_some();
        out.clear();
        out.extend_from_slice(&query.message[..HEADER_LEN]);
        out.extend_from_slice(&query.message[HEADER_LEN..query.end]);
        let limit = if edns { limit.saturating_sub(OPT_LEN) } else { limit };
        let flags = flags | FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE;
        Reply { out, limit, edns, answers: 0, flags }
    }

    fn push(&mut self, kind: u16, data: &[u8]) {
        let fits = self.out.len() + NAME_POINTER.len() + RECORD_LEN + data.len() <= self.limit;
        let Ok(len) = u16::try_from(data.len()) else { return };
        if !fits || self.flags & FLAG_TRUNCATED != 0 {
            self.flags |= FLAG_TRUNCATED;
            return;
        }
        self.out.extend_from_slice(&NAME_POINTER);
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.out.extend_from_slice(&TTL_S.to_be_bytes());
        self.out.extend_from_slice(&len.to_be_bytes());
        self.out.extend_from_slice(data);
        self.answers += 1;
    }

    fn finish(self, rcode: Rcode) {
        let mut fields = [0u8; 10];
        fields[..2].copy_from_slice(&(self.flags | rcode as u16).to_be_bytes());
        fields[3] = 1;
        fields[4..6].copy_from_slice(&self.answers.to_be_bytes());
        fields[9] = u8::from(self.edns);
        self.out[2..HEADER_LEN].copy_from_slice(&fields);
        if self.edns {
            self.out.push(0);
            self.out.extend_from_slice(&TYPE_OPT.to_be_bytes());
            self.out.extend_from_slice(&MAX_UDP_LEN.to_be_bytes());
            self.out.extend_from_slice(&[0; 6]);
        }
    }
}

/// The response code of a message.
pub(super) fn rcode(message: &[u8]) -> u8 {
    message.get(3).map_or(0, |flags| flags & 0x0f)
}

/// Whether a message says that it was cut.
pub(super) fn is_truncated(message: &[u8]) -> bool {
    u16_at(message, 2).is_some_and(|flags| flags & FLAG_TRUNCATED != 0)
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
pub(super) fn reverse_address(name: &[u8]) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(b".in-addr.arpa") {
        let mut octets = [0u8; 4];
        let mut labels = labels.rsplit(|byte| *byte == b'.');
        for octet in &mut octets {
            *octet = std::str::from_utf8(labels.next()?).ok()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| octets.into());
    }
    let labels = name.strip_suffix(b".ip6.arpa")?;
    let mut octets = [0u8; 16];
    let mut labels = labels.rsplit(|byte| *byte == b'.');
    for half in 0..32 {
        let [digit] = labels.next()? else { return None };
        let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        octets[half / 2] = octets[half / 2] << 4 | value;
    }
    labels.next().is_none().then(|| octets.into())
}

/// A dotted name in wire form; `None` if it is none that DNS can say.
pub(super) fn encode_name(dotted: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(dotted.len() + 2);
    for label in dotted.split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len))?;
        wire.push(len);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    (wire.len() <= NAME_LEN).then_some(wire)
}

/// Walks the records after the question: the size in the OPT record, if there is one.
/// `None` if a record is malformed or there are two of them.
fn edns(message: &[u8], mut at: usize) -> Option<Option<u16>> {
    let counts = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
    let records: usize = counts.into_iter().map(usize::from).sum();
    let mut size = None;
    for _ in 0..records {
        let name = at;
        at = skip_name(message, at)?;
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let len = usize::from(u16_at(message, at + 8)?);
        if kind == TYPE_OPT && (size.replace(class).is_some() || message[name] != 0) {
            return None;
        }
        at += RECORD_LEN + len;
        if at > message.len() {
            return None;
        }
    }
    Some(size)
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(at + 1),
            1..=LABEL_LEN => at += 1 + len,
            0xc0.. => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
