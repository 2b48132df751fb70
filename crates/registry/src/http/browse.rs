//! Pages to look around: repositories, their tags, what a manifest holds.

use hyper::{
    Method,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
    http::request::Parts,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    access,
    html::{Size, Text, link, page as whole, table},
    query::Query,
    refusal::{Code, Refusal},
    reply::Response,
};
use crate::{
    auth::{Action, Caller},
    index::{Detail, Reference},
    name::Name,
    registry::Registry,
};

/// `GET /?repository=&manifest=`: 200, 401, 404.
pub(super) async fn page(registry: &Registry, head: &Parts) -> Result<Response, Refusal> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::method());
    }
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let ask = || {
        // Browsers know passwords, not tokens.
        let realm = registry.gate.config().map_or("", |config| config.realm.as_str());
        Refusal::new(Code::Unauthorized, "authentication required")
            .header(WWW_AUTHENTICATE, &access::basic(realm))
    };
    let caller = registry.gate.recognise(authorization).await.map_err(|_| ask())?;
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let open = registry.gate.config().is_none_or(|config| config.anonymous_pull.is_some());
    if caller == Caller::Nobody && !open {
        return Err(ask());
    }
    let Some(text) = query.get("repository") else { return Ok(repositories(registry, &caller)) };
    let unknown = || Refusal::no_repository(text);
    let name = Name::parse(text).ok_or_else(unknown)?;
    if !registry.gate.allows(&caller, text, Action::Pull) {
        return Err(if caller == Caller::Nobody { ask() } else { unknown() });
    }
    match query.get("manifest") {
        Some(reference) => manifest(registry, &name, reference).await,
        None => repository(registry, &name).ok_or_else(unknown),
    }
}

fn repositories(registry: &Registry, caller: &Caller) -> Response {
    let seen = |name: &Name| registry.gate.lists(caller, name.as_str());
    let rows: Vec<Vec<String>> = registry
        .index
        .summaries(&seen)
        .into_iter()
        .map(|one| {
            vec![
                link(one.name.as_str(), None, one.name.as_str()),
                one.tags.to_string(),
                one.manifests.to_string(),
                Size(one.size_bytes).to_string(),
            ]
        })
        .collect();
    let content = match rows.is_empty() {
        true => "<p>Nothing has been pushed yet.</p>\n".to_owned(),
        false => table(&["Repository", "#Tags", "#Manifests", "#Size"], &rows),
    };
    whole("Repositories", &content)
}

fn repository(registry: &Registry, name: &Name) -> Option<Response> {
    let details = registry.index.details(name)?;
    let (tagged, bare): (Vec<Detail>, Vec<Detail>) =
        details.into_iter().partition(|detail| detail.tag.is_some());
    let row = |detail: &Detail| {
        let digest = detail.digest.as_str();
        let (reference, words) = match &detail.tag {
            Some(tag) => (tag.as_str(), tag.as_str()),
            None => (digest, detail.digest.short()),
        };
        vec![
            link(name.as_str(), Some(reference), words),
            format!("<code>{}</code>", Text(detail.digest.short())),
            Text(&detail.media_type).to_string(),
            time(detail.changed_s),
            Size(detail.size_bytes).to_string(),
        ]
    };
    let mut content = back("/", "Repositories");
    for (title, list) in [("Tags", tagged), ("Without a tag", bare)] {
        if !list.is_empty() {
            let rows: Vec<Vec<String>> = list.iter().map(row).collect();
            content.push_str(&format!("<h2>{title}</h2>\n"));
            content.push_str(&table(&["Name", "Digest", "Type", "Pushed", "#Size"], &rows));
        }
    }
    Some(whole(name.as_str(), &content))
}

async fn manifest(registry: &Registry, name: &Name, text: &str) -> Result<Response, Refusal> {
    let unknown = || Refusal::no_manifest(text);
    let reference = match text.parse() {
        Ok(digest) => Reference::Digest(digest),
        Err(_) => Reference::Tag(text.to_owned()),
    };
    let found = registry.index.manifest(name, &reference).ok_or_else(unknown)?;
    let body = registry.index.body(name, &found.digest).await?.ok_or_else(unknown)?;
    let value: Value = serde_json::from_slice(&body).map_err(|_| unknown())?;
    let mut content = format!("<p>{}</p>\n", link(name.as_str(), None, name.as_str()));
    content.push_str(&format!(
        "<p><code>{}</code><br>{}</p>\n",
        Text(found.digest.as_str()),
        Text(&found.media_type)
    ));
    if let Some(manifests) = value["manifests"].as_array() {
        content.push_str("<h2>Manifests</h2>\n");
        let rows: Vec<Vec<String>> = manifests.iter().map(|one| child(name, one)).collect();
        content.push_str(&table(&["Platform", "Digest", "Type", "#Size"], &rows));
    }
    let layers = value["layers"].as_array().into_iter().flatten();
    let blobs: Vec<Vec<String>> = value.get("config").into_iter().chain(layers).map(blob).collect();
    if !blobs.is_empty() {
        content.push_str("<h2>Configuration and layers</h2>\n");
        content.push_str(&table(&["Digest", "Type", "#Size"], &blobs));
    }
    if let Some(notes) = value["annotations"].as_object().filter(|notes| !notes.is_empty()) {
        let rows: Vec<Vec<String>> = notes
            .iter()
            .map(|(key, note)| {
                vec![
                    format!("<code>{}</code>", Text(key)),
                    Text(note.as_str().unwrap_or_default()).to_string(),
                ]
            })
            .collect();
        content.push_str("<h2>Annotations</h2>\n");
        content.push_str(&table(&["Key", "Value"], &rows));
    }
    let referrers = registry.index.referrers(name, &found.digest, "");
    if !referrers.is_empty() {
        let rows: Vec<Vec<String>> = referrers
            .iter()
            .map(|one| {
                let digest = one.digest.as_str();
                vec![
                    link(name.as_str(), Some(digest), digest),
                    Text(&one.media_type).to_string(),
                    Size(one.size_bytes).to_string(),
                ]
            })
            .collect();
        content.push_str("<h2>What refers to it</h2>\n");
        content.push_str(&table(&["Digest", "Type", "#Size"], &rows));
    }
    Ok(whole(&format!("{name}: {text}"), &content))
}

fn child(name: &Name, value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let platform = &value["platform"];
    let parts = ["os", "architecture", "variant"].map(|part| text(&platform[part]));
    let parts: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let digest = text(&value["digest"]);
    vec![
        Text(&parts.join("/")).to_string(),
        link(name.as_str(), Some(&digest), &digest),
        Text(&text(&value["mediaType"])).to_string(),
        Size(value["size"].as_u64().unwrap_or(0)).to_string(),
    ]
}

fn blob(value: &Value) -> Vec<String> {
    let text = |key: &str| Text(value[key].as_str().unwrap_or_default()).to_string();
    vec![
        format!("<code>{}</code>", text("digest")),
        text("mediaType"),
        Size(value["size"].as_u64().unwrap_or(0)).to_string(),
    ]
}

fn back(target: &str, words: &str) -> String {
    format!("<p><a href=\"{target}\">{words}</a></p>\n")
}

fn time(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    stamp.map_or_else(String::new, |stamp| stamp.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
