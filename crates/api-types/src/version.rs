//! API versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An API version, `1.47`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Before the dot.
    pub major: u16,
    /// After the dot.
    pub minor: u16,
}

/// A text that is no API version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version \"{0}\"")]
pub struct ApiVersionError(pub String);

impl ApiVersion {
    /// Oldest version that can be spoken.
    pub const MIN: Self = Self::new(1, 24);
    /// Newest version.
    pub const MAX: Self = Self::new(1, 56);
    /// Oldest version that is spoken unless the daemon is told otherwise.
    ///
    /// Docker's own default is newer, but clients in use pin versions far below it.
    pub const DEFAULT_MIN: Self = Self::MIN;

    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// True for version `1.minor` and newer.
    #[must_use]
    pub fn at_least(self, minor: u16) -> bool {
        self >= Self::new(1, minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ApiVersionError;

    /// Reads `1.47`, and `v1.47` as it stands in a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        text.strip_prefix('v')
            .unwrap_or(text)
            .split_once('.')
            .and_then(|(major, minor)| Some(Self::new(number(major)?, number(minor)?)))
            .ok_or_else(|| ApiVersionError(text.to_owned()))
    }
}

impl Serialize for ApiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_written() {
        for (text, want) in [
            ("1.24", Some(ApiVersion::MIN)),
            ("v1.56", Some(ApiVersion::MAX)),
            ("1.9", Some(ApiVersion::new(1, 9))),
            ("1", None),
            ("1.", None),
            (".1", None),
            ("1.+4", None),
            ("1.2.3", None),
            ("vv1.2", None),
            ("1.99999", None),
        ] {
            assert_eq!(text.parse::<ApiVersion>().ok(), want, "{text}");
        }
        assert_eq!(ApiVersion::MAX.to_string(), "1.56");
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(ApiVersion::new(1, 9) < ApiVersion::MIN);
        assert!(ApiVersion::new(1, 52).at_least(52));
        assert!(!ApiVersion::new(1, 51).at_least(52));
        assert!(ApiVersion::new(2, 0).at_least(52));
    }
}
