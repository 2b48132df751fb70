//! Help texts, grouped and wrapped.

use crate::app::DOCKER_VERSION;
use crate::flags::{Flag, Kind};
use crate::spec::tree::{Place, names_of};
use crate::spec::{Command, GLOBAL, GROUPS, Group, TOP};

/// Width that texts are wrapped to when it is not a terminal.
const WIDTH: usize = 80;
/// Width of the column of command names.
const NAME_WIDTH: usize = 10;

/// `--version`.
pub(crate) fn version_line(program: &str) -> String {
    let own = env!("CARGO_PKG_VERSION");
    match program {
        "docker" => format!("Docker version {DOCKER_VERSION}, build gantry-{own}\n"),
        _ => format!("Gantry version {own}\n"),
    }
}

/// Help on everything.
pub(crate) fn top(program: &str) -> String {
    let mut text = format!("Usage:  {program} [OPTIONS] COMMAND\n\nRuns and builds containers\n");
    let list = |place: Place| {
        TOP.iter().filter(move |entry| entry.place == place).map(|e| (e.name, e.command.about))
    };
    section(&mut text, "Common Commands", list(Place::Common));
    let mut management: Vec<_> = GROUPS.iter().map(|group| (group.name, group.about)).collect();
    management.extend(list(Place::Management));
    management.sort_unstable();
    section(&mut text, "Management Commands", management.into_iter());
    section(&mut text, "Swarm Commands", list(Place::Swarm));
    section(&mut text, "Commands", list(Place::Plain));
    text.push_str("\nGlobal Options:\n");
    text.push_str(&options(&[GLOBAL]));
    text.push_str(&format!(
        "\nRun '{program} COMMAND --help' for more information on a command.\n"
    ));
    text
}

/// Help on a group.
pub(crate) fn group(program: &str, group: &Group) -> String {
    let path = format!("{program} {}", group.name);
    let mut text = format!("Usage:  {path} COMMAND\n\n{}\n", group.about);
    let entries = group.entries.iter().filter(|entry| entry.place != Place::Hidden);
    section(&mut text, "Commands", entries.map(|entry| (entry.name, entry.command.about)));
    text.push_str(&format!("\nRun '{path} COMMAND --help' for more information on a command.\n"));
    text
}

/// Help on a command.
pub(crate) fn command(program: &str, path: &str, command: &'static Command) -> String {
    let usage = format!("{path} {}", command.usage);
    let mut text = format!("Usage:  {}\n\n{}\n", usage.trim_end(), command.about);
    let names = names_of(command);
    if names.len() > 1 {
        let names: Vec<String> = names.iter().map(|name| format!("{program} {name}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    let options = options(command.flags);
    if !options.is_empty() {
        text.push_str(&format!("\nOptions:\n{options}"));
    }
    text
}

fn section<'a>(text: &mut String, title: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    text.push_str(&format!("\n{title}:\n"));
    for (name, about) in entries {
        text.push_str(&format!("  {name:NAME_WIDTH$}  {about}\n"));
    }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "",
        Kind::Str => "string",
        Kind::Int => "int",
        Kind::Uint => "uint",
        Kind::Uint16 => "uint16",
        Kind::Bytes => "bytes",
        Kind::Decimal => "decimal",
        Kind::Duration => "duration",
        Kind::List => "list",
        Kind::Strings => "strings",
        Kind::Map => "map",
        Kind::Filter => "filter",
        Kind::Named(name) => name,
    }
}

fn options(tables: &[&[Flag]]) -> String {
    let mut flags: Vec<&Flag> = tables.iter().copied().flatten().filter(|f| !f.hidden).collect();
    flags.sort_by_key(|flag| flag.long);
    let left = |flag: &Flag| {
        let short = match flag.short {
            Some(short) => format!("-{short}, "),
            None => "    ".into(),
        };
        format!("  {short}--{} {}", flag.long, type_name(flag.kind)).trim_end().to_owned()
    };
    let column = flags.iter().map(|flag| left(flag).len()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for flag in flags {
        let mut usage = flag.usage.to_owned();
        match flag.kind {
            _ if matches!(flag.default, "" | "0" | "false") => {}
            Kind::Str => usage.push_str(&format!(" (default \"{}\")", flag.default)),
            _ => usage.push_str(&format!(" (default {})", flag.default)),
        }
        let lines = wrap(&usage, WIDTH.saturating_sub(column).max(20));
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { left(flag) } else { String::new() };
            text.push_str(&format!("{head:column$}{line}\n"));
        }
    }
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            if line.len() + word.trim_end().len() > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            }
            line.push_str(word);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command under a group's name.
    fn command_of(group: &str, name: &str) -> &'static Command {
        let group = GROUPS.iter().find(|known| known.name == group).expect("group");
        group.entries.iter().find(|entry| entry.name == name).expect("command").command
    }

    #[test]
    fn help_on_builds_is_as_recorded() {
        let mut all = String::new();
        for (group, name) in
            [("buildx", "build"), ("builder", "prune"), ("buildx", "prune"), ("buildx", "du")]
        {
            let path = format!("docker {group} {name}");
            all.push_str(&command("docker", &path, command_of(group, name)));
            all.push_str("==\n");
        }
        if std::env::var_os("GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/build/help.txt");
            std::fs::write(path, &all).expect("written");
            return;
        }
        assert_eq!(all, include_str!("../tests/golden/build/help.txt"));
    }
}
