//! What instructions say, with all their flags and forms.

use std::collections::BTreeMap;

use gantry_dockerfile::{
    CommandLine, Device, Dockerfile, Expander, Healthcheck, InstructionKind, Network, PairForm,
    Script, Security, Word, parse, parse_trigger,
};

#[track_caller]
fn kind(line: &str) -> InstructionKind {
    let file = parse(&format!("FROM base\n{line}\n")).unwrap_or_else(|error| panic!("{error}"));
    file.stages[0].instructions[0].kind.clone()
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(Word::as_str).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn names_in_any_case() {
    for line in ["run a", "Run a", "RUN a", "rUN\ta"] {
        assert_eq!(kind(line).name(), "RUN");
    }
}

#[test]
fn stages() {
    let file: Dockerfile = parse(
        "ARG a=1\nARG b\nFROM --platform=$BUILDPLATFORM image:tag@sha256:00 AS Build.1-x_y\n\
         RUN x\nfrom build.1-x_y\nFROM scratch as last\n",
    )
    .expect("it is a Dockerfile");
    assert_eq!(file.global_args.len(), 2);
    let [first, second, third] = file.stages.as_slice() else { panic!("three stages") };
    assert_eq!(first.from.base.text, "image:tag@sha256:00");
    assert_eq!(first.from.platform.as_ref().map(Word::as_str), Some("$BUILDPLATFORM"));
    let name = first.from.name.as_ref().expect("it has a name");
    assert_eq!(
        (name.name.as_str(), name.written.as_str(), name.keyword.as_str()),
        ("build.1-x_y", "Build.1-x_y", "AS")
    );
    assert_eq!(first.instructions.len(), 1);
    assert!(second.from.name.is_none());
    assert!(third.is_named("LAST"));
    assert_eq!(file.stage_named("BUILD.1-x_y"), Some(0));
    assert_eq!(file.stage_named("none"), None);
}

#[test]
fn command_lines() {
    let exec = |words: &[&str]| CommandLine::Exec(strings(words));
    let shell = |line: &str| CommandLine::Shell(line.to_owned());
    for (arguments, want) in [
        (r#"["a", "b c"]"#, exec(&["a", "b c"])),
        (r#" [ "a" , "\u0062\n\"" ] "#, exec(&["a", "b\n\""])),
        ("[]", exec(&[])),
        (r#"["$a"]"#, exec(&["$a"])),
        ("['a']", shell("['a']")),
        (r#"["a""#, shell(r#"["a""#)),
        (r#"["a"] b"#, shell(r#"["a"] b"#)),
        (r#"[ -f x ] && y"#, shell("[ -f x ] && y")),
        ("echo  'a  b'", shell("echo  'a  b'")),
        ("", shell("")),
    ] {
        for name in ["CMD", "ENTRYPOINT"] {
            let got = match kind(&format!("{name} {arguments}")) {
                InstructionKind::Cmd(got) | InstructionKind::Entrypoint(got) => got,
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{name} {arguments}");
        }
    }
}

#[test]
fn json_over_several_lines() {
    let got = kind("CMD [\"a\", \\\n  \"b\"]");
    assert_eq!(got, InstructionKind::Cmd(CommandLine::Exec(strings(&["a", "b"]))));
}

#[test]
fn run_flags() {
    let InstructionKind::Run(run) = kind(
        "RUN --mount=type=cache,target=/c --network=host --security=insecure \
         --mount=type=tmpfs,target=/t --device=vendor.com/x=a,required --device=name=b make it",
    ) else {
        panic!("it is RUN")
    };
    assert_eq!(texts(&run.mounts), ["type=cache,target=/c", "type=tmpfs,target=/t"]);
    assert_eq!(run.network, Some(Network::Host));
    assert_eq!(run.security, Some(Security::Insecure));
    assert_eq!(
        run.devices,
        [
            Device { name: "vendor.com/x=a".to_owned(), required: true },
            Device { name: "b".to_owned(), required: false },
        ]
    );
    assert_eq!(run.script(), Script::Shell("make it".to_owned()));
}

#[test]
fn flags_end_where_they_end() {
    for (line, flags, rest) in [
        ("RUN --network=none -- --x", 1, "--x"),
        ("RUN -- --network=none", 0, "--network=none"),
        ("RUN -x --network=none", 0, "-x --network=none"),
        ("RUN a --network=none", 0, "a --network=none"),
        ("RUN --mount=type=cache,target=\"/a b\" x", 1, "x"),
        ("RUN --mount=type=cache,target=/a\\ b x", 1, "x"),
    ] {
        let file = parse(&format!("FROM a\n{line}")).expect("it is a Dockerfile");
        let instruction = &file.stages[0].instructions[0];
        assert_eq!(instruction.written.flags.len(), flags, "{line}");
        let InstructionKind::Run(run) = &instruction.kind else { panic!("it is RUN") };
        assert_eq!(run.command, CommandLine::Shell(rest.to_owned()), "{line}");
        for mount in &run.mounts {
            assert_eq!(mount.text, "type=cache,target=/a b", "{line}");
        }
    }
}

#[test]
fn copy() {
    let InstructionKind::Copy(copy) = kind(
        "COPY --from=build --chown=u:g --chmod=u+x --link --parents=TRUE --exclude=*.o \
         --exclude=$x a ./b/ c/",
    ) else {
        panic!("it is COPY")
    };
    assert_eq!(copy.from, Some(Word { text: "build".to_owned(), ..Word::default() }));
    assert_eq!(copy.chown.as_ref().map(Word::as_str), Some("u:g"));
    assert_eq!(copy.chmod.as_ref().map(Word::as_str), Some("u+x"));
    assert!(copy.link && copy.parents);
    assert_eq!(texts(&copy.exclude), ["*.o", "$x"]);
    assert_eq!(texts(&copy.files.paths), ["a", "./b/"]);
    assert_eq!(copy.files.destination.text, "c/");
    let InstructionKind::Copy(copy) = kind(r#"COPY --link=false ["a b", "c"]"#) else {
        panic!("it is COPY")
    };
    assert!(!copy.link && copy.from.is_none());
    assert_eq!(texts(&copy.files.paths), ["a b"]);
}

#[test]
fn add() {
    let InstructionKind::Add(add) = kind(
        "ADD --chown=1 --chmod=755 --link --keep-git-dir=true --checksum=sha256:00 --unpack=false \
         --exclude=x https://example.com/a /",
    ) else {
        panic!("it is ADD")
    };
    assert_eq!(add.checksum.as_ref().map(Word::as_str), Some("sha256:00"));
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (Some(true), Some(false), true));
    assert_eq!(texts(&add.exclude), ["x"]);
    let InstructionKind::Add(add) = kind("ADD --unpack a b") else { panic!("it is ADD") };
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (None, Some(true), false));
}

#[test]
fn pairs() {
    for (arguments, form, want) in [
        ("A=1", PairForm::Equals, vec![("A", "1")]),
        (
            "A=1 B='2 3' C=\"4 5\"",
            PairForm::Equals,
            vec![("A", "1"), ("B", "'2 3'"), ("C", "\"4 5\"")],
        ),
        ("A=1\\ 2 B=", PairForm::Equals, vec![("A", "1\\ 2"), ("B", "")]),
        ("A=b=c", PairForm::Equals, vec![("A", "b=c")]),
        ("A 1  2 ", PairForm::Space, vec![("A", "1  2")]),
        ("A b=c", PairForm::Space, vec![("A", "b=c")]),
        ("\"a b\"=c", PairForm::Equals, vec![("\"a b\"", "c")]),
        ("A=1 \\\n  B=2", PairForm::Equals, vec![("A", "1"), ("B", "2")]),
        ("A='x\\' B=2", PairForm::Equals, vec![("A", "'x\\'"), ("B", "2")]),
        ("A=\"x\\\" B=2", PairForm::Equals, vec![("A", "\"x\\\" B=2")]),
    ] {
        for name in ["ENV", "LABEL"] {
            let got = match kind(&format!("{name} {arguments}")) {
                InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => pairs,
                other => panic!("{other:?}"),
            };
            let pairs: Vec<_> =
                got.pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
            assert_eq!((pairs, got.form), (want.clone(), form), "{name} {arguments}");
        }
    }
}

#[test]
fn args() {
    let InstructionKind::Arg(args) = kind("ARG A B=1 C= D='x y'") else { panic!("it is ARG") };
    let args: Vec<_> = args.iter().map(|arg| (arg.name.as_str(), arg.default.as_deref())).collect();
    assert_eq!(args, [("A", None), ("B", Some("1")), ("C", Some("")), ("D", Some("'x y'"))]);
}

#[test]
fn healthchecks() {
    assert_eq!(kind("HEALTHCHECK none"), InstructionKind::Healthcheck(Healthcheck::None));
    let InstructionKind::Healthcheck(Healthcheck::Cmd(probe)) = kind(
        "HEALTHCHECK --interval=1m --timeout=3s --start-period=0 --start-interval=500ms \
         --retries=5 cmd curl -f x",
    ) else {
        panic!("it is HEALTHCHECK CMD")
    };
    assert_eq!(probe.command, CommandLine::Shell("curl -f x".to_owned()));
    assert_eq!(
        (probe.interval_ns, probe.timeout_ns, probe.start_period_ns, probe.start_interval_ns),
        (60_000_000_000, 3_000_000_000, 0, 500_000_000)
    );
    assert_eq!(probe.retries, 5);
    let InstructionKind::Healthcheck(Healthcheck::Cmd(probe)) = kind(r#"HEALTHCHECK CMD ["a"]"#)
    else {
        panic!("it is HEALTHCHECK CMD")
    };
    assert_eq!(probe.command, CommandLine::Exec(strings(&["a"])));
}

#[test]
fn others() {
    let word = |text: &str| Word { text: text.to_owned(), ..Word::default() };
    for (line, want) in [
        (
            "EXPOSE 80  443/tcp 7000-8000/udp",
            InstructionKind::Expose(vec![word("443/tcp"), word("7000-8000/udp"), word("80")]),
        ),
        ("MAINTAINER  A B <c@d>", InstructionKind::Maintainer("A B <c@d>".to_owned())),
        (r#"SHELL ["/bin/sh", "-c"]"#, InstructionKind::Shell(strings(&["/bin/sh", "-c"]))),
        ("STOPSIGNAL SIGKILL", InstructionKind::Stopsignal(word("SIGKILL"))),
        ("USER u:g", InstructionKind::User(word("u:g"))),
        ("VOLUME /a /b", InstructionKind::Volume(vec![word("/a"), word("/b")])),
        (r#"VOLUME ["/a b", " /c "]"#, InstructionKind::Volume(vec![word("/a b"), word("/c")])),
        ("WORKDIR /a b", InstructionKind::Workdir(word("/a b"))),
    ] {
        assert_eq!(kind(line), want, "{line}");
    }
}

#[test]
fn triggers() {
    for (line, want) in [
        ("ONBUILD RUN a b", "RUN a b"),
        ("onbuild   copy --link a b", "copy --link a b"),
        ("ONBUILD RUN <<EOF\nx\nEOF", "RUN <<EOF\nx\nEOF"),
        ("ONBUILD RUN a \\\n b", "RUN a  b"),
        ("  ONBUILD RUN a  ", "RUN a  "),
    ] {
        let InstructionKind::Onbuild(text) = kind(line) else { panic!("it is ONBUILD") };
        assert_eq!(text, want, "{line}");
        let trigger = parse_trigger(&text).expect("it is an instruction");
        assert_eq!(trigger.written.text, want.lines().next().unwrap_or_default().trim());
    }
    let trigger = parse_trigger("RUN <<EOF\nx\nEOF").expect("it is an instruction");
    let InstructionKind::Run(run) = trigger.kind else { panic!("it is RUN") };
    assert_eq!(run.script(), Script::Shell("x\n".to_owned()));
}

#[test]
fn values_of_variables() {
    let environment: BTreeMap<String, String> = [("a", "1"), ("b", "x y"), ("ports", "443 80")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
    for (line, want) in [
        ("ENV a=2 c=$a", "ENV a=2 c=1"),
        ("LABEL \"k $a\"='$a' l=$b", "LABEL \"k 1\"='$a' l=\"x y\""),
        ("EXPOSE $ports 9", "EXPOSE 443 80 9"),
        ("USER ${u:-root}:$a", "USER root:1"),
        ("VOLUME /$a /b", "VOLUME /1 /b"),
        ("WORKDIR /$a/\"$b\"", "WORKDIR /1/x y"),
        ("STOPSIGNAL $a", "STOPSIGNAL 1"),
        (
            "COPY --chown=$a --chmod=$a --exclude=$a --from=$a $a $b/",
            "COPY --chown=1 --chmod=1 --exclude=1 --from=$a 1 $b/",
        ),
        ("ADD --checksum=$a $a /", "ADD --checksum=1 1 /"),
        ("RUN echo $a", "RUN echo $a"),
        ("CMD echo $a", "CMD echo $a"),
        (r#"ENTRYPOINT ["$a"]"#, r#"ENTRYPOINT ["$a"]"#),
        ("ARG x=$a", "ARG x=$a"),
        ("ONBUILD ENV x=$a", "ONBUILD ENV x=$a"),
    ] {
        let mut expander = Expander::new('\\', &environment);
        let got = kind(line).expand(&mut expander).expect("it can be expanded");
        // What is wanted is written as its own Dockerfile would be, with quotes read away.
        let mut want = kind(want);
        if matches!(want, InstructionKind::Label(_)) {
            let quoted = kind("LABEL \"k 1\"='$a' l=\"x y\"");
            want = quoted.expand(&mut Expander::new('\\', &environment)).expect("it can");
        }
        if let (InstructionKind::Copy(copy), InstructionKind::Copy(got)) = (&mut want, &got) {
            assert_eq!(got.files.destination.text, "x y/");
            copy.files.destination.text = "x y/".to_owned();
        }
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn values_in_heredocs() {
    let environment: BTreeMap<String, String> = [("a".to_owned(), "1".to_owned())].into();
    let copy = kind("COPY <<x <<'y' /\n'$a' \\$a\nx\n$a\ny");
    let mut expander = Expander::new('\\', &environment);
    let InstructionKind::Copy(copy) = copy.expand(&mut expander).expect("it can be expanded")
    else {
        panic!("it is COPY")
    };
    let contents: Vec<_> = copy.files.inline.iter().map(|file| file.content.as_str()).collect();
    assert_eq!(contents, ["'1' $a\n", "$a\n"]);
}

#[test]
fn arguments_before_the_first_stage() {
    let file =
        parse("ARG A=1\nARG B=$A-$P C=${D:-d}\nARG D E\nARG B=${B}x\nFROM a\n").expect("it is");
    let predefined = [("P".to_owned(), "p".to_owned())].into();
    let given = [("D".to_owned(), "$A".to_owned()), ("unused".to_owned(), "x".to_owned())].into();
    let scope = file.global_scope(&predefined, &given).expect("all can be expanded");
    let want: Vec<_> = scope.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(want, ["A=1", "B=1-px", "C=d", "D=$A", "P=p"]);
    let file = parse("ARG A=1\nARG B=${C:?no}\nFROM a").expect("it is a Dockerfile");
    let (error, span) =
        file.global_scope(&Default::default(), &Default::default()).expect_err("C is not set");
    assert_eq!((error.problem.to_string().as_str(), span.first_line), ("C: no", 2));
}
