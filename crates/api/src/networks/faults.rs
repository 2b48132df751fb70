//! Several faults of one request, said together as Docker does.

use std::fmt::Display;

use crate::error::ApiError;

/// What is wrong with a request, in order.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Adds one.
    pub(super) fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// 400 with the title and all faults, or nothing when there are none.
    pub(super) fn under(self, title: impl Display) -> Result<(), ApiError> {
        match &self.0[..] {
            [] => Ok(()),
            [one] => Err(ApiError::invalid(format!("{title}:\n{one}"))),
            // One fault stands alone; several get a bullet each.
            all => Err(ApiError::invalid(format!("{title}:\n* {}", all.join("\n* ")))),
        }
    }
}
