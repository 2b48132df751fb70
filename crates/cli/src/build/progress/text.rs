//! Texts for terminals: what is safe to print, how wide it is, sizes and times.

/// Nanoseconds in a second.
const SECOND_NS: i64 = 1_000_000_000;

/// Text without what would move a terminal's cursor or change its state. Sequences that set
/// colours stay if `colors`; tabs become blanks.
pub(crate) fn safe(text: &str, colors: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut colored = false;
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => {
                let (sequence, after) = escape(rest.as_str());
                if colors && sequence.starts_with('[') && sequence.ends_with('m') {
                    safe.push(char);
                    safe.push_str(sequence);
                    colored = !matches!(sequence, "[m" | "[0m");
                }
                rest = after.chars();
            }
            '\t' => safe.push_str(&" ".repeat(8 - safe.chars().count() % 8)),
            char if char.is_control() => {}
            char => safe.push(char),
        }
    }
    if colored {
        safe.push_str("\u{1b}[0m");
    }
    safe
}

/// Splits what follows an escape character into its sequence and the rest (ECMA-48, 5.4 and 5.6).
fn escape(text: &str) -> (&str, &str) {
    let ends = |from: usize, last: &dyn Fn(char) -> bool| {
        let found = text[from..].char_indices().find(|(_, char)| last(*char));
        found.map_or(text.len(), |(at, char)| from + at + char.len_utf8())
    };
    let end = match text.chars().next() {
        // A control sequence ends with a final byte.
        Some('[') => ends(1, &|char| ('\u{40}'..='\u{7e}').contains(&char)),
        // A control string ends with a bell, or with another escape sequence.
        Some(']' | 'P' | 'X' | '^' | '_') => ends(1, &|char| matches!(char, '\u{7}' | '\\')),
        Some(' '..='/') => ends(1, &|char| char > '/'),
        Some(char) => char.len_utf8(),
        None => 0,
    };
    text.split_at(end)
}

/// What is left of a line after its carriage returns: a progress bar's last state.
pub(crate) fn last_state(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit_once('\r').map_or(line, |(_, last)| last)
}

/// Characters that take two columns: East Asian wide ones and emoji, in coarse ranges.
const WIDE: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x2753, 0x2755),
    (0x2795, 0x2797),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f1e6, 0x1f202),
    (0x1f210, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f7e0, 0x1f7eb),
    (0x1f90c, 0x1f9ff),
    (0x1fa70, 0x1faff),
    (0x20000, 0x3fffd),
];

/// Characters that take no column: combining marks, joiners and selectors.
const NARROW: &[(u32, u32)] = &[
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x2064),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0100, 0xe01ef),
];

/// Columns that a character takes.
fn columns_of(char: char) -> usize {
    let code = u32::from(char);
    let within = |ranges: &[(u32, u32)]| {
        let next = ranges.partition_point(|(_, last)| *last < code);
        ranges.get(next).is_some_and(|(first, _)| *first <= code)
    };
    match char {
        char if char.is_control() => 0,
        _ if code < 0x300 => 1,
        _ if within(NARROW) => 0,
        _ if within(WIDE) => 2,
        _ => 1,
    }
}

/// Columns that a text without escape sequences takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Cuts a text to a number of columns; dots say that more was there.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let dots = if columns > 6 { "..." } else { "" };
    let limit = columns - dots.len();
    let (mut cut, mut taken) = (String::new(), 0);
    for char in text.chars() {
        taken += columns_of(char);
        if taken > limit {
            break;
        }
        cut.push(char);
    }
    cut + dots
}

/// A text at the left and one at the right of a line of so many columns.
pub(crate) fn spread(left: &str, right: &str, columns: usize) -> String {
    let right_columns = width(right);
    if columns < right_columns + 12 {
        return cut(left, columns);
    }
    let left = cut(left, columns - right_columns - 1);
    let gap = columns - right_columns - width(&left);
    format!("{left}{}{right}", " ".repeat(gap))
}

/// A size as progress shows it: `31B`, `6.17kB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits of it are printed")]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

/// How much of a part is done: ` 1.20MB / 3.40MB`.
pub(crate) fn amount(current: u64, total: u64) -> String {
    match (current, total) {
        (0, 0) => String::new(),
        (current, 0) => format!(" {}", size(current)),
        (current, total) => format!(" {} / {}", size(current), size(total)),
    }
}

/// A span with one digit: `0.4s`.
pub(crate) fn seconds(span_ns: i64) -> String {
    let tenths = span_ns.max(0).saturating_add(SECOND_NS / 20) / (SECOND_NS / 10);
    format!("{}.{}s", tenths / 10, tenths % 10)
}

/// When in a step a line was printed, with as many digits as fit in five columns.
pub(crate) fn stamp(span_ns: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
    let seconds = span_ns.max(0) as f64 / SECOND_NS as f64;
    let digits = match seconds {
        seconds if seconds < 10.0 => 3,
        seconds if seconds < 100.0 => 2,
        _ => 1,
    };
    format!("{seconds:.digits$}")
}

/// Colours of the view, as `BUILDKIT_COLORS` sets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Colors {
    pub(crate) run: String,
    pub(crate) error: String,
    pub(crate) cancel: String,
    pub(crate) warning: String,
    pub(crate) reset: &'static str,
}

impl Colors {
    /// No colours at all.
    pub(crate) fn none() -> Self {
        let none = String::new;
        Self { run: none(), error: none(), cancel: none(), warning: none(), reset: "" }
    }

    /// Those that are usual, changed by `setting`: `run=green:error=255,0,0`.
    pub(crate) fn of(setting: &str) -> Self {
        let mut colors = Self {
            run: "\u{1b}[34m".into(),
            error: "\u{1b}[31m".into(),
            cancel: "\u{1b}[33m".into(),
            warning: "\u{1b}[33m".into(),
            reset: "\u{1b}[0m",
        };
        for (name, value) in setting.split(':').filter_map(|pair| pair.split_once('=')) {
            let Some(code) = color(value) else { continue };
            match name {
                "run" => colors.run = code,
                "error" => colors.error = code,
                "cancel" => colors.cancel = code,
                "warning" => colors.warning = code,
                _ => {}
            }
        }
        colors
    }

    /// A text in a colour.
    pub(crate) fn paint(&self, color: &str, text: &str) -> String {
        match color {
            "" => text.to_owned(),
            color => format!("{color}{text}{}", self.reset),
        }
    }
}

/// The sequence that sets a colour, by its name or as three numbers.
fn color(text: &str) -> Option<String> {
    const NAMES: [&str; 8] =
        ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
    let text = text.to_lowercase();
    let (base, name) = match text.strip_prefix("light-") {
        Some(name) => (90, name),
        None => (30, text.as_str()),
    };
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Some(format!("\u{1b}[{}m", base + index));
    }
    let numbers: Vec<u8> =
        text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [red, green, blue] => Some(format!("\u{1b}[38;2;{red};{green};{blue}m")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_moves_it() {
        for (text, plain, colored) in [
            ("a\tb", "a       b", "a       b"),
            ("\u{1b}[2Kx\u{1b}[1;31mred", "xred", "x\u{1b}[1;31mred\u{1b}[0m"),
            ("\u{1b}[32mok\u{1b}[0m", "ok", "\u{1b}[32mok\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}x", "x", "x"),
            ("\u{1b}]0;title\u{1b}\\x", "x", "x"),
            ("\u{1b}(Bx\u{1b}7y\u{8}\u{7}", "xy", "xy"),
            ("half \u{1b}[3", "half ", "half "),
            ("end\u{1b}", "end", "end"),
        ] {
            assert_eq!(safe(text, false), plain, "{text:?}");
            assert_eq!(safe(text, true), colored, "{text:?}");
        }
        assert_eq!(last_state("10%\r20%\r30%\r"), "30%");
        assert_eq!(last_state("plain"), "plain");
    }

    #[test]
    fn lines_are_as_wide_as_they_may_be() {
        for (text, columns, want) in [
            ("abc", 3, "abc"),
            ("abcdefghij", 8, "abcde..."),
            ("abcdefghij", 5, "abcde"),
            ("日本語テキスト", 10, "日本語..."),
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
            ("x", 0, ""),
        ] {
            assert_eq!(cut(text, columns), want, "{text} in {columns}");
            assert!(width(want) <= columns);
        }
        assert_eq!(spread(" => a", "0.1s", 20), " => a           0.1s");
        assert_eq!(spread(" => a long name here", "0.1s", 20), " => a long n... 0.1s");
        assert_eq!(spread(" => a", "0.1s", 10), " => a");
    }

    #[test]
    fn sizes_and_times_are_as_buildkit_prints_them() {
        for (bytes, want) in [
            (2, "2B"),
            (999, "999B"),
            (6170, "6.17kB"),
            (3_360_000, "3.36MB"),
            (12_000_000_000, "12.00GB"),
        ] {
            assert_eq!(size(bytes), want);
        }
        assert_eq!(amount(5, 10), " 5B / 10B");
        for (span, want) in [(0, "0.0s"), (149_000_000, "0.1s"), (61_960_000_000, "62.0s")] {
            assert_eq!(seconds(span), want);
        }
        for (span, want) in
            [(177_400_000, "0.177"), (12_345_000_000, "12.35"), (123_456_000_000, "123.5")]
        {
            assert_eq!(stamp(span), want);
        }
    }

    #[test]
    fn colours_can_be_set() {
        let colors = Colors::of("run=light-green:error=1,2,3:cancel=nosuch:warning");
        assert_eq!(colors.run, "\u{1b}[92m");
        assert_eq!(colors.error, "\u{1b}[38;2;1;2;3m");
        assert_eq!(colors.cancel, "\u{1b}[33m");
        assert_eq!(colors.paint(&colors.run, "x"), "\u{1b}[92mx\u{1b}[0m");
        assert_eq!(Colors::none().paint("", "x"), "x");
    }
}
