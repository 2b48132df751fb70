//! `tag` and `rmi`.

use gantry_client::Query;
use serde_json::Value;

use crate::app::{Call, Outcome, for_each};

/// Splits a name at its tag; the tag is empty if there is none.
pub(crate) fn split_tag(name: &str) -> (String, String) {
    match name.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repo, tag)) if !tag.contains('/') => (repo.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), String::new()),
    }
}

/// Checks an image's name, as the engine would, before anything is sent.
pub(crate) fn check_reference(name: &str) -> Result<(), String> {
    let invalid = || "invalid reference format".to_owned();
    let (rest, digest) = name.split_once('@').map_or((name, None), |(a, b)| (a, Some(b)));
    let (repo, tag) = split_tag(rest);
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let first = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let no_tag = tag.is_empty() && !rest.ends_with(':');
    if !(no_tag || (first(&tag) && tag.len() <= 128 && tag.chars().all(word))) {
        return Err(invalid());
    }
    if digest.is_some_and(|digest| !digest.contains(':')) {
        return Err(invalid());
    }
    let (host, path) = match repo.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("", repo.as_str()),
    };
    let host_good = host.chars().all(|c| word(c) || matches!(c, ':' | '[' | ']'));
    let part_good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(word)
    };
    if !host_good || !path.split('/').all(part_good) {
        return Err(invalid());
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        let library = if host.is_empty() && !path.contains('/') { "library/" } else { "" };
        return Err(format!(
            "invalid reference format: repository name ({library}{path}) must be lowercase"
        ));
    }
    Ok(())
}

/// `tag`.
pub(crate) async fn tag(call: &Call<'_>) -> Outcome {
    let (repo, tag) = split_tag(&call.args[1]);
    check_reference(&call.args[1]).map_err(|why| {
        let name = gantry_gotext::quote(&call.args[1]);
        format!("Error parsing reference: {name} is not a valid repository/tag: {why}")
    })?;
    let tag = if tag.is_empty() { "latest" } else { &tag };
    call.client().await?.image_tag(&call.args[0], &repo, tag).await?;
    Ok(0)
}

/// `rmi`.
pub(crate) async fn rmi(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let client = call.client().await?;
    let mut query = Query::new()
        .with_flag("force", flags.is_on("force"))
        .with_flag("noprune", flags.is_on("no-prune"));
    for platform in flags.strings("platform") {
        query = query.with("platforms", super::transfer::platform_json(&platform)?);
    }
    for_each(&call.args, async |name| {
        let items: Vec<Value> = client.image_remove(name, &query).await?;
        let mut text = String::new();
        for item in items {
            match (item["Deleted"].as_str(), item["Untagged"].as_str()) {
                (Some(id), _) if !id.is_empty() => text.push_str(&format!("Deleted: {id}\n")),
                (_, Some(name)) => text.push_str(&format!("Untagged: {name}\n")),
                _ => {}
            }
        }
        Ok(text)
    })
    .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_checked() {
        for good in ["a", "a:1", "h:5000/a/b:x", "localhost/a@sha256:ab", "sha256:ab"] {
            assert_eq!(super::check_reference(good), Ok(()), "{good}");
        }
        for bad in ["", "UPPER", "a:b:c", "a:", "-a", "a/", "a@b", "a b"] {
            assert!(super::check_reference(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_are_split_off() {
        for (name, repo, tag) in [
            ("a", "a", ""),
            ("a:1", "a", "1"),
            ("h:5000/a", "h:5000/a", ""),
            ("h:5/a:b", "h:5/a", "b"),
        ] {
            assert_eq!(super::split_tag(name), (repo.to_owned(), tag.to_owned()));
        }
    }
}
