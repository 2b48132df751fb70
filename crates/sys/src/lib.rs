//! Every unsafe and raw system call, as safe functions.

pub mod netns;
pub mod bpf;
