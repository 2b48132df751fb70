//! The body of every error answer.

use crate::body::lower_body;

lower_body! {
    /// `{"message": ...}`.
    pub struct ErrorBody {
        /// Text for people, which clients match on too.
        pub message: String,
    }
}

impl ErrorBody {
    /// An error body with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
