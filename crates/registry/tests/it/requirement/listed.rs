//! The list of requirements and the tests are one: each requirement has a test, and each test here is
//! of a requirement.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const LIST: &str = include_str!("../../requirements.tsv");

/// Tests here that are of no single requirement.
const MORE: &[&str] = &["errors::errors_are_json", "manifests::end_7a_docker_types"];

/// The functions of a file, and those that `requirements!` makes tests of.
fn functions(file: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let path = format!("{}/tests/it/requirement/{file}.rs", env!("CARGO_MANIFEST_DIR"));
    let text =
        std::fs::read_to_string(Path::new(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let name = |line: &str| {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
        line[..end].to_owned()
    };
    let functions = text.lines().filter_map(|line| line.strip_prefix("fn ")).map(name).collect();
    let made = text.split_once("requirements! {").map_or("", |(_, rest)| rest);
    let made = made.split_once("\n}").map_or("", |(made, _)| made);
    let tests = made.lines().filter(|line| line.ends_with(';')).map(|line| name(line.trim()));
    (functions, tests.collect())
}

#[test]
fn every_requirement_has_a_test_and_every_test_a_requirement() {
    let mut files: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for file in ["blobs", "errors", "lists", "manifests", "referrers", "uploads"] {
        files.insert(file, functions(file));
    }
    let mut named = BTreeSet::new();
    let rows: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() > 80, "the list is cut off: {} rows", rows.len());
    for row in &rows {
        let [kind, id, _, tests] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert!(!tests.is_empty(), "{kind} {id} has no test");
        for test in tests.split(' ') {
            let (file, function) = test.split_once("::").unwrap_or_else(|| panic!("{id}: {test}"));
            let (functions, made) = files.entry(file).or_insert_with(|| functions(file));
            let is_test = if file.starts_with("..") { &*functions } else { &*made };
            assert!(is_test.contains(function), "{kind} {id}: there is no test {test}");
            named.insert(test.to_owned());
        }
    }
    named.extend(MORE.iter().map(|&test| test.to_owned()));
    for (file, (_, made)) in files.iter().filter(|(file, _)| !file.starts_with("..")) {
        for function in made {
            let test = format!("{file}::{function}");
            assert!(named.contains(&test), "{test} is of no requirement in the list");
        }
    }
}
