//! One word, character by character.

use super::pattern::{self, End, Reach};
use super::{Environment, ExpandProblem, Names};

/// Substitutions within substitutions: far more than anybody writes, and far less than the stack
/// holds.
const MAX_DEPTH: usize = 64;

/// How much longer than itself a word may become, bytes: more than any variable that Linux lets a
/// process have (128 KiB).
const MAX_GROWTH_BYTES: usize = 1 << 20;

/// How a word is read.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The escape character.
    pub(crate) escape: char,
    /// Quotes stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escape characters stay in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes are characters like others.
    pub(crate) skip_quotes: bool,
    /// Variables that are not set stay as written.
    pub(crate) keep_unset: bool,
}

/// A word, expanded.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    /// As one word.
    pub(crate) text: String,
    /// Split at spaces that are not quoted.
    pub(crate) words: Vec<String>,
}

impl Rules {
    pub(crate) fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            keep_unset: false,
        }
    }
}

/// Expands a word.
pub(crate) fn expand(
    word: &str,
    rules: &Rules,
    environment: &dyn Environment,
    names: &mut Names,
) -> Result<Expansion, ExpandProblem> {
    let raw_escapes = rules.raw_escapes;
    let limit = word.len() + MAX_GROWTH_BYTES;
    let mut reader = Reader { rest: word, rules, environment, names, raw_escapes, depth: 0, limit };
    reader.until(None)
}

struct Reader<'a> {
    rest: &'a str,
    rules: &'a Rules,
    environment: &'a dyn Environment,
    names: &'a mut Names,
    raw_escapes: bool,
    depth: usize,
    limit: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    /// Adds a value to a text.
    fn grow(&self, text: &mut String, value: &str) -> Result<(), ExpandProblem> {
        if text.len() + value.len() > self.limit {
            return Err(ExpandProblem::Length(self.limit));
        }
        text.push_str(value);
        Ok(())
    }

    /// Reads up to a character that is neither quoted nor escaped, or to the end. When the
    /// character does not come, the problem is [`ExpandProblem::Brace`] or `Slash`.
    fn until(&mut self, stop: Option<char>) -> Result<Expansion, ExpandProblem> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(char) = self.peek() {
            match char {
                _ if Some(char) == stop => {
                    self.next();
                    return Ok(Expansion { text, words: words.finish() });
                }
                '\'' | '"' if !self.rules.skip_quotes => {
                    let part = if char == '"' { self.double()? } else { self.single()? };
                    self.grow(&mut text, &part)?;
                    words.push_quoted(&part);
                }
                '$' => {
                    let value = self.dollar()?;
                    self.grow(&mut text, &value)?;
                    words.push(&value);
                }
                _ if char == self.rules.escape => {
                    self.next();
                    let mut kept = String::new();
                    if self.raw_escapes {
                        kept.push(char);
                    }
                    kept.extend(self.next());
                    words.push_quoted(&kept);
                    text.push_str(&kept);
                }
                _ => {
                    self.next();
                    words.push_char(char);
                    text.push(char);
                }
            }
        }
        match stop {
            None => Ok(Expansion { text, words: words.finish() }),
            Some('/') => Err(ExpandProblem::Slash),
            Some(_) => Err(ExpandProblem::Brace),
        }
    }

    /// As [`Reader::until`], within a substitution: escapes are kept for patterns, which read them
    /// themselves.
    fn operand(&mut self, stop: char, raw_escapes: bool) -> Result<String, ExpandProblem> {
        if self.depth == MAX_DEPTH {
            return Err(ExpandProblem::Depth(MAX_DEPTH));
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let operand = self.until(Some(stop));
        self.raw_escapes = before;
        self.depth -= 1;
        Ok(operand?.text)
    }

    fn single(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        let end = self.rest.find('\'').ok_or(ExpandProblem::SingleQuote)?;
        let inner = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(if self.rules.raw_quotes { format!("'{inner}'") } else { inner.to_owned() })
    }

    fn double(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        let mut text = String::new();
        if self.rules.raw_quotes {
            text.push('"');
        }
        loop {
            match self.peek().ok_or(ExpandProblem::DoubleQuote)? {
                '"' => break,
                '$' => {
                    let value = self.dollar()?;
                    self.grow(&mut text, &value)?;
                }
                char => {
                    self.next();
                    if char == self.rules.escape {
                        text.push_str(&self.escaped_in_quotes(char));
                    } else {
                        text.push(char);
                    }
                }
            }
        }
        self.next();
        if self.rules.raw_quotes {
            text.push('"');
        }
        Ok(text)
    }

    /// In double quotes only `"`, `$` and the escape character itself are escaped; before anything
    /// else it is a character like others, which where escapes are kept is written escaped.
    fn escaped_in_quotes(&mut self, escape: char) -> String {
        let mut text = String::new();
        if self.raw_escapes {
            text.push(escape);
        }
        match self.peek() {
            None => return text,
            Some(char) if char == '"' || char == '$' || char == escape => {
                self.next();
                text.push(char);
            }
            Some(_) => text.push(escape),
        }
        text
    }

    fn dollar(&mut self) -> Result<String, ExpandProblem> {
        self.next();
        if self.eat('{') {
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.get(&name) {
            Some(value) => value.to_owned(),
            None if self.rules.keep_unset => format!("${name}"),
            None => String::new(),
        })
    }

    fn braces(&mut self) -> Result<String, ExpandProblem> {
        match self.peek() {
            None => return Err(ExpandProblem::Brace),
            Some('{' | '}' | ':') => return Err(ExpandProblem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next().ok_or(ExpandProblem::Brace)? {
            '}' => Ok(match self.get(&name) {
                Some(value) => value.to_owned(),
                None if self.rules.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            ':' => {
                let form = self.next().ok_or(ExpandProblem::Brace)?;
                match form {
                    '-' | '+' | '?' => self.default(&name, form, true),
                    _ => Err(ExpandProblem::Modifier(format!(":{form}"))),
                }
            }
            form @ ('-' | '+' | '?') => self.default(&name, form, false),
            '#' => self.trimmed(&name, '#', End::Start),
            '%' => self.trimmed(&name, '%', End::End),
            '/' => self.replaced(&name),
            other => Err(ExpandProblem::Modifier(other.to_string())),
        }
    }

    /// `${name-word}` and its like; with a colon, a variable without a value counts as not set.
    fn default(&mut self, name: &str, form: char, colon: bool) -> Result<String, ExpandProblem> {
        let word = self.operand('}', false)?;
        let value = self.get(name);
        if value.is_none() && self.rules.keep_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{form}{word}}}"));
        }
        let set = value.is_some();
        let usable = value.filter(|value| !(colon && value.is_empty()));
        match (form, usable) {
            ('+', None) => Ok(String::new()),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('?', None) => {
                let why = if set { "empty" } else { "unset" };
                let message =
                    if word.is_empty() { format!("is not allowed to be {why}") } else { word };
                Err(ExpandProblem::Required { name: name.to_owned(), message })
            }
            (_, Some(value)) => Ok(value.to_owned()),
            (other, None) => Err(ExpandProblem::Modifier(other.to_string())),
        }
    }

    /// `${name#pattern}` and its like.
    fn trimmed(&mut self, name: &str, form: char, end: End) -> Result<String, ExpandProblem> {
        let word = self.operand('}', true)?;
        let value = match self.get(name) {
            Some(value) => value,
            None if self.rules.keep_unset => return Ok(format!("${{{name}{form}{word}}}")),
            None => "",
        };
        let (pattern, reach) = match word.strip_prefix(form) {
            Some(pattern) => (pattern, Reach::Longest),
            None => (word.as_str(), Reach::Shortest),
        };
        pattern::trim(value, pattern, end, reach)
    }

    /// `${name/pattern/replacement}` and `${name//pattern/replacement}`.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandProblem> {
        let all = self.eat('/');
        let pattern = self.operand('/', true)?;
        let replacement = self.operand('}', true)?;
        let value = match self.get(name) {
            Some(value) => value,
            None if self.rules.keep_unset => {
                let slashes = if all { "//" } else { "/" };
                return Ok(format!("${{{name}{slashes}{pattern}/{replacement}}}"));
            }
            None => "",
        };
        pattern::replace(value, &pattern, &replacement, pattern::Extent { all, limit: self.limit })
    }

    /// A name: letters, digits and `_`; or digits alone; or one of the shell's special ones.
    fn name(&mut self) -> String {
        let rest = self.rest;
        let length = match self.peek() {
            Some(char) if char.is_numeric() => {
                rest.find(|char: char| !char.is_numeric()).unwrap_or(rest.len())
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest
                .find(|char: char| !(char.is_alphanumeric() || char == '_'))
                .unwrap_or(rest.len()),
        };
        self.rest = &rest[length..];
        rest[..length].to_owned()
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.environment.get(name);
        let names = if value.is_some() { &mut self.names.used } else { &mut self.names.undefined };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        value
    }
}

/// Words that grow as the text is read. A word without a character is none, even if quoted.
#[derive(Debug, Default)]
struct Words {
    done: Vec<String>,
    open: String,
}

impl Words {
    fn push_char(&mut self, char: char) {
        if char.is_whitespace() {
            self.close();
        } else {
            self.open.push(char);
        }
    }

    fn push(&mut self, text: &str) {
        for char in text.chars() {
            self.push_char(char);
        }
    }

    fn push_quoted(&mut self, text: &str) {
        self.open.push_str(text);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.close();
        self.done
    }
}
