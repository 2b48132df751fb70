//! Dockerfiles: text to instructions, word expansion, checks, ignore patterns.

#![forbid(unsafe_code)]

mod ast;
mod place;

pub use ast::*;
pub use place::Span;
