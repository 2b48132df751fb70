//! `ADD` and `COPY`.

use std::collections::HashMap;

use super::{Request, Wrong, flags};
use crate::ast::{Add, Copy, Heredoc, InlineFile, Sources, Word};
use crate::error::Problem;
use crate::lex::heredoc_of_word;

pub(super) fn add(request: &Request) -> Result<Add, Wrong> {
    let words = sources_and_destination(request)?;
    let flags = flags::check(
        request,
        &[
            flags::value("chown"),
            flags::value("chmod"),
            flags::bool("link"),
            flags::bool("keep-git-dir"),
            flags::value("checksum"),
            flags::bool("unpack"),
            flags::values("exclude"),
        ],
    )?;
    Ok(Add {
        files: sources(request, words)?,
        chown: flags.word("chown"),
        chmod: flags.word("chmod"),
        link: flags.bool("link"),
        exclude: flags.words("exclude"),
        checksum: flags.word("checksum"),
        keep_git_dir: flags.maybe_bool("keep-git-dir"),
        unpack: flags.maybe_bool("unpack"),
    })
}

pub(super) fn copy(request: &Request) -> Result<Copy, Wrong> {
    let words = sources_and_destination(request)?;
    let flags = flags::check(
        request,
        &[
            flags::value("chown"),
            flags::value("from"),
            flags::value("chmod"),
            flags::bool("link"),
            flags::bool("parents"),
            flags::values("exclude"),
        ],
    )?;
    Ok(Copy {
        files: sources(request, words)?,
        from: flags.word("from"),
        chown: flags.word("chown"),
        chmod: flags.word("chmod"),
        link: flags.bool("link"),
        parents: flags.bool("parents"),
        exclude: flags.words("exclude"),
    })
}

fn sources_and_destination(request: &Request) -> Result<(Vec<Word>, Word), Wrong> {
    let mut words = request.words();
    match words.pop() {
        Some(destination) if !words.is_empty() => Ok((words, destination)),
        _ => Err(Problem::NoDestination(request.name()).into()),
    }
}

fn sources(request: &Request, words: (Vec<Word>, Word)) -> Result<Sources, Wrong> {
    let (words, destination) = words;
    if opened_by(&destination).is_some() {
        return Err(Problem::HeredocDestination(request.name()).of(destination.span));
    }
    // Of several with one name, the last has been read last, and its content is that of all.
    let heredocs = request.lexed.heredocs.iter();
    let contents: HashMap<&str, &str> =
        heredocs.map(|heredoc| (heredoc.name.as_str(), heredoc.content.as_str())).collect();
    let mut sources = Sources { destination, ..Sources::default() };
    for word in words {
        let Some(mut heredoc) = opened_by(&word) else {
            sources.paths.push(word);
            continue;
        };
        let content = contents.get(heredoc.name.as_str()).copied();
        content.unwrap_or_default().clone_into(&mut heredoc.content);
        let content = heredoc.text();
        let Heredoc { name, expand, .. } = heredoc;
        sources.inline.push(InlineFile { name, content, expand });
    }
    Ok(sources)
}

/// The heredoc that a word opens, without its content.
fn opened_by(word: &Word) -> Option<Heredoc> {
    heredoc_of_word(&word.text).ok().flatten()
}
