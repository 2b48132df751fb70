//! Runs the nodes over a value.

use crate::ast::{Branch, Command, Kind, Node, Operand, Pipe};
use crate::funcs::call;
use crate::text::print;
use crate::value::{Method, Value};
use crate::{Template, TemplateError};
use gantry_gotext::quote;

/// How deep templates may call each other.
const MAX_DEPTH: usize = 300;

type Result<T> = std::result::Result<T, Failure>;

/// An error on its way up, or the error's text before its place is known.
enum Failure {
    Done(TemplateError),
    Break,
    Continue,
}

/// Executes the main template.
pub(crate) fn execute(
    template: &Template,
    dot: &Value,
    strict: bool,
) -> std::result::Result<String, TemplateError> {
    let mut state = State {
        template,
        strict,
        out: String::new(),
        variables: vec![("$".into(), dot.clone())],
        name: String::new(),
        depth: 0,
        at: (0, String::new()),
    };
    match state.nodes(&template.main, dot) {
        Ok(()) | Err(Failure::Break | Failure::Continue) => Ok(state.out),
        Err(Failure::Done(error)) => Err(error),
    }
}

struct State<'a> {
    template: &'a Template,
    strict: bool,
    out: String,
    variables: Vec<(String, Value)>,
    name: String,
    depth: usize,
    /// The node under evaluation: its place and its text, for errors.
    at: (usize, String),
}

impl State<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        let source = self.template.source.as_bytes();
        let before = &source[..self.at.0.min(source.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        let at = self.at.1.clone();
        Err(Failure::Done(TemplateError::Exec {
            name: self.name.clone(),
            line,
            column,
            at,
            message: message.into(),
        }))
    }

    fn set_at(&mut self, at: usize, text: &dyn std::fmt::Display) {
        self.at = (at, text.to_string());
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<()> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.out.push_str(&print(&value));
                    }
                }
                Node::If(branch) => self.choose(branch, dot, false)?,
                Node::With(branch) => self.choose(branch, dot, true)?,
                Node::Range(branch) => {
                    let mark = self.variables.len();
                    let done = self.range(branch, dot);
                    self.variables.truncate(mark);
                    done?;
                }
                Node::Template { at, name, pipe } => self.call(*at, name, pipe.as_ref(), dot)?,
                Node::Break => return Err(Failure::Break),
                Node::Continue => return Err(Failure::Continue),
            }
        }
        Ok(())
    }

    fn choose(&mut self, branch: &Branch, dot: &Value, with: bool) -> Result<()> {
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let done = match (value.is_true(), with) {
            (true, true) => self.nodes(&branch.body, &value),
            (true, false) => self.nodes(&branch.body, dot),
            (false, _) => self.nodes(&branch.otherwise, dot),
        };
        self.variables.truncate(mark);
        done
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<()> {
        let value = self.pipe(&Pipe { variables: vec![], ..branch.pipe.clone() }, dot)?;
        let pairs: Vec<(Value, Value)> = match value {
            Value::List(items) => {
                (0..).zip(items).map(|(index, item)| (Value::Int(index), item)).collect()
            }
            Value::Map(map) => {
                map.entries.into_iter().map(|(key, item)| (Value::Str(key), item)).collect()
            }
            Value::Int(count) => (0..count).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil | Value::Missing => Vec::new(),
            other => {
                self.set_at(branch.pipe.at, &branch.pipe);
                return self.fail(format!("range can't iterate over {}", print(&other)));
            }
        };
        if pairs.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, item) in pairs {
            let mark = self.variables.len();
            match branch.pipe.variables.as_slice() {
                [one] => self.bind(one, item.clone(), branch.pipe.assigns),
                [first, second] => {
                    self.bind(first, key, branch.pipe.assigns);
                    self.bind(second, item.clone(), branch.pipe.assigns);
                }
                _ => {}
            }
            let done = self.nodes(&branch.body, &item);
            self.variables.truncate(mark);
            match done {
                Ok(()) | Err(Failure::Continue) => {}
                Err(Failure::Break) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn bind(&mut self, name: &str, value: Value, assigns: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, slot)) if assigns => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn call(&mut self, at: usize, name: &str, pipe: Option<&Pipe>, dot: &Value) -> Result<()> {
        self.set_at(at, &format!("{{{{template {}}}}}", quote(name)));
        let template = self.template;
        let Some(body) = template.defined.get(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        if self.depth == MAX_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        let argument = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        let variables =
            std::mem::replace(&mut self.variables, vec![("$".into(), argument.clone())]);
        let outer = std::mem::replace(&mut self.name, name.to_owned());
        self.depth += 1;
        self.nodes(body, &argument)?;
        self.depth -= 1;
        self.variables = variables;
        self.name = outer;
        Ok(())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value> {
        self.set_at(pipe.at, pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            self.bind(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value> {
        let first = &command.operands[0];
        if let Kind::Function(name) = &first.kind {
            return self.function(name, command, dot, last);
        }
        if command.operands.len() > 1 || last.is_some() {
            self.set_at(first.at, first);
            if matches!(first.kind, Kind::Field(_) | Kind::Chain(..) | Kind::Variable(_))
                && let Value::Method(method) = self.operand(first, dot)?
            {
                return self.method(&method, command, dot, last);
            }
            return match &first.kind {
                Kind::Field(names) | Kind::Chain(_, names) => {
                    let value = self.operand(first, dot)?;
                    let field = names.last().cloned().unwrap_or_default();
                    self.fail(match value {
                        Value::Missing => "nil data; no entry for key".to_owned(),
                        _ => format!("{field} has arguments but cannot be invoked as function"),
                    })
                }
                _ => self.fail(format!("can't give argument to non-function {first}")),
            };
        }
        if matches!(first.kind, Kind::Nil) {
            self.set_at(first.at, first);
            return self.fail("nil is not a command");
        }
        match self.operand(first, dot)? {
            Value::Method(_) => {
                let name = first.to_string();
                let name = name.rsplit('.').next().unwrap_or_default().to_owned();
                self.fail(format!("wrong number of args for {name}: want 1 got 0"))
            }
            value => Ok(value),
        }
    }

    fn method(
        &mut self,
        method: &Method,
        command: &Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        let first = &command.operands[0];
        let mut arguments = Vec::new();
        for operand in &command.operands[1..] {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        match arguments.as_slice() {
            [Value::Str(argument)] => Ok(method.call(argument)),
            [other] => {
                let (at, text) = (first.at, first.to_string());
                self.set_at(at, &text);
                self.fail(format!(
                    "wrong type for value; expected string; got {}",
                    other.type_name()
                ))
            }
            _ => {
                let name = first.to_string();
                let name = name.rsplit('.').next().unwrap_or_default().to_owned();
                let count = arguments.len();
                self.fail(format!("wrong number of args for {name}: want 1 got {count}"))
            }
        }
    }

    fn function(
        &mut self,
        name: &str,
        command: &Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        let first = &command.operands[0];
        self.set_at(first.at, first);
        // `and` and `or` stop at the first operand that decides.
        if matches!(name, "and" | "or") {
            return self.logic(name == "or", command, dot, last);
        }
        let mut arguments = Vec::new();
        for operand in &command.operands[1..] {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        self.set_at(command.at, command);
        let count = arguments.len();
        if let Some(wrong) = self.template.functions.wrong_count(name, count) {
            self.set_at(first.at, first);
            return self.fail(wrong);
        }
        match call(name, self.template.functions, &arguments) {
            Ok(value) => Ok(value),
            Err(message) => self.fail(format!("error calling {name}: {message}")),
        }
    }

    fn logic(
        &mut self,
        until: bool,
        command: &Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        let mut value = None;
        for operand in &command.operands[1..] {
            let this = self.operand(operand, dot)?;
            if this.is_true() == until {
                return Ok(this);
            }
            value = Some(this);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => {
                let name = if until { "or" } else { "and" };
                self.fail(format!("wrong number of args for {name}: want at least 1 got 0"))
            }
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value> {
        self.set_at(operand.at, operand);
        match &operand.kind {
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => Ok(Value::Nil),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            Kind::Int(_, value) => Ok(Value::Int(*value)),
            Kind::Float(_, value) => Ok(Value::Float(*value)),
            Kind::Str(_, value) => Ok(Value::Str(value.clone())),
            Kind::Field(names) => self.fields(dot, names),
            Kind::Variable(names) => {
                let found = self.variables.iter().rev().find(|(name, _)| *name == names[0]);
                let value = found.map(|(_, value)| value.clone()).unwrap_or(Value::Missing);
                self.fields(&value, &names[1..])
            }
            Kind::Function(name) => {
                let name = name.clone();
                let alone = Command { at: operand.at, operands: vec![operand.clone()] };
                self.function(&name, &alone, dot, None)
            }
            Kind::Chain(inner, names) => {
                let value = match &inner.kind {
                    Kind::Pipe(pipe) => self.pipe(pipe, dot)?,
                    _ => self.operand(inner, dot)?,
                };
                self.set_at(operand.at, operand);
                self.fields(&value, names)
            }
            Kind::Pipe(pipe) => self.pipe(pipe, dot),
        }
    }

    fn fields(&self, value: &Value, names: &[String]) -> Result<Value> {
        let mut value = value;
        for name in names {
            value = match value {
                Value::Struct(inner) => match inner.get(name) {
                    Some(field) => field,
                    None => {
                        return self.fail(format!(
                            "can't evaluate field {name} in type {}",
                            inner.type_name
                        ));
                    }
                },
                Value::Map(map) => match map.entries.get(name) {
                    Some(entry) => entry,
                    None if self.strict => {
                        return self.fail(format!("map has no entry for key {}", quote(name)));
                    }
                    None => &Value::Missing,
                },
                // Without a value there are no fields either; strictly, that is an error.
                Value::Missing if !self.strict => &Value::Missing,
                Value::Missing => {
                    return self.fail(format!("nil pointer evaluating interface {{}}.{name}"));
                }
                Value::Nil => return self.fail(format!("nil pointer evaluating *{name}.{name}")),
                other => {
                    return self.fail(format!(
                        "can't evaluate field {name} in type {}",
                        other.type_name()
                    ));
                }
            };
        }
        Ok(value.clone())
    }
}
