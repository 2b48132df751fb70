//! `/token`: rights of a while, for a password or another token.

use http_body_util::{BodyExt, Limited};
use hyper::{
    Method,
    body::Incoming,
    header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
    http::request::Parts,
};
use jiff::{Timestamp, Unit};
use serde_json::json;

use super::{
    access,
    query::Query,
    refusal::{Code, Refusal},
    reply::{self, Response, With},
};
use crate::auth::{Access, Caller, Gate};

/// Largest form, in bytes.
const FORM_MAX_BYTES: usize = 64 << 10;

/// `GET` and `POST /token`: 200, 401; who got it, for the log.
pub(crate) async fn answer(
    gate: &Gate,
    head: &Parts,
    body: &mut Incoming,
) -> Result<(Response, Caller), Refusal> {
    if !gate.is_closed() {
        return Err(Refusal::no_page());
    }
    match head.method {
        Method::GET => get(gate, head).await,
        Method::POST => post(gate, body).await,
        _ => Err(Refusal::method()),
    }
}

async fn get(gate: &Gate, head: &Parts) -> Result<(Response, Caller), Refusal> {
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = match gate.recognise(authorization).await {
        Ok(Caller::Token { .. }) | Err(_) => return Err(refuse(gate)),
        Ok(caller) => caller,
    };
    let access = gate.grant(&caller, query.all("scope"));
    // Without a password there is nothing but what everybody may have.
    if caller == Caller::Nobody && access.is_empty() {
        return Err(refuse(gate));
    }
    let offline = query.get("offline_token") == Some("true");
    Ok((issue(gate, &caller, access, offline)?, caller))
}

async fn post(gate: &Gate, body: &mut Incoming) -> Result<(Response, Caller), Refusal> {
    let wrong =
        |text: &str| Refusal::new(Code::Unsupported, text).status(hyper::StatusCode::BAD_REQUEST);
    let form = Limited::new(body, FORM_MAX_BYTES).collect().await;
    let form = form.map_err(|_| wrong("the form cannot be read"))?.to_bytes();
    let form = Query::parse(std::str::from_utf8(&form).map_err(|_| wrong("the form is no text"))?);
    let field = |name| form.get(name).unwrap_or_default();
    let caller = match field("grant_type") {
        "password" => gate.login(field("username"), field("password")).await,
        "refresh_token" => gate.refresh(field("refresh_token")),
        _ => return Err(wrong("grant_type must be password or refresh_token")),
    };
    let caller = caller.map_err(|_| refuse(gate))?;
    let access = gate.grant(&caller, form.all("scope"));
    let offline = field("access_type") == "offline" || field("grant_type") == "refresh_token";
    Ok((issue(gate, &caller, access, offline)?, caller))
}

fn issue(
    gate: &Gate,
    caller: &Caller,
    access: Vec<Access>,
    offline: bool,
) -> Result<Response, Refusal> {
    let scope: Vec<String> = access
        .iter()
        .map(|one| format!("{}:{}:{}", one.kind, one.name, one.actions.join(",")))
        .collect();
    let token = gate.token(caller, access);
    let now = Timestamp::now();
    let mut body = json!({
        "token": token,
        "access_token": token,
        "expires_in": gate.config().map_or(0, |config| config.token_life_s),
        "issued_at": now.round(Unit::Second).unwrap_or(now).to_string(),
        "scope": scope.join(" "),
    });
    if offline && let Some(refresh) = gate.refresh_token(caller) {
        body["refresh_token"] = refresh.into();
    }
    Ok(reply::json("application/json", &body)?.with(CACHE_CONTROL, "no-store"))
}

fn refuse(gate: &Gate) -> Refusal {
    let realm = gate.config().map_or("", |config| config.realm.as_str());
    Refusal::new(Code::Unauthorized, "wrong user name or password")
        .header(WWW_AUTHENTICATE, &access::basic(realm))
}
