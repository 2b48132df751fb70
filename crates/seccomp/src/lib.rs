//! Seccomp profiles compiled to classic BPF.

#![forbid(unsafe_code)]
