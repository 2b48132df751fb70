//! Instructions to stages: names, flags and arguments are checked here.

mod files;
mod flags;
mod metadata;
mod run;
mod stage;

use crate::Span;
use crate::ast::{
    Arg, CommandLine, Dockerfile, GlobalArgs, Instruction, InstructionKind, Stage, Word, Written,
};
use crate::error::{ParseError, Problem};
use crate::lex::{Arguments, Keyword, Lexed, lex};
use crate::suggest::{Case, closest};

/// Reads a Dockerfile.
///
/// # Errors
/// The first thing that is wrong with it, and where. What depends on variables, such as mounts and
/// ports, shows only when they are known.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    let file = lex(text)?;
    let end = file.instructions.last().map(|last| last.written.span).unwrap_or_default();
    let mut global_args = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for lexed in file.instructions {
        let written = lexed.written.clone();
        match (parsed(lexed)?, stages.last_mut()) {
            (Parsed::Stage(from), _) => {
                stages.push(Stage { written, from, instructions: Vec::new() });
            }
            (Parsed::Kind(InstructionKind::Arg(args)), None) => {
                global_args.push(GlobalArgs { written, args });
            }
            (Parsed::Kind(_), None) => return Err(Problem::NoStageYet.at(written.head)),
            (Parsed::Kind(kind), Some(stage)) => {
                stage.instructions.push(Instruction { written, kind });
            }
        }
    }
    if stages.is_empty() {
        return Err(Problem::NoStages.at(end));
    }
    Ok(Dockerfile {
        escape: file.escape,
        directives: file.directives,
        global_args,
        stages,
        empty_continuations: file.empty_continuations,
    })
}

/// Reads an instruction that an image keeps for those that are built from it (`ONBUILD`). Its
/// escape character is the backslash, whatever that of the file was.
///
/// # Errors
/// As [`parse`]; and when it is several instructions, or one that no trigger may be. Places are
/// those in the trigger's text.
pub fn parse_trigger(text: &str) -> Result<Instruction, ParseError> {
    let mut instructions = lex(text)?.instructions.into_iter();
    let lexed = instructions.next().ok_or_else(|| Problem::NoInstructions.at(Span::START))?;
    let written = lexed.written.clone();
    if let Some(second) = instructions.next() {
        return Err(Problem::OnbuildSeveral.at(second.written.head));
    }
    metadata::check_trigger(&written.keyword).map_err(|problem| problem.at(written.head))?;
    match parsed(lexed)? {
        Parsed::Kind(kind) => Ok(Instruction { written, kind }),
        // `check_trigger` has refused it.
        Parsed::Stage(_) => Err(Problem::OnbuildTrigger("FROM".to_owned()).at(written.head)),
    }
}

enum Parsed {
    Stage(crate::ast::From),
    Kind(InstructionKind),
}

fn parsed(lexed: Lexed) -> Result<Parsed, ParseError> {
    let head = lexed.written.head;
    let line = head.first_line;
    let Some(keyword) = lexed.keyword else {
        let name = lexed.written.keyword;
        let hint = closest(&name, Keyword::ALL.map(Keyword::name), Case::Ignored);
        return Err(Problem::UnknownInstruction { name, hint }.at(head));
    };
    let request = Request { keyword, lexed };
    let parsed = match keyword {
        Keyword::From => stage::from(&request).map(Parsed::Stage),
        _ => kind(&request).map(Parsed::Kind),
    };
    parsed.map_err(|Wrong { problem, span }| ParseError {
        problem,
        span: span.unwrap_or(head),
        line,
    })
}

fn kind(request: &Request) -> Result<InstructionKind, Wrong> {
    use InstructionKind as Kind;
    Ok(match request.keyword {
        Keyword::Add => Kind::Add(files::add(request)?),
        Keyword::Arg => Kind::Arg(metadata::args(request)?),
        Keyword::Cmd => Kind::Cmd(request.command_line()?),
        Keyword::Copy => Kind::Copy(files::copy(request)?),
        Keyword::Entrypoint => Kind::Entrypoint(request.command_line()?),
        Keyword::Env => Kind::Env(metadata::pairs(request)?),
        Keyword::Expose => Kind::Expose(metadata::ports(request)?),
        Keyword::Healthcheck => Kind::Healthcheck(metadata::healthcheck(request)?),
        Keyword::Label => Kind::Label(metadata::pairs(request)?),
        Keyword::Maintainer => Kind::Maintainer(request.only_text()?.text),
        Keyword::Onbuild => Kind::Onbuild(metadata::onbuild(request)?),
        Keyword::Run => Kind::Run(run::run(request)?),
        Keyword::Shell => Kind::Shell(metadata::shell(request)?),
        // Flags of `STOPSIGNAL` and `ARG` are passed over, as BuildKit does.
        Keyword::Stopsignal => Kind::Stopsignal(request.text()?),
        Keyword::User => Kind::User(request.only_text()?),
        Keyword::Volume => Kind::Volume(metadata::volumes(request)?),
        Keyword::Workdir => Kind::Workdir(request.only_text()?),
        Keyword::From => return Err(Problem::FromArguments.into()),
    })
}

/// What is wrong, and in which part of the instruction if that is known.
struct Wrong {
    problem: Box<Problem>,
    span: Option<Span>,
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), span: None }
    }
}

impl Problem {
    /// Of this part of the instruction.
    fn of(self, span: Span) -> Wrong {
        Wrong { problem: Box::new(self), span: Some(span) }
    }
}

/// An instruction whose meaning is to be found.
struct Request {
    keyword: Keyword,
    lexed: Lexed,
}

impl Request {
    fn name(&self) -> &'static str {
        self.keyword.name()
    }

    fn written(&self) -> &Written {
        &self.lexed.written
    }

    /// The one argument.
    fn text(&self) -> Result<Word, Wrong> {
        match &self.lexed.arguments {
            Arguments::Text(word) => Ok(word.clone()),
            _ => Err(Problem::ExactlyOneArgument(self.name()).into()),
        }
    }

    /// The one argument of an instruction that has no flags.
    fn only_text(&self) -> Result<Word, Wrong> {
        let text = self.text()?;
        flags::none(self)?;
        Ok(text)
    }

    /// Words, in JSON or not; none if there are no arguments.
    fn words(&self) -> Vec<Word> {
        match &self.lexed.arguments {
            Arguments::Words(words) => words.clone(),
            Arguments::Json(strings, whole) => {
                let word = |text: &String| Word { text: text.clone(), span: whole.span };
                strings.iter().map(word).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The command of an instruction that has no flags.
    fn command_line(&self) -> Result<CommandLine, Wrong> {
        flags::none(self)?;
        Ok(self.command())
    }

    /// A command. Without arguments it is an empty line for the shell.
    fn command(&self) -> CommandLine {
        match &self.lexed.arguments {
            Arguments::Json(strings, _) => CommandLine::Exec(strings.clone()),
            Arguments::Text(word) => CommandLine::Shell(word.text.clone()),
            _ => CommandLine::Shell(String::new()),
        }
    }
}

/// What a comment directly above says of a stage or an argument: `# name what it is for`.
fn description(comments: &[String], name: &str) -> String {
    let said = comments.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    said.unwrap_or_default().to_owned()
}

impl Stage {
    /// What a comment directly above says of it: `# name what it is for`.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.from.name {
            Some(name) => description(&self.written.comments, &name.name),
            None => String::new(),
        }
    }
}

fn arg(word: &Word, comments: &[String]) -> Result<Arg, Wrong> {
    let (name, default) = match word.text.split_once('=') {
        Some(("", _)) => return Err(Problem::BlankName("ARG").of(word.span)),
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (word.text.as_str(), None),
    };
    let description = description(comments, name);
    Ok(Arg { name: name.to_owned(), default, description, span: word.span })
}
