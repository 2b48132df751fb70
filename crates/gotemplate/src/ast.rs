//! The parsed form of a template.

/// One piece of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// `if`, `with` and `range`: a condition and two bodies.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands joined by `|`, perhaps with variables to the left.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// `=` instead of `:=`.
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// Operands side by side: a function with its arguments, or one value.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) operands: Vec<Operand>,
}

/// One operand and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Dot,
    Nil,
    Bool(bool),
    Int(String, i128),
    Float(String, f64),
    /// Source text with its quotes, and what it means.
    Str(String, String),
    Field(Vec<String>),
    /// The variable, then fields of it.
    Variable(Vec<String>),
    Function(String),
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl std::fmt::Display for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            operand.fmt(f)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Operand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Dot => f.write_str("."),
            Kind::Nil => f.write_str("nil"),
            Kind::Bool(value) => value.fmt(f),
            Kind::Int(text, _) | Kind::Float(text, _) | Kind::Str(text, _) => f.write_str(text),
            Kind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Kind::Variable(names) => f.write_str(&names.join(".")),
            Kind::Function(name) => f.write_str(name),
            Kind::Chain(inner, names) => {
                match inner.kind {
                    Kind::Pipe(_) => write!(f, "{inner}")?,
                    _ => inner.fmt(f)?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Kind::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}
