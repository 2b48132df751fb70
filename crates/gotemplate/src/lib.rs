//! Go text/template, as docker --format uses it.

#![forbid(unsafe_code)]
