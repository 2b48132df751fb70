//! Go's `text/template` as Docker's `--format` uses it.
//!
//! A template is parsed once ([`Template::parse`]) and executed over a [`Value`]. Values know
//! whether they stand for a Go struct or a Go map, because the two differ where it shows: a
//! field that a struct does not have is an error, a key that a map does not have prints as
//! `<no value>`.
//!
//! ```text
//! source text --lex--> tokens --parse--> nodes --exec (funcs, verbs)--> text
//! ```
//!
//! Error texts are Go's, since people search for them and scripts match on them.
//! Source: <https://pkg.go.dev/text/template>.

#![forbid(unsafe_code)]

mod ast;
mod exec;
mod funcs;
mod lex;
mod parse;
mod text;
mod value;
mod verbs;

use gantry_gotext::quote;

pub use funcs::Functions;
pub use text::{escape_json, to_json};
pub use value::{Map, Method, Struct, Value};

use std::collections::BTreeMap;

/// Why a template could not be parsed or executed; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The source text is no template.
    #[error("template: :{line}: {message}")]
    Parse {
        /// Line in the source, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template does not fit the value.
    #[error("template: {name}:{line}:{column}: executing {} at <{at}>: {message}", quote(.name))]
    Exec {
        /// Name of the template that failed; empty for the main one.
        name: String,
        /// Line in the source, from 1.
        line: usize,
        /// Byte in the line, from 0, as Go counts.
        column: usize,
        /// The failing part of the source.
        at: String,
        /// What is wrong there.
        message: String,
    },
}

/// A parsed template with the templates defined inside it.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    main: Vec<ast::Node>,
    defined: BTreeMap<String, Vec<ast::Node>>,
    functions: Functions,
}

impl Template {
    /// Parses `source`; only names in `functions` may be called.
    ///
    /// # Errors
    /// [`TemplateError::Parse`] with Go's words.
    pub fn parse(source: &str, functions: Functions) -> Result<Self, TemplateError> {
        let tokens = lex::lex(source)?;
        let parsed = parse::parse(source, tokens, functions)?;
        Ok(Self {
            source: source.to_owned(),
            main: parsed.main,
            defined: parsed.defined,
            functions,
        })
    }

    /// Executes the template over `dot`; a missing map key prints as `<no value>`.
    ///
    /// # Errors
    /// [`TemplateError::Exec`] with Go's words.
    pub fn execute(&self, dot: &Value) -> Result<String, TemplateError> {
        exec::execute(self, dot, false)
    }

    /// Executes the template over `dot`; a missing map key is an error (`missingkey=error`).
    ///
    /// # Errors
    /// [`TemplateError::Exec`] with Go's words.
    pub fn execute_strict(&self, dot: &Value) -> Result<String, TemplateError> {
        exec::execute(self, dot, true)
    }
}
