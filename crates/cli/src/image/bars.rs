//! How a transfer goes, on a terminal: a line for each layer, which changes in its place.

use gantry_gotext::human_size;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::app::Failure;

/// Columns of a terminal that does not tell.
pub(super) const DEFAULT_WIDTH: usize = 200;
/// From how many columns on there is a bar.
const BAR_FROM: usize = 110;
/// Signs of a full bar.
const BAR: usize = 50;

/// Shows a stream of JSON messages; its error is ours.
pub(super) async fn show(
    body: impl AsyncRead + Unpin,
    width: usize,
    mut print: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let mut lines = BufReader::new(body);
    let mut screen = Screen { ids: Vec::new(), width };
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        let message: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if let Some(error) = super::transfer::error_of(&message) {
            return Err(error);
        }
        let text = screen.show(&message);
        if !text.is_empty() {
            print(&text)?;
        }
    }
}

/// The lines on the screen that may still change.
struct Screen {
    /// What they are about, topmost first; the cursor is below the last.
    ids: Vec<String>,
    width: usize,
}

impl Screen {
    /// What to write for a message.
    fn show(&mut self, message: &Value) -> String {
        let text = |key: &str| message[key].as_str().unwrap_or_default();
        let (id, status) = (text("id"), text("status"));
        if status.is_empty() {
            return text("stream").to_owned();
        }
        if id.is_empty() {
            // Whatever comes now stands below.
            self.ids.clear();
            return format!("{status}\n");
        }
        let line = match bar(&message["progressDetail"], self.width) {
            bar if bar.is_empty() => format!("{id}: {status}"),
            bar => format!("{id}: {status} {bar}"),
        };
        match self.ids.iter().position(|known| known == id) {
            Some(at) => {
                let up = self.ids.len() - at;
                format!("\x1b[{up}A\r\x1b[2K{line}\r\x1b[{up}B")
            }
            None => {
                self.ids.push(id.to_owned());
                format!("{line}\n")
            }
        }
    }
}

/// How far something is.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bar(detail: &Value, width: usize) -> String {
    let number = |key: &str| detail[key].as_i64().unwrap_or(0).max(0);
    let (current, total) = (number("current"), number("total"));
    let size = |bytes: i64| human_size(bytes as f64, 4);
    match (current, total) {
        (0, 0) => String::new(),
        (_, 0) => format!("{:>8}", size(current)),
        _ => {
            let numbers = match current > total {
                true => format!("{:>8}", size(current)),
                false => format!("{:>8}/{}", size(current), size(total)),
            };
            if width <= BAR_FROM {
                return numbers;
            }
            let part = i128::from(current) * 100 / i128::from(total) / 2;
            let done = usize::try_from(part).unwrap_or(BAR).min(BAR);
            format!("[{}>{}] {numbers}", "=".repeat(done), " ".repeat(BAR - done))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_change_in_their_place() {
        let mut screen = Screen { ids: Vec::new(), width: 80 };
        let say = |id: &str, status: &str| json!({"id": id, "status": status});
        for (message, want) in [
            (say("latest", "Pulling from x"), "latest: Pulling from x\n"),
            (say("a", "Waiting"), "a: Waiting\n"),
            (say("b", "Waiting"), "b: Waiting\n"),
            (say("a", "Pull complete"), "\x1b[2A\r\x1b[2Ka: Pull complete\r\x1b[2B"),
            (
                json!({"id": "b", "status": "Downloading",
                       "progressDetail": {"current": 500, "total": 1000}}),
                "\x1b[1A\r\x1b[2Kb: Downloading     500B/1kB\r\x1b[1B",
            ),
            (json!({"status": "Digest: x"}), "Digest: x\n"),
            (say("a", "Waiting"), "a: Waiting\n"),
            (json!({"aux": {}, "progressDetail": {}}), ""),
        ] {
            assert_eq!(screen.show(&message), want, "{message}");
        }
    }

    #[test]
    fn wide_terminals_have_bars() {
        let half = json!({"current": 50, "total": 100});
        let want = format!("[{}>{}]      50B/100B", "=".repeat(25), " ".repeat(25));
        assert_eq!(bar(&half, 111), want);
        assert_eq!(bar(&json!({"current": 5}), 200), "      5B");
    }
}
