//! Rules over repositories: what must stay, what may grow, what grows too old.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::pattern::Pattern;

/// Tags that nobody deletes or moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Protect {
    /// Repositories that this fits.
    pub repository: Pattern,
    /// Tags that this fits.
    pub tags: Pattern,
    /// They may not be pushed again with another manifest, either.
    pub immutable: bool,
}

impl Default for Protect {
    fn default() -> Self {
        Self { repository: Pattern::default(), tags: Pattern::default(), immutable: true }
    }
}

/// How much a repository may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// Repositories that this fits, each by itself.
    #[serde(default)]
    pub repository: Pattern,
    /// Blobs and manifests together.
    pub bytes: u64,
}

/// What goes by itself when it is old.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Retention {
    /// Repositories that this fits.
    pub repository: Pattern,
    /// Tags that this fits.
    pub tags: Pattern,
    /// So many of them stay, the newest ones, however old.
    pub keep: usize,
    /// Others go when they were pushed longer ago than this; without it they stay.
    pub older_than: Option<Span>,
    /// Manifests that have no tag, belong to no index and to no other manifest go after this.
    pub untagged_older_than: Option<Span>,
}

/// All rules that the index keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) protect: Vec<Protect>,
    pub(crate) quotas: Vec<Quota>,
}

impl Rules {
    pub(crate) fn protects(&self, repository: &str, tag: &str) -> bool {
        self.protect.iter().any(|rule| rule.repository.fits(repository) && rule.tags.fits(tag))
    }

    pub(crate) fn is_immutable(&self, repository: &str, tag: &str) -> bool {
        let mut fixed = self.protect.iter().filter(|rule| rule.immutable);
        fixed.any(|rule| rule.repository.fits(repository) && rule.tags.fits(tag))
    }

    /// The least of the quotas that fit.
    pub(crate) fn quota_bytes(&self, repository: &str) -> Option<u64> {
        let fitting = self.quotas.iter().filter(|quota| quota.repository.fits(repository));
        fitting.map(|quota| quota.bytes).min()
    }
}

/// A time, written as `90s`, `15m`, `12h`, `30d` or `2w`; a number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) fn as_s(self) -> u64 {
        self.0.as_secs()
    }

    fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(at);
        let unit_s = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit_s).map(Self::seconds)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as \"90s\", \"15m\", \"12h\", \"30d\" or \"2w\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
                u64::try_from(number).map(Span::seconds).map_err(wrong)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
                Ok(Span::seconds(number))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, want) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("2w", Some(1_209_600)),
            ("30 d", Some(2_592_000)),
            ("5", None),
            ("d", None),
            ("-5d", None),
            ("99999999999999999999d", None),
            ("9999999999999999999w", None),
        ] {
            assert_eq!(Span::parse(text).map(Span::as_s), want, "{text}");
        }
    }

    #[test]
    fn rules_fit_by_pattern() {
        let rules = Rules {
            protect: vec![
                Protect { tags: Pattern::new("v*"), ..Protect::default() },
                Protect { tags: Pattern::new("latest"), immutable: false, ..Protect::default() },
            ],
            quotas: vec![
                Quota { repository: Pattern::default(), bytes: 100 },
                Quota { repository: Pattern::new("small/*"), bytes: 10 },
            ],
        };
        assert!(rules.protects("a", "v1") && rules.is_immutable("a", "v1"));
        assert!(rules.protects("a", "latest") && !rules.is_immutable("a", "latest"));
        assert!(!rules.protects("a", "edge"));
        assert_eq!(rules.quota_bytes("small/x"), Some(10));
        assert_eq!(rules.quota_bytes("large"), Some(100));
    }
}
