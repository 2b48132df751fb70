//! Flags of an instruction: which it has, and whether they have values.

use super::{Request, Wrong};
use crate::ast::{Flag, Word};
use crate::error::Problem;
use crate::suggest::{Case, closest};

/// A flag that an instruction may have.
pub(super) struct Known {
    name: &'static str,
    takes: Takes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// `true`, `false`, or nothing for the first.
    Bool,
    /// A value, once.
    Value,
    /// A value, each time.
    Values,
}

/// A flag that is true or false.
pub(super) const fn bool(name: &'static str) -> Known {
    Known { name, takes: Takes::Bool }
}

/// A flag with a value.
pub(super) const fn value(name: &'static str) -> Known {
    Known { name, takes: Takes::Value }
}

/// A flag that may be repeated.
pub(super) const fn values(name: &'static str) -> Known {
    Known { name, takes: Takes::Values }
}

/// Flags, known and with values where they must have them.
pub(super) struct Flags<'r> {
    flags: &'r [Flag],
}

/// Checks that there is none.
pub(super) fn none(request: &Request) -> Result<(), Wrong> {
    check(request, &[]).map(drop)
}

/// Checks flags against those that the instruction has.
pub(super) fn check<'r>(request: &'r Request, known: &[Known]) -> Result<Flags<'r>, Wrong> {
    let flags = &request.written().flags;
    for (index, flag) in flags.iter().enumerate() {
        let wrong = |problem: Problem| problem.of(flag.span);
        let Some(Known { takes, .. }) = known.iter().find(|known| known.name == flag.name) else {
            let hint = closest(&flag.name, known.iter().map(|known| known.name), Case::Counts);
            return Err(wrong(Problem::UnknownFlag { name: flag.name.clone(), hint }));
        };
        let is_name = |before: &Flag| before.name == flag.name;
        if *takes != Takes::Values && flags[..index].iter().any(is_name) {
            return Err(wrong(Problem::DuplicateFlag(flag.name.clone())));
        }
        match (takes, flag.value.as_deref()) {
            (Takes::Value | Takes::Values, Some(_)) | (Takes::Bool, None) => {}
            (Takes::Value | Takes::Values, None) | (Takes::Bool, Some("")) => {
                return Err(wrong(Problem::FlagWithoutValue(flag.name.clone())));
            }
            (Takes::Bool, Some(value)) => {
                let is_bool = ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word));
                if !is_bool {
                    let (name, value) = (flag.name.clone(), value.to_owned());
                    return Err(wrong(Problem::FlagNotBoolean { name, value }));
                }
            }
        }
    }
    Ok(Flags { flags })
}

impl Flags<'_> {
    /// The value of a flag; an empty one is as none.
    pub(super) fn word(&self, name: &str) -> Option<Word> {
        self.words(name).into_iter().next().filter(|word| !word.text.is_empty())
    }

    /// The values of a flag.
    pub(super) fn words(&self, name: &str) -> Vec<Word> {
        let of_name = self.flags.iter().filter(|flag| flag.name == name);
        of_name
            .filter_map(|flag| Some(Word { text: flag.value.clone()?, span: flag.span }))
            .collect()
    }

    /// Whether a flag is said to be true or false.
    pub(super) fn maybe_bool(&self, name: &str) -> Option<bool> {
        let flag = self.flags.iter().find(|flag| flag.name == name)?;
        Some(flag.value.as_deref().is_none_or(|value| value.eq_ignore_ascii_case("true")))
    }

    /// Whether a flag is true.
    pub(super) fn bool(&self, name: &str) -> bool {
        self.maybe_bool(name).unwrap_or_default()
    }
}
