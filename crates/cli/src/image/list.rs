//! `images` and `history`.

use gantry_client::Query;
use serde_json::Value as Json;

use crate::app::{Call, Outcome};
use crate::container::list::render_quiet;
use crate::format::{self, Row, View, ellipsis, short_id, units};
use crate::output::out;

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const TABLE_DIGEST: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const HISTORY_TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const HISTORY_TABLE_EXACT: &str =
    "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
/// What stands for a name that is not there.
const NONE: &str = "<none>";
/// Width of a step that is cut.
const STEP_WIDTH: usize = 45;

/// Fields of an image's row.
pub(crate) const FIELDS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const HISTORY_FIELDS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// An image under one of its names.
struct Named {
    repository: String,
    tag: String,
    digest: String,
}

/// The names of an image: a row each, with digests where they are asked for.
fn names(image: &Json, digests: bool) -> Vec<Named> {
    let texts = |key: &str| -> Vec<&str> {
        image[key].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
    };
    let tags: Vec<_> =
        texts("RepoTags").into_iter().filter(|tag| *tag != "<none>:<none>").collect();
    let known: Vec<(&str, &str)> = texts("RepoDigests")
        .into_iter()
        .filter(|digest| *digest != "<none>@<none>")
        .filter_map(|digest| digest.split_once('@'))
        .collect();
    let row = |repository: &str, tag: &str, digest: &str| Named {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut rows = Vec::new();
    for name in &tags {
        let (repository, tag) = super::manage::split_tag(name);
        let mut found = known.iter().filter(|(repo, _)| *repo == repository).peekable();
        if !digests || found.peek().is_none() {
            rows.push(row(&repository, &tag, NONE));
            continue;
        }
        rows.extend(found.map(|(_, digest)| row(&repository, &tag, digest)));
    }
    if tags.is_empty() {
        rows.extend(known.iter().map(|(repo, digest)| row(repo, NONE, digest)));
    }
    if rows.is_empty() {
        rows.push(row(NONE, NONE, NONE));
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "a few digits of it are printed")]
fn size_text(bytes: Option<i64>, digits: usize) -> String {
    match bytes {
        Some(bytes) if bytes >= 0 => units::human_size(bytes as f64, digits),
        _ => "N/A".into(),
    }
}

/// Rows of an image, one for each of its names.
pub(crate) fn rows(image: &Json, cut: bool, digests: bool) -> Vec<Row> {
    let id = image["Id"].as_str().unwrap_or("");
    let created = image["Created"].as_i64().unwrap_or(0);
    let size = image["Size"].as_i64();
    let shared = image["SharedSize"].as_i64();
    let unique = match (size, shared) {
        (Some(size), Some(shared)) if shared >= 0 => Some(size - shared),
        _ => None,
    };
    let containers = match image["Containers"].as_i64() {
        Some(count) if count >= 0 => count.to_string(),
        _ => "N/A".into(),
    };
    let since = if created > 0 { units::ago(created) } else { String::new() };
    let virtual_size = image["VirtualSize"].as_i64().or(size);
    names(image, digests)
        .into_iter()
        .map(|name| {
            Row::of([
                if cut { short_id(id) } else { id.to_owned() },
                name.repository,
                name.tag,
                name.digest,
                since.clone(),
                units::go_time(created),
                size_text(size, 3),
                containers.clone(),
                size_text(virtual_size, 4),
                size_text(shared, 4),
                size_text(unique, 4),
            ])
        })
        .collect()
}

/// `images`.
pub(crate) async fn images(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    if flags.is_on("tree") {
        return Err("--tree is not implemented".into());
    }
    let mut filters = flags.list("filter").to_vec();
    filters.extend(call.args.first().map(|name| format!("reference={name}")));
    let quiet = flags.is_on("quiet");
    let mut wanted = flags.text("format").to_owned();
    if wanted.is_empty() && !quiet {
        wanted = call.app.config.text("imagesFormat").to_owned();
    }
    let digests = flags.is_on("digests");
    let query = Query::new()
        .with_flag("all", flags.is_on("all"))
        .with_some("filters", format::filters(&filters)?);
    let client = call.client().await?;
    let list: Vec<Json> = client.image_list(&query).await?;
    let cut = !flags.is_on("no-trunc");
    let with_digests = digests || wanted.contains(".Digest");
    let rows = list.iter().flat_map(|image| rows(image, cut, with_digests)).collect();
    let view = View { type_name: "*formatter.imageContext", fields: FIELDS, rows };
    let table = match (quiet, digests) {
        (true, _) => "{{.ID}}",
        (_, true) => TABLE_DIGEST,
        _ => TABLE,
    };
    out(render_quiet(&view, &wanted, table, quiet)?)?;
    Ok(0)
}

/// `history`.
pub(crate) async fn history(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let client = call.client().await?;
    let mut query = Query::new();
    if flags.is_given("platform") {
        query = query.with("platform", super::transfer::platform_json(flags.text("platform"))?);
    }
    let steps: Vec<Json> = client.image_history(&call.args[0], &query).await?;
    let (cut, human) = (!flags.is_on("no-trunc"), flags.is_on("human"));
    let rows = steps
        .iter()
        .map(|step| {
            let id = step["Id"].as_str().unwrap_or("");
            let created = step["Created"].as_i64().unwrap_or(0);
            let by = step["CreatedBy"].as_str().unwrap_or("").replace('\t', " ");
            let size = step["Size"].as_i64();
            let at = units::rfc3339(created);
            Row::of([
                if cut { short_id(id) } else { id.to_owned() },
                at.clone(),
                match human {
                    true if created <= 0 => "N/A".into(),
                    true => units::ago(created),
                    false => at,
                },
                if cut { ellipsis(&by, STEP_WIDTH) } else { by },
                if human { size_text(size, 3) } else { size.unwrap_or(0).to_string() },
                step["Comment"].as_str().unwrap_or("").to_owned(),
            ])
        })
        .collect();
    let view = View { type_name: "*image.historyContext", fields: HISTORY_FIELDS, rows };
    let quiet = flags.is_on("quiet");
    let table = match (quiet, human) {
        (true, _) => "{{.ID}}",
        (_, true) => HISTORY_TABLE,
        _ => HISTORY_TABLE_EXACT,
    };
    out(render_quiet(&view, flags.text("format"), table, quiet)?)?;
    Ok(0)
}
