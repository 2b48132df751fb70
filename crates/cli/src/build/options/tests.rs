//! Command lines of builds, and what becomes of them.

use std::collections::BTreeMap;

use super::*;
use crate::flags::{Parsed, parse};
use crate::spec::GROUPS;

/// Command lines, one a line; blanks separate, and there is no quoting.
const LINES: &str = include_str!("../../../tests/golden/build/lines.txt");
const WANT: &str = include_str!("../../../tests/golden/build/requests.txt");

fn options(line: &str) -> Result<Options, String> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let group = GROUPS.iter().find(|group| group.name == "buildx").expect("buildx");
    let entry = group.entries.iter().find(|entry| entry.name == "build").expect("build");
    let (flags, rest) = match parse(entry.command.flags, &args, true)? {
        Parsed::Run(flags, rest) => (flags, rest),
        Parsed::Help => return Err("help".into()),
    };
    let variables = |name: &str| match name {
        "FROM_ENV" => Some("value".to_owned()),
        "SOURCE_DATE_EPOCH" => Some("1700000000".to_owned()),
        _ => None,
    };
    let around = Surroundings {
        variable: &variables,
        proxies: BTreeMap::from([("HTTP_PROXY".to_owned(), "http://proxy:3128".to_owned())]),
        terminal: false,
    };
    Options::of(&flags, rest.first().map_or("", String::as_str), &around)
}

/// What differs from the request of a build without flags, and the client's own part.
fn shown(line: &str) -> String {
    let options = match options(line) {
        Ok(options) => options,
        Err(why) => return format!("ERROR: {why}\n"),
    };
    let plain = self::options(".").map(|options| options.request).unwrap_or_default();
    let plain = serde_json::to_value(plain).expect("JSON");
    let request = serde_json::to_value(&options.request).expect("JSON");
    let mut text = String::new();
    for (key, value) in request.as_object().expect("object") {
        if plain[key] != *value {
            text.push_str(&format!("{key}: {value}\n"));
        }
    }
    let mut own = |name: &str, value: String| {
        if !matches!(value.as_str(), "" | "[]" | "None" | "false") {
            text.push_str(&format!("{name} = {value}\n"));
        }
    };
    own("context", options.context);
    own("file", options.file);
    own("named", format!("{:?}", options.named));
    own("secrets", format!("{:?}", options.secrets));
    own("agents", format!("{:?}", options.agents));
    own("places", format!("{:?}", options.places));
    own("caches", format!("{:?}", options.caches));
    own("question", format!("{:?}", options.question));
    own("mode", format!("{:?}", options.mode));
    own("id file", options.id_file);
    own("metadata file", options.metadata_file);
    own("shell", options.shell.to_string());
    text
}

#[test]
fn flags_become_requests() {
    let mut all = String::new();
    // What all have in common is shown once.
    let common = options(".").expect("no flags").request;
    all.push_str(&format!("args: {:?}\noutputs: {:?}\n\n", common.args, common.outputs));
    for line in LINES.lines() {
        all.push_str(&format!("$ build {line}\n{}\n", shown(line)));
    }
    if std::env::var_os("GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/build/requests.txt");
        std::fs::write(path, &all).expect("written");
        return;
    }
    assert_eq!(all, WANT);
}
