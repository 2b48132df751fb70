//! Whole Dockerfiles: they can be read, and what is left of them when they are damaged does no
//! harm.

use std::collections::BTreeMap;

use gantry_dockerfile::check::{CheckConfig, Linter, StageCheck, check_text};
use gantry_dockerfile::{
    Dockerfile, Expander, IgnoreError, InstructionKind, Patterns, PortSpec, Span, detect_syntax,
    parse, parse_trigger,
};

const FILES: [(&str, &str); 5] = [
    ("cowsay", include_str!("corpus/cowsay.Dockerfile")),
    ("go", include_str!("corpus/go.Dockerfile")),
    ("python", include_str!("corpus/python.Dockerfile")),
    ("windows", include_str!("corpus/windows.Dockerfile")),
    ("shell", include_str!("corpus/shell.Dockerfile")),
];

/// Damaged files that are tried for each whole one.
const ROUNDS: u32 = 3_000;

#[test]
fn they_can_be_read() {
    for (name, text) in FILES {
        let file = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        use_all(text, &file);
        // Lines may end as on Windows.
        let crlf = text.replace('\n', "\r\n");
        let file = parse(&crlf).unwrap_or_else(|error| panic!("{name}: {error}"));
        use_all(&crlf, &file);
    }
}

#[test]
fn stages_and_instructions_are_counted() {
    let count = |text: &str| {
        let file = parse(text).expect("it is a Dockerfile");
        file.stages.iter().map(|stage| stage.instructions.len()).collect::<Vec<_>>()
    };
    let counts: Vec<_> = FILES.map(|(_, text)| count(text)).into();
    assert_eq!(counts, [vec![4], vec![6, 5, 7], vec![15], vec![7], vec![10]]);
}

#[test]
fn damaged_ones_do_no_harm() {
    let mut random = Random(crate::seed(0x2545_f491_4f6c_dd1d));
    let mut read = 0;
    for (_, text) in FILES {
        for _ in 0..ROUNDS * crate::times() {
            let mut text = text.to_owned();
            for _ in 0..=random.below(4) {
                damage(&mut text, &mut random);
            }
            let _ = detect_syntax(&text);
            match parse(&text) {
                Ok(file) => {
                    read += 1;
                    use_all(&text, &file);
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    check_span(&text, error.span);
                }
            }
            // The same text as a list of patterns.
            if let Ok(patterns) = Patterns::of_ignore_file(&text) {
                let _ = patterns.matches("a/b/c");
            }
        }
    }
    // If hardly any could be read, only the first checks would be tried.
    assert!(read > ROUNDS, "{read} could be read");
}

/// Does with a file all that a build does.
fn use_all(text: &str, file: &Dockerfile) {
    let mut linter = Linter::new(CheckConfig::of(file).unwrap_or_default());
    check_text(file, &mut linter);
    let environment: BTreeMap<String, String> =
        [("HOME", "/home"), ("VERSION", "v1.2.3"), ("PATH", "/bin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let _ = file.global_scope(&environment, &BTreeMap::new());
    for stage in &file.stages {
        check_span(text, stage.written.span);
        let mut check = StageCheck::of_image(false);
        for instruction in &stage.instructions {
            check_span(text, instruction.written.span);
            check_span(text, instruction.written.head);
            for flag in &instruction.written.flags {
                check_span(text, flag.span);
            }
            let mut expander = Expander::new(file.escape, &environment);
            let _ = expander.shown(&instruction.written.text);
            let Ok(expanded) = instruction.kind.expand(&mut expander) else { continue };
            check.instruction(instruction, &expanded, &mut linter);
            use_kind(&expanded, &mut expander);
        }
    }
    for finding in linter.findings() {
        check_span(text, finding.span);
        assert!(!finding.short().is_empty());
    }
}

fn use_kind(kind: &InstructionKind, expander: &mut Expander<'_>) {
    match kind {
        InstructionKind::Run(run) => {
            let _ = run.script();
            let _ = run.mounts(expander);
        }
        InstructionKind::Onbuild(text) => {
            let _ = parse_trigger(text);
        }
        InstructionKind::Expose(words) => {
            for word in words {
                let _ = PortSpec::parse(&word.text).map(|port| port.entries().count());
            }
        }
        InstructionKind::Copy(copy) => {
            let exclude = copy.exclude.iter().map(|word| word.as_str());
            let patterns: Result<Patterns, IgnoreError> = Patterns::new(exclude);
            let _ = patterns.map(|patterns| patterns.matches("a"));
        }
        _ => {}
    }
}

/// A place is in the text, between characters, and its lines are the lines of its bytes.
#[track_caller]
pub(crate) fn check_span(text: &str, span: Span) {
    assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {text:?}");
    assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{span:?}");
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    assert_eq!(line_of(span.start), span.first_line, "first line of {span:?} in {text:?}");
    assert_eq!(line_of(span.end), span.last_line, "last line of {span:?} in {text:?}");
}

/// What is put into texts: all that means something in them.
const PIECES: [&str; 40] = [
    "\n",
    "\r\n",
    "\\\n",
    "`\n",
    "\\",
    "`",
    "'",
    "\"",
    "$",
    "${",
    "}",
    "${a:-",
    "${a#",
    "${a//",
    "/",
    "<<",
    "<<EOF\n",
    "<<-'E'",
    "\nEOF\n",
    "[",
    "]",
    "[\"",
    "\",",
    "--",
    "--mount=",
    "--link ",
    "=",
    ",",
    " ",
    "\t",
    "#",
    "\n# check=",
    "FROM x\n",
    "\nRUN ",
    "\nONBUILD ",
    " AS ",
    "é",
    "\u{0}",
    "\u{feff}",
    "!",
];

fn damage(text: &mut String, random: &mut Random) {
    let at = boundary(text, random);
    match random.below(5) {
        0 => text.insert_str(at, PIECES[random.below(PIECES.len())]),
        1 => {
            let end = boundary(text, random);
            let length = random.below(12);
            let end = (at..=at.max(end))
                .rev()
                .find(|end| text.is_char_boundary(*end) && *end - at <= length);
            text.replace_range(at..end.unwrap_or(at), "");
        }
        2 => text.truncate(at),
        3 => {
            let from = boundary(text, random);
            let part: String = text[from..].chars().take(random.below(40)).collect();
            text.insert_str(at, &part);
        }
        _ => {
            if let Some(char) = text[at..].chars().next() {
                let piece = PIECES[random.below(PIECES.len())];
                text.replace_range(at..at + char.len_utf8(), piece);
            }
        }
    }
}

fn boundary(text: &str, random: &mut Random) -> usize {
    let at = random.below(text.len() + 1);
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// Marsaglia's xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }
}
