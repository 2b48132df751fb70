//! `Range` of downloads and `Content-Range` of uploads.

/// The part of a blob that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, or one that is to be ignored.
    All,
    /// From this byte on, that many.
    Part { offset_bytes: u64, length_bytes: u64 },
    /// A part that is not there.
    Outside,
}

/// Reads `Range` for a blob of a size: RFC 9110, section 14. Several ranges at once get it all.
pub(crate) fn wanted(header: Option<&str>, size_bytes: u64) -> Wanted {
    let Some((from, to)) = header
        .and_then(|text| text.strip_prefix("bytes="))
        .filter(|text| !text.contains(','))
        .and_then(|text| text.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let part = |from: u64, end: u64| match from < end {
        true => Wanted::Part { offset_bytes: from, length_bytes: end - from },
        false => Wanted::Outside,
    };
    match (number(from), number(to)) {
        (Some(from), None) if to.is_empty() => part(from, size_bytes),
        (Some(from), Some(to)) if from <= to => part(from, to.saturating_add(1).min(size_bytes)),
        (None, Some(last)) if from.is_empty() => part(size_bytes.saturating_sub(last), size_bytes),
        _ => Wanted::All,
    }
}

/// Reads `Content-Range` of a chunk, `start-end` with both ends in it, with a unit or without.
pub(crate) fn chunk(header: &str) -> Option<(u64, u64)> {
    let text =
        header.strip_prefix("bytes").map_or(header, |rest| rest.trim_start_matches([' ', '=']));
    let text = text.split('/').next().unwrap_or_default();
    let (from, to) = text.split_once('-')?;
    let (from, to) = (number(from)?, number(to)?);
    (from <= to).then_some((from, to))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |offset_bytes, length_bytes| Wanted::Part { offset_bytes, length_bytes };
        for (header, want) in [
            (None, Wanted::All),
            (Some("bytes=0-3"), part(0, 4)),
            (Some("bytes=2-"), part(2, 8)),
            (Some("bytes=-3"), part(7, 3)),
            (Some("bytes=-30"), part(0, 10)),
            (Some("bytes=8-99"), part(8, 2)),
            (Some("bytes=0-18446744073709551615"), part(0, 10)),
            (Some("bytes=10-"), Wanted::Outside),
            (Some("bytes=10-12"), Wanted::Outside),
            (Some("bytes=-0"), Wanted::Outside),
            (Some("bytes=5-3"), Wanted::All),
            (Some("bytes=0-1,4-5"), Wanted::All),
            (Some("bytes=+1-2"), Wanted::All),
            (Some("items=0-1"), Wanted::All),
        ] {
            assert_eq!(wanted(header, 10), want, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Outside);
    }

    #[test]
    fn chunks() {
        for (header, want) in [
            ("0-9", Some((0, 9))),
            ("bytes 0-9/10", Some((0, 9))),
            ("bytes=5-9", Some((5, 9))),
            ("9-5", None),
            ("-5", None),
            ("5-", None),
            ("x-y", None),
            ("", None),
        ] {
            assert_eq!(chunk(header), want, "{header}");
        }
    }
}
