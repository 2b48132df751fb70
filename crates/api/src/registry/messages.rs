//! What a transfer tells, in the lines of Docker's streams.

use gantry_api_types::image::{JsonMessage, ProgressDetail};
use gantry_gotext::human_size;
use gantry_image::transfer::{Step, TransferEvent};

use crate::images::inspect::signed;

/// Signs of a full bar.
const BAR: usize = 50;

/// The lines for an event; aux data come behind the words that they belong to.
pub(super) fn message(event: TransferEvent) -> JsonMessage {
    match event {
        TransferEvent::Line { id, text } if text.starts_with("digest: ") => {
            JsonMessage { status: format!("{id}: {text}"), ..JsonMessage::default() }
        }
        TransferEvent::Line { id, text } => {
            JsonMessage { status: text, id, ..JsonMessage::default() }
        }
        TransferEvent::Layer { id, step } => layer(id, &step),
        TransferEvent::Pushed { tag, digest, size_bytes } => JsonMessage {
            progress_detail: Some(ProgressDetail::default()),
            aux: Some(serde_json::json!({
                "Tag": tag, "Digest": digest.to_string(), "Size": size_bytes,
            })),
            ..JsonMessage::default()
        },
        // Kinds that are yet to come say nothing here.
        _ => JsonMessage::default(),
    }
}

fn layer(id: String, step: &Step) -> JsonMessage {
    let (status, numbers) = match step {
        Step::Fetching => ("Pulling fs layer".to_owned(), None),
        Step::Waiting => ("Waiting".to_owned(), None),
        Step::Downloading { current, total } => {
            ("Downloading".to_owned(), Some((*current, *total)))
        }
        Step::Verifying => ("Verifying Checksum".to_owned(), None),
        Step::Downloaded => ("Download complete".to_owned(), None),
        Step::Extracting { current, total } => ("Extracting".to_owned(), Some((*current, *total))),
        Step::Pulled => ("Pull complete".to_owned(), None),
        Step::Known => ("Already exists".to_owned(), None),
        Step::Preparing => ("Preparing".to_owned(), None),
        Step::Pushing { current, total } => ("Pushing".to_owned(), Some((*current, *total))),
        Step::Pushed => ("Pushed".to_owned(), None),
        Step::Exists => ("Layer already exists".to_owned(), None),
        Step::Mounted { from } => (format!("Mounted from {from}"), None),
        Step::Foreign => ("Skipped foreign layer".to_owned(), None),
        _ => (String::new(), None),
    };
    let mut detail = ProgressDetail::default();
    let mut progress = String::new();
    if let Some((current, total)) = numbers {
        (detail.current, detail.total) = (signed(current), signed(total));
        progress = bar(current, total);
    }
    JsonMessage { status, progress_detail: Some(detail), progress, id, ..JsonMessage::default() }
}

/// A bar as text, as wide as Docker's on a terminal of a default width.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bar(current: u64, total: u64) -> String {
    let size = |bytes: u64| human_size(bytes as f64, 4);
    if total == 0 {
        return if current == 0 { String::new() } else { format!("{:>8}", size(current)) };
    }
    let part = u128::from(current) * 100 / u128::from(total) / 2;
    let done = usize::try_from(part).unwrap_or(BAR).min(BAR);
    let (full, empty) = ("=".repeat(done), " ".repeat(BAR - done));
    match current > total {
        true => format!("[{full}>{empty}] {:>8}", size(current)),
        false => format!("[{full}>{empty}] {:>8}/{}", size(current), size(total)),
    }
}

#[cfg(test)]
mod tests {
    use gantry_oci::Digest;

    use super::*;

    fn json(event: TransferEvent) -> String {
        serde_json::to_string(&message(event)).unwrap()
    }

    #[test]
    fn lines_are_dockers() {
        let layer = |step| TransferEvent::Layer { id: "0123456789ab".to_owned(), step };
        let line = |id: &str, text: &str| TransferEvent::Line { id: id.into(), text: text.into() };
        let digest = Digest::of(b"");
        for (event, want) in [
            (
                line("latest", "Pulling from library/busybox"),
                r#"{"status":"Pulling from library/busybox","id":"latest"}"#.to_owned(),
            ),
            (line("", "Digest: x"), r#"{"status":"Digest: x"}"#.to_owned()),
            (
                line("v1", "digest: sha256:1 size: 2"),
                r#"{"status":"v1: digest: sha256:1 size: 2"}"#.to_owned(),
            ),
            (
                layer(Step::Fetching),
                r#"{"status":"Pulling fs layer","progressDetail":{},"id":"0123456789ab"}"#
                    .to_owned(),
            ),
            (
                layer(Step::Mounted { from: "a/b".to_owned() }),
                r#"{"status":"Mounted from a/b","progressDetail":{},"id":"0123456789ab"}"#
                    .to_owned(),
            ),
            (
                layer(Step::Downloading { current: 1_049_000, total: 2_098_000 }),
                format!(
                    r#"{{"status":"Downloading","progressDetail":{{"current":1049000,"total":2098000}},"progress":"[{}>{}]  1.049MB/2.098MB","id":"0123456789ab"}}"#,
                    "=".repeat(25),
                    " ".repeat(25)
                ),
            ),
            (
                TransferEvent::Pushed { tag: "v1".into(), digest: digest.clone(), size_bytes: 7 },
                format!(
                    r#"{{"progressDetail":{{}},"aux":{{"Tag":"v1","Digest":"{digest}","Size":7}}}}"#
                ),
            ),
        ] {
            assert_eq!(json(event), want);
        }
    }

    #[test]
    fn bars_have_their_width() {
        for (current, total, want) in [
            (0, 0, String::new()),
            (5, 0, "      5B".to_owned()),
            (0, 10, format!("[>{}]       0B/10B", " ".repeat(50))),
            (10, 10, format!("[{}>]      10B/10B", "=".repeat(50))),
            (11, 10, format!("[{}>]      11B", "=".repeat(50))),
        ] {
            assert_eq!(bar(current, total), want, "{current}/{total}");
        }
    }
}
