//! Texts as Go writes and reads them, which Docker's interfaces are full of: quoted strings,
//! durations, sizes. Errors have Go's words, since people know them and tools match on them.

#![forbid(unsafe_code)]

mod duration;
mod quote;
mod sizes;

pub use duration::{DurationError, format_duration, human_duration, parse_duration};
pub use quote::quote;
pub use sizes::{bytes_size, human_size};
