//! How a build is shown while it goes.
//!
//! All modes write to standard error, so that what a build prints as its answer (an image's id, a
//! tar) can be piped. A mode takes events as they come and gives the bytes to write: at every
//! event or at every tick, as it likes.

mod log;
mod plain;
mod raw;
mod steps;
pub(crate) mod text;
mod tty;

use gantry_build_proto::Progress;

use plain::Plain;
use raw::Raw;
use tty::Tty;

pub(crate) use text::Colors;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A redrawn view.
    Tty,
    /// Lines, in the order of what happens.
    Plain,
    /// A line of JSON for each event.
    RawJson,
    /// Nothing.
    Quiet,
}

/// What stands at the head of a build's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Title {
    /// As a sentence, for plain output.
    pub(crate) sentence: String,
    /// Short, for the view.
    pub(crate) short: String,
}

/// Size of the terminal, which may change at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Shows a build.
pub(crate) enum Display {
    Plain(Plain),
    Tty(Box<Tty>),
    Raw(Raw),
    Quiet,
}

impl Display {
    pub(crate) fn new(mode: Mode, title: Title, colors: Colors, now_ns: i64) -> Self {
        match mode {
            Mode::Plain => Self::Plain(Plain::new(title)),
            Mode::Tty => Self::Tty(Box::new(Tty::new(title, colors, now_ns))),
            Mode::RawJson => Self::Raw(Raw::default()),
            Mode::Quiet => Self::Quiet,
        }
    }

    /// Takes an event; gives what to write at once.
    pub(crate) fn event(&mut self, event: Progress, now_ns: i64) -> String {
        match self {
            Self::Plain(plain) => plain.event(event, now_ns),
            Self::Tty(tty) => {
                tty.event(event, now_ns);
                String::new()
            }
            Self::Raw(raw) => raw.event(&event, now_ns),
            Self::Quiet => String::new(),
        }
    }

    /// Some time went by; gives what to write.
    pub(crate) fn tick(&mut self, now_ns: i64, screen: Screen) -> String {
        match self {
            Self::Plain(plain) => plain.tick(now_ns),
            Self::Tty(tty) => tty.draw(now_ns, screen),
            Self::Raw(_) | Self::Quiet => String::new(),
        }
    }

    /// The build has ended; gives what to write, with the output of steps that failed.
    pub(crate) fn finish(&mut self, now_ns: i64, screen: Screen) -> String {
        match self {
            Self::Plain(plain) => plain.finish(now_ns),
            Self::Tty(tty) => tty.finish(now_ns, screen),
            Self::Raw(_) | Self::Quiet => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
