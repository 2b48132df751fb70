//! Paths in images: absolute, with slashes, without links being followed.

/// `path` below `directory`, or itself if it is absolute; without `.`, `..`, and slashes that say
/// nothing. `..` of the top is the top.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let above = if path.starts_with('/') { "" } else { directory };
    for part in above.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As [`absolute`], of a destination: a slash at its end stays, and is put where the path can only
/// be a directory.
pub(super) fn destination(directory: &str, path: &str) -> String {
    let mut full = absolute(directory, path);
    let is_directory = matches!(path, "" | "." | "..")
        || path.ends_with('/')
        || path.ends_with("/.")
        || path.ends_with("/..");
    if is_directory && !full.ends_with('/') {
        full.push('/');
    }
    full
}

/// Whether a path is a pattern: a `*`, `?` or `[` that is not escaped.
pub(super) fn is_pattern(path: &str) -> bool {
    let mut escaped = false;
    path.chars().any(|letter| {
        let found = !escaped && matches!(letter, '*' | '?' | '[');
        escaped = !escaped && letter == '\\';
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (directory, path, want, want_destination) in [
            ("/", "a", "/a", "/a"),
            ("/w", "a/./b//c/../d", "/w/a/b/d", "/w/a/b/d"),
            ("/w", "/a/", "/a", "/a/"),
            ("/w", ".", "/w", "/w/"),
            ("/w", "", "/w", "/w/"),
            ("/w", "./", "/w", "/w/"),
            ("/w", "x/.", "/w/x", "/w/x/"),
            ("/w", "../../..", "/", "/"),
            ("/w", "/", "/", "/"),
            ("", "a", "/a", "/a"),
        ] {
            assert_eq!(absolute(directory, path), want, "{directory} {path}");
            assert_eq!(destination(directory, path), want_destination, "{directory} {path}");
        }
    }

    #[test]
    fn patterns() {
        for (path, want) in [
            ("a*", true),
            ("a?", true),
            ("[ab]", true),
            ("a\\*", false),
            ("a\\\\*", true),
            ("a", false),
        ] {
            assert_eq!(is_pattern(path), want, "{path}");
        }
    }
}
