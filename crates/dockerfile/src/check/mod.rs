//! Build checks: what a Dockerfile may say, but better would not.
//!
//! A [`Linter`] takes what rules find, and keeps it if its [`CheckConfig`] has the rule on. Rules
//! that need the text alone are run by [`check_text`]; those that need the state of a stage by a
//! [`StageCheck`] that follows it; the others are functions for whoever knows what they ask.
//!
//! | rule | run by |
//! |---|---|
//! | NoEmptyContinuation, StageNameCasing, FromAsCasing, MaintainerDeprecated, DuplicateStageName, ReservedStageName, ConsistentInstructionCasing, InvalidDefinitionDescription | [`check_text`] |
//! | InvalidDefaultArgInFrom | [`check_default_bases`] |
//! | UndefinedArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed | [`check_from`] |
//! | JSONArgsRecommended, MultipleInstructionsDisallowed, LegacyKeyValueFormat, SecretsUsedInArgOrEnv, WorkdirRelativePath, ExposeProtoCasing, ExposeInvalidFormat | [`StageCheck`] |
//! | UndefinedVar | [`check_variables`] |
//! | CopyIgnoredFile | [`check_ignored_sources`] |
//! | InvalidBaseImagePlatform | [`check_base_platform`] |
//!
//! Source: <https://docs.docker.com/reference/build-checks/>.

mod config;
mod files;
mod from;
mod linter;
mod rule;
mod secret;
mod stage;
mod text;
mod variables;

pub use config::{CheckConfig, CheckOptionError};
pub use files::check_ignored_sources;
pub use from::{FromPlatform, check_base_platform, check_default_bases, check_from};
pub use linter::{Finding, Linter, Violations};
pub use rule::Rule;
pub use stage::StageCheck;
pub use text::check_text;
pub use variables::check_variables;
