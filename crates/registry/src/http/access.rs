//! What a request needs, and how it is refused to whoever has not that.

use hyper::{
    Method,
    header::{HOST, WWW_AUTHENTICATE},
    http::request::Parts,
};

use super::{
    refusal::{Code, Refusal},
    route::Route,
};
use crate::{
    auth::{Action, Caller, Gate, Untrue},
    config::Challenge,
};

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be known.
    Greeting,
    /// A right to the route's repository.
    Right(Action),
}

/// What a request to a route needs.
pub(crate) fn need(route: &Route, method: &Method) -> Need {
    match (route, method) {
        (Route::Base | Route::Catalog, _) => Need::Greeting,
        (Route::Uploads(_) | Route::Upload(..), _) => Need::Right(Action::Push),
        (_, &Method::GET | &Method::HEAD) => Need::Right(Action::Pull),
        (_, &Method::DELETE) => Need::Right(Action::Delete),
        _ => Need::Right(Action::Push),
    }
}

/// Lets a caller through or says how he gets what he needs.
///
/// # Errors
/// 401 for whom a password or another token may help, 403 for others.
pub(crate) fn check(
    gate: &Gate,
    head: &Parts,
    caller: &Caller,
    route: &Route,
    tls: bool,
) -> Result<(), Refusal> {
    let needed = need(route, &head.method);
    let name = route.name().map_or("", |name| name.as_str());
    let allowed = match needed {
        Need::Greeting => gate.greets(caller),
        Need::Right(action) => gate.allows(caller, name, action),
    };
    if allowed {
        return Ok(());
    }
    if let Caller::User(_) = caller {
        return Err(Refusal::new(Code::Denied, "requested access to the resource is denied"));
    }
    let scope = match needed {
        Need::Greeting => None,
        // Whoever pushes looks at what is there, too.
        Need::Right(Action::Push) => Some(format!("repository:{name}:pull,push")),
        Need::Right(action) => Some(format!("repository:{name}:{}", action.text())),
    };
    let error = matches!(caller, Caller::Token { .. }).then_some("insufficient_scope");
    Err(challenge(gate, head, tls, scope.as_deref(), error))
}

/// Refuses somebody who is not who he says.
pub(crate) fn untrue(gate: &Gate, head: &Parts, tls: bool, why: Untrue) -> Refusal {
    let error = (why == Untrue::Token).then_some("invalid_token");
    challenge(gate, head, tls, None, error)
}

fn challenge(
    gate: &Gate,
    head: &Parts,
    tls: bool,
    scope: Option<&str>,
    error: Option<&str>,
) -> Refusal {
    let refusal = Refusal::new(Code::Unauthorized, "authentication required");
    let Some(config) = gate.config() else { return refusal };
    if config.challenge() == Challenge::Basic {
        return refusal.header(WWW_AUTHENTICATE, &basic(&config.realm));
    }
    let url = config.token_url.clone().unwrap_or_else(|| own_url(head, tls));
    let mut text = format!("Bearer realm=\"{url}\",service=\"{}\"", config.service);
    for (name, value) in [("scope", scope), ("error", error)] {
        if let Some(value) = value {
            text.push_str(&format!(",{name}=\"{value}\""));
        }
    }
    refusal.header(WWW_AUTHENTICATE, &text)
}

/// The challenge for a password.
pub(crate) fn basic(realm: &str) -> String {
    format!("Basic realm=\"{}\"", realm.replace(['"', '\\'], ""))
}

/// Where the client finds our tokens: at the address by which it reached us.
fn own_url(head: &Parts, tls: bool) -> String {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let host: String = host.chars().filter(|c| letter(*c)).collect();
    format!("{}://{host}/token", if tls { "https" } else { "http" })
}
