//! Containers: life cycle, exec, health, restart, events.

#![forbid(unsafe_code)]
