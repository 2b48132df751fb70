//! Every test in one run, with one line of totals at the end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::chore::{ChoreError, io, release_build, root, run};

/// Free space that a whole run needs: both builds, their tests, images and daemons' roots.
const DISK: u64 = 6 << 30;

/// What test runners counted.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: u64,
}

/// Installs, builds and runs the tests; with `unit`, only what needs neither root nor packages.
pub(crate) fn run_suite(unit: bool) -> Result<(), ChoreError> {
    if !unit {
        need_disk()?;
        crate::setup::install()?;
    }
    let mut totals = Totals::default();
    let mut ok = true;
    if unit {
        ok &= cargo_test(&["test", "--workspace", "--lib", "--bins", "--locked"], &mut totals)?;
    } else {
        // Daemons under test are release builds: what users run, and what the figures are about.
        run("cargo", &["build", "--release", "--locked", "-p", "gantry"])?;
        ok &= cargo_test(&["test", "--workspace", "--no-fail-fast", "--locked"], &mut totals)?;
        ok &= compare(&mut totals)?;
    }
    println!(
        "tests: {} passed, {} failed, {} skipped",
        totals.passed,
        totals.failed,
        totals.ignored + totals.skipped
    );
    println!(
        "{} passed, {} failed, {} skipped",
        totals.passed,
        totals.failed,
        totals.ignored + totals.skipped
    );
    if ok && totals.failed == 0 { Ok(()) } else { Err(ChoreError::Failed("the suite".to_owned())) }
}

/// Fails early and by name, rather than in a linker that is killed half an hour later.
fn need_disk() -> Result<(), ChoreError> {
    for place in [root(), std::env::temp_dir()] {
        let disk = rustix::fs::statvfs(&place)
            .map_err(|error| ChoreError::Io(place.display().to_string(), error.into()))?;
        let free = disk.f_bavail * disk.f_frsize;
        if free < DISK {
            let (place, free, need) = (place.display(), free >> 20, DISK >> 20);
            return Err(ChoreError::Text(format!(
                "{place}: {free} MiB of disk are free, the tests need {need} MiB"
            )));
        }
    }
    Ok(())
}

fn compare(totals: &mut Totals) -> Result<bool, ChoreError> {
    let own = std::env::current_exe().map_err(io("own path"))?;
    counted(Command::new(own).arg("compare"), totals)
}

fn cargo_test(args: &[&str], totals: &mut Totals) -> Result<bool, ChoreError> {
    println!("$ cargo {}", args.join(" "));
    counted(Command::new("cargo").args(args), totals)
}

/// Runs a command, passes its output on and counts what its runner says.
fn counted(command: &mut Command, totals: &mut Totals) -> Result<bool, ChoreError> {
    let mut child = command
        .current_dir(root())
        .env("GANTRY", release_build())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io("starting tests"))?;
    let stdout = child.stdout.take().ok_or_else(|| ChoreError::Text("no output".to_owned()))?;
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(io("reading tests' output"))?;
        println!("{line}");
        count(&line, totals);
    }
    Ok(child.wait().map_err(io("waiting for tests"))?.success())
}

/// Adds up `test result: ok. 3 passed; 0 failed; 1 ignored; …`, `3 passed, 0 failed` and lines that
/// name a skipped test.
fn count(line: &str, totals: &mut Totals) {
    let number = |word: &str| -> u64 {
        let Some(before) = line.split(word).next().filter(|before| before.len() < line.len())
        else {
            return 0;
        };
        before.trim_end().rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    if line.starts_with("test result:") {
        totals.passed += number("passed");
        totals.failed += number("failed");
        totals.ignored += number("ignored");
    } else if line.ends_with(" failed") && line.contains(" passed, ") {
        totals.passed += number("passed");
        totals.failed += number("failed");
    } else if line.starts_with("SKIPPED") {
        totals.skipped += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_lines_are_added_up() {
        let mut totals = Totals::default();
        for line in [
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out",
            "10 passed, 1 failed",
            "SKIPPED crun is not installed",
            "nothing to see",
        ] {
            count(line, &mut totals);
        }
        assert_eq!((totals.passed, totals.failed), (15, 5));
        assert_eq!((totals.ignored, totals.skipped), (1, 1));
    }
}
