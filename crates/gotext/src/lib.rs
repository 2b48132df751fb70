//! Texts as Go writes and reads them, which Docker's interfaces are full of: quoted strings,
//! durations. Errors have Go's words, since people know them and tools match on them.

#![forbid(unsafe_code)]

mod duration;
mod quote;

pub use duration::{DurationError, format_duration, human_duration, parse_duration};
pub use quote::quote;
