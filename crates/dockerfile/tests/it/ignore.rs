//! Patterns of files.

use gantry_dockerfile::{Glob, Patterns, has_wildcards, ignore_file_patterns, split_wildcards};

#[test]
fn globs() {
    for (pattern, path, want) in [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("*x", "xxx", true),
        ("**", "a/b", false),
        ("a/**/b", "a/x/b", true),
        ("a/**/b", "a/b", false),
        ("arr[[]0].txt", "arr[0].txt", true),
    ] {
        let glob = Glob::new(pattern).unwrap_or_else(|_| panic!("{pattern}"));
        assert_eq!(glob.matches(path), want, "{pattern} {path}");
    }
    for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[]"] {
        assert!(Glob::new(pattern).is_err(), "{pattern}");
        assert!(Glob::any_depth(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn globs_of_any_depth() {
    for (pattern, path, want) in [
        ("**", "file", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir", false),
        ("dir/**", "dirs/file", false),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/dir2/file", true),
        ("**/dir2/*", "dir/file", false),
        ("**/dir2/**", "dir/dir2/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dir/dirfile", true),
        ("**/file", "dir/file", true),
        ("**/file", "file", true),
        ("**/file", "dirfile", false),
        ("**file*", "dir/file.txt", true),
        ("**file*", "dir/xfile.txt", false),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt.b", false),
        ("a/*.txt**", "a/file.txt.b/c", true),
        ("a[b-d]e", "ace", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("**/.foo", "bar/.foo", true),
        ("**/.foo", "bar.foo", false),
        ("[a\\]b]*", "]x", true),
        ("a\\?", "a?", true),
        ("a/**/b/**/c", "a/x/y/b/c", true),
        ("a/**/b/**/c", "a/x/c", false),
    ] {
        let glob = Glob::any_depth(pattern).unwrap_or_else(|_| panic!("{pattern}"));
        assert_eq!(glob.matches(path), want, "{pattern} {path}");
    }
}

#[test]
fn what_may_match_below() {
    for (pattern, directory, want) in [
        ("a/b", "a", true),
        ("a/b", "a/b", false),
        ("a/b", "b", false),
        ("a/b/c", "a/b", true),
        ("*/b", "a", true),
        ("*", "a", false),
        ("*.c", "a", false),
        ("**/*.c", "a/b", true),
        ("a/**", "a", true),
        ("a/**/c", "a/b", true),
        ("a?/c", "ab", true),
        ("a?/c", "a", false),
    ] {
        let glob = Glob::any_depth(pattern).expect("it is a pattern");
        assert_eq!(glob.may_match_below(directory), want, "{pattern} {directory}");
    }
}

#[test]
fn long_patterns_take_no_time() {
    let glob = Glob::new(&format!("{}b", "*a".repeat(200))).expect("it is a pattern");
    assert!(!glob.matches(&"a".repeat(5_000)));
}

#[test]
fn lists() {
    for (patterns, path, want) in [
        (vec!["a"], "a", true),
        (vec!["a"], "a/b/c", true),
        (vec!["a"], "ab", false),
        (vec!["a/b"], "a", false),
        (vec!["*"], "a/b", true),
        (vec!["*", "!a"], "a", false),
        (vec!["*", "!a"], "a/b", false),
        (vec!["*", "!a/b"], "a/b", false),
        (vec!["*", "!a/b"], "a/c", true),
        (vec!["!a", "*"], "a", true),
        (vec!["a", "!a/b", "a/b/c"], "a/b/c", true),
        (vec!["a", "!a/b", "a/b/c"], "a/b/d", false),
        (vec!["a", "!a"], "a/b", false),
        (vec!["**/*.md", "!README.md"], "x/README.md", true),
        (vec!["**/*.md", "!README.md"], "README.md", false),
        (vec!["**/*.md", "!**/README.md"], "x/README.md", false),
        (vec!["docs", "!docs/README.md"], "docs/README.md", false),
        (vec!["docs/**", "!docs/README.md", "docs/README.md"], "docs/README.md", true),
        (vec!["./a/../b/"], "b", true),
        (vec!["  a  ", "", "  "], "a", true),
        (vec!["*"], ".", false),
        (vec!["*"], "", false),
        (vec!["*", "!foo/x", "foo"], "foo/x", true),
        (vec![], "a", false),
        (vec![".."], "a", false),
    ] {
        let list = Patterns::new(&patterns).expect("they are patterns");
        assert_eq!(list.matches(path), want, "{patterns:?} {path}");
    }
}

#[test]
fn wrong_lists() {
    for (pattern, want) in [
        ("!", "illegal exclusion pattern: \"!\""),
        ("a[", "syntax error in pattern: a["),
        ("!a\\", "syntax error in pattern: a\\"),
    ] {
        assert_eq!(Patterns::new([pattern]).expect_err(pattern).to_string(), want);
    }
    assert!(Patterns::of_ignore_file("a\n! \n").is_err());
}

#[test]
fn ignore_files() {
    let text =
        "\u{feff}# comment\n/a/\n  b  \n\n ! /c/d \n #not\n!e\r\n/\n.\n./f/./g\n!../h\n//x\n";
    let want = ["a", "b", "!c/d", "#not", "!e", "/", ".", "f/g", "!../h", "x"];
    assert_eq!(ignore_file_patterns(text), want);
}

#[test]
fn the_root_itself_stays() {
    for text in [".", "/", "./"] {
        let patterns = Patterns::of_ignore_file(text).expect("it is a pattern");
        assert!(!patterns.matches("a"), "{text}");
    }
}

#[test]
fn walkers_know_where_to_go() {
    let text = "*\n!src\nsrc/gen\n!src/gen/keep/**\n!docs/**/*.md\nsrc/gen/keep/not\n";
    let patterns = Patterns::of_ignore_file(text).expect("they are patterns");
    let known = |path: &str| {
        let mut known = patterns.root();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            known = patterns.enter(&known, &path[..end]);
        }
        known
    };
    for (path, excluded, walked) in [
        ("vendor", true, false),
        ("src", false, true),
        ("src/gen", true, true),
        ("src/gen/keep", true, true),
        ("src/gen/keep/a", false, true),
        ("src/gen/keep/not", true, false),
        ("src/gen/other", true, false),
        ("docs", true, true),
        ("docs/a/b", true, true),
        ("docs/a.md", false, true),
    ] {
        let known = known(path);
        assert_eq!(known.is_excluded(), excluded, "{path}");
        assert_eq!(patterns.matches(path), excluded, "{path}");
        let walk = !excluded || patterns.may_include_below(&known, path);
        assert_eq!(walk, walked, "{path}");
    }
}

#[test]
fn wildcards_of_copy() {
    for (path, wildcards, split) in [
        ("a/b", false, ("a/b", "")),
        ("a/*", true, ("a", "*")),
        ("a/b*/c", true, ("a", "b*/c")),
        ("*.c", true, ("", "*.c")),
        ("/*.c", true, ("/", "*.c")),
        ("a\\*", false, ("a\\*", "")),
        ("a/\\*/[b]", true, ("a/\\*", "[b]")),
        ("a?", true, ("", "a?")),
        ("", false, ("", "")),
    ] {
        assert_eq!(has_wildcards(path), wildcards, "{path}");
        assert_eq!(split_wildcards(path), split, "{path}");
    }
}
