//! Who asks an authority.

use std::{fs, path::Path};

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};

use super::{AcmeError, wire};
use crate::config;

const FILE: &str = "account.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// URL of the authority's directory.
    directory: String,
    credentials: serde_json::Value,
}

fn kept(folder: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
}

/// The authority that there is an account with.
pub(super) fn directory(folder: &Path) -> Option<String> {
    kept(folder).map(|kept| kept.directory)
}

/// The account with the configured authority; a new one if there is none.
pub(super) async fn open(config: &config::Acme, folder: &Path) -> Result<Account, AcmeError> {
    let builder = Account::builder_with_http(Box::new(wire::Client::new(config)?));
    let kept = kept(folder).filter(|kept| kept.directory == config.directory);
    if let Some(kept) = kept
        && let Ok(known) = serde_json::from_value::<AccountCredentials>(kept.credentials)
    {
        return Ok(builder.from_credentials(known).await?);
    }
    let contact = format!("mailto:{}", config.email);
    let contacts = [contact.as_str()];
    let new = NewAccount {
        contact: if config.email.is_empty() { &[] } else { &contacts },
        terms_of_service_agreed: config.accept_terms,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, config.directory.clone(), None).await?;
    let write = || {
        let credentials = serde_json::to_value(&credentials)?;
        serde_json::to_string(&Kept { directory: config.directory.clone(), credentials })
    };
    let text = write().map_err(instant_acme::Error::from)?;
    super::write(&folder.join(FILE), &text)?;
    Ok(account)
}
