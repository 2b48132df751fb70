//! `RUN`.

use super::{Request, Wrong, flags};
use crate::ast::{CommandLine, Heredoc, Mount, Network, Run, Script, Security, Word};
use crate::error::Problem;
use crate::expand::Expander;
use crate::lex::heredoc_of_word;
use crate::mount::{self, MountError};
use crate::suggest::{Case, closest};

pub(super) fn run(request: &Request) -> Result<Run, Wrong> {
    let flags = flags::check(
        request,
        &[
            flags::values("mount"),
            flags::value("network"),
            flags::value("security"),
            flags::values("device"),
        ],
    )?;
    let fields = |word: &Word| {
        let span = word.span;
        move |error: MountError| Problem::Fields(error).of(span)
    };
    let mounts = flags.words("mount");
    for mount in &mounts {
        mount::check(&mount.text).map_err(fields(mount))?;
    }
    let devices = flags.words("device");
    let devices = devices.iter().map(|word| mount::device(&word.text).map_err(fields(word)));
    Ok(Run {
        command: request.command(),
        heredocs: request.lexed.heredocs.clone(),
        devices: devices.collect::<Result<_, _>>()?,
        network: flags.words("network").first().map(network).transpose()?,
        security: flags.words("security").first().map(security).transpose()?,
        mounts,
    })
}

fn network(word: &Word) -> Result<Network, Wrong> {
    Ok(match word.text.as_str() {
        "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        value => {
            let hint = closest(value, ["default", "none", "host"], Case::Counts);
            return Err(Problem::Network { value: value.to_owned(), hint }.of(word.span));
        }
    })
}

fn security(word: &Word) -> Result<Security, Wrong> {
    Ok(match word.text.as_str() {
        "sandbox" => Security::Sandbox,
        "insecure" => Security::Insecure,
        value => {
            let hint = closest(value, ["sandbox", "insecure"], Case::Counts);
            return Err(Problem::Security { value: value.to_owned(), hint }.of(word.span));
        }
    })
}

impl Run {
    /// The mounts, with the values of variables.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn mounts(&self, expander: &mut Expander<'_>) -> Result<Vec<Mount>, MountError> {
        self.mounts.iter().map(|word| mount::mount(&word.text, expander)).collect()
    }

    /// The content of the heredoc that is all that is run (`RUN <<EOF`), as written.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        let CommandLine::Shell(line) = &self.command else { return None };
        let first = self.heredocs.first()?;
        matches!(heredoc_of_word(line), Ok(Some(_))).then_some(first.content.as_str())
    }

    /// What is run. Variables in heredocs are the shell's to expand, whether the delimiter is
    /// quoted or not.
    #[must_use]
    pub fn script(&self) -> Script {
        let line = match &self.command {
            CommandLine::Exec(words) => return Script::Exec(words.clone()),
            CommandLine::Shell(line) => line,
        };
        let Some(first) = self.heredocs.first() else { return Script::Shell(line.clone()) };
        // `RUN <<EOF` and nothing else: the heredoc is the script itself.
        if matches!(heredoc_of_word(line), Ok(Some(_))) {
            let content = first.text();
            return match content.starts_with("#!") {
                true => Script::File { name: first.name.clone(), content },
                false => Script::Shell(content),
            };
        }
        Script::Shell(self.heredocs.iter().fold(line.clone(), with_heredoc))
    }
}

/// The line with a heredoc below it, as it was written: the shell reads it.
fn with_heredoc(mut line: String, heredoc: &Heredoc) -> String {
    line.push('\n');
    line.push_str(&heredoc.content);
    line.push_str(&heredoc.name);
    line
}
