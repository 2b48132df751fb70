//! Dockerfiles: text to instructions, word expansion, checks, ignore patterns.
//!
//! ```text
//! text --parse--> Dockerfile --InstructionKind::expand (with an Environment)--> the same, with values
//!                     └─ check: what is allowed, but not advised
//! .dockerignore --Patterns--> which files are left out
//! ```
//!
//! Nothing here reads files or knows images. Whoever builds asks for what it needs: arguments
//! before the first stage ([`Dockerfile::global_scope`]), an instruction with values
//! ([`InstructionKind::expand`]), its mounts ([`Run::mounts`]), what `RUN` runs ([`Run::script`]),
//! and reports what it learns of base images and contexts to a [`check::Linter`].
//!
//! Errors and rules have BuildKit's words, since people search for them and tools match on them.
//! Source: <https://docs.docker.com/reference/dockerfile/>.

#![forbid(unsafe_code)]

mod ast;
pub mod check;
mod csv;
mod duration;
mod error;
mod expand;
mod ignore;
mod lex;
mod mount;
mod parse;
mod place;
mod ports;
mod quote;
mod scope;
mod suggest;
mod text;

pub use ast::*;
pub use csv::CsvError;
pub use duration::DurationError;
pub use error::{ParseError, Problem, did_you_mean};
pub use expand::{Environment, ExpandError, ExpandProblem, Expander, Names, NoVariables};
pub use ignore::{
    Glob, GlobError, IgnoreError, Matched, Patterns, has_wildcards, ignore_file_patterns,
    split_wildcards,
};
pub use lex::{Syntax, detect_syntax};
pub use mount::MountError;
pub use parse::{parse, parse_trigger};
pub use place::Span;
pub use ports::{PortError, PortSpec};
pub use scope::{PLATFORM_ARGS, PROXY_ARGS, Scope};
pub use suggest::nearest;
