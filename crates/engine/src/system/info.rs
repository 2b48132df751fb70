//! `GET /info`.

use gantry_api_types::system::Info;

use crate::{Engine, SystemError};

impl Engine {
    /// What this daemon is and has. The door fills what it alone knows (server version).
    ///
    /// # Errors
    /// [`SystemError`].
    #[allow(clippy::todo)]
    pub async fn info(&self) -> Result<Info, SystemError> {
        todo!()
    }
}
