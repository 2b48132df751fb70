//! Source text to tokens.

use crate::TemplateError;
use gantry_gotext::quote;

/// One token and the byte where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) at: usize,
    pub(crate) kind: TokenKind,
    pub(crate) text: String,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Text,
    Open,
    Close,
    Space,
    Field,
    Variable,
    Word,
    Dot,
    Number,
    Char,
    Str,
    RawStr,
    Pipe,
    Declare,
    Assign,
    Comma,
    LeftParen,
    RightParen,
    End,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Makes the error for a place in the source.
pub(crate) fn error_at(source: &str, at: usize, message: impl Into<String>) -> TemplateError {
    let before = source.as_bytes().get(..at).unwrap_or(source.as_bytes());
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    TemplateError::Parse { line, message: message.into() }
}

/// Splits `source` into tokens; the last one is [`TokenKind::End`].
pub(crate) fn lex(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    let mut trim_next = false;
    loop {
        let rest = &source[lexer.at..];
        let Some(open) = rest.find(OPEN) else {
            lexer.text(lexer.at, source.len(), trim_next, false);
            lexer.push(source.len(), TokenKind::End, "");
            return Ok(lexer.tokens);
        };
        let start = lexer.at + open;
        let inside = &source[start + 2..];
        let trims = inside.starts_with('-') && inside[1..].starts_with(is_space);
        lexer.text(lexer.at, start, trim_next, trims);
        lexer.at = start + 2 + if trims { 2 } else { 0 };
        trim_next = if source[lexer.at..].starts_with("/*") {
            lexer.comment()?
        } else {
            lexer.push(start, TokenKind::Open, OPEN);
            lexer.action(start)?
        };
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn push(&mut self, at: usize, kind: TokenKind, text: &str) {
        self.tokens.push(Token { at, kind, text: text.to_owned() });
    }

    fn text(&mut self, from: usize, to: usize, trim_left: bool, trim_right: bool) {
        let mut text = &self.source[from..to];
        if trim_left {
            text = text.trim_start_matches(is_space);
        }
        if trim_right {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            let text = text.to_owned();
            self.push(from, TokenKind::Text, &text);
        }
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(error_at(self.source, at, message))
    }

    /// Skips a comment; tells whether the text behind it is to be trimmed.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let start = self.at;
        let Some(length) = self.source[start..].find("*/") else {
            return self.error(start, "unclosed comment");
        };
        self.at = start + length + 2;
        let rest = &self.source[self.at..];
        if rest.starts_with(CLOSE) {
            self.at += 2;
            return Ok(false);
        }
        if rest.starts_with(is_space) && rest[1..].starts_with("-}}") {
            self.at += 4;
            return Ok(true);
        }
        self.error(start, "comment ends before closing delimiter")
    }

    /// Reads the inside of one action; tells whether the text behind it is to be trimmed.
    fn action(&mut self, open: usize) -> Result<bool, TemplateError> {
        let mut parens = 0_usize;
        loop {
            let rest = &self.source[self.at..];
            let spaces = rest.len() - rest.trim_start_matches(is_space).len();
            let trims = spaces > 0 && rest[spaces..].starts_with("-}}");
            if trims || rest.starts_with(CLOSE) {
                if parens > 0 {
                    return self.error(self.at, "unclosed left paren");
                }
                let at = self.at;
                self.at += if trims { spaces + 3 } else { 2 };
                self.push(at, TokenKind::Close, CLOSE);
                return Ok(trims);
            }
            if spaces > 0 {
                self.push(self.at, TokenKind::Space, " ");
                self.at += spaces;
                continue;
            }
            let Some(first) = rest.chars().next() else {
                return self.error(open, "unclosed action");
            };
            parens = match first {
                '(' => parens + 1,
                ')' if parens == 0 => return self.error(self.at, "unexpected right paren"),
                ')' => parens - 1,
                _ => parens,
            };
            self.token(first)?;
        }
    }

    fn token(&mut self, first: char) -> Result<(), TemplateError> {
        let (at, rest) = (self.at, &self.source[self.at..]);
        let second = rest[first.len_utf8()..].chars().next();
        let (kind, length) = match first {
            '(' => (TokenKind::LeftParen, 1),
            ')' => (TokenKind::RightParen, 1),
            '|' => (TokenKind::Pipe, 1),
            ',' => (TokenKind::Comma, 1),
            '=' => (TokenKind::Assign, 1),
            ':' if second == Some('=') => (TokenKind::Declare, 2),
            ':' => return self.error(at, "expected :="),
            '"' => (TokenKind::Str, self.quoted('"', "unterminated quoted string")?),
            '\'' => (TokenKind::Char, self.quoted('\'', "unterminated character constant")?),
            '`' => match rest[1..].find('`') {
                Some(end) => (TokenKind::RawStr, end + 2),
                None => return self.error(at, "unterminated raw quoted string"),
            },
            '$' => (TokenKind::Variable, 1 + word_length(&rest[1..])),
            '.' if second.is_none_or(|c| !c.is_ascii_digit()) => match word_length(&rest[1..]) {
                0 => (TokenKind::Dot, 1),
                length => (TokenKind::Field, 1 + length),
            },
            '+' | '-' | '.' | '0'..='9' => (TokenKind::Number, number_length(rest)),
            c if is_word(c) => (TokenKind::Word, word_length(rest)),
            c => {
                return self.error(
                    at,
                    format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c)),
                );
            }
        };
        let text = rest[..length].to_owned();
        self.at += length;
        self.check_end(kind, &text)?;
        self.push(at, kind, &text);
        Ok(())
    }

    /// A word, field or number must not run into a character that cannot follow it.
    fn check_end(&self, kind: TokenKind, text: &str) -> Result<(), TemplateError> {
        let Some(next) = self.source[self.at..].chars().next() else { return Ok(()) };
        let ends = is_space(next)
            || matches!(next, '.' | ',' | '|' | ':' | ')' | '(')
            || self.source[self.at..].starts_with(CLOSE);
        match kind {
            TokenKind::Word | TokenKind::Field | TokenKind::Variable if !ends => {
                let message = format!("bad character U+{:04X} '{next}'", u32::from(next));
                self.error(self.at, message)
            }
            TokenKind::Number if is_word(next) => {
                self.error(self.at, format!("bad number syntax: {}", quote(text)))
            }
            _ => Ok(()),
        }
    }

    fn quoted(&self, quote: char, unterminated: &str) -> Result<usize, TemplateError> {
        let mut escaped = false;
        for (index, c) in self.source[self.at..].char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => return Ok(index + 1),
                _ => {}
            }
        }
        self.error(self.at, unterminated)
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

fn number_length(text: &str) -> usize {
    let mut previous = ' ';
    let hex = text.trim_start_matches(['+', '-']).starts_with("0x");
    for (index, c) in text.char_indices() {
        let sign =
            matches!(c, '+' | '-') && (index == 0 || (!hex && matches!(previous, 'e' | 'E')));
        let part = c.is_ascii_digit()
            || matches!(c, '.' | '_')
            || (hex && (c.is_ascii_hexdigit() || c == 'x'))
            || (!hex && matches!(c, 'e' | 'E' | 'o' | 'b') && index > 0);
        if !sign && !part {
            return index;
        }
        previous = c;
    }
    text.len()
}
