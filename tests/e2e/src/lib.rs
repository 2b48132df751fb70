//! Whole-program tests: real clients against a real daemon. See `tests/it`.

#![forbid(unsafe_code)]
