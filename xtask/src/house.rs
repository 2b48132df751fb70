//! The house's invariants, checked: format, lints, who may use whom, dependency rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::chore::{ChoreError, io, root, run};

/// Floors of `docs/ARCHITECTURE.md`: a crate uses lower floors, and its own only as named here.
const FLOORS: &[&[&str]] = &[
    &[
        "fault",
        "oci",
        "api-types",
        "sys",
        "gotemplate",
        "seccomp",
        "gotext",
        "dockerfile",
        "build-proto",
    ],
    &[
        "store",
        "content",
        "web",
        "distribution",
        "policy",
        "archive",
        "snapshot",
        "cgroup",
        "network",
        "volume",
        "logs",
        "runtime",
        "shim-proto",
    ],
    &["image", "task", "build", "registry"],
    &["engine"],
    &["api", "client", "cli"],
];

/// Uses within one floor.
const SAME_FLOOR: &[(&str, &str)] = &[
    ("oci", "fault"),
    ("api-types", "oci"),
    ("sys", "fault"),
    ("seccomp", "oci"),
    ("gotemplate", "gotext"),
    ("dockerfile", "fault"),
    ("dockerfile", "gotext"),
    ("distribution", "web"),
    ("snapshot", "archive"),
    ("network", "store"),
    ("volume", "store"),
    ("volume", "archive"),
    ("runtime", "cgroup"),
    ("shim-proto", "logs"),
    ("build", "image"),
    ("cli", "client"),
];

/// Doors that reach the engine through the API alone.
const THROUGH_THE_API: &[&str] = &["cli", "client"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    source: Option<String>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    licenses: Licenses,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    deny: Vec<Crate>,
    skip: Vec<Crate>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Crate {
    #[serde(rename = "crate")]
    name: String,
}

/// Format, lints, invariants.
pub(crate) fn check() -> Result<(), ChoreError> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    let mut broken = Vec::new();
    let metadata = metadata()?;
    layering(&metadata, &mut broken);
    dependencies(&metadata, &mut broken)?;
    unsafe_stays_in_sys(&metadata, &mut broken)?;
    if broken.is_empty() {
        println!("check: format, lints, layering, dependencies and unsafe code are in order");
        Ok(())
    } else {
        Err(ChoreError::Rules(broken))
    }
}

fn metadata() -> Result<Metadata, ChoreError> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .map_err(io("cargo metadata"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| ChoreError::Text(format!("cargo metadata: {error}")))
}

fn layering(metadata: &Metadata, broken: &mut Vec<String>) {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    for package in metadata.packages.iter().filter(|package| package.source.is_none()) {
        let Some(name) = package.name.strip_prefix("gantry-") else { continue };
        if ["utils", "util", "common"].contains(&name) {
            broken.push(format!("a crate without a subject: {name}"));
        }
        let Some(own) = floor(name) else { continue };
        for used in package.dependencies.iter().filter(|used| used.kind.is_none()) {
            let Some(used) = used.name.strip_prefix("gantry-") else { continue };
            let allowed = match floor(used) {
                Some(below) if below < own => true,
                Some(same) if same == own => SAME_FLOOR.contains(&(name, used)),
                _ => false,
            };
            if !allowed {
                broken.push(format!("{name} uses {used}, which does not stand below it"));
            }
            if THROUGH_THE_API.contains(&name) && ["engine", "image", "task"].contains(&used) {
                broken.push(format!("{name} must reach the engine through the API, not {used}"));
            }
            if name == "task" && used == "runtime" {
                broken.push("between task and runtime is a process".to_owned());
            }
        }
    }
}

/// A library that is really built here: `cargo metadata` lists those of other platforms and of
/// features that nobody asks for, too.
struct Library {
    name: String,
    version: String,
    license: String,
}

fn libraries() -> Result<Vec<Library>, ChoreError> {
    let output = Command::new("cargo")
        .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .map_err(io("cargo tree"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: BTreeSet<&str> = text.lines().collect();
    let read = |line: &&str| {
        let (package, license) = line.split_once('|')?;
        let (name, rest) = package.split_once(" v")?;
        // A path behind the version marks the workspace's own crates.
        (!rest.contains('/')).then(|| Library {
            name: name.to_owned(),
            version: rest.split(' ').next().unwrap_or_default().to_owned(),
            license: license.trim_end_matches(" (*)").to_owned(),
        })
    };
    Ok(lines.iter().filter_map(read).collect())
}

fn dependencies(metadata: &Metadata, broken: &mut Vec<String>) -> Result<(), ChoreError> {
    let text = std::fs::read_to_string(root().join("deny.toml")).map_err(io("deny.toml"))?;
    let deny: Deny =
        toml::from_str(&text).map_err(|error| ChoreError::Text(format!("deny.toml: {error}")))?;
    let allowed: BTreeSet<&str> = deny.licenses.allow.iter().map(String::as_str).collect();
    let libraries = libraries()?;
    if libraries.is_empty() {
        broken.push("cargo tree lists no library".to_owned());
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for library in &libraries {
        versions.entry(&library.name).or_default().insert(&library.version);
        if deny.bans.deny.iter().any(|banned| banned.name == library.name) {
            broken.push(format!("{} is banned by deny.toml", library.name));
        }
        if !licence_allowed(&library.license, &allowed) {
            let Library { name, license, .. } = library;
            broken.push(format!("{name}: licence {license:?} is not on the list"));
        }
    }
    for package in &metadata.packages {
        let foreign = package.source.as_ref().filter(|source| !source.starts_with("registry+"));
        if let Some(source) = foreign {
            broken.push(format!("{} comes from {source}, not from the registry", package.name));
        }
    }
    for (name, versions) in versions {
        let skipped = deny.bans.skip.iter().any(|skipped| skipped.name == name);
        match (versions.len() > 1, skipped) {
            (true, false) => broken.push(format!("{name} is there in versions {versions:?}")),
            (false, true) => broken.push(format!("deny.toml skips {name} without need")),
            _ => {}
        }
    }
    Ok(())
}

/// Reads an SPDX expression: any side of an `OR`, all sides of an `AND`.
fn licence_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let bare = expression.replace(['(', ')'], " ").replace('/', " OR ");
    bare.split(" AND ").all(|all| all.split(" OR ").any(|any| allowed.contains(any.trim())))
}

fn unsafe_stays_in_sys(metadata: &Metadata, broken: &mut Vec<String>) -> Result<(), ChoreError> {
    for package in metadata.packages.iter().filter(|package| package.source.is_none()) {
        if package.name == "gantry-sys" {
            continue;
        }
        let folder = Path::new(&package.manifest_path).parent().map(|path| path.join("src"));
        let roots = ["lib.rs", "main.rs"].map(|name| folder.clone().unwrap_or_default().join(name));
        for file in roots.iter().filter(|file| file.is_file()) {
            let text = std::fs::read_to_string(file).map_err(io("a crate's root"))?;
            if !text.contains("#![forbid(unsafe_code)]") {
                broken.push(format!("{} does not forbid unsafe code", file.display()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_read() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Unicode-3.0"]);
        for (expression, want) in [
            ("MIT", true),
            ("GPL-3.0-or-later", false),
            ("GPL-2.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-2.0", false),
            ("", false),
        ] {
            assert_eq!(licence_allowed(expression, &allowed), want, "{expression}");
        }
    }
}
