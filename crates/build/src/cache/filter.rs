//! Filters of `builder prune`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regex_lite::Regex;

use super::{CacheError, Usage};

/// Which records are meant.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    tests: Vec<(bool, Test)>,
}

#[derive(Debug)]
enum Test {
    /// Not used since.
    Until(Timestamp),
    Id(Text),
    Parent(Text),
    Type(Text),
    Description(Text),
    InUse(bool),
    Shared(bool),
}

/// How a text is to be.
#[derive(Debug)]
enum Text {
    Is(String),
    Begins(String),
    Matches(Regex),
}

impl Filters {
    /// Reads filters; several values of one are each to be met.
    pub(crate) fn parse(filters: &BTreeMap<String, Vec<String>>) -> Result<Self, CacheError> {
        let mut tests = Vec::new();
        for (name, values) in filters {
            let (bare, wanted) = match name.strip_suffix('!') {
                Some(bare) => (bare, false),
                None => (name.as_str(), true),
            };
            for value in values {
                tests.push((wanted, Test::parse(bare, value)?));
            }
        }
        Ok(Self { tests })
    }

    /// Whether a record is meant.
    pub(crate) fn pick(&self, usage: &Usage) -> bool {
        self.tests.iter().all(|(wanted, test)| test.holds(usage) == *wanted)
    }
}

impl Test {
    fn parse(name: &str, value: &str) -> Result<Self, CacheError> {
        let wrong = || CacheError::Value { name: name.to_owned(), value: value.to_owned() };
        let truth = || match value {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(wrong()),
        };
        Ok(match name {
            "until" | "unused-for" => Self::Until(moment(value).ok_or_else(wrong)?),
            "id" => match Text::parse(value).map_err(|_| wrong())? {
                Text::Is(id) => Self::Id(Text::Begins(id)),
                text => Self::Id(text),
            },
            "parent" | "parents" => Self::Parent(Text::parse(value).map_err(|_| wrong())?),
            "type" => Self::Type(Text::parse(value).map_err(|_| wrong())?),
            "description" => Self::Description(Text::parse(value).map_err(|_| wrong())?),
            "inuse" => Self::InUse(truth()?),
            "shared" => Self::Shared(truth()?),
            "private" => Self::Shared(!truth()?),
            _ => return Err(CacheError::Filter(name.to_owned())),
        })
    }

    fn holds(&self, usage: &Usage) -> bool {
        match self {
            Self::Until(moment) => usage.last_used.unwrap_or(usage.created) < *moment,
            Self::Id(text) => text.holds(&usage.id),
            Self::Parent(text) => usage.parents.iter().any(|parent| text.holds(parent)),
            Self::Type(text) => text.holds(usage.kind.name()),
            Self::Description(text) => text.holds(&usage.description),
            Self::InUse(wanted) => usage.in_use == *wanted,
            Self::Shared(wanted) => usage.shared == *wanted,
        }
    }
}

impl Text {
    fn parse(value: &str) -> Result<Self, regex_lite::Error> {
        Ok(match value.strip_prefix('~') {
            Some(pattern) => Self::Matches(Regex::new(pattern)?),
            None => Self::Is(value.to_owned()),
        })
    }

    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(wanted) => text == wanted,
            Self::Begins(wanted) => text.starts_with(wanted.as_str()),
            Self::Matches(pattern) => pattern.is_match(text),
        }
    }
}

/// A moment: a Go duration before now, RFC 3339, or seconds since 1970.
fn moment(text: &str) -> Option<Timestamp> {
    if let Some(seconds) = duration_s(text) {
        // Whole seconds are exact enough for what is measured in hours.
        return Timestamp::now()
            .checked_sub(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?)
            .ok();
    }
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let (seconds, _) = text.split_once('.').unwrap_or((text, ""));
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

/// Go's durations: `1h30m`, `1.5s`, `500ms`, in s.
fn duration_s(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units =
            [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * scale;
        rest = &rest[unit.len()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::RecordKind;

    #[test]
    fn filters_pick() {
        let now = Timestamp::now();
        let usage = Usage {
            id: "abcdef".into(),
            parents: vec!["parent".into()],
            kind: RecordKind::SourceLocal,
            description: "local source for context".into(),
            in_use: false,
            shared: true,
            size_bytes: 1,
            created: now - jiff::SignedDuration::from_hours(3),
            last_used: Some(now - jiff::SignedDuration::from_hours(2)),
            uses: 1,
        };
        for (name, value, want) in [
            ("until", "1h", Some(true)),
            ("until", "2h30m", Some(false)),
            ("unused-for", "90m", Some(true)),
            ("until", "2000-01-01T00:00:00Z", Some(false)),
            ("until", "x", None),
            ("id", "abc", Some(true)),
            ("id", "bcd", Some(false)),
            ("id!", "bcd", Some(true)),
            ("id", "~cd", Some(true)),
            ("id", "~(", None),
            ("parent", "parent", Some(true)),
            ("type", "source.local", Some(true)),
            ("type", "regular", Some(false)),
            ("description", "~^local", Some(true)),
            ("inuse", "true", Some(false)),
            ("inuse", "0", Some(true)),
            ("shared", "", Some(true)),
            ("private", "true", Some(false)),
            ("shared", "maybe", None),
            ("colour", "red", None),
        ] {
            let filters = BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]);
            let picked = Filters::parse(&filters).ok().map(|filters| filters.pick(&usage));
            assert_eq!(picked, want, "{name}={value}");
        }
    }
}
