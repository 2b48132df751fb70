//! `ADD` and `COPY`.

use super::Word;

/// `ADD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Add {
    /// Sources and destination.
    pub files: Sources,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, repeated.
    pub exclude: Vec<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`; none if it is not said.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; none if it is not said: archives of the context are, those of URLs are not.
    pub unpack: Option<bool>,
}

/// `COPY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// Sources and destination.
    pub files: Sources,
    /// `--from`: number or name of a stage, named context, or image.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, repeated.
    pub exclude: Vec<Word>,
}

/// What is copied where to. Files are copied first, then what is written in the Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Names, patterns or URLs.
    pub paths: Vec<Word>,
    /// Heredocs.
    pub inline: Vec<InlineFile>,
    /// Where to.
    pub destination: Word,
}

/// A heredoc as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name: the delimiter.
    pub name: String,
    /// Its content; leading tabs are gone already with `<<-`.
    pub content: String,
    /// Variables in it are expanded.
    pub expand: bool,
}
