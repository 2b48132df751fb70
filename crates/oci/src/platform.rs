//! Platforms: `os[/architecture[/variant]]`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The platform that an image is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture in Go's words: `amd64`, `arm64`, `arm`, …
    #[serde(default)]
    pub architecture: String,
    /// Operating system in Go's words: `linux`.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system; only Windows uses it.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system; only Windows uses them.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// CPU variant: `v7` of `arm`, `v8` of `arm64`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Too many components.
    #[error("\"{0}\": cannot parse platform specifier: invalid argument")]
    Components(String),
    /// A component with characters that are not allowed.
    #[error("\"{0}\": unknown operating system or architecture: invalid argument")]
    Invalid(String),
}

impl Platform {
    /// The platform of this machine.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), ..Self::default() }
    }

    /// Whether an image for `self` runs where `wanted` is asked for; empty fields match all.
    #[must_use]
    pub fn matches(&self, wanted: &Self) -> bool {
        let same =
            |ours: &str, theirs: &str| ours.is_empty() || theirs.is_empty() || ours == theirs;
        same(&self.os, &wanted.os)
            && same(&self.architecture, &wanted.architecture)
            && same(self.normal_variant(), wanted.normal_variant())
    }

    /// `arm64` without a variant is `v8`, as all of it is.
    fn normal_variant(&self) -> &str {
        if self.architecture == "arm64" && self.variant == "v8" { "" } else { &self.variant }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let invalid = || PlatformError::Invalid(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(word) {
            return Err(invalid());
        }
        if parts.len() > 3 {
            return Err(PlatformError::Components(text.to_owned()));
        }
        let mut platform = Self::default();
        match parts.as_slice() {
            [single] if is_os(single) => {
                platform = Self { os: single.to_lowercase(), ..Self::host() };
            }
            [single] => {
                platform.os = "linux".to_owned();
                (platform.architecture, platform.variant) = normal_architecture(single, "");
            }
            [os, architecture, rest @ ..] => {
                platform.os = os.to_lowercase();
                let variant = rest.first().copied().unwrap_or_default();
                (platform.architecture, platform.variant) =
                    normal_architecture(architecture, variant);
            }
            [] => return Err(invalid()),
        }
        Ok(platform)
    }
}

fn is_os(word: &str) -> bool {
    let known = ["linux", "windows", "darwin", "macos", "freebsd", "netbsd", "openbsd", "wasi"];
    known.contains(&word.to_lowercase().as_str())
}

/// Maps kernel words (`x86_64`, `aarch64`, `armhf`) to Go's.
fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture.to_lowercase().as_str(), variant) {
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64".to_owned(), variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64".to_owned(), ""),
        ("aarch64" | "arm64", variant) => ("arm64".to_owned(), variant),
        ("i386" | "386", variant) => ("386".to_owned(), variant),
        ("armhf", _) => ("arm".to_owned(), "v7"),
        ("armel", _) => ("arm".to_owned(), "v6"),
        ("arm", "" | "7") => ("arm".to_owned(), "v7"),
        (other, variant) => (other.to_owned(), variant),
    };
    (architecture, variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_as_docker_does() {
        for (text, want) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/x86_64", Some("linux/amd64")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("arm64", Some("linux/arm64")),
            ("", None),
            ("a/b/c/d", None),
            ("linux/../x", Some("linux/../x")),
            ("linux/a b", None),
        ] {
            let got = text.parse::<Platform>().ok().map(|platform| platform.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn empty_fields_match_all() {
        let host: Platform = "linux/arm64/v8".parse().unwrap();
        assert!(Platform::default().matches(&host));
        assert!("linux/arm64".parse::<Platform>().unwrap().matches(&host));
        assert!(!"linux/amd64".parse::<Platform>().unwrap().matches(&host));
    }
}
