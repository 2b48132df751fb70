//! Logging in: finding out whether a registry takes credentials.

use gantry_web::Address;
use hyper::{Method, StatusCode, header::AUTHORIZATION};

use crate::{
    Client, Credentials, DistributionError, Secret,
    auth::{Bearer, Challenge, Scopes, read_challenge},
    hosts::registry_of,
    server::{Call, Server},
};

/// What a login gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// What to keep instead of the password, if the registry gives such.
    pub identity_token: Option<Secret>,
}

impl Client {
    /// Shows credentials to a registry: a host, a URL, or nothing for Docker Hub.
    ///
    /// # Errors
    /// [`DistributionError::Login`], [`DistributionError::LoginRefused`] when they are not right,
    /// and all that can be wrong on the way.
    pub async fn login(
        &self,
        server: &str,
        credentials: &Credentials,
    ) -> Result<Login, DistributionError> {
        let server = self.own_server(&registry_of(server)?, credentials).await?;
        let address = server.address("/").await?;
        let call = Call::new(Method::GET, address.clone(), &Scopes::default());
        let reply = server.follow(&call, None).await?;
        if reply.status.is_success() {
            return Ok(Login::default());
        }
        let asks = reply.status == StatusCode::UNAUTHORIZED && reply.address.same_origin(&address);
        match read_challenge(&reply.headers).filter(|_| asks) {
            Some(Challenge::Basic) => by_password(&server, call).await,
            Some(Challenge::Bearer(wanted)) => by_token(&server, call, &wanted).await,
            None => Err(refused(&address, reply.status)),
        }
    }
}

async fn by_password(server: &Server, call: Call) -> Result<Login, DistributionError> {
    let address = call.address.clone();
    let Some(basic) = server.credentials().basic() else {
        let (verb, url) = ("Get", address.to_string());
        return Err(DistributionError::NoBasicCredentials { verb, url });
    };
    show(server, call, &basic).await.map(|()| Login::default())
}

async fn by_token(
    server: &Server,
    call: Call,
    wanted: &Bearer,
) -> Result<Login, DistributionError> {
    let auth = &server.shared().auth;
    let ordered = auth.order(server, &call.address, wanted, &Scopes::default(), true).await;
    let token = ordered.map_err(|error| match error {
        DistributionError::Answer(source) => {
            let (verb, url) = ("Get", call.address.to_string());
            DistributionError::LoginRefused { verb, url, source }
        }
        other => other,
    })?;
    show(server, call, &Secret::new(format!("Bearer {}", token.text.expose()))).await?;
    Ok(Login { identity_token: token.refresh })
}

async fn show(server: &Server, call: Call, said: &Secret) -> Result<(), DistributionError> {
    let address = call.address.clone();
    let mut call = call.with(AUTHORIZATION, said.expose())?;
    let said = call.headers.remove(AUTHORIZATION).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    let reply = server.follow(&call, said.as_ref()).await?;
    if reply.status.is_success() { Ok(()) } else { Err(refused(&address, reply.status)) }
}

fn refused(address: &Address, status: StatusCode) -> DistributionError {
    DistributionError::Login { url: address.to_string(), status: status.to_string() }
}
