//! Sizes for people, digit for digit as Docker prints them.

/// Decimal size with three digits: `1.98MB`.
#[must_use]
pub fn human_size(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], digits)
}

/// Binary size with four digits: `23.54GiB`.
#[must_use]
pub fn bytes_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], 4)
}

fn scaled(mut size: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while size >= base && unit < units.len() - 1 {
        size /= base;
        unit += 1;
    }
    format!("{}{}", general(size, digits), units[unit])
}

/// C's `%.Ng`.
fn general(number: f64, digits: usize) -> String {
    let text = format!("{number:.*e}", digits.saturating_sub(1));
    let power = text.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if power < -4 || power >= limit {
        let mantissa = trim(text.split_once('e').map_or(text.as_str(), |(m, _)| m));
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.abs());
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_units() {
        for (bytes, want) in [(0.0, "0B"), (1_983_000.0, "1.98MB"), (999.0, "999B"), (1e9, "1GB")] {
            assert_eq!(human_size(bytes, 3), want);
        }
        assert_eq!(human_size(1_983_280.0, 4), "1.983MB");
        assert_eq!(bytes_size(25_276_502_016.0), "23.54GiB");
    }
}
