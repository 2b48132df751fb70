//! Error kinds and the chain printer.
//!
//! Every error type of the workspace says which [`Kind`] it is; the doors (HTTP, command line)
//! turn the kind into a status or an exit code, and nothing below them knows either.

#![forbid(unsafe_code)]

use std::error::Error;

/// What went wrong, coarse enough for a door to pick its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The thing named does not exist.
    NotFound,
    /// The request itself is wrong.
    InvalidArgument,
    /// The request does not fit the present state.
    Conflict,
    /// The state is already as wished.
    NotModified,
    /// Never allowed, whoever asks.
    Forbidden,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// Cannot be done now; later it may work.
    Unavailable,
    /// Known, but this program does not do it.
    NotImplemented,
    /// The caller gave up or a deadline passed.
    Cancelled,
    /// Data on disk or in a stream is damaged.
    DataLoss,
    /// A failure of ours or of the machine.
    Internal,
}

/// An error that knows its kind.
pub trait Fault: Error {
    /// The kind a door answers with.
    fn kind(&self) -> Kind;

    /// A sentence that tells the user what to do, apart from the message clients match on.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Prints an error and its causes on one line, outermost first: `a: b: c`.
///
/// A cause whose text its parent already ends with is not printed again, since some foreign
/// errors print their source themselves.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::chain;
    use std::{error::Error, fmt};

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as &(dyn Error + 'static))
        }
    }

    #[test]
    fn prints_causes_once() {
        let inner = || Some(Box::new(Link("c", None)));
        for (error, want) in [
            (Link("a", Some(Box::new(Link("b", inner())))), "a: b: c"),
            (Link("a: c", inner()), "a: c"),
            (Link("a", None), "a"),
        ] {
            assert_eq!(chain(&error), want);
        }
    }
}
