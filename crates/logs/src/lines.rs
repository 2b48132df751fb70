//! From chunks of output to log lines, by Docker's rules.
//!
//! A line is held until its newline comes or the stream ends; one longer than 16 KiB is logged in
//! pieces of that size, all but the last without a newline.

/// The longest piece of a line.
const PIECE_BYTES: usize = 16 * 1024;

/// What is held of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Gives every line and full piece in `bytes` to `sink`, and holds the rest.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.held.len();
            let window = &bytes[..bytes.len().min(room)];
            let (taken, whole) = match memchr::memchr(b'\n', window) {
                Some(at) => (at + 1, true),
                // The newline right behind a full piece ends that piece's line, as an empty rest.
                None => (window.len(), window.len() == room),
            };
            let (now, later) = bytes.split_at(taken);
            bytes = later;
            if !whole {
                self.held.extend_from_slice(now);
            } else if self.held.is_empty() {
                sink(now);
            } else {
                self.held.extend_from_slice(now);
                sink(&self.held);
                self.held = Vec::new();
            }
        }
    }

    /// The stream has ended: gives what is held.
    pub(crate) fn end(&mut self, mut sink: impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            sink(&self.held);
            self.held = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, PIECE_BYTES};

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| out.push(line.to_vec()));
        }
        lines.end(|line| out.push(line.to_vec()));
        out
    }

    #[test]
    fn lines_are_held_until_newline_or_end() {
        let mut lines = Lines::default();
        lines.push(b"no newline", |line| panic!("{line:?}"));
        let mut out = Vec::new();
        lines.push(b" yet\nx", |line| out.push(line.to_vec()));
        assert_eq!(out, [b"no newline yet\n"]);
        assert_eq!(split(&[b"a\n\nb"]), [&b"a\n"[..], b"\n", b"b"]);
    }

    #[test]
    fn long_lines_are_split() {
        let long = vec![b'x'; 2 * PIECE_BYTES + 5];
        let mut with_end = long.clone();
        with_end.push(b'\n');
        for chunk in [1000, PIECE_BYTES, 100_000] {
            let chunks: Vec<&[u8]> = with_end.chunks(chunk).collect();
            let sizes: Vec<usize> = split(&chunks).iter().map(Vec::len).collect();
            assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, 6], "chunks of {chunk}");
        }
        let sizes: Vec<usize> = split(&[&long]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, 5]);
    }
}
