//! Lists: tags, repositories, referrers.

use form_urlencoded::byte_serialize;
use gantry_oci::{Digest, image::media};
use hyper::header::LINK;
use serde_json::json;

use super::{
    Call,
    headers::FILTERS_APPLIED,
    refusal::Refusal,
    reply::{Reply, Response, With, json},
};
use crate::{manifest, name::Name};

/// Longest page of tags or repositories.
const PAGE_MAX: usize = 10_000;
/// Longest page of referrers, in bytes of their descriptors: clients read no more than 4 MiB.
const REFERRERS_MAX_BYTES: usize = 3 << 20;

/// `GET /v2/<name>/tags/list?n=&last=`: 200, 404.
pub(crate) fn tags(call: &Call<'_>, name: &Name) -> Result<Reply, Refusal> {
    let limit = call.query.page_length(PAGE_MAX)?;
    let last = call.query.get("last").unwrap_or_default();
    let page = call.registry.index.tags(name, last, limit);
    let page = page.ok_or_else(|| Refusal::no_repository(name.as_str()))?;
    let body = json!({ "name": name.as_str(), "tags": page.items });
    let response = json("application/json", &body)?;
    let next = page.items.last().filter(|_| page.more);
    Ok(link(response, &format!("/v2/{name}/tags/list"), limit, next.map(String::as_str)).into())
}

/// `GET /v2/_catalog?n=&last=`: 200.
pub(crate) fn catalog(call: &Call<'_>) -> Result<Reply, Refusal> {
    let limit = call.query.page_length(PAGE_MAX)?;
    let last = call.query.get("last").unwrap_or_default();
    let page = call
        .registry
        .index
        .repositories(last, limit, &|name| call.registry.gate.lists(&call.caller, name.as_str()));
    let names: Vec<&str> = page.items.iter().map(Name::as_str).collect();
    let response = json("application/json", &json!({ "repositories": names }))?;
    let next = names.last().filter(|_| page.more).copied();
    Ok(link(response, "/v2/_catalog", limit, next).into())
}

fn link(response: Response, path: &str, limit: usize, last: Option<&str>) -> Response {
    let Some(last) = last else { return response };
    let last: String = byte_serialize(last.as_bytes()).collect();
    response.with(LINK, &format!("<{path}?last={last}&n={limit}>; rel=\"next\""))
}

/// `GET /v2/<name>/referrers/<digest>?artifactType=`: 200, an index that may be empty.
pub(crate) async fn referrers(
    call: &Call<'_>,
    name: &Name,
    subject: &Digest,
) -> Result<Reply, Refusal> {
    let wanted = call.query.get("artifactType");
    let last = call.query.get("last").unwrap_or_default();
    let (mut listed, mut size, mut next) = (Vec::new(), 0, None);
    for found in call.registry.index.referrers(name, subject, last) {
        // One that was deleted meanwhile, and one whose type cannot be told, are left out.
        let Some(body) = call.registry.index.body(name, &found.digest).await? else { continue };
        let Some(referrer) = manifest::referrer(&body, &found.digest, &found.media_type) else {
            continue;
        };
        if wanted.is_some_and(|wanted| wanted != referrer.artifact_type) {
            continue;
        }
        size += serde_json::to_vec(&referrer).map_or(0, |text| text.len());
        if size > REFERRERS_MAX_BYTES && !listed.is_empty() {
            next = listed.last().map(|last: &manifest::Referrer| last.digest.clone());
            break;
        }
        listed.push(referrer);
    }
    let body = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": listed });
    let mut response = json(media::INDEX, &body)?;
    if wanted.is_some() {
        response = response.with(FILTERS_APPLIED, "artifactType");
    }
    let Some(next) = next else { return Ok(response.into()) };
    let kind = wanted.map_or_else(String::new, |wanted| {
        let wanted: String = byte_serialize(wanted.as_bytes()).collect();
        format!("&artifactType={wanted}")
    });
    let target = format!("</v2/{name}/referrers/{subject}?last={next}{kind}>; rel=\"next\"");
    Ok(response.with(LINK, &target).into())
}
