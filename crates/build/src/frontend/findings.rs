//! What the rules find, for the client.

use gantry_build_proto::Warning;
use gantry_dockerfile::{
    Dockerfile, Patterns,
    check::{self, CheckConfig, Linter},
};

use super::{
    error::{At, PlanError},
    places,
    settings::{Settings, is_predefined},
    stages,
};

/// The rules of one file.
#[derive(Debug)]
pub(super) struct Findings {
    /// What they found so far.
    pub linter: Linter,
    /// What the context leaves out.
    pub ignored: Patterns,
}

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

    /// All that was found, and which arguments nothing took.
    pub(super) fn warnings(
        &self,
        dockerfile: &Dockerfile,
        settings: &Settings,
        file: &str,
        text: &str,
    ) -> Vec<Warning> {
        let found = self.linter.findings().iter().map(|finding| Warning {
            rule: finding.rule.name().to_owned(),
            description: finding.rule.description().to_owned(),
            url: finding.rule.url(),
            message: finding.message.clone(),
            place: Some(places::of(finding.span, file, text)),
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
