//! What the rules find, for the client.

use gantry_build_proto::Warning;
use gantry_dockerfile::{
    Dockerfile, Names, Patterns, Written,
    check::{self, CheckConfig, Linter},
};

use super::{
    error::{At, PlanError},
    places::Text,
    settings::{Settings, is_predefined},
    stages,
    state::State,
};

/// The rules of one file.
#[derive(Debug)]
pub(super) struct Findings {
    /// What they found so far.
    pub linter: Linter,
    /// What the context leaves out.
    pub ignored: Patterns,
}

/// Findings after which no more is looked for: nobody reads them.
const FINDINGS_MAX: usize = 1_000;
/// Names that an undefined one is compared with.
const NAMES_MAX: usize = 200;

impl Findings {
    /// Those that are on, by the request or else by the file; the rules of the text have run.
    ///
    /// # Errors
    /// When their options, or the patterns of the ignore file, are wrong.
    pub(super) fn of(
        dockerfile: &Dockerfile,
        settings: &Settings,
        ignore: &str,
    ) -> Result<Self, At> {
        let config = match &settings.check {
            Some(options) => CheckConfig::parse(options),
            None => CheckConfig::of(dockerfile),
        };
        let mut linter = Linter::new(config.map_err(PlanError::CheckOptions)?);
        check::check_text(dockerfile, &mut linter);
        let ignored = Patterns::of_ignore_file(ignore).map_err(PlanError::Ignore)?;
        Ok(Self { linter, ignored })
    }

    /// Whether more is to be looked for.
    pub(super) fn is_open(&self) -> bool {
        self.linter.findings().len() < FINDINGS_MAX
    }

    /// Tells of variables that nothing sets.
    pub(super) fn variables(&mut self, names: &Names, state: &State, written: &Written) {
        if names.undefined.is_empty() || !self.is_open() {
            return;
        }
        let declared: Vec<_> = state.build_args.iter().map(|(name, _)| name.clone()).collect();
        let set: Vec<&str> = state.variables.names().take(NAMES_MAX).collect();
        check::check_variables(written, names, &declared, set, &mut self.linter);
    }

    /// All that was found, and which arguments nothing took.
    pub(super) fn warnings(
        &self,
        dockerfile: &Dockerfile,
        settings: &Settings,
        text: &Text<'_>,
    ) -> Vec<Warning> {
        let found = self.linter.findings().iter().map(|finding| Warning {
            rule: finding.rule.name().to_owned(),
            description: finding.rule.description().to_owned(),
            url: finding.rule.url(),
            message: finding.message.clone(),
            place: Some(text.place(finding.span)),
        });
        found.chain(unused_args(dockerfile, settings)).collect()
    }
}

fn unused_args(dockerfile: &Dockerfile, settings: &Settings) -> Option<Warning> {
    let known = |name: &str| {
        is_predefined(name)
            || gantry_dockerfile::PLATFORM_ARGS.contains(&name)
            || stages::declares(dockerfile, name)
    };
    let unused: Vec<_> =
        settings.args.keys().filter(|name| !known(name)).map(String::as_str).collect();
    (!unused.is_empty()).then(|| Warning {
        message: format!("One or more build-args [{}] were not consumed", unused.join(" ")),
        ..Warning::default()
    })
}
