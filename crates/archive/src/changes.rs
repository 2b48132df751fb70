//! skeleton
use crate::ArchiveError;
use std::os::fd::{BorrowedFd, OwnedFd};
/// What happened to a path; the numbers are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Modified.
    Modified = 0,
    /// Added.
    Added = 1,
    /// Deleted.
    Deleted = 2,
}
/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute path.
    pub path: String,
    /// What happened.
    pub kind: ChangeKind,
}
/// Lists what `upper` changes.
///
/// # Errors
/// x
pub fn changes(upper: BorrowedFd<'_>, lowers: &[OwnedFd]) -> Result<Vec<Change>, ArchiveError> {
    let _ = (upper, lowers);
    todo!()
}
