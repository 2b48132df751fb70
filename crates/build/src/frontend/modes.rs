//! `--chmod`: octal digits, or changes as chmod(1) writes them.

use crate::graph::Mode;

/// Highest mode: permissions with set-id and sticky bits.
const MODE_MAX: u32 = 0o7777;

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
pub struct ModeError(pub String);

/// Reads a mode.
///
/// # Errors
/// When it is neither.
pub(super) fn parse(text: &str) -> Result<Mode, ModeError> {
    let wrong = || ModeError(text.to_owned());
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= MODE_MAX => Ok(Mode::Octal(mode)),
            _ => Err(wrong()),
        };
    }
    let good = text.split(',').all(is_clause);
    good.then(|| Mode::Symbolic(text.to_owned())).ok_or_else(wrong)
}

/// `[ugoa]*([-+=]([rwxXst]*|[ugo]))+`
fn is_clause(clause: &str) -> bool {
    let changes = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let mut parts = changes.split(['-', '+', '=']);
    // What comes before the first sign must be nothing, and there must be a sign.
    parts.next() == Some("")
        && changes.contains(['-', '+', '='])
        && parts.all(|part| {
            matches!(part, "u" | "g" | "o")
                || part.chars().all(|letter| matches!(letter, 'r' | 'w' | 'x' | 'X' | 's' | 't'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, want) in [
            ("755", Some(Mode::Octal(0o755))),
            ("0644", Some(Mode::Octal(0o644))),
            ("7777", Some(Mode::Octal(0o7777))),
            ("10000", None),
            ("855", None),
            ("", None),
            ("u+x", Some(Mode::Symbolic("u+x".to_owned()))),
            ("u=rwX,go=rX", Some(Mode::Symbolic("u=rwX,go=rX".to_owned()))),
            ("+x", Some(Mode::Symbolic("+x".to_owned()))),
            ("g=u-w", Some(Mode::Symbolic("g=u-w".to_owned()))),
            ("a+q", None),
            ("u", None),
            ("foo", None),
            ("u+x,", None),
            ("-1", None),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
    }
}
