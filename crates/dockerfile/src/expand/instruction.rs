//! Variables in instructions.

use super::{ExpandError, Expander};
use crate::ast::{Add, Copy, InstructionKind, Pair, Pairs, Sources, Word};

impl InstructionKind {
    /// The instruction with the values of variables in place of their names.
    ///
    /// All of it sees the variables as they are before it: `ENV a=1 b=$a` gives `b` the former `a`.
    /// `RUN`, `CMD`, `ENTRYPOINT`, `HEALTHCHECK`, `SHELL`, `MAINTAINER` and `ONBUILD` are not
    /// expanded. Nor are `--from`, which must be known before variables are, mounts of `RUN`
    /// (see [`crate::Run::mounts`]) and `ARG`, whose default may not be wanted.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        Ok(match self {
            Self::Add(add) => Self::Add(expand_add(add, expander)?),
            Self::Copy(copy) => Self::Copy(expand_copy(copy, expander)?),
            Self::Env(pairs) => Self::Env(expand_pairs(pairs, expander)?),
            Self::Expose(ports) => Self::Expose(split_all(ports, expander)?),
            Self::Label(pairs) => Self::Label(expand_pairs(pairs, expander)?),
            Self::Stopsignal(signal) => Self::Stopsignal(one(signal, expander)?),
            Self::User(user) => Self::User(one(user, expander)?),
            Self::Volume(paths) => Self::Volume(all(paths, expander)?),
            Self::Workdir(path) => Self::Workdir(one(path, expander)?),
            Self::Arg(_)
            | Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::Onbuild(_)
            | Self::Run(_)
            | Self::Shell(_) => self.clone(),
        })
    }
}

fn expand_add(add: &Add, expander: &mut Expander<'_>) -> Result<Add, ExpandError> {
    Ok(Add {
        files: expand_sources(&add.files, expander)?,
        chown: maybe(add.chown.as_ref(), expander)?,
        chmod: maybe(add.chmod.as_ref(), expander)?,
        exclude: all(&add.exclude, expander)?,
        checksum: maybe(add.checksum.as_ref(), expander)?,
        link: add.link,
        keep_git_dir: add.keep_git_dir,
        unpack: add.unpack,
    })
}

fn expand_copy(copy: &Copy, expander: &mut Expander<'_>) -> Result<Copy, ExpandError> {
    Ok(Copy {
        files: expand_sources(&copy.files, expander)?,
        from: copy.from.clone(),
        chown: maybe(copy.chown.as_ref(), expander)?,
        chmod: maybe(copy.chmod.as_ref(), expander)?,
        exclude: all(&copy.exclude, expander)?,
        link: copy.link,
        parents: copy.parents,
    })
}

fn expand_sources(files: &Sources, expander: &mut Expander<'_>) -> Result<Sources, ExpandError> {
    let mut expanded = Sources {
        paths: all(&files.paths, expander)?,
        inline: files.inline.clone(),
        destination: one(&files.destination, expander)?,
    };
    for file in expanded.inline.iter_mut().filter(|file| file.expand) {
        file.content = expander.heredoc(&file.content)?;
        file.expand = false;
    }
    Ok(expanded)
}

fn expand_pairs(pairs: &Pairs, expander: &mut Expander<'_>) -> Result<Pairs, ExpandError> {
    let expanded = pairs.pairs.iter().map(|pair| {
        Ok(Pair {
            key: expander.word(&pair.key)?,
            value: expander.word(&pair.value)?,
            span: pair.span,
        })
    });
    Ok(Pairs { pairs: expanded.collect::<Result<_, _>>()?, form: pairs.form })
}

fn one(word: &Word, expander: &mut Expander<'_>) -> Result<Word, ExpandError> {
    Ok(Word { text: expander.word(&word.text)?, span: word.span })
}

fn maybe(word: Option<&Word>, expander: &mut Expander<'_>) -> Result<Option<Word>, ExpandError> {
    word.map(|word| one(word, expander)).transpose()
}

fn all(words: &[Word], expander: &mut Expander<'_>) -> Result<Vec<Word>, ExpandError> {
    words.iter().map(|word| one(word, expander)).collect()
}

/// Each word may come to several: ports may be kept in one variable.
fn split_all(words: &[Word], expander: &mut Expander<'_>) -> Result<Vec<Word>, ExpandError> {
    let mut split = Vec::new();
    for word in words {
        let texts = expander.words(&word.text)?;
        split.extend(texts.into_iter().map(|text| Word { text, span: word.span }));
    }
    Ok(split)
}
