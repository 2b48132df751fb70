//! What a misspelt name may have been.

/// How many letters may differ.
const MAX_DISTANCE: usize = 2;
/// Longest name that is compared; longer ones are no misspelling of a name of ours.
const MAX_CHARS: usize = 64;

/// Whether `a` and `A` differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    /// The suggestion is in the case of the misspelt name.
    Ignored,
}

/// The option that is closest to the value, if one is close; none if the value is an option.
pub(crate) fn closest<'o>(
    value: &str,
    options: impl IntoIterator<Item = &'o str>,
    case: Case,
) -> Option<String> {
    let folded = fold(value, case);
    let mut best: Option<(usize, String)> = None;
    for option in options {
        let option = fold(option, case);
        if option == folded {
            return None;
        }
        let bound = best.as_ref().map_or(MAX_DISTANCE + 1, |(distance, _)| *distance);
        let distance = distance(&folded, &option);
        if distance < bound {
            best = Some((distance, option));
        }
    }
    best.map(|(_, option)| in_case_of(option, value, case))
}

/// The option that a misspelt name may have meant: one that differs by a letter or two. None if
/// the name is one of them.
#[must_use]
pub fn nearest<'o>(name: &str, options: impl IntoIterator<Item = &'o str>) -> Option<String> {
    closest(name, options, Case::Counts)
}

fn fold(text: &str, case: Case) -> String {
    match case {
        Case::Counts => text.to_owned(),
        Case::Ignored => text.to_lowercase(),
    }
}

fn in_case_of(option: String, value: &str, case: Case) -> String {
    if case == Case::Ignored && value == value.to_uppercase() && value != value.to_lowercase() {
        return option.to_uppercase();
    }
    option
}

/// Levenshtein distance: insertions, deletions and replacements of one character.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(MAX_CHARS + 1).collect();
    let right: Vec<char> = right.chars().take(MAX_CHARS + 1).collect();
    if left.len() > MAX_CHARS || right.len() > MAX_CHARS {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, want) in
            [("", "", 0), ("abc", "", 3), ("foo", "from", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), want, "{left} {right}");
            assert_eq!(distance(right, left), want, "{right} {left}");
        }
        assert_eq!(distance(&"a".repeat(100), "a"), usize::MAX);
    }

    #[test]
    fn names_in_the_case_of_the_misspelt() {
        let options = ["FROM", "RUN"];
        for (value, want) in [
            ("FOO", Some("FROM")),
            ("frm", Some("from")),
            ("RUNN", Some("RUN")),
            ("Runn", Some("run")),
            ("run", None),
            ("ENTRYPOINT", None),
        ] {
            assert_eq!(closest(value, options, Case::Ignored).as_deref(), want, "{value}");
        }
        assert_eq!(closest("Run", options, Case::Counts).as_deref(), Some("RUN"));
        assert_eq!(closest("rum", ["RUN"], Case::Counts), None);
    }
}
