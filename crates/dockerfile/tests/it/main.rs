//! Tests of the whole crate.

mod checks;
mod corpus;
mod errors;
mod expand;
mod ignore;
mod instructions;
mod lexing;
mod mounts;
mod properties;
