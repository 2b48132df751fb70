//! What holds for any input.

use std::collections::BTreeMap;

use gantry_dockerfile::{Expander, Glob, InstructionKind, Patterns, parse};
use proptest::prelude::*;

use crate::corpus::check_span;

/// Text with much in it that means something.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "FROM ", "RUN ", "COPY ", "ENV ", "ARG ", "CMD ", "ONBUILD ", "HEALTHCHECK ", "LABEL ",
            "EXPOSE ", "a", "b=c", " AS ", "scratch", "\n", "\n", "\n", "\r\n", " ", "\\\n", "\t",
            "--from=", "--mount=type=", "cache", "<<EOF", "<<-\"E\"", "\nEOF\n", "$a", "${a}",
            "${b:-", "${b#*", "${b//a/", "}", "[\"", "\"]", "\", \"", "'", "\"", "\\", "`", "#",
            "# escape=`\n", "# check=skip=all\n", ",", "/", "é", "\u{feff}",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn environment() -> BTreeMap<String, String> {
    [("a", "x y"), ("b", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000 * crate::times(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn places_are_right(text in text()) {
        match parse(&text) {
            Ok(file) => {
                let mut last = 0;
                for stage in &file.stages {
                    let written = std::iter::once(&stage.written)
                        .chain(stage.instructions.iter().map(|instruction| &instruction.written));
                    for written in written {
                        check_span(&text, written.span);
                        check_span(&text, written.head);
                        // One after the other, and none in another.
                        prop_assert!(written.span.start >= last);
                        last = written.span.end;
                        let source = written.span.of(&text);
                        prop_assert!(source.to_lowercase().contains(&written.keyword.to_lowercase()));
                    }
                    for instruction in &stage.instructions {
                        if let InstructionKind::Run(run) = &instruction.kind {
                            for heredoc in &run.heredocs {
                                prop_assert_eq!(heredoc.span.of(&text), &heredoc.content);
                            }
                        }
                    }
                }
            }
            Err(error) => check_span(&text, error.span),
        }
    }

    #[test]
    fn words_without_meaning_stay(word in "[^$'\"\\\\]*") {
        let environment = environment();
        let mut expander = Expander::new('\\', &environment);
        prop_assert_eq!(expander.word(&word).expect("nothing can be wrong"), word);
    }

    #[test]
    fn quoted_words_stay(word in "[^']*") {
        let environment = environment();
        let quoted = format!("'{word}'");
        let got = Expander::new('\\', &environment).word(&quoted).expect("nothing can be wrong");
        prop_assert_eq!(got, word);
    }

    #[test]
    fn any_word_can_be_tried(word in text()) {
        let environment = environment();
        let mut expander = Expander::new('`', &environment);
        let _ = expander.word(&word);
        let _ = expander.words(&word);
        let _ = expander.heredoc(&word);
        let _ = expander.shown(&word);
    }

    #[test]
    fn a_name_matches_itself(name in "[^*?\\[\\\\]{1,20}") {
        prop_assert!(Glob::new(&name).expect("there is no wildcard").matches(&name));
    }

    #[test]
    fn patterns_below(
        patterns in prop::collection::vec("!?[ab*?/]{1,8}", 0..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,4}",
    ) {
        let Ok(patterns) = Patterns::new(&patterns) else { return Ok(()) };
        let mut known = patterns.root();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut excluded_above = None;
        for end in ends {
            known = patterns.enter(&known, &path[..end]);
            if known.is_excluded() {
                if !patterns.may_include_below(&known, &path[..end]) {
                    excluded_above = excluded_above.or(Some(end));
                }
            } else {
                // A walker that had turned round above would have missed this one.
                prop_assert_eq!(excluded_above, None);
            }
        }
        prop_assert_eq!(patterns.matches(&path), known.is_excluded());
    }
}
