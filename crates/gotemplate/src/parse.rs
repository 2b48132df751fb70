//! Tokens to nodes.

use std::collections::BTreeMap;

use crate::ast::{Branch, Command, Kind, Node, Operand, Pipe};
use crate::lex::{Token, TokenKind, error_at};
use crate::text::unquote;
use gantry_gotext::quote;

use crate::{Functions, TemplateError};

/// How deep blocks and parentheses may nest: the parser and the executor recurse.
const MAX_DEPTH: usize = 100;

/// What one source text defines.
pub(crate) struct Parsed {
    pub(crate) main: Vec<Node>,
    pub(crate) defined: BTreeMap<String, Vec<Node>>,
}

type Result<T> = std::result::Result<T, TemplateError>;

/// Parses all tokens of `source`.
pub(crate) fn parse(source: &str, tokens: Vec<Token>, functions: Functions) -> Result<Parsed> {
    let mut parser = Parser {
        source,
        tokens,
        next: 0,
        functions,
        variables: vec!["$".into()],
        defined: BTreeMap::new(),
        depth: 0,
        loops: 0,
    };
    let (main, stop) = parser.list(true)?;
    match stop {
        Stop::Eof => Ok(Parsed { main, defined: parser.defined }),
        Stop::End => parser.error("unexpected {{end}}"),
        Stop::Else => parser.error("unexpected {{else}}"),
    }
}

/// What ended a list of nodes.
enum Stop {
    Eof,
    End,
    Else,
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    functions: Functions,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
    depth: usize,
    loops: usize,
}

impl Parser<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        let at = self.tokens[self.next.saturating_sub(1).min(self.tokens.len() - 1)].at;
        Err(error_at(self.source, at, message))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == TokenKind::Space {
            self.next += 1;
        }
    }

    fn take_solid(&mut self) -> Token {
        self.skip_space();
        self.take()
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        let what = match token.kind {
            TokenKind::End => "EOF".to_owned(),
            TokenKind::Word if is_keyword(&token.text) => format!("<{}>", token.text),
            _ if token.text.chars().count() > 10 => {
                format!("{}...", quote(&token.text.chars().take(10).collect::<String>()))
            }
            _ => quote(&token.text),
        };
        self.error(format!("unexpected {what} in {context}"))
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.error("max expression depth exceeded") } else { Ok(()) }
    }

    /// Reads nodes up to the end, `{{end}}` or `{{else`; the word itself is consumed.
    fn list(&mut self, top: bool) -> Result<(Vec<Node>, Stop)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let stop = loop {
            let token = self.take();
            match token.kind {
                TokenKind::Text => nodes.push(Node::Text(token.text)),
                TokenKind::End if top => break Stop::Eof,
                TokenKind::End => return self.error("unexpected EOF"),
                _ => {
                    self.skip_space();
                    match self.peek().text.as_str() {
                        "end" => {
                            self.next += 1;
                            self.close("end")?;
                            break Stop::End;
                        }
                        "else" => {
                            self.next += 1;
                            break Stop::Else;
                        }
                        _ => nodes.extend(self.action(top)?),
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, stop))
    }

    fn close(&mut self, context: &str) -> Result<()> {
        let token = self.take_solid();
        match token.kind {
            TokenKind::Close => Ok(()),
            _ => self.unexpected(&token, context),
        }
    }

    fn action(&mut self, top: bool) -> Result<Option<Node>> {
        let word = self.peek().clone();
        let known = word.kind == TokenKind::Word && is_keyword(&word.text);
        if !known {
            return Ok(Some(Node::Action(self.pipe("command", TokenKind::Close)?)));
        }
        self.next += 1;
        match word.text.as_str() {
            "if" => Ok(Some(Node::If(self.branch("if")?))),
            "with" => Ok(Some(Node::With(self.branch("with")?))),
            "range" => {
                self.loops += 1;
                let branch = self.branch("range");
                self.loops -= 1;
                Ok(Some(Node::Range(branch?)))
            }
            "break" | "continue" if self.loops == 0 => {
                self.error(format!("{{{{{}}}}} outside {{{{range}}}}", word.text))
            }
            "break" => self.close("{{break}}").map(|()| Some(Node::Break)),
            "continue" => self.close("{{continue}}").map(|()| Some(Node::Continue)),
            "template" => self.template().map(Some),
            "block" => self.block().map(Some),
            "define" if top => self.define().map(|()| None),
            _ => self.unexpected(&word, "command"),
        }
    }

    fn name(&mut self, context: &str) -> Result<String> {
        let token = self.take_solid();
        match token.kind {
            TokenKind::Str | TokenKind::RawStr => match unquote(&token.text) {
                Some(name) => Ok(name),
                None => self.error("invalid syntax"),
            },
            _ => self.unexpected(&token, context),
        }
    }

    fn template(&mut self) -> Result<Node> {
        let name = self.name("template clause")?;
        let at = self.tokens[self.next - 1].at;
        self.skip_space();
        let pipe = if self.peek().kind == TokenKind::Close {
            self.next += 1;
            None
        } else {
            Some(self.pipe("template clause", TokenKind::Close)?)
        };
        Ok(Node::Template { at, name, pipe })
    }

    fn block(&mut self) -> Result<Node> {
        let name = self.name("block clause")?;
        let at = self.tokens[self.next - 1].at;
        let pipe = self.pipe("block clause", TokenKind::Close)?;
        self.body_of(name.clone(), "block clause")?;
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }

    fn define(&mut self) -> Result<()> {
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.body_of(name, "define clause")
    }

    fn body_of(&mut self, name: String, context: &str) -> Result<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, stop) = self.list(false)?;
        if !matches!(stop, Stop::End) {
            return self.error(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.variables = outer;
        self.loops = loops;
        self.defined.insert(name, body);
        Ok(())
    }

    fn branch(&mut self, context: &str) -> Result<Branch> {
        let mark = self.variables.len();
        let pipe = self.pipe(context, TokenKind::Close)?;
        if context == "range" && pipe.variables.len() > 2 {
            return self.error("too many declarations in range");
        }
        let (body, stop) = self.list(false)?;
        let otherwise = if matches!(stop, Stop::Else) { self.otherwise(context)? } else { vec![] };
        self.variables.truncate(mark);
        Ok(Branch { pipe, body, otherwise })
    }

    /// Reads what stands behind `else`: a body, or another `if` or `with` in its place.
    fn otherwise(&mut self, context: &str) -> Result<Vec<Node>> {
        self.skip_space();
        let word = self.peek().text.clone();
        if matches!((context, word.as_str()), ("if", "if") | ("with", "with")) {
            self.next += 1;
            self.deeper()?;
            let branch = self.branch(context)?;
            self.depth -= 1;
            return Ok(vec![if context == "if" { Node::If(branch) } else { Node::With(branch) }]);
        }
        self.close("else")?;
        let (body, stop) = self.list(false)?;
        match stop {
            Stop::Else => self.error("expected end; found {{else}}"),
            _ => Ok(body),
        }
    }

    fn pipe(&mut self, context: &str, closer: TokenKind) -> Result<Pipe> {
        self.deeper()?;
        self.skip_space();
        let mut pipe =
            Pipe { at: self.peek().at, assigns: false, variables: vec![], commands: vec![] };
        self.declarations(&mut pipe, context)?;
        loop {
            self.skip_space();
            let token = self.peek().clone();
            if token.kind == closer {
                self.next += 1;
                break;
            }
            if matches!(token.kind, TokenKind::Close | TokenKind::RightParen | TokenKind::Pipe)
                || matches!(token.kind, TokenKind::Declare | TokenKind::Assign | TokenKind::Comma)
                || token.kind == TokenKind::End
            {
                self.next += 1;
                return self.unexpected(&token, context);
            }
            pipe.commands.push(self.command()?);
        }
        self.check(&pipe, context)?;
        self.depth -= 1;
        Ok(pipe)
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let callable = matches!(
                command.operands[0].kind,
                Kind::Function(_) | Kind::Field(_) | Kind::Variable(_) | Kind::Chain(..)
            );
            if !callable {
                return self
                    .error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(())
    }

    /// Reads `$x :=`, `$x =` or, in a range, `$i, $x :=`, if they are there.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            self.skip_space();
            if self.peek().kind != TokenKind::Variable {
                break;
            }
            names.push(self.take().text);
            self.skip_space();
            match self.peek().kind {
                TokenKind::Declare | TokenKind::Assign => {
                    pipe.assigns = self.take().kind == TokenKind::Assign;
                    for name in &names {
                        if pipe.assigns && !self.variables.contains(name) {
                            return self.error(format!("undefined variable {}", quote(name)));
                        }
                    }
                    if !pipe.assigns {
                        self.variables.extend(names.iter().cloned());
                    }
                    pipe.variables = names;
                    return Ok(());
                }
                TokenKind::Comma if context == "range" => {
                    self.next += 1;
                    if names.len() >= 2 {
                        return self.error("too many declarations in range");
                    }
                }
                TokenKind::Comma => {
                    return self.error(format!("too many declarations in {context}"));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        self.skip_space();
        let mut command = Command { at: self.peek().at, operands: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.take();
            match token.kind {
                TokenKind::Space => {}
                TokenKind::Close | TokenKind::RightParen => {
                    self.next -= 1;
                    break;
                }
                TokenKind::Pipe => {
                    self.skip_space();
                    if matches!(self.peek().kind, TokenKind::Close | TokenKind::RightParen) {
                        self.next += 1;
                        return self.error("missing value for command");
                    }
                    break;
                }
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if command.operands.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != TokenKind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == TokenKind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        let kind = match term.kind {
            Kind::Field(mut fields) => {
                fields.extend(names);
                Kind::Field(fields)
            }
            Kind::Variable(mut fields) => {
                fields.extend(names);
                Kind::Variable(fields)
            }
            Kind::Bool(_) | Kind::Str(..) | Kind::Int(..) | Kind::Float(..) | Kind::Nil => {
                return self.error(format!("unexpected . after term {}", quote(&term.to_string())));
            }
            _ => Kind::Chain(Box::new(term), names),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.take();
        let kind = match token.kind {
            TokenKind::Dot => Kind::Dot,
            TokenKind::Field => Kind::Field(vec![token.text[1..].to_owned()]),
            TokenKind::Variable => {
                if !self.variables.contains(&token.text) {
                    return self.error(format!("undefined variable {}", quote(&token.text)));
                }
                Kind::Variable(vec![token.text.clone()])
            }
            TokenKind::Word => match token.text.as_str() {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "nil" => Kind::Nil,
                name if is_keyword(name) => return self.unexpected(&token, "operand"),
                name if self.functions.contains(name) => Kind::Function(name.to_owned()),
                name => return self.error(format!("function {} not defined", quote(name))),
            },
            TokenKind::Number | TokenKind::Char => self.number(&token)?,
            TokenKind::Str | TokenKind::RawStr => match unquote(&token.text) {
                Some(text) => Kind::Str(token.text.clone(), text),
                None => return self.error("invalid syntax"),
            },
            TokenKind::LeftParen => {
                let pipe = self.pipe("parenthesized pipeline", TokenKind::RightParen)?;
                Kind::Pipe(Box::new(pipe))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, kind }))
    }

    fn number(&self, token: &Token) -> Result<Kind> {
        let text = token.text.clone();
        if token.kind == TokenKind::Char {
            let inner = text[1..text.len() - 1].replace("\\'", "'").replace('"', "\\\"");
            let value = unquote(&format!("\"{inner}\"")).unwrap_or_default();
            let mut chars = value.chars();
            return match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(Kind::Int(text, i128::from(u32::from(c)))),
                _ => self.error(format!("malformed character constant: {text}")),
            };
        }
        let plain = text.replace('_', "");
        let (sign, digits) = match plain.strip_prefix(['-', '+']) {
            Some(rest) => (if plain.starts_with('-') { -1 } else { 1 }, rest),
            None => (1, plain.as_str()),
        };
        let parsed = match digits.get(..2) {
            Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16),
            Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8),
            Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2),
            Some(_) if digits.starts_with('0') && !digits.contains(['.', 'e', 'E']) => {
                i64::from_str_radix(digits, 8)
            }
            _ => digits.parse::<i64>(),
        };
        if let Ok(value) = parsed {
            return Ok(Kind::Int(text, sign * i128::from(value)));
        }
        match plain.parse::<f64>() {
            Ok(value) => Ok(Kind::Float(text, value)),
            Err(_) => self.error(format!("bad number syntax: {}", quote(&text))),
        }
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "else"
            | "end"
            | "with"
            | "range"
            | "break"
            | "continue"
            | "template"
            | "block"
            | "define"
    )
}
