//! One certificate, from the order to the chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::{AcmeError, proof::Proofs};

/// How long the authority is asked whether it is ready.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Orders a certificate for these domains; returns chain and key, in PEM.
pub(super) async fn certificate(
    account: &Account,
    domains: &[String],
    proofs: &Proofs,
    by_http: bool,
) -> Result<String, AcmeError> {
    let names: Vec<Identifier> = domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    prove(&mut order, proofs, by_http).await?;
    if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
        return Err(AcmeError::Refused(reasons(&mut order).await));
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(format!("{chain}\n{key}"))
}

/// Lays out proofs for all domains and says so.
async fn prove(order: &mut Order, proofs: &Proofs, by_http: bool) -> Result<(), AcmeError> {
    let (kind, name) = match by_http {
        true => (ChallengeType::Http01, "http-01"),
        false => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
    };
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let none = || AcmeError::NoChallenge(name, domain.clone());
        let mut challenge = authorization.challenge(kind.clone()).ok_or_else(none)?;
        let answer = challenge.key_authorization();
        match by_http {
            true => proofs.lay_out_text(&challenge.token, answer.as_str()),
            false => proofs.lay_out_certificate(&domain, answer.digest().as_ref())?,
        }
        challenge.set_ready().await?;
    }
    Ok(())
}

/// What the authority says of what it could not verify.
async fn reasons(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        let domain = authorization.identifier().to_string();
        // What is known of it is from before it was tried.
        if let Ok(state) = authorization.refresh().await {
            let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            reasons.extend(errors.map(|problem| format!("{domain}: {problem}")));
        }
    }
    match reasons.is_empty() {
        true => "it does not say why".to_owned(),
        false => reasons.join("; "),
    }
}
