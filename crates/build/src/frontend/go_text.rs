//! Values as Go's `fmt` prints them: history entries have them so, and people's tools read those.

use gantry_gotext::{format_duration, quote};
use gantry_oci::image::Healthcheck;

/// `%q` of a list: `["a" "b"]`.
pub(super) fn quoted_list(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", quoted.join(" "))
}

/// `%v` of a list: `[a b]`.
pub(super) fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `%+v` of a health check.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        list(&check.test),
        format_duration(check.interval),
        format_duration(check.timeout),
        format_duration(check.start_period),
        format_duration(check.start_interval),
        check.retries
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let words = ["a".to_owned(), "b c".to_owned()];
        assert_eq!(
            (quoted_list(&words).as_str(), list(&words).as_str()),
            (r#"["a" "b c"]"#, "[a b c]")
        );
    }
}
