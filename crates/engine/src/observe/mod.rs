//! Looking into running containers: processes and figures.

pub mod stats;
pub mod top;
