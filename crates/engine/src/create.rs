//! `create`: a request becomes a record, a root file system and volumes.

use gantry_api_types::container::{ContainerCreateBody, ContainerCreateResponse};

use crate::{CreateError, Engine};

/// What `POST /containers/create` asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Name without the leading slash; generated when absent.
    pub name: Option<String>,
    /// The body, in the shape of the newest API version.
    pub body: ContainerCreateBody,
    /// `os/arch[/variant]`; any when absent.
    pub platform: Option<String>,
}

impl Engine {
    /// Makes a container.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is left of the container then.
    pub async fn create(
        &self,
        request: CreateRequest,
    ) -> Result<ContainerCreateResponse, CreateError> {
        todo!("{request:?}")
    }
}
