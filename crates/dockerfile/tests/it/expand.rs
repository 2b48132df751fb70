//! Words, their variables and quotes.

use std::collections::BTreeMap;

use gantry_dockerfile::{Environment, Expander, NoVariables};

fn variables() -> BTreeMap<String, String> {
    [
        ("home", "/root"),
        ("empty", ""),
        ("path", "/usr/local/lib/libx.so.1.tar.gz"),
        ("several", "a  b c"),
        ("quoted", "'q' \"d\""),
        ("stars", "a*b?c\\d"),
        ("dollar", "$home"),
        ("lines", "one\ntwo"),
        ("ümlaut", "grün"),
        ("1", "first"),
        ("x", "aXbXc"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

#[track_caller]
fn check(cases: &[(&str, Result<&str, &str>)], escape: char) {
    let variables = variables();
    for (word, want) in cases {
        let got = Expander::new(escape, &variables).word(word);
        let got = got.map_err(|error| error.problem.to_string());
        let want = want.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(got, want, "{word}");
    }
}

#[test]
fn quotes_and_escapes() {
    check(
        &[
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("a b", Ok("a b")),
            (r"'$home'", Ok("$home")),
            (r#""$home""#, Ok("/root")),
            (r#""a'b'c""#, Ok("a'b'c")),
            (r#"'a"b"c'"#, Ok(r#"a"b"c"#)),
            (r"\$home", Ok("$home")),
            (r"\\$home", Ok(r"\/root")),
            (r#""\$home \" \\ \n""#, Ok(r#"$home " \ \n"#)),
            (r"'\'", Ok(r"\")),
            (r"\'a\'", Ok("'a'")),
            (r"a\", Ok("a")),
            (r"\a\b", Ok("ab")),
            (r#"a"b"'c'd"#, Ok("abcd")),
            ("'", Err("unexpected end of statement while looking for matching single-quote")),
            ("\"", Err("unexpected end of statement while looking for matching double-quote")),
            ("\"\\", Err("unexpected end of statement while looking for matching double-quote")),
        ],
        '\\',
    );
}

#[test]
fn the_escape_character_of_the_file() {
    check(
        &[
            (r"c:\$home", Ok(r"c:\/root")),
            ("`$home", Ok("$home")),
            ("\"`$home ``\"", Ok("$home `")),
            (r#""\""#, Ok(r"\")),
        ],
        '`',
    );
}

#[test]
fn names() {
    check(
        &[
            ("$home", Ok("/root")),
            ("${home}", Ok("/root")),
            ("$home/bin", Ok("/root/bin")),
            ("$home.x", Ok("/root.x")),
            ("$homes", Ok("")),
            ("${home}s", Ok("/roots")),
            ("$ümlaut", Ok("grün")),
            ("$1x", Ok("firstx")),
            ("$12", Ok("")),
            ("$", Ok("$")),
            ("a$", Ok("a$")),
            ("$ home", Ok("$ home")),
            ("$/x", Ok("$/x")),
            ("$@$*$#$?$-$!", Ok("")),
            ("$$home", Ok("home")),
            ("$dollar", Ok("$home")),
            ("$quoted", Ok("'q' \"d\"")),
            ("${}", Err("syntax error: bad substitution")),
            ("${", Err("syntax error: missing '}'")),
            ("${{home}}", Err("syntax error: bad substitution")),
            ("${:}", Err("syntax error: bad substitution")),
            ("${home", Err("syntax error: missing '}'")),
            ("${home ", Err("unsupported modifier ( ) in substitution")),
            ("${home;x}", Err("unsupported modifier (;) in substitution")),
            ("${home:x}", Err("unsupported modifier (:x) in substitution")),
            ("${home:0:3}", Err("unsupported modifier (:0) in substitution")),
            ("${home:#x}", Err("unsupported modifier (:#) in substitution")),
            ("${home:", Err("syntax error: missing '}'")),
            ("${home^^}", Err("unsupported modifier (^) in substitution")),
        ],
        '\\',
    );
}

#[test]
fn defaults() {
    check(
        &[
            ("${none:-w}", Ok("w")),
            ("${empty:-w}", Ok("w")),
            ("${home:-w}", Ok("/root")),
            ("${none-w}", Ok("w")),
            ("${empty-w}", Ok("")),
            ("${home-w}", Ok("/root")),
            ("${none:+w}", Ok("")),
            ("${empty:+w}", Ok("")),
            ("${home:+w}", Ok("w")),
            ("${none+w}", Ok("")),
            ("${empty+w}", Ok("w")),
            ("${home+w}", Ok("w")),
            ("${none:-}", Ok("")),
            ("${none:-$home}", Ok("/root")),
            ("${none:-${empty:-${home}}}", Ok("/root")),
            ("${none:-'a}b'}", Ok("a}b")),
            (r"${none:-a\}b}", Ok("a}b")),
            (r#""${none:-"x y"}""#, Ok("x y")),
            ("${none:-a b}", Ok("a b")),
            ("${home:?why}", Ok("/root")),
            ("${empty?why}", Ok("")),
            ("${empty:?}", Err("empty: is not allowed to be empty")),
            ("${empty:?why}", Err("empty: why")),
            ("${none:?}", Err("none: is not allowed to be unset")),
            ("${none?}", Err("none: is not allowed to be unset")),
            ("${none?set $home}", Err("none: set /root")),
            ("${none:-x", Err("syntax error: missing '}'")),
            (
                "${none:-'x}",
                Err("unexpected end of statement while looking for matching single-quote"),
            ),
        ],
        '\\',
    );
}

#[test]
fn prefixes_and_suffixes() {
    check(
        &[
            ("${path#*/}", Ok("usr/local/lib/libx.so.1.tar.gz")),
            ("${path##*/}", Ok("libx.so.1.tar.gz")),
            ("${path%.*}", Ok("/usr/local/lib/libx.so.1.tar")),
            ("${path%%.*}", Ok("/usr/local/lib/libx")),
            ("${path#nothing}", Ok("/usr/local/lib/libx.so.1.tar.gz")),
            ("${path#/usr}", Ok("/local/lib/libx.so.1.tar.gz")),
            ("${path#???}", Ok("r/local/lib/libx.so.1.tar.gz")),
            ("${path%??}", Ok("/usr/local/lib/libx.so.1.tar.")),
            ("${path%.tar.gz}", Ok("/usr/local/lib/libx.so.1")),
            ("${path##*}", Ok("")),
            ("${path#*}", Ok("/usr/local/lib/libx.so.1.tar.gz")),
            ("${none#a}", Ok("")),
            ("${home#$empty}", Ok("/root")),
            ("${home#${home}}", Ok("")),
            (r"${stars#a\*}", Ok(r"b?c\d")),
            (r"${stars#a\*b\?c\\}", Ok("d")),
            (r"${stars%\\d}", Ok("a*b?c")),
            (r"${stars#a\x}", Err(r"invalid pattern (a\x) in substitution: invalid escape '\x'")),
            ("${lines#*}", Ok("one\ntwo")),
            ("${lines##*}", Ok("\ntwo")),
            ("${x%[X]*}", Ok("aXbXc")),
            ("${ümlaut%ü*}", Ok("gr")),
        ],
        '\\',
    );
}

#[test]
fn replacements() {
    check(
        &[
            ("${x/X/-}", Ok("a-bXc")),
            ("${x//X/-}", Ok("a-b-c")),
            ("${x/X*/-}", Ok("a-")),
            ("${x//?X/-}", Ok("--c")),
            ("${x/X/}", Ok("abXc")),
            ("${x//y/-}", Ok("aXbXc")),
            ("${x/X/$home}", Ok("a/rootbXc")),
            (r"${path//\//_}", Ok("_usr_local_lib_libx.so.1.tar.gz")),
            ("${none/a/b}", Ok("")),
            ("${x//X/$1}", Ok("afirstbfirstc")),
            ("${x/X/'$1'}", Ok("a$1bXc")),
            ("${x/X", Err("syntax error: missing '/' in ${}")),
            ("${x/X/y", Err("syntax error: missing '}'")),
            (r"${x/\X/y}", Err(r"invalid pattern (\X) in substitution: invalid escape '\X'")),
        ],
        '\\',
    );
}

#[test]
fn several_words() {
    let variables = variables();
    for (text, want) in [
        ("a b  c", vec!["a", "b", "c"]),
        ("  a  ", vec!["a"]),
        ("$several", vec!["a", "b", "c"]),
        ("\"$several\" x", vec!["a  b c", "x"]),
        ("x$several", vec!["xa", "b", "c"]),
        ("'a b' c", vec!["a b", "c"]),
        (r"a\ b c", vec!["a b", "c"]),
        ("$empty", vec![]),
        ("''", vec![]),
        ("80 ${none:-443 8080}", vec!["80", "443", "8080"]),
    ] {
        let words = Expander::new('\\', &variables).words(text).expect("it can be expanded");
        assert_eq!(words, want, "{text}");
    }
}

#[test]
fn heredocs_keep_their_quotes() {
    let variables = variables();
    let mut expander = Expander::new('`', &variables);
    let text = expander.heredoc("a='$home' \"${none:-x}\" \\$home `$home\n").expect("it can");
    assert_eq!(text, "a='/root' \"x\" $home `/root\n");
}

#[test]
fn what_is_shown_keeps_what_is_not_known() {
    let variables = variables();
    let expander = Expander::new('\\', &variables);
    for (text, want) in [
        ("RUN echo '$home' \"$home\" $none ${none}", "RUN echo '$home' \"/root\" $none ${none}"),
        (
            "RUN ${none:-a} ${none/a/b} ${none//a/b} ${none%x}",
            "RUN ${none:-a} ${none/a/b} ${none//a/b} ${none%x}",
        ),
        ("RUN echo ${home:0:3}", "RUN echo ${home:0:3}"),
    ] {
        assert_eq!(expander.shown(text), want);
    }
}

#[test]
fn names_are_told() {
    let variables = variables();
    let mut expander = Expander::new('\\', &variables);
    expander.word("$home ${none:-$x} \"${path#*/}\" '$quoted' $none").expect("it can be expanded");
    let names = expander.take_names();
    assert_eq!(names.used.into_iter().collect::<Vec<_>>(), ["home", "path", "x"]);
    assert_eq!(names.undefined.into_iter().collect::<Vec<_>>(), ["none"]);
    assert_eq!(expander.take_names(), gantry_dockerfile::Names::default());
}

#[test]
fn the_word_is_in_the_message() {
    let error = Expander::new('\\', &NoVariables).word("a${b:?not \"set\"}").expect_err("no value");
    assert_eq!(error.to_string(), r#"failed to process "a${b:?not \"set\"}": b: not set"#);
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| format!("{}x{}", "${a:-".repeat(depth), "}".repeat(depth));
    let mut expander = Expander::new('\\', &NoVariables);
    assert_eq!(expander.word(&nested(60)).expect("that is not too deep"), "x");
    let error = expander.word(&nested(100_000)).expect_err("that is");
    assert_eq!(error.problem.to_string(), "substitutions are nested more than 64 deep");
}

#[test]
fn values_do_not_grow_without_bounds() {
    let mut environment: BTreeMap<String, String> =
        [("a".to_owned(), "0123456789".repeat(10_000))].into();
    for word in ["$a$a$a$a$a$a$a$a$a$a$a", "\"$a$a$a$a$a$a$a$a$a$a$a\"", "${a//?/$a}"] {
        let error = Expander::new('\\', &environment).word(word).expect_err(word);
        let limit = (1 << 20) + word.len();
        assert_eq!(error.problem.to_string(), format!("the value is longer than {limit} bytes"));
    }
    let grown = Expander::new('\\', &environment).word("$a$a").expect("that is not too much");
    environment.insert("a".to_owned(), grown);
    let twice = Expander::new('\\', &environment).word("$a$a").expect("that is not too much");
    assert_eq!(twice.len(), 400_000);
    // What is long as written is not too long.
    let long = "x".repeat(2 << 20);
    assert_eq!(Expander::new('\\', &environment).word(&long).expect("it has no variable"), long);
}

#[test]
fn environments() {
    let list = ["A=1", "B", "A=2", "C=x=y"].map(str::to_owned).to_vec();
    for (name, want) in [("A", Some("2")), ("B", Some("")), ("C", Some("x=y")), ("D", None)] {
        assert_eq!(Environment::get(&list, name), want, "{name}");
    }
}
