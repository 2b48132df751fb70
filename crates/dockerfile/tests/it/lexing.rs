//! Lines, directives, comments, continuations, heredocs; and where all of that is.

use gantry_dockerfile::{
    DirectiveName, Dockerfile, Instruction, InstructionKind, Script, detect_syntax, parse,
};

#[track_caller]
fn read(text: &str) -> Dockerfile {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn only(text: &str) -> Instruction {
    let mut stage = read(text).stages.swap_remove(0);
    assert_eq!(stage.instructions.len(), 1, "{text}");
    stage.instructions.swap_remove(0)
}

#[track_caller]
fn script(text: &str) -> Script {
    match only(text).kind {
        InstructionKind::Run(run) => run.script(),
        other => panic!("no RUN: {other:?}"),
    }
}

#[test]
fn lines_are_joined() {
    for (text, want) in [
        ("FROM a\nRUN a \\\n  b", "RUN a   b"),
        ("FROM a\nRUN a\\\nb", "RUN ab"),
        ("FROM a\nRUN a \\  \t\nb", "RUN a b"),
        ("FROM a\r\nRUN a \\\r\nb\r\n", "RUN a b"),
        ("FROM a\n   RUN a \\\n\tb", "RUN a \tb"),
        ("FROM a\nRUN a \\\n# comment \\\n   # another\nb", "RUN a b"),
        ("FROM a\nRUN a \\\n\n  \nb", "RUN a b"),
        ("FROM a\nRUN a \\\\\n", "RUN a \\\\"),
        ("FROM a\nRUN \\\\ \\\nb", "RUN \\\\ b"),
        ("FROM a\n\\\nRUN a", "RUN a"),
        ("FROM a\nRUN a \\", "RUN a"),
        ("FROM a\nRUN\ta", "RUN\ta"),
        ("FROM a\nRUN a # no comment", "RUN a # no comment"),
        ("# escape=`\nFROM a\nRUN a `\nb\\\n", "RUN a b\\"),
        ("\u{feff}FROM a\nRUN a", "RUN a"),
        ("\u{feff}# escape=`\nFROM a\nRUN a`\nb", "RUN ab"),
    ] {
        assert_eq!(only(text).written.text, want, "{text:?}");
    }
}

#[test]
fn places() {
    let text = "\u{feff}# syntax=x\r\n\r\n# c\r\nfrom a \\\r\n  # d\r\n  AS  b\r\n\r\nRUN <<X <<Y\r\n1\r\nX\r\nY\r\nCMD a\r\n";
    let file = read(text);
    assert_eq!(file.directives[0].span.of(text), "# syntax=x");
    let stage = &file.stages[0];
    let lines = |span: gantry_dockerfile::Span| (span.first_line, span.last_line);
    assert_eq!(lines(stage.written.span), (4, 6));
    assert_eq!(stage.written.span.of(text), "from a \\\r\n  # d\r\n  AS  b");
    assert_eq!(stage.written.comments, ["c"]);
    let name = stage.from.name.as_ref().expect("it has a name");
    assert_eq!((lines(name.written.span), name.written.span.of(text)), ((6, 6), "b"));
    assert_eq!(stage.from.base.span.of(text), "a");
    let [run, cmd] = stage.instructions.as_slice() else { panic!("two instructions") };
    assert_eq!(lines(run.written.head), (8, 8));
    assert_eq!(lines(run.written.span), (8, 11));
    assert_eq!(run.written.span.of(text), "RUN <<X <<Y\r\n1\r\nX\r\nY");
    assert_eq!(lines(cmd.written.span), (12, 12));
    let InstructionKind::Run(run) = &run.kind else { panic!("it is RUN") };
    assert_eq!(run.heredocs[0].span.of(text), "1\r\n");
    assert_eq!(run.heredocs[0].content, "1\r\n");
    assert_eq!((lines(run.heredocs[1].span), run.heredocs[1].span.of(text)), ((11, 11), ""));
}

#[test]
fn places_of_words() {
    let text = "FROM a\nCOPY --chown=1:2 \\\n  --from=b \\\n x \\\n y /z\nENV A=1 \\\n  B='2 3'\nARG C D=4\n";
    let file = read(text);
    let [copy, env, arg] = file.stages[0].instructions.as_slice() else { panic!("three") };
    let flags: Vec<_> = copy.written.flags.iter().map(|flag| flag.span.of(text)).collect();
    assert_eq!(flags, ["--chown=1:2", "--from=b"]);
    assert_eq!(copy.written.flags[1].span.first_line, 3);
    let InstructionKind::Copy(copy) = &copy.kind else { panic!("it is COPY") };
    let words: Vec<_> =
        copy.files.paths.iter().map(|word| (word.span.first_line, word.span.of(text))).collect();
    assert_eq!(words, [(4, "x"), (5, "y")]);
    assert_eq!(copy.files.destination.span.of(text), "/z");
    let InstructionKind::Env(env) = &env.kind else { panic!("it is ENV") };
    assert_eq!(env.pairs[1].span.of(text), "B='2 3'");
    assert_eq!(env.pairs[1].span.first_line, 7);
    let InstructionKind::Arg(args) = &arg.kind else { panic!("it is ARG") };
    assert_eq!(args[1].span.of(text), "D=4");
}

#[test]
fn directives() {
    let text = "#!/usr/bin/env x\n# Syntax = docker/dockerfile:1 --x\n#ESCAPE=`\n# check=skip=all\n# other=1\n# escape=x\nFROM a\n";
    let file = read(text);
    assert_eq!(file.escape, '`');
    let directives: Vec<_> = file
        .directives
        .iter()
        .map(|one| (one.name, one.value.as_str(), one.span.first_line))
        .collect();
    assert_eq!(
        directives,
        [
            (DirectiveName::Syntax, "docker/dockerfile:1 --x", 2),
            (DirectiveName::Escape, "`", 3),
            (DirectiveName::Check, "skip=all", 4),
        ]
    );
    for (text, escape) in [
        ("FROM a\n# escape=`\n", '\\'),
        ("\n# escape=`\nFROM a", '\\'),
        ("# comment\n# escape=`\nFROM a", '\\'),
        ("# unknown=x\n# escape=`\nFROM a", '\\'),
        ("# escape\nFROM a", '\\'),
        ("# escape=\nFROM a", '\\'),
        ("  # escape=`\nFROM a", '`'),
        ("# escape=\\\nFROM a", '\\'),
    ] {
        assert_eq!(read(text).escape, escape, "{text:?}");
    }
}

#[test]
fn syntax_in_all_forms() {
    for (text, want) in [
        ("# syntax=a/b:1\nFROM a", Some(("a/b:1", "a/b:1", 1))),
        ("# escape=`\n# syntax = a --flag\nFROM a", Some(("a", "a --flag", 2))),
        ("#!/bin/x\n# syntax=a\n", Some(("a", "a", 2))),
        ("// syntax=a\nfoo", Some(("a", "a", 1))),
        ("//syntax=a b\n", Some(("a", "a b", 1))),
        ("\u{feff}{\"syntax\": \"a b\", \"x\": [1]}", Some(("a", "a b", 1))),
        ("#!x\n{\"syntax\": \"a\"}", Some(("a", "a", 1))),
        ("{\"syntax\": 1}", None),
        ("[\"syntax\"]", None),
        ("# comment\n# syntax=a\n", None),
        ("FROM a\n# syntax=a\n", None),
        ("", None),
    ] {
        let got = detect_syntax(text);
        let got = got.as_ref().map(|syntax| {
            (syntax.image.as_str(), syntax.command_line.as_str(), syntax.span.first_line)
        });
        assert_eq!(got, want, "{text:?}");
    }
}

#[test]
fn comments_above() {
    for (text, want) in [
        ("# a\n#  b \nFROM x", vec!["a", "b"]),
        ("# a\n\nFROM x", vec![]),
        ("# a\n#\nFROM x", vec![]),
        ("# a\n#\n# b\nFROM x", vec!["b"]),
        ("# syntax=s\n# a\nFROM x", vec!["a"]),
        ("  # a\n  FROM x", vec!["a"]),
    ] {
        assert_eq!(read(text).stages[0].written.comments, want, "{text:?}");
    }
    let file = read("# a\nFROM x\nRUN b");
    assert!(file.stages[0].instructions[0].written.comments.is_empty());
}

#[test]
fn descriptions() {
    let file = read(
        "# version of it\n# other thing\nARG version other=1\n# build makes it\nFROM a AS Build\n\
         # none\nARG x\n",
    );
    let args = &file.global_args[0].args;
    assert_eq!((args[0].description.as_str(), args[1].description.as_str()), ("of it", "thing"));
    assert_eq!(file.stages[0].description(), "makes it");
}

#[test]
fn empty_continuations() {
    let file = read("FROM a\nCOPY a \\\n\n.\nCOPY b \\\n.\nRUN x \\\n\n\ny\n");
    let lines: Vec<_> = file.empty_continuations.iter().map(|span| span.first_line).collect();
    assert_eq!(lines, [4, 10]);
}

#[test]
fn heredocs_that_are_the_script() {
    for (text, want) in [
        ("FROM a\nRUN <<EOF\na\n$b\nEOF\n", "a\n$b\n"),
        ("FROM a\nRUN <<'EOF'\na\nEOF", "a\n"),
        ("FROM a\nRUN <<\"EOF\"\na\nEOF", "a\n"),
        ("FROM a\nRUN <<-EOF\n\ta\n\t\tb\n\tEOF\n", "a\nb\n"),
        ("FROM a\nRUN <<EOF\n\ta\n\tEOF\nEOF\n", "\ta\n\tEOF\n"),
        ("FROM a\nRUN 3<<EOF\na\nEOF\n", "a\n"),
        ("FROM a\nRUN <<EOF\r\na\r\nEOF\r\n", "a\r\n"),
        ("FROM a\nRUN <<EOF\nEOF\n", ""),
        ("FROM a\nRUN <<EOF\n# no comment\na \\\n\nEOF\n", "# no comment\na \\\n\n"),
        ("FROM a\nRUN --network=none <<EOF\na\nEOF\n", "a\n"),
        ("FROM a\nRUN <<E\\OF\na\nEOF\n", "a\n"),
    ] {
        assert_eq!(script(text), Script::Shell(want.to_owned()), "{text:?}");
    }
}

#[test]
fn heredocs_for_the_shell() {
    for (text, want) in [
        ("FROM a\nRUN cat <<EOF\na\nEOF\n", "cat <<EOF\na\nEOF"),
        ("FROM a\nRUN cat <<A <<-B | x\n1\nA\n\t2\n\tB\n", "cat <<A <<-B | x\n1\nA\n\t2\nB"),
        ("FROM a\nRUN <<A cat\n1\nA\n", "<<A cat\n1\nA"),
        ("FROM a\nRUN cat \\\n  <<A\n1\nA\n", "cat   <<A\n1\nA"),
        ("FROM a\nRUN echo \"<<EOF\"\n", "echo \"<<EOF\""),
        ("FROM a\nRUN echo $((1<<2))\n", "echo $((1<<2))"),
        ("FROM a\nRUN cat <<<word\n", "cat <<<word"),
        ("FROM a\nRUN echo <<\n", "echo <<"),
        ("FROM a\nCMD cat <<EOF\n", ""),
    ] {
        let instruction = only(text);
        match &instruction.kind {
            InstructionKind::Run(run) => {
                assert_eq!(run.script(), Script::Shell(want.to_owned()), "{text:?}");
            }
            _ => assert_eq!(instruction.written.text, "CMD cat <<EOF"),
        }
    }
}

#[test]
fn heredocs_that_name_their_interpreter() {
    let file = Script::File { name: "EOF".to_owned(), content: "#!/bin/x\na\n".to_owned() };
    assert_eq!(script("FROM a\nRUN <<EOF\n#!/bin/x\na\nEOF\n"), file);
    assert_eq!(script("FROM a\nRUN <<-EOF\n\t#!/bin/x\n\ta\nEOF\n"), file);
    // With more on the line the shell decides.
    let shell = Script::Shell("x <<EOF\n#!/bin/x\nEOF".to_owned());
    assert_eq!(script("FROM a\nRUN x <<EOF\n#!/bin/x\nEOF\n"), shell);
}

#[test]
fn heredocs_as_files() {
    let text = "FROM a\nCOPY <<a <<'b' c <<-d /dir/\n$x\na\n$y\nb\n\tz\nd\n";
    let InstructionKind::Copy(copy) = only(text).kind else { panic!("it is COPY") };
    let files: Vec<_> = copy
        .files
        .inline
        .iter()
        .map(|file| (file.name.as_str(), file.content.as_str(), file.expand))
        .collect();
    assert_eq!(files, [("a", "$x\n", true), ("b", "$y\n", false), ("d", "z\n", true)]);
    assert_eq!(copy.files.paths[0].text, "c");
    assert_eq!(copy.files.destination.text, "/dir/");
    let InstructionKind::Add(add) = only("FROM a\nADD <<f.txt /x\n1\nf.txt\n").kind else {
        panic!("it is ADD")
    };
    assert_eq!(add.files.inline[0].name, "f.txt");
}

#[test]
fn json_has_no_heredocs() {
    let script = script("FROM a\nRUN [\"cat\", \"<<EOF\"]\n");
    assert_eq!(script, Script::Exec(vec!["cat".to_owned(), "<<EOF".to_owned()]));
}
