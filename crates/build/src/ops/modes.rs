//! Changes of modes, as chmod(1) writes them: `u+x,go-w`, `a=rX`.
//!
//! Source: POSIX, chmod(1), "Extended description". Without a letter for whom all are meant,
//! whatever the umask.

/// Applies changes to a mode. What is no change is left out: a frontend has refused it.
pub(crate) fn changed(changes: &str, mode: u32, is_directory: bool) -> u32 {
    changes.split(',').fold(mode, |mode, clause| one(clause, mode, is_directory))
}

fn one(clause: &str, mut mode: u32, is_directory: bool) -> u32 {
    let signs = ['+', '-', '='];
    let at = clause.find(signs).unwrap_or(clause.len());
    let (whom, mut rest) = clause.split_at(at);
    let whom = if whom.is_empty() { "ugo" } else { whom };
    while let Some(sign) = rest.chars().next().filter(|sign| signs.contains(sign)) {
        let end = rest[1..].find(signs).map_or(rest.len(), |end| end + 1);
        let what = &rest[1..end];
        rest = &rest[end..];
        let before = mode;
        for who in whom.chars() {
            let (shift, special) = match who {
                'u' => (6, 0o4000),
                'g' => (3, 0o2000),
                'o' => (0, 0),
                _ => continue,
            };
            mode = apply(mode, sign, bits(what, before, is_directory), shift, special);
        }
        if whom.contains('a') {
            for (shift, special) in [(6, 0o4000), (3, 0o2000), (0, 0)] {
                mode = apply(mode, sign, bits(what, before, is_directory), shift, special);
            }
        }
        if what.contains('t') && (whom.contains(['o', 'a']) || whom == "ugo") {
            mode = if sign == '-' { mode & !0o1000 } else { mode | 0o1000 };
        }
    }
    mode
}

/// The permissions that letters stand for, and whether set-id is among them.
fn bits(what: &str, mode: u32, is_directory: bool) -> (u32, bool) {
    let mut permissions = 0;
    let mut set_id = false;
    for letter in what.chars() {
        permissions |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            'X' => u32::from(is_directory || mode & 0o111 != 0),
            'u' => mode >> 6 & 7,
            'g' => mode >> 3 & 7,
            'o' => mode & 7,
            's' => {
                set_id = true;
                0
            }
            _ => 0,
        };
    }
    (permissions, set_id)
}

fn apply(
    mode: u32,
    sign: char,
    (permissions, set_id): (u32, bool),
    shift: u32,
    special: u32,
) -> u32 {
    let change = permissions << shift | if set_id { special } else { 0 };
    match sign {
        '+' => mode | change,
        '-' => mode & !change,
        _ => mode & !(7 << shift | special) | change,
    }
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn changes() {
        for (changes, mode, directory, want) in [
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("go-rwx", 0o755, false, 0o700),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("g=u", 0o750, false, 0o770),
            ("g=u-w", 0o770, false, 0o750),
            ("o=", 0o777, false, 0o770),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("u-s", 0o4755, false, 0o755),
            ("+t", 0o777, true, 0o1777),
            ("o-t", 0o1777, true, 0o777),
            ("u=x,u+r", 0o600, false, 0o500),
        ] {
            assert_eq!(changed(changes, mode, directory), want, "{changes} of {mode:o}");
        }
    }
}
