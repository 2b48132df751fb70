//! The part of an answer that was asked for.

use std::ops::Range;

use bytes::{Buf, Bytes};
use gantry_oci::Descriptor;
use gantry_web::{Pieces, Reply, WireError};
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, TRANSFER_ENCODING},
};

use crate::DistributionError;

/// What was asked for.
pub(super) struct Asked<'a> {
    pub blob: &'a Descriptor,
    /// Of whom.
    pub host: String,
    /// Which bytes.
    pub wanted: Range<u64>,
}

/// The part of an answer that was asked for.
pub(super) struct Portion<'a> {
    asked: Asked<'a>,
    url: String,
    pieces: Pieces,
    /// What comes before it: a server that knows no ranges sends everything.
    skip: u64,
    /// It may end early, and the rest is asked for again.
    is_range: bool,
    /// The answer tells its end, so that one too early is no broken connection.
    is_framed: bool,
    came: u64,
}

impl<'a> Portion<'a> {
    /// The part of an answer, if that can hold it.
    pub(super) fn new(reply: Reply, asked: Asked<'a>) -> Result<Self, DistributionError> {
        let is_range = reply.status == StatusCode::PARTIAL_CONTENT;
        let (url, headers) = (reply.address.to_string(), &reply.headers);
        let skip = if is_range {
            let (start, total) =
                content_range(headers).ok_or_else(|| DistributionError::BadAnswer {
                    verb: "Get",
                    url: url.clone(),
                    why: "it tells not which bytes it sends".to_owned(),
                })?;
            if let Some(total) = total {
                asked.is_size(total)?;
            }
            asked.wanted.start.checked_sub(start).ok_or_else(|| DistributionError::BadAnswer {
                verb: "Get",
                url: url.clone(),
                why: format!("it sends bytes from {start} on, not from {}", asked.wanted.start),
            })?
        } else {
            if let Some(length) = length(headers) {
                asked.is_size(length)?;
            }
            asked.wanted.start
        };
        let is_framed =
            headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        Ok(Self { asked, url, pieces: reply.pieces, skip, is_range, is_framed, came: 0 })
    }

    /// The next piece; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DistributionError> {
        loop {
            let left = self.asked.wanted.end - self.asked.wanted.start;
            if left == 0 {
                return Ok(None);
            }
            let next = self.pieces.next().await;
            let next = next.map_err(|source| DistributionError::Request {
                verb: "Get",
                url: self.url.clone(),
                source,
            })?;
            let Some(mut piece) = next else { return self.end() };
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            // It is not longer than the piece, which is in memory.
            piece.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
            if piece.is_empty() {
                continue;
            }
            return self.take(piece, left).map(Some);
        }
    }

    fn take(&mut self, mut piece: Bytes, left: u64) -> Result<Bytes, DistributionError> {
        let length = piece.len() as u64;
        if length > left {
            if self.asked.wanted.end == self.asked.blob.size {
                return Err(self.asked.size(self.asked.blob.size + (length - left)));
            }
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.asked.wanted.start += piece.len() as u64;
        self.came += piece.len() as u64;
        Ok(piece)
    }

    /// It ended before all was there.
    fn end(&self) -> Result<Option<Bytes>, DistributionError> {
        if self.is_range && self.came > 0 {
            return Ok(None);
        }
        if self.is_framed && !self.is_range {
            return Err(self.asked.size(self.asked.wanted.start));
        }
        Err(DistributionError::Request {
            verb: "Get",
            url: self.url.clone(),
            source: WireError::Broken("unexpected EOF".to_owned()),
        })
    }
}

impl Asked<'_> {
    fn is_size(&self, actual: u64) -> Result<(), DistributionError> {
        if actual == self.blob.size { Ok(()) } else { Err(self.size(actual)) }
    }

    fn size(&self, actual: u64) -> DistributionError {
        DistributionError::Size {
            what: "blob",
            host: self.host.clone(),
            digest: self.blob.digest.clone(),
            expected: self.blob.size,
            actual,
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes 5-9/10` or `bytes 5-9/*`: where it begins, and how many there are.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    let total = total.trim();
    Some((start, if total == "*" { None } else { Some(total.parse().ok()?) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, want) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */10", None),
            ("5-9/10", None),
            ("bytes 5-9/ten", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            assert_eq!(content_range(&headers), want, "{text}");
        }
    }
}
