//! Which scripts the machine runs, on which runtime.

use std::path::Path;

use crate::chore::{ChoreError, io};

/// Scripts that a smoke run is content with: the limits, and one container from end to end.
const SMOKE: &[&str] = &["crun/limits", "oci/limits", "daemon/hello"];

/// One run of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// `RUNTIME/SCRIPT`, as it is printed.
    pub name: String,
    /// Below `tests/vm`.
    script: String,
    /// What the script calls: `crun`, `oci` (that is, `gantry oci`) or `daemon`.
    runtime: &'static str,
}

/// All tests whose name contains `filter`, oracle first.
pub(crate) fn make(
    folder: &Path,
    filter: Option<&str>,
    smoke: bool,
) -> Result<Vec<Test>, ChoreError> {
    let (oci, daemon) = (scripts(&folder.join("oci"))?, scripts(&folder.join("daemon"))?);
    let mut tests = Vec::new();
    for (runtime, directory, scripts) in
        [("crun", "oci", &oci), ("oci", "oci", &oci), ("daemon", "daemon", &daemon)]
    {
        tests.extend(scripts.iter().map(|script| Test {
            name: format!("{runtime}/{script}"),
            script: format!("{directory}/{script}.sh"),
            runtime,
        }));
    }
    tests.retain(|test| filter.is_none_or(|filter| test.name.contains(filter)));
    tests.retain(|test| !smoke || SMOKE.contains(&test.name.as_str()));
    Ok(tests)
}

/// Whether any of them runs the program under test.
pub(crate) fn needs_gantry(tests: &[Test]) -> bool {
    tests.iter().any(|test| test.runtime != "crun")
}

/// The plan as `tests/vm/init` reads it: a line a test, of name, script and runtime.
pub(crate) fn text(tests: &[Test]) -> String {
    tests.iter().map(|test| format!("{} {} {}\n", test.name, test.script, test.runtime)).collect()
}

/// Names of the scripts of a directory, without `.sh`, in order.
fn scripts(folder: &Path) -> Result<Vec<String>, ChoreError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io("tests/vm"))? {
        let name = entry.map_err(io("tests/vm"))?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".sh")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oci_scripts_run_on_both_runtimes() {
        let folder = crate::chore::root().join("tests/vm");
        let names = |filter, smoke| -> Vec<String> {
            let tests = make(&folder, filter, smoke).unwrap();
            tests.into_iter().map(|test| test.name).collect()
        };
        assert_eq!(names(Some("limits"), false), ["crun/limits", "oci/limits", "daemon/limits"]);
        assert_eq!(names(None, true), SMOKE);
        assert!(names(Some("no such name"), false).is_empty());
    }

    #[test]
    fn the_machine_reads_three_words_a_line() {
        let test = |name: &str, runtime| Test {
            name: name.to_owned(),
            script: "oci/kill.sh".to_owned(),
            runtime,
        };
        let tests = [test("crun/kill", "crun"), test("oci/kill", "oci")];
        assert_eq!(text(&tests), "crun/kill oci/kill.sh crun\noci/kill oci/kill.sh oci\n");
        assert!(!needs_gantry(&tests[..1]));
        assert!(needs_gantry(&tests));
    }
}
