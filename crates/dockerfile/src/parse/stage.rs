//! `FROM`.

use super::{Request, Wrong, flags};
use crate::ast::{From, StageName, Word};
use crate::error::Problem;

/// `FROM [--platform=P] base [AS name]`.
pub(super) fn from(request: &Request) -> Result<From, Wrong> {
    let words = request.words();
    let (base, name) = match words.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
            (base, Some(stage_name(keyword, name)?))
        }
        _ => return Err(Problem::FromArguments.into()),
    };
    let flags = flags::check(request, &[flags::value("platform")])?;
    Ok(From { base: base.clone(), platform: flags.word("platform"), name })
}

fn stage_name(keyword: &Word, written: &Word) -> Result<StageName, Wrong> {
    let name = written.text.to_lowercase();
    let mut chars = name.chars();
    let begins_well = chars.next().is_some_and(|char| char.is_ascii_lowercase());
    let goes_on_well = chars.all(|char| {
        char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_' | '.')
    });
    if !(begins_well && goes_on_well) {
        return Err(Problem::StageName(written.text.clone()).of(written.span));
    }
    Ok(StageName { name, written: written.clone(), keyword: keyword.text.clone() })
}
