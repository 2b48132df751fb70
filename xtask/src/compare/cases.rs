//! Reads case files: `### name`, then shell lines; `#! reason` and `#~ pattern => text` in between.

use regex::Regex;

use crate::chore::{ChoreError, io, root};

/// One comparison.
pub(crate) struct Case {
    /// File and title.
    pub name: String,
    /// What `sh` runs.
    pub script: String,
    /// Why both are meant to differ.
    pub reason: Option<String>,
    /// What is replaced before comparing, beyond what always is.
    pub replace: Vec<(Regex, String)>,
}

/// Reads every case whose name contains `filter`.
pub(crate) fn read(filter: Option<&str>) -> Result<Vec<Case>, ChoreError> {
    let directory = root().join("tests/compare");
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .map_err(io("tests/compare"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cases"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(io("a case file"))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        parse(&stem, &text, &mut cases)?;
    }
    cases.retain(|case| filter.is_none_or(|filter| case.name.contains(filter)));
    Ok(cases)
}

fn parse(stem: &str, text: &str, cases: &mut Vec<Case>) -> Result<(), ChoreError> {
    let mut current: Option<Case> = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            cases.extend(current.take());
            current = Some(Case {
                name: format!("{stem}: {title}"),
                script: String::new(),
                reason: None,
                replace: Vec::new(),
            });
            continue;
        }
        let Some(case) = &mut current else { continue };
        if let Some(reason) = line.strip_prefix("#! ") {
            case.reason = Some(reason.to_owned());
        } else if let Some(rule) = line.strip_prefix("#~ ") {
            let (pattern, by) = rule.split_once(" => ").unwrap_or((rule, "<replaced>"));
            let pattern = Regex::new(pattern)
                .map_err(|error| ChoreError::Text(format!("{}: {error}", case.name)))?;
            case.replace.push((pattern, by.to_owned()));
        } else {
            case.script.push_str(line);
            case.script.push('\n');
        }
    }
    cases.extend(current);
    Ok(())
}
