//! Sources that the context does not have.

use super::{Linter, Rule};
use crate::ast::{Instruction, InstructionKind, Word};
use crate::ignore::Patterns;
use crate::text::clean_path;

/// Reports sources of `COPY` and `ADD` that `.dockerignore` leaves out. `expanded` is the
/// instruction with the values of variables. Nothing is reported when the ignore file has
/// exceptions: what they let in below a directory is not known without walking it.
///
/// Only for copies from the context; URLs and repositories are not of it.
pub fn check_ignored_sources(
    instruction: &Instruction,
    expanded: &InstructionKind,
    ignored: &Patterns,
    linter: &mut Linter,
) {
    let (verb, paths) = match expanded {
        InstructionKind::Copy(copy) if copy.from.is_none() => ("Copy", &copy.files.paths),
        InstructionKind::Add(add) => ("Add", &add.files.paths),
        _ => return,
    };
    if ignored.has_exceptions() {
        return;
    }
    for Word { text, .. } in paths.iter().filter(|path| !path.text.contains("://")) {
        let path = clean_path(text);
        let is_ignored = match path.as_str() {
            "." | "/" => ignored.excludes_all(),
            path => ignored.matches(path),
        };
        if is_ignored {
            let path = crate::quote::quoted(&path);
            let message =
                format!("Attempting to {verb} file {path} that is excluded by .dockerignore");
            linter.report(Rule::CopyIgnoredFile, &instruction.written, message);
        }
    }
}
