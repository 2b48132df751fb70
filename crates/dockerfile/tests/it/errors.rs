//! What is no Dockerfile, and what is said of it.

use gantry_dockerfile::{parse, parse_trigger};
use gantry_fault::{Fault, Kind};

#[track_caller]
fn message(text: &str) -> String {
    match parse(text) {
        Ok(file) => panic!("no error: {text:?}\n{file:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn whole_files() {
    for (text, want) in [
        ("", "file with no instructions"),
        ("\n \n# comment\n", "file with no instructions"),
        ("\u{feff}", "file with no instructions"),
        ("ARG a\n", "dockerfile contains no stages to build"),
        ("RUN a\nFROM b", "dockerfile parse error on line 1: no build stage in current context"),
        ("\n\nENV a=b", "dockerfile parse error on line 3: no build stage in current context"),
        (
            "# escape=x\nFROM a",
            "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\",
        ),
        (
            "# escape=`\n# ESCAPE=`\nFROM a",
            "dockerfile parse error on line 2: only one escape parser directive can be used",
        ),
        (
            "# syntax=a\n# syntax=b\nFROM a",
            "dockerfile parse error on line 2: only one syntax parser directive can be used",
        ),
        (
            "FROM a\nFOO b",
            "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)",
        ),
        (
            "FROM a\n\nfrm b",
            "dockerfile parse error on line 3: unknown instruction: frm (did you mean from?)",
        ),
        ("FROM a\nSOMETHING b", "dockerfile parse error on line 2: unknown instruction: SOMETHING"),
        ("FROM a\n\\", "dockerfile parse error on line 2: unknown instruction: "),
        ("FROM a\nRUN <<EOF\nx\n EOF\n", "dockerfile parse error on line 2: unterminated heredoc"),
        ("FROM a\nRUN <<EOF", "dockerfile parse error on line 2: unterminated heredoc"),
    ] {
        assert_eq!(message(text), want, "{text:?}");
    }
}

#[test]
fn instructions() {
    let json = "when using JSON array syntax, arrays must be comprised of strings only";
    for (line, want) in [
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a of b", "FROM requires either one or three arguments"),
        ("FROM a AS b c", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1",
            "invalid name for build stage: \"1\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a AS B/c",
            "invalid name for build stage: \"B/c\", name can't start with a number or contain symbols",
        ),
        ("FROM --platfrom=x a", "unknown flag: --platfrom (did you mean platform?)"),
        ("FROM --platform a", "missing a value on flag: --platform"),
        (
            "COPY",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "ADD [\"a\"]",
            "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY --foobar a b", "unknown flag: --foobar"),
        ("COPY --frm=x a b", "unknown flag: --frm (did you mean from?)"),
        ("COPY --checksum=x a b", "unknown flag: --checksum"),
        ("ADD --from=x a b", "unknown flag: --from"),
        ("COPY --chown=a --chown=b a b", "duplicate flag specified: --chown"),
        ("COPY --link --link a b", "duplicate flag specified: --link"),
        ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY a <<b\nx\nb", "COPY cannot accept a heredoc as a destination"),
        ("COPY [1, 2]", json),
        ("RUN [\"a\", 1]", json),
        ("CMD [null]", json),
        ("HEALTHCHECK CMD [[\"a\"]]", json),
        ("ONBUILD CMD [1]", json),
        ("RUN --network=hots a", "invalid network mode \"hots\" (did you mean host?)"),
        ("RUN --network=a --network=b a", "duplicate flag specified: --network"),
        ("RUN --security=none a", "security \"none\" is not valid"),
        ("RUN --device=a,b c", "invalid field 'b' must be a key=value pair"),
        ("RUN --device=a,x=1 c", "unexpected key 'x' in 'x=1'"),
        (
            "RUN --device=a,requird=1 c",
            "unexpected key 'requird' in 'requird=1' (did you mean required?)",
        ),
        ("RUN --device=name=a,name=b c", "device name already set to a"),
        ("RUN --device=a,required=x c", "invalid value for required: x"),
        (
            "RUN --mount=from=$a c",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("RUN --mount= c", "failed to parse csv mounts: EOF"),
        (
            "RUN --mount=a\\\"b c",
            "failed to parse csv mounts: parse error on line 1, column 2: bare \" in non-quoted-field",
        ),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ("ENV =b", "ENV names can not be blank"),
        ("LABEL", "LABEL requires at least one argument"),
        ("LABEL a", "LABEL must have two arguments"),
        ("LABEL --x a=b", "unknown flag: --x"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =a", "ARG names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("USER --x a", "unknown flag: --x"),
        ("SHELL", "SHELL requires at least one argument"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("SHELL /bin/sh -c", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD onbuild RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ENV a", "ENV must have two arguments"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK foo a", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=5 CMD a", "time: missing unit in duration \"5\""),
        ("HEALTHCHECK --timeout=1us CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=-1s CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=x CMD a", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "HEALTHCHECK --retries=99999999999 CMD a",
            "strconv.ParseInt: parsing \"99999999999\": value out of range",
        ),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --intervall=1s CMD a", "unknown flag: --intervall (did you mean interval?)"),
    ] {
        let want = format!("dockerfile parse error on line 2: {want}");
        assert_eq!(message(&format!("FROM base\n{line}\n")), want, "{line}");
    }
}

#[test]
fn what_buildkit_passes_over() {
    for line in
        ["ARG --x a", "STOPSIGNAL --x 9", "HEALTHCHECK --x NONE", "ONBUILD FOO a", "RUN", "CMD"]
    {
        parse(&format!("FROM a\n{line}\n")).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn the_place_is_that_of_the_part() {
    for (text, part, lines) in [
        ("FROM a\nCOPY --link \\\n  --frm=x a b\n", "--frm=x", (2, 3)),
        ("FROM a\nCOPY --link \\\n  --link a b\n", "--link", (2, 3)),
        ("FROM a AS \\\n 1\n", "1", (1, 2)),
        ("FROM a\nVOLUME a \\\n [\n\nARG b \\\n=c\n", "=c", (5, 6)),
        ("FROM a\nHEALTHCHECK \\\n --retries=x CMD a", "--retries=x", (2, 3)),
        ("FROM a\nRUN a\nFOO \\\n b\n", "FOO \\\n b", (3, 3)),
    ] {
        let error = parse(text).expect_err("it is wrong");
        assert_eq!(error.span.of(text), part, "{text:?}");
        assert_eq!((error.line, error.span.first_line), lines, "{text:?}");
    }
}

#[test]
fn triggers() {
    for (text, want) in [
        (
            "RUN a\nRUN b",
            "dockerfile parse error on line 2: onbuild trigger should be a single expression",
        ),
        (
            "ONBUILD RUN a",
            "dockerfile parse error on line 1: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("FROM a", "dockerfile parse error on line 1: FROM isn't allowed as an ONBUILD trigger"),
        (
            "FOO a",
            "dockerfile parse error on line 1: unknown instruction: FOO (did you mean FROM?)",
        ),
        ("", "file with no instructions"),
    ] {
        let error = parse_trigger(text).expect_err("it is no trigger");
        assert_eq!(error.to_string(), want, "{text:?}");
    }
}

#[test]
fn kinds_and_hints() {
    let error = parse("FROM a b").expect_err("it is wrong");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert_eq!(error.hint().as_deref(), Some("FROM [--platform=PLATFORM] IMAGE [AS NAME]"));
    assert_eq!(parse("FROM a\nVOLUME").expect_err("it is wrong").hint(), None);
}
