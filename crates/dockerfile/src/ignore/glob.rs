//! One pattern, as a machine whose states are places in it.

use thiserror::Error;

/// A pattern of paths: `*` is any text without a slash, `?` one character but a slash, `[a-z]` one
/// of some, `\` takes a meaning away; and in those of ignore files `**` is any number of
/// directories.
///
/// Source: <https://pkg.go.dev/path/filepath#Match>.
#[derive(Debug, Clone)]
pub struct Glob {
    written: String,
    tokens: Vec<Token>,
    /// What every match begins with.
    prefix: String,
    /// What every match ends with.
    suffix: String,
}

/// A pattern whose brackets are not closed or empty, or that ends with a backslash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Error)]
#[error("syntax error in pattern")]
pub struct GlobError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// One character but a slash.
    One,
    /// One of some.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// Any text without a slash.
    Star,
    /// Any text.
    Everything,
    /// The next token, or not.
    Optional,
    /// Any text that ends with a slash.
    Directories,
}

impl Glob {
    /// A pattern as `COPY` has it: `**` is the same as `*`.
    ///
    /// # Errors
    /// When it is no pattern.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        Ok(Self::of_tokens(pattern, tokens(pattern, false)?))
    }

    /// A pattern as ignore files have it.
    ///
    /// # Errors
    /// When it is no pattern.
    pub fn any_depth(pattern: &str) -> Result<Self, GlobError> {
        let mut tokens = tokens(pattern, true)?;
        // `**name` is whatever ends with the name, although `**na*` is what is called so: Docker
        // reads ignore files like this since its version 23 (moby/patternmatcher).
        if let [Token::Optional, Token::Directories, rest @ ..] = tokens.as_slice() {
            let literal = rest.iter().all(|token| matches!(token, Token::Char(_)));
            if literal && !pattern.starts_with("**/") && !pattern.contains('\\') {
                tokens.splice(0..2, [Token::Everything]);
            }
        }
        Ok(Self::of_tokens(pattern, tokens))
    }

    fn of_tokens(pattern: &str, tokens: Vec<Token>) -> Self {
        let literal = |token: &Token| match token {
            Token::Char(char) => Some(*char),
            _ => None,
        };
        let prefix = tokens.iter().map_while(literal).collect();
        let mut suffix: Vec<char> = tokens.iter().rev().map_while(literal).collect();
        suffix.reverse();
        Self { written: pattern.to_owned(), prefix, suffix: suffix.into_iter().collect(), tokens }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it matches a whole path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&self.prefix) || !path.ends_with(&self.suffix) {
            return false;
        }
        let mut states = States::at_start(&self.tokens);
        path.chars().all(|char| states.step(&self.tokens, char)) && states.at_end()
    }

    /// Whether it may match a path below a directory.
    #[must_use]
    pub fn may_match_below(&self, directory: &str) -> bool {
        let mut states = States::at_start(&self.tokens);
        let mut chars = directory.chars().chain(['/']);
        chars.all(|char| states.step(&self.tokens, char)) && states.goes_on()
    }
}

/// Where in the pattern a match may be. The last state is after all tokens.
struct States {
    now: Vec<bool>,
    next: Vec<bool>,
}

impl States {
    fn at_start(tokens: &[Token]) -> Self {
        let none = vec![false; tokens.len() + 1];
        let mut states = Self { now: none.clone(), next: none };
        enter(&mut states.now, tokens, 0);
        states
    }

    /// Reads a character; false when there is nowhere left to be.
    fn step(&mut self, tokens: &[Token], char: char) -> bool {
        self.next.fill(false);
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| self.now[*at]) {
            match token {
                Token::Star if char != '/' => enter(&mut self.next, tokens, at),
                Token::Everything => enter(&mut self.next, tokens, at),
                Token::Directories => {
                    self.next[at] = true;
                    if char == '/' {
                        enter(&mut self.next, tokens, at + 1);
                    }
                }
                token if token.is(char) => enter(&mut self.next, tokens, at + 1),
                _ => {}
            }
        }
        std::mem::swap(&mut self.now, &mut self.next);
        self.now.contains(&true)
    }

    fn at_end(&self) -> bool {
        self.now.last().copied().unwrap_or_default()
    }

    /// Whether there is a match with more characters.
    fn goes_on(&self) -> bool {
        self.now.split_last().is_some_and(|(_, before)| before.contains(&true))
    }
}

/// Is at a token, and at those after it if it may stand for nothing.
fn enter(states: &mut [bool], tokens: &[Token], at: usize) {
    if states[at] {
        return;
    }
    states[at] = true;
    match tokens.get(at) {
        Some(Token::Star | Token::Everything) => enter(states, tokens, at + 1),
        Some(Token::Optional) => {
            enter(states, tokens, at + 1);
            enter(states, tokens, at + 2);
        }
        _ => {}
    }
}

impl Token {
    fn is(&self, char: char) -> bool {
        match self {
            Self::Char(own) => *own == char,
            Self::One => char != '/',
            Self::Class { negated, ranges } => {
                let among = ranges.iter().any(|(low, high)| (*low..=*high).contains(&char));
                among != *negated
            }
            Self::Star | Self::Everything | Self::Optional | Self::Directories => false,
        }
    }
}

fn tokens(pattern: &str, any_depth: bool) -> Result<Vec<Token>, GlobError> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '*' => rest = stars(rest, any_depth, &mut tokens),
            '?' => tokens.push(Token::One),
            '[' => {
                let (class, after) = class(rest)?;
                tokens.push(class);
                rest = after;
            }
            '\\' => {
                let char = rest.chars().next().ok_or(GlobError)?;
                rest = &rest[char.len_utf8()..];
                tokens.push(Token::Char(char));
            }
            char => tokens.push(Token::Char(char)),
        }
    }
    Ok(tokens)
}

/// What a star, already read, and those after it mean; gives what follows them.
fn stars<'p>(rest: &'p str, any_depth: bool, tokens: &mut Vec<Token>) -> &'p str {
    let after = match rest.strip_prefix('*') {
        Some(after) if any_depth => after,
        _ => {
            // Several are as one; without this, their states would only be more.
            if tokens.last() != Some(&Token::Star) {
                tokens.push(Token::Star);
            }
            return rest;
        }
    };
    let after = after.strip_prefix('/').unwrap_or(after);
    if after.is_empty() {
        tokens.push(Token::Everything);
    } else if !tokens.ends_with(&[Token::Optional, Token::Directories]) {
        tokens.extend([Token::Optional, Token::Directories]);
    }
    after
}

/// A class whose bracket is already read, and what follows it.
fn class(rest: &str) -> Result<(Token, &str), GlobError> {
    let (negated, mut rest) = match rest.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !ranges.is_empty()) {
            return Ok((Token::Class { negated, ranges }, after));
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_char(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

fn class_char(rest: &str) -> Result<(char, &str), GlobError> {
    let mut chars = rest.chars();
    let char = match chars.next().ok_or(GlobError)? {
        '-' | ']' => return Err(GlobError),
        '\\' => chars.next().ok_or(GlobError)?,
        char => char,
    };
    // Something must follow, if only the bracket.
    if chars.as_str().is_empty() {
        return Err(GlobError);
    }
    Ok((char, chars.as_str()))
}

/// Whether a path is a pattern rather than a name.
#[must_use]
pub fn has_wildcards(path: &str) -> bool {
    first_wildcard(path).is_some()
}

fn first_wildcard(path: &str) -> Option<usize> {
    let mut chars = path.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '*' | '?' | '[' => return Some(at),
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    None
}

/// The directory at the beginning of a pattern that no wildcard is in, and the rest, in which there
/// is one or nothing: a walk for matches begins in that directory.
#[must_use]
pub fn split_wildcards(path: &str) -> (&str, &str) {
    let Some(at) = first_wildcard(path) else { return (path, "") };
    match path[..at].rfind('/') {
        Some(0) => ("/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => ("", path),
    }
}
