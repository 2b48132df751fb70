//! Policies over their whole way: a document, signatures made here, and what comes of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod documents;
mod gate;
mod signatures;
mod signer;

use std::io;

use gantry_policy::{Evidence, Policy, PolicyError, Subject};

/// Reads a policy without files of keys.
fn policy(json: &str) -> Result<Policy, PolicyError> {
    Policy::parse(json.as_bytes(), &mut |_| Err(io::ErrorKind::NotFound.into()))
}

fn image(name: &str) -> Subject {
    Subject::Registry(name.parse().unwrap())
}

/// Why an image with this evidence is denied; nothing if it is not.
fn denied(json: &str, subject: Subject, evidence: &Evidence) -> Option<String> {
    let rule = policy(json).unwrap().rule(subject);
    rule.judge(evidence).err().map(|denied| denied.to_string())
}
