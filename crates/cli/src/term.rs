//! The terminal: raw mode, its size, detach keys.

use std::io::{IsTerminal as _, stderr, stdin, stdout};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Whether standard input, output and error are terminals.
pub(crate) fn stdin_is_terminal() -> bool {
    stdin().is_terminal()
}

pub(crate) fn stdout_is_terminal() -> bool {
    stdout().is_terminal()
}

pub(crate) fn stderr_is_terminal() -> bool {
    stderr().is_terminal()
}

/// Height and width of the terminal, if it is one and knows them.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// As [`size`], of the terminal that standard error is.
pub(crate) fn stderr_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stderr()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Standard input in raw mode; dropping it brings the old mode back.
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// Switches raw mode on, if standard input is a terminal.
    pub(crate) fn enter() -> Option<Self> {
        let old = tcgetattr(stdin()).ok()?;
        let mut raw = old.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(old))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Whatever was typed in raw mode stays; only the mode changes.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Standard input without echo; dropping it brings the old mode back.
pub(crate) struct Silent(Termios);

impl Silent {
    /// Switches echo off, if standard input is a terminal.
    pub(crate) fn enter() -> Option<Self> {
        let old = tcgetattr(stdin()).ok()?;
        let mut silent = old.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self(old))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// What detaches unless the user says otherwise: ctrl-p, ctrl-q.
const DEFAULT_KEYS: [u8; 2] = [16, 17];

/// Parses `--detach-keys`: letters, or `ctrl-` and a letter or one of `@ [ \ ] ^ _`.
pub(crate) fn detach_keys(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(DEFAULT_KEYS.to_vec());
    }
    text.split(',')
        .map(|key| {
            let unknown = || format!("Unknown character: '{key}'");
            match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
                ([single], _) => Ok(*single),
                (_, Some([letter @ b'a'..=b'z'])) => Ok(letter - b'a' + 1),
                (_, Some(b"@")) => Ok(0),
                (_, Some([sign @ b'['..=b'_'])) => Ok(sign - b'[' + 27),
                _ => Err(unknown()),
            }
        })
        .collect()
}

/// Watches typed bytes for the detach sequence.
pub(crate) struct Escape {
    keys: Vec<u8>,
    matched: usize,
}

impl Escape {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Gives the bytes to send on, and whether the sequence is complete.
    ///
    /// A begun sequence is held back until it is complete or broken.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (through, true);
                }
                continue;
            }
            through.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(&byte));
            if self.matched == 0 {
                through.push(byte);
            }
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parsed_and_seen() {
        assert_eq!(detach_keys(""), Ok(vec![16, 17]));
        assert_eq!(detach_keys("ctrl-a,x,ctrl-["), Ok(vec![1, b'x', 27]));
        assert!(detach_keys("ctrl-").is_err());
        let mut escape = Escape::new(vec![16, 17]);
        assert_eq!(escape.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(escape.feed(b"c\x10\x10"), (b"\x10c\x10".to_vec(), false));
        assert_eq!(escape.feed(b"\x11z"), (Vec::new(), true));
    }
}
