//! `GET /images/json`.

use std::sync::Arc;

use gantry_api_types::Filters;
use gantry_api_types::image::ImageSummary;
use gantry_image::{Image, Images};
use gantry_oci::Reference;

use super::change::until;
use super::inspect::{familiar, signed};
use crate::body::{self, Response};
use crate::call::Call;
use crate::error::{self, ApiError};
use crate::shape;

/// What `GET /images/json` can be filtered by.
const KEYS: [&str; 8] =
    ["before", "containers", "dangling", "label", "label!", "reference", "since", "until"];
const SECOND_NS: i64 = 1_000_000_000;

/// `GET /images/json`, newest first.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let mut filters = call.query.filters()?;
    if !call.version.at_least(41)
        && let Some(name) = call.query.filled("filter")
    {
        filters.add("reference", name);
    }
    let wanted = Wanted::read(filters, &call.api.images, call.query.flag("all"))?;
    let images = call.api.images.list();
    let rows: Vec<_> = images
        .iter()
        .filter(|image| wanted.fit(image, &call.api.images))
        .map(|image| {
            let mut row = wanted.row(image);
            // Docker counts users only for the disk use.
            row.containers = -1;
            shape::image_summary(&mut row, call.version);
            row
        })
        .collect();
    body::ok(&rows)
}

/// The filters, read.
struct Wanted {
    filters: Filters,
    all: bool,
    dangling: Option<bool>,
    before_s: Option<i64>,
    since_s: Option<i64>,
    until_ns: Option<i64>,
}

impl Wanted {
    fn read(filters: Filters, images: &Images, all: bool) -> Result<Self, ApiError> {
        let refused = |refused| error::filter(&refused);
        filters.validate(&KEYS).map_err(refused)?;
        let dangling = filters.get_bool("dangling").map_err(refused)?;
        let edge = |key: &str, pick: fn(i64, i64) -> i64| -> Result<Option<i64>, ApiError> {
            let mut edge = None;
            for name in filters.get(key) {
                let created = images.resolve(name)?.created_s();
                edge = Some(edge.map_or(created, |so_far| pick(so_far, created)));
            }
            Ok(edge)
        };
        let (before_s, since_s) = (edge("before", i64::min)?, edge("since", i64::max)?);
        let until_ns = until(&filters)?;
        Ok(Self { filters, all, dangling, before_s, since_s, until_ns })
    }

    fn fit(&self, image: &Arc<Image>, images: &Images) -> bool {
        let created = image.created_s();
        let dangling = image.names.is_empty() && image.repo_digests.is_empty();
        // Without a name and with children it is a step on the way to another image.
        let hidden = dangling && images.has_children(&image.id);
        (self.all || !hidden)
            && self.dangling.is_none_or(|wanted| wanted == dangling)
            && self.before_s.is_none_or(|before| created < before)
            && self.since_s.is_none_or(|since| created > since)
            && self.until_ns.is_none_or(|until| created.saturating_mul(SECOND_NS) < until)
            && labels_match(&self.filters, image)
            && (!self.filters.contains_key("reference") || self.names(image).next().is_some())
    }

    /// The names that the `reference` filter leaves.
    fn names<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = &'a Reference> {
        image.names.iter().filter(|name| {
            self.filters.allows("reference", |pattern| reference_matches(pattern, name))
        })
    }

    fn row(&self, image: &Image) -> ImageSummary {
        ImageSummary {
            repo_tags: self.names(image).map(Reference::familiar).collect(),
            ..summary(image)
        }
    }
}

/// An image's row.
fn summary(image: &Image) -> ImageSummary {
    let labels = image.config.config.as_ref().map(|config| config.labels.clone());
    ImageSummary {
        containers: -1,
        created: image.created_s(),
        id: image.id.to_string(),
        labels: labels.filter(|labels| !labels.is_empty()),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        repo_digests: familiar(&image.repo_digests),
        repo_tags: familiar(&image.names),
        shared_size: -1,
        size: signed(image.size_bytes()),
        ..ImageSummary::default()
    }
}

/// The `label` and `label!` filters.
pub(crate) fn labels_match(filters: &Filters, image: &Image) -> bool {
    let none = std::collections::BTreeMap::new();
    let labels = image.config.config.as_ref().map_or(&none, |config| &config.labels);
    let unwanted = || {
        let values = filters.get("label!");
        values.iter().any(|value| {
            let one: Filters = [("label", *value)].into_iter().collect();
            one.match_labels("label", labels)
        })
    };
    filters.match_labels("label", labels) && !unwanted()
}

/// Whether a pattern fits a name, with its tag or without; `*` and `?` stop at slashes.
fn reference_matches(pattern: &str, name: &Reference) -> bool {
    let familiar = name.familiar();
    glob(pattern.as_bytes(), familiar.as_bytes())
        || glob(pattern.as_bytes(), name.familiar_name().as_bytes())
}

/// Go's `path.Match` without character classes in brackets.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skip| glob(rest, &text[skip..]))
        }
        (Some((b'?', rest)), Some((byte, text))) => *byte != b'/' && glob(rest, text),
        (Some((wanted, rest)), Some((byte, text))) => wanted == byte && glob(rest, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_matched() {
        for (pattern, name, want) in [
            ("bb", "bb:latest", true),
            ("bb:latest", "bb:latest", true),
            ("bb:*", "bb:1", true),
            ("b?", "bb:1", true),
            ("*", "bb:1", true),
            ("*", "a/b:1", false),
            ("*/*", "a/b:1", true),
            ("reg:5000/*", "reg:5000/b:1", true),
            ("b", "bb:1", false),
            ("bb:2", "bb:1", false),
        ] {
            let name: Reference = name.parse().unwrap();
            assert_eq!(reference_matches(pattern, &name), want, "{pattern} {name}");
        }
    }
}
