//! Reads build cases.
//!
//! ```text
//! ### title
//! #> option ...             `classic`, `both`, `args ...`, `docker-args ...`, `files`, `times`, ...
//! #! why both are meant to differ
//! #~ pattern => text        replaced before comparing
//! shell lines that make the context
//! --- Dockerfile
//! FROM base
//! --- docker                another Dockerfile for docker.io, which comes to the same files
//! --- want                  or what is wanted, where docker.io cannot build anything like it
//! --- run                   shell lines afterwards; $IMAGE is what was built
//! ```

use regex::Regex;

use crate::chore::{ChoreError, io, root};

/// Which builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    /// BuildKit, and `gantry build`.
    Buildkit,
    /// The classic builder, and Gantry's `POST /build`, by the docker CLI.
    Classic,
}

/// One build.
#[derive(Debug, Clone)]
pub(crate) struct BuildCase {
    /// File and title.
    pub name: String,
    /// What makes the context.
    pub context: String,
    /// What is built.
    pub dockerfile: String,
    /// What docker.io builds in its place.
    pub docker: Option<String>,
    /// What is wanted, in place of docker.io's answer.
    pub want: Option<String>,
    /// What runs afterwards.
    pub run: Option<String>,
    /// Which builder.
    pub builder: Builder,
    /// Arguments of `build`.
    pub args: String,
    /// Those for docker.io, if others.
    pub docker_args: Option<String>,
    /// Only the files are compared, all layers as one: how they came about differs.
    pub files: bool,
    /// Times are compared.
    pub times: bool,
    /// What the build prints is compared.
    pub output: bool,
    /// The case's shell lines write the Dockerfile themselves.
    pub no_dockerfile: bool,
    /// Why both are meant to differ.
    pub reason: Option<String>,
    /// What is replaced.
    pub replace: Vec<(Regex, String)>,
}

/// Reads every case whose name contains `filter`.
pub(crate) fn read(filter: Option<&str>) -> Result<Vec<BuildCase>, ChoreError> {
    let directory = root().join("tests/compare/builds");
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .map_err(io("tests/compare/builds"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "builds"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(io("a build case file"))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        parse(&format!("build {stem}"), &text, &mut cases)?;
    }
    cases.retain(|case| filter.is_none_or(|filter| case.name.contains(filter)));
    Ok(cases)
}

fn parse(stem: &str, text: &str, cases: &mut Vec<BuildCase>) -> Result<(), ChoreError> {
    let mut current: Option<(BuildCase, bool)> = None;
    let mut section = Section::Context;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            close(current.take(), cases);
            current = Some((BuildCase::new(format!("{stem}: {title}")), false));
            section = Section::Context;
            continue;
        }
        let Some((case, both)) = &mut current else { continue };
        if let Some(name) = line.strip_prefix("--- ") {
            section = case.begin(name)?;
        } else if section != Section::Context {
            case.line(section, line);
        } else if let Some(option) = line.strip_prefix("#> ") {
            *both |= case.option(option)?;
        } else if let Some(reason) = line.strip_prefix("#! ") {
            case.reason = Some(reason.to_owned());
        } else if let Some(rule) = line.strip_prefix("#~ ") {
            let (pattern, by) = rule.split_once(" => ").unwrap_or((rule, "<replaced>"));
            // Lines are what the cases think in.
            let pattern = Regex::new(&format!("(?m){pattern}"))
                .map_err(|error| ChoreError::Text(format!("{}: {error}", case.name)))?;
            case.replace.push((pattern, by.to_owned()));
        } else {
            case.line(section, line);
        }
    }
    close(current, cases);
    Ok(())
}

/// Ends a case; one for both builders is two.
fn close(current: Option<(BuildCase, bool)>, cases: &mut Vec<BuildCase>) {
    let Some((mut case, both)) = current else { return };
    // The empty line before the next title is of no section.
    for text in [&mut case.docker, &mut case.want, &mut case.run].into_iter().flatten() {
        trim(text);
    }
    trim(&mut case.dockerfile);
    if both {
        let mut classic = case.clone();
        classic.builder = Builder::Classic;
        classic.name.push_str(" (classic)");
        cases.push(classic);
    }
    cases.push(case);
}

fn trim(text: &mut String) {
    text.truncate(text.trim_end_matches('\n').len());
    if !text.is_empty() {
        text.push('\n');
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Context,
    Dockerfile,
    Docker,
    Want,
    Run,
}

impl BuildCase {
    fn new(name: String) -> Self {
        Self {
            name,
            context: String::new(),
            dockerfile: String::new(),
            docker: None,
            want: None,
            run: None,
            builder: Builder::Buildkit,
            args: String::new(),
            docker_args: None,
            files: false,
            times: false,
            output: false,
            no_dockerfile: false,
            reason: None,
            replace: Vec::new(),
        }
    }

    /// Takes an option; whether the case is for both builders.
    fn option(&mut self, option: &str) -> Result<bool, ChoreError> {
        let (word, rest) = option.split_once(' ').unwrap_or((option, ""));
        match word {
            "both" => return Ok(true),
            "classic" => self.builder = Builder::Classic,
            "args" => rest.clone_into(&mut self.args),
            "docker-args" => self.docker_args = Some(rest.to_owned()),
            "files" => self.files = true,
            "times" => self.times = true,
            "output" => self.output = true,
            "no-dockerfile" => self.no_dockerfile = true,
            _ => return Err(ChoreError::Text(format!("{}: option {option}?", self.name))),
        }
        Ok(false)
    }

    fn begin(&mut self, name: &str) -> Result<Section, ChoreError> {
        let (section, place) = match name {
            "Dockerfile" => return Ok(Section::Dockerfile),
            "docker" => (Section::Docker, &mut self.docker),
            "want" => (Section::Want, &mut self.want),
            "run" => (Section::Run, &mut self.run),
            _ => return Err(ChoreError::Text(format!("{}: section {name}?", self.name))),
        };
        place.get_or_insert_default();
        Ok(section)
    }

    fn line(&mut self, section: Section, line: &str) {
        let place = match section {
            Section::Context => &mut self.context,
            Section::Dockerfile => &mut self.dockerfile,
            Section::Docker => self.docker.get_or_insert_default(),
            Section::Want => self.want.get_or_insert_default(),
            Section::Run => self.run.get_or_insert_default(),
        };
        place.push_str(line);
        place.push('\n');
    }
}
