//! Which rules are on: `# check=skip=A,B;error=true;experimental=C`.

use thiserror::Error;

use super::Rule;
use crate::ast::{DirectiveName, Dockerfile};
use crate::quote::quoted;
use crate::text::go_bool;

/// Which rules are on, and whether what they find is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckConfig {
    skip: Names,
    experimental: Names,
    /// What rules find makes the build fail.
    pub error: bool,
}

/// Names of rules, which need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    These(Vec<String>),
}

/// Why options of checks are none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckOptionError {
    /// An option without a value, or one that there is not.
    #[error("invalid check option {}", quoted(.0))]
    Unknown(String),
    /// `error` is neither true nor false.
    #[error(
        "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
        quoted(.option),
        quoted(.value)
    )]
    NotBoolean {
        /// The option.
        option: String,
        /// Its value.
        value: String,
    },
}

impl Default for Names {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Names {
    fn parse(value: &str) -> Self {
        match value {
            "all" => Self::All,
            names => Self::These(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn contain(&self, rule: Rule) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|name| name == rule.name()),
        }
    }
}

impl CheckConfig {
    /// Reads options as the directive and `BUILDKIT_DOCKERFILE_CHECK` have them. What comes after
    /// a space is not one.
    ///
    /// # Errors
    /// When an option is none.
    pub fn parse(options: &str) -> Result<Self, CheckOptionError> {
        let mut config = Self::default();
        let Some(options) = options.split_whitespace().next() else { return Ok(config) };
        for option in options.split(';') {
            let unknown = |name: &str| CheckOptionError::Unknown(name.to_owned());
            let (name, value) = option.split_once('=').ok_or_else(|| unknown(option))?;
            match name {
                "skip" => config.skip = Names::parse(value),
                "experimental" => config.experimental = Names::parse(value),
                "error" => {
                    config.error = go_bool(value).ok_or_else(|| CheckOptionError::NotBoolean {
                        option: option.to_owned(),
                        value: value.to_owned(),
                    })?;
                }
                name => return Err(unknown(name)),
            }
        }
        Ok(config)
    }

    /// The options that a file has.
    ///
    /// # Errors
    /// As [`CheckConfig::parse`].
    pub fn of(dockerfile: &Dockerfile) -> Result<Self, CheckOptionError> {
        Self::parse(dockerfile.directive(DirectiveName::Check).unwrap_or_default())
    }

    /// Whether a rule is on. Experimental rules are on when they are asked for, all others unless
    /// they are skipped.
    #[must_use]
    pub fn has(&self, rule: Rule) -> bool {
        match rule.is_experimental() {
            true => self.experimental.contain(rule),
            false => !self.skip.contain(rule),
        }
    }

    /// Whether these options, which stand above one instruction, turn a rule off or on for it.
    pub(super) fn overrides(&self, rule: Rule) -> bool {
        match rule.is_experimental() {
            true => self.experimental.contain(rule),
            false => self.skip.contain(rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let casing = Rule::StageNameCasing;
        let description = Rule::InvalidDefinitionDescription;
        for (options, on, experimental, error) in [
            ("", true, false, false),
            ("skip=StageNameCasing", false, false, false),
            ("skip=FromAsCasing,StageNameCasing;error=true", false, false, true),
            ("skip=all", false, false, false),
            ("skip=all;experimental=all", false, true, false),
            ("experimental=InvalidDefinitionDescription;error=0", true, true, false),
            ("skip=FromAsCasing, StageNameCasing", true, false, false),
            ("skip=NoSuchRule", true, false, false),
        ] {
            let config = CheckConfig::parse(options).expect("they are options");
            assert_eq!(config.has(casing), on, "{options}");
            assert_eq!(config.has(description), experimental, "{options}");
            assert_eq!(config.error, error, "{options}");
        }
    }

    #[test]
    fn wrong_options() {
        for (options, want) in [
            ("skip", r#"invalid check option "skip""#),
            ("skip=all;", r#"invalid check option """#),
            ("only=A", r#"invalid check option "only""#),
            (
                "error=maybe",
                r#"failed to parse check option "error=maybe": strconv.ParseBool: parsing "maybe": invalid syntax"#,
            ),
        ] {
            let error = CheckConfig::parse(options).expect_err("they are no options");
            assert_eq!(error.to_string(), want);
        }
    }
}
