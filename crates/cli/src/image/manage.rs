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

/// `tag`.
pub(crate) async fn tag(call: &Call<'_>) -> Outcome {
    let (repo, tag) = split_tag(&call.args[1]);
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
