//! Shell completion: three small scripts that ask `__complete`, which answers from the tables
//! and, for names of containers and images, from the daemon.

use gantry_client::Query;
use serde_json::Value as Json;

use crate::app::{Call, Outcome};
use crate::output::out;
use crate::spec::{Command, GLOBAL, GROUPS, TOP};

const BASH: &str = r#"# bash completion for PROGRAM
_PROGRAM_complete() {
    local IFS=$'\n'
    COMPREPLY=($(PROGRAM __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
    [ ${#COMPREPLY[@]} -eq 0 ] && compopt -o default
}
complete -F _PROGRAM_complete PROGRAM
"#;
const ZSH: &str = r#"#compdef PROGRAM
_PROGRAM() {
    local -a answers
    answers=("${(@f)$(PROGRAM __complete "${(@)words[2,CURRENT]}" 2>/dev/null | sed 's/:/\\:/g; s/\t/:/')}")
    if (( ${#answers} )) && [[ -n "${answers[1]}" ]]; then _describe 'PROGRAM' answers; else _files; fi
}
compdef _PROGRAM PROGRAM
"#;
const FISH: &str = r#"# fish completion for PROGRAM
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    PROGRAM __complete $words[2..-1] 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_complete)'
"#;

/// `completion`.
pub(crate) async fn script(call: &Call<'_>) -> Outcome {
    let script = match call.args[0].as_str() {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        other => return Err(format!("completion for {other} is not implemented").into()),
    };
    out(script.replace("PROGRAM", &call.app.program))?;
    Ok(0)
}

/// Candidates: each with what it is.
type Candidates = Vec<(String, &'static str)>;

/// `__complete`: the last argument is the word under the cursor.
pub(crate) async fn complete(call: &Call<'_>) -> Outcome {
    let (current, before) = match call.args.split_last() {
        Some((current, before)) => (current.as_str(), before),
        None => ("", &[][..]),
    };
    let words: Vec<&str> =
        before.iter().map(String::as_str).filter(|w| !w.starts_with('-')).collect();
    let group = words.first().and_then(|word| GROUPS.iter().find(|group| group.name == *word));
    let command = match (group, words.as_slice()) {
        (Some(group), [_, name, ..]) => group.entries.iter().find(|entry| entry.name == *name),
        (None, [name, ..]) => TOP.iter().find(|entry| entry.name == *name),
        _ => None,
    };
    let candidates = match (command, group, words.len()) {
        (Some(entry), ..) if current.starts_with('-') => flags(entry.command),
        (Some(entry), ..) => objects(call, entry.command).await,
        (None, Some(group), 1) => {
            group.entries.iter().map(|entry| (entry.name.to_owned(), entry.command.about)).collect()
        }
        (None, None, 0) if current.starts_with('-') => long_flags(&[GLOBAL]),
        (None, None, 0) => {
            let groups = GROUPS.iter().map(|group| (group.name.to_owned(), group.about));
            let top = TOP.iter().map(|entry| (entry.name.to_owned(), entry.command.about));
            groups.chain(top).collect()
        }
        _ => Vec::new(),
    };
    let mut text = String::new();
    for (name, about) in candidates {
        if name.starts_with(current) && !name.starts_with("__") {
            text.push_str(&format!("{name}\t{about}\n"));
        }
    }
    out(text)?;
    Ok(0)
}

fn flags(command: &Command) -> Candidates {
    long_flags(command.flags)
}

fn long_flags(tables: &[&[crate::flags::Flag]]) -> Candidates {
    let shown = tables.iter().copied().flatten().filter(|flag| !flag.hidden);
    shown
        .map(|flag| (format!("--{}", flag.long), flag.usage.lines().next().unwrap_or("")))
        .collect()
}

/// Names that a command's arguments may be; none if the daemon is away.
async fn objects(call: &Call<'_>, command: &Command) -> Candidates {
    let Ok(client) = call.app.untried_client() else { return Vec::new() };
    let mut found = Vec::new();
    if command.usage.contains("CONTAINER") {
        let all = Query::new().with_flag("all", true);
        let list: Vec<Json> = client.container_list(&all).await.unwrap_or_default();
        for container in &list {
            let name = container["Names"][0].as_str().unwrap_or("").trim_start_matches('/');
            found.push((name.to_owned(), "container"));
        }
    }
    if command.usage.contains("IMAGE") {
        let list: Vec<Json> = client.image_list(&Query::new()).await.unwrap_or_default();
        for tag in list.iter().flat_map(|image| image["RepoTags"].as_array().into_iter().flatten())
        {
            found.push((tag.as_str().unwrap_or("").to_owned(), "image"));
        }
    }
    found
}
