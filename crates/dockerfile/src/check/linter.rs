//! What rules find.

use std::collections::{BTreeSet, HashSet};

use thiserror::Error;

use super::{CheckConfig, Rule};
use crate::Span;
use crate::ast::{DirectiveName, Written};
use crate::lex::directive_of_comment;

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it found.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// What rules found is to make the build fail.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("lint violation found for rules: {}", .0.join(", "))]
pub struct Violations(
    /// Names of the rules.
    pub Vec<&'static str>,
);

/// Keeps what rules find, if they are on.
#[derive(Debug, Clone, Default)]
pub struct Linter {
    config: CheckConfig,
    findings: Vec<Finding>,
    seen: HashSet<Finding>,
}

impl Finding {
    /// On one line: `Rule: message (line 3)`.
    #[must_use]
    pub fn short(&self) -> String {
        let Self { rule, message, span } = self;
        format!("{}: {message} (line {})", rule.name(), span.first_line)
    }
}

impl Linter {
    /// One with these rules on.
    #[must_use]
    pub fn new(config: CheckConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Takes what a rule found in an instruction. A comment `# check=skip=RULE` above it turns the
    /// rule off for it.
    pub fn report(&mut self, rule: Rule, written: &Written, message: String) {
        let above = written.comments.iter().find_map(|comment| {
            let (name, options) = directive_of_comment(comment)?;
            (name == DirectiveName::Check).then_some(options)
        });
        // Options that are none change nothing.
        let above = above.and_then(|options| CheckConfig::parse(options).ok());
        let overridden = above.is_some_and(|above| above.overrides(rule));
        let is_on = match rule.is_experimental() {
            true => self.config.has(rule) || overridden,
            false => self.config.has(rule) && !overridden,
        };
        if is_on {
            self.keep(Finding { rule, message, span: written.span });
        }
    }

    /// Takes what a rule found in a place that is no instruction.
    pub fn report_at(&mut self, rule: Rule, span: Span, message: String) {
        if self.config.has(rule) {
            self.keep(Finding { rule, message, span });
        }
    }

    /// The same thing is found again for each platform that is built for.
    fn keep(&mut self, finding: Finding) {
        if self.seen.insert(finding.clone()) {
            self.findings.push(finding);
        }
    }

    /// What was found, in the order in which it was.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// That the build is to fail, if it is.
    ///
    /// # Errors
    /// When something was found and the options say that this is an error.
    pub fn verdict(&self) -> Result<(), Violations> {
        if !self.config.error || self.findings.is_empty() {
            return Ok(());
        }
        let rules: BTreeSet<_> = self.findings.iter().map(|finding| finding.rule.name()).collect();
        Err(Violations(rules.into_iter().collect()))
    }
}
