//! From arguments to a command, and from its result to an exit code.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gantry_client::{Client, ClientError, Options};

use crate::config::{Config, Endpoint, context_name, endpoint};
use crate::flags::{self, Flags, Parsed};
use crate::help;
use crate::output::{err, out};
use crate::plugin;
use crate::spec::{Arity, Command, Entry, GLOBAL, GROUPS, Group, TOP};

/// The docker command line that ours behaves as when it is called by that name.
pub(crate) const DOCKER_VERSION: &str = "28.2.2";
/// Exit code of a wrong command line, and of `run` when the engine refuses.
pub(crate) const USAGE_ERROR: u8 = 125;

/// How a command ended: its exit code, or what to say.
pub(crate) type Outcome = Result<u8, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to say; exit code 1.
    Text(String),
    /// `run` could not do its work: said with a hint at its help.
    Run { text: String, code: u8 },
    /// Everything has been said.
    Code(u8),
    /// The daemon's client failed.
    Client(ClientError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // Whoever read our output has gone; there is nobody to tell.
            std::io::ErrorKind::BrokenPipe => Self::Code(1),
            _ => Self::Text(crate::container::reason(&error)),
        }
    }
}

impl Failure {
    /// The words, for a command that goes on with its next argument.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Run { text, .. } => text.clone(),
            Self::Code(_) => String::new(),
            Self::Client(error) => error.to_string(),
        }
    }
}

/// What all commands share.
pub(crate) struct App<'a> {
    /// `docker` or `gantry`.
    pub(crate) program: String,
    pub(crate) config: Config,
    pub(crate) globals: Flags,
    start_daemon: &'a dyn Fn(&Path) -> Result<(), String>,
    client: OnceCell<Client>,
}

/// One command under way.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a App<'a>,
    pub(crate) command: &'static Command,
    /// As it was called, with the program: `docker container ls`.
    pub(crate) path: String,
    pub(crate) flags: Flags,
    pub(crate) args: Vec<String>,
}

impl Call<'_> {
    /// The daemon's client; the daemon answers and knows the flags that were given.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        let client = self.app.client().await?;
        for known in self.command.flags.iter().copied().flatten() {
            if let Some(since) = known.since
                && self.flags.is_given(known.long)
                && !client.speaks(since)
            {
                let version = client.version().unwrap_or("");
                err(format!(
                    "\"--{}\" requires API version {since}, but the Docker daemon API version is {version}\n",
                    known.long
                ));
                return Err(Failure::Code(1));
            }
        }
        Ok(client)
    }
}

impl App<'_> {
    /// Where the daemon is.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, Failure> {
        if self.globals.is_given("host") && !self.globals.text("context").is_empty() {
            return Err("conflicting options: cannot specify both --host and --context".into());
        }
        endpoint(&self.globals, &self.config, &self.program).map_err(cannot_resolve)
    }

    /// The name of the context in use.
    pub(crate) fn context(&self) -> String {
        context_name(&self.globals, &self.config)
    }

    fn connect(&self) -> Result<(Client, bool), Failure> {
        let endpoint = self.endpoint()?;
        let version = std::env::var("DOCKER_API_VERSION").ok().filter(|v| !v.is_empty());
        let client = Client::new(Options {
            host: endpoint.host,
            tls: endpoint.tls,
            api_version: version,
            headers: self.config.headers(),
            user_agent: format!("Gantry-Client/{} (linux)", env!("CARGO_PKG_VERSION")),
        })
        .map_err(|error| cannot_resolve(error.to_string()))?;
        Ok((client, endpoint.implicit))
    }

    /// A client that has not been tried: the daemon need not be there.
    pub(crate) fn untried_client(&self) -> Result<Client, Failure> {
        Ok(self.connect()?.0)
    }

    /// The client, once the daemon has answered.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let (client, implicit) = self.connect()?;
        if client.version().is_none() {
            match client.ping().await {
                Ok(_) => {}
                Err(error) if error.is_unreachable() && implicit => {
                    self.start(&client).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.client.get_or_init(|| client))
    }

    async fn start(&self, client: &Client) -> Result<(), Failure> {
        let socket = client.host().trim_start_matches("unix://");
        err(format!("{}: no daemon at {}, starting one\n", self.program, client.host()));
        (self.start_daemon)(Path::new(socket)).map_err(Failure::Text)?;
        client.ping().await?;
        Ok(())
    }
}

fn cannot_resolve(why: String) -> Failure {
    Failure::Text(format!("Failed to initialize: unable to resolve docker endpoint: {why}"))
}

/// Runs the command line.
pub(crate) fn main(args: Vec<OsString>, start: &dyn Fn(&Path) -> Result<(), String>) -> u8 {
    let mut args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
    let name = args.next().unwrap_or_default();
    let docker = Path::new(&name).file_name().is_some_and(|name| name == "docker");
    let program = if docker { "docker" } else { "gantry" };
    let args: Vec<String> = args.collect();
    let (globals, rest) = match flags::parse(&[GLOBAL], &args, false) {
        Ok(Parsed::Run(flags, rest)) => (flags, rest),
        Ok(Parsed::Help) => return say(help::top(program)),
        Err(why) => {
            err(format!(
                "{why}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information\n"
            ));
            return USAGE_ERROR;
        }
    };
    if globals.is_on("version") {
        return say(help::version_line(program));
    }
    let config = load_config(&globals);
    let app = App {
        program: program.to_owned(),
        config,
        globals,
        start_daemon: start,
        client: OnceCell::new(),
    };
    dispatch(&app, &rest, &args)
}

fn load_config(globals: &Flags) -> Config {
    let given = Some(globals.text("config")).filter(|path| !path.is_empty()).map(PathBuf::from);
    let env = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| "/root".into());
    let directory = given.or(env).unwrap_or_else(|| home.join(".docker"));
    Config::load(directory.clone()).unwrap_or_else(|warning| {
        err(format!("{warning}\n"));
        Config::empty(directory)
    })
}

/// Prints a text that is the whole answer.
fn say(text: String) -> u8 {
    u8::from(out(text).is_err())
}

/// Prints help that nobody asked for, where it does not mix with answers.
fn hint(text: &str) -> u8 {
    err(text);
    0
}

fn dispatch(app: &App<'_>, rest: &[String], all: &[String]) -> u8 {
    let program = app.program.as_str();
    let Some(first) = rest.first() else { return hint(&help::top(program)) };
    if first == "help" {
        return help_for(app, &rest[1..]);
    }
    if let Some(entry) = TOP.iter().find(|entry| entry.name == first) {
        return run(app, entry, &format!("{program} {first}"), &rest[1..]);
    }
    if let Some(group) = GROUPS.iter().find(|group| group.name == first) {
        return dispatch_group(app, group, &rest[1..]);
    }
    if let Some(path) = plugin::find(&app.config.directory, first) {
        err(format!("{}\n", plugin::become_it(&path, all)));
        return 1;
    }
    let hint = format!("Run '{program} --help' for more information");
    err(format!("{program}: unknown command: {program} {first}\n\n{hint}\n"));
    1
}

fn dispatch_group(app: &App<'_>, group: &'static Group, rest: &[String]) -> u8 {
    let path = format!("{} {}", app.program, group.name);
    match rest.first().map(String::as_str) {
        None => hint(&help::group(&app.program, group)),
        Some("--help" | "-h" | "help") => say(help::group(&app.program, group)),
        Some(flag) if flag.starts_with('-') => {
            let why = match flags::parse(&[], rest, false) {
                Err(why) => why,
                Ok(_) => format!("unknown flag: {flag}"),
            };
            err(format!("{why}\n\nUsage:  {path}\n\nRun '{path} --help' for more information\n"));
            USAGE_ERROR
        }
        Some(name) => match group.entries.iter().find(|entry| entry.name == name) {
            Some(entry) => run(app, entry, &format!("{path} {name}"), &rest[1..]),
            None => {
                err(format!(
                    "{}: unknown command: {path} {name}\n\nUsage:  {path}\n\nRun '{path} --help' for more information\n",
                    app.program
                ));
                1
            }
        },
    }
}

fn help_for(app: &App<'_>, names: &[String]) -> u8 {
    let program = app.program.as_str();
    let text = match names {
        [] => Some(help::top(program)),
        [name, rest @ ..] => {
            let group = GROUPS.iter().find(|group| group.name == name);
            let entry = TOP.iter().find(|entry| entry.name == name);
            match (group, rest, entry) {
                (Some(group), [], _) => Some(help::group(program, group)),
                (Some(group), [name, ..], _) => {
                    group.entries.iter().find(|entry| entry.name == name).map(|entry| {
                        help::command(
                            program,
                            &format!("{program} {} {name}", group.name),
                            entry.command,
                        )
                    })
                }
                (_, _, Some(entry)) => {
                    Some(help::command(program, &format!("{program} {name}"), entry.command))
                }
                _ => None,
            }
        }
    };
    match text {
        Some(text) => say(text),
        None => {
            err(format!("unknown help topic: {}\n", names.join(" ")));
            1
        }
    }
}

fn run(app: &App<'_>, entry: &'static Entry, path: &str, rest: &[String]) -> u8 {
    let command = entry.command;
    let usage = format!("Usage:  {path} {}", command.usage);
    let usage = usage.trim_end();
    let parsed = match command.raw && !rest.iter().any(|arg| arg == "--help")
        || entry.name == "__complete"
    {
        true => Ok(Parsed::Run(Flags::default(), rest.to_vec())),
        false => flags::parse(command.flags, rest, command.mixed),
    };
    let (flags, args) = match parsed {
        Ok(Parsed::Run(flags, args)) => (flags, args),
        Ok(Parsed::Help) => return say(help::command(&app.program, path, command)),
        Err(why) => {
            err(format!("{why}\n\n{usage}\n\nRun '{path} --help' for more information\n"));
            return USAGE_ERROR;
        }
    };
    if let Some((why, verb)) = wrong_arity(command.arity, args.len()) {
        let hint = format!("{verb} '{path} --help' for more information");
        err(format!("{}: '{path}' {why}\n\n{usage}\n\n{hint}\n", app.program));
        return 1;
    }
    let call = Call { app, command, path: path.to_owned(), flags, args };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            err(format!("starting the reactor: {error}\n"));
            return 1;
        }
    };
    let outcome = runtime.block_on((command.run)(&call));
    // A read of standard input may still be blocked on its thread; it dies with the process.
    runtime.shutdown_background();
    report(&call, outcome)
}

fn report(call: &Call<'_>, outcome: Outcome) -> u8 {
    match outcome {
        Ok(code) | Err(Failure::Code(code)) => code,
        Err(Failure::Run { text, code }) => {
            let (program, path) = (&call.app.program, &call.path);
            err(format!("{program}: {text}\n\nRun '{path} --help' for more information\n"));
            code
        }
        Err(Failure::Text(text)) => {
            err(format!("{text}\n"));
            1
        }
        Err(Failure::Client(error)) => {
            err(format!("{error}\n"));
            1
        }
    }
}

fn wrong_arity(arity: Arity, count: usize) -> Option<(String, &'static str)> {
    let arguments = |count: usize| format!("{count} argument{}", if count == 1 { "" } else { "s" });
    match arity {
        Arity::None if count > 0 => Some(("accepts no arguments".into(), "Run")),
        Arity::Exact(n) if count != n => Some((format!("requires {}", arguments(n)), "Run")),
        Arity::AtLeast(n) if count < n => {
            Some((format!("requires at least {}", arguments(n)), "See"))
        }
        Arity::AtMost(n) if count > n => {
            Some((format!("requires at most {}", arguments(n)), "Run"))
        }
        Arity::Between(low, high) if count < low || count > high => {
            Some((format!("requires at least {low} and at most {}", arguments(high)), "Run"))
        }
        _ => None,
    }
}

/// Answers a command whose feature comes later.
pub(crate) async fn not_implemented(call: &Call<'_>) -> Outcome {
    Err(Failure::Text(format!("'{}' is not implemented", call.path)))
}

/// Does something for every argument: prints what it answers, goes on after errors.
pub(crate) async fn for_each<F>(args: &[String], mut work: F) -> Outcome
where
    F: AsyncFnMut(&str) -> Result<String, Failure>,
{
    let mut code = 0;
    for arg in args {
        match work(arg).await {
            Ok(text) => out(text)?,
            Err(failure) => {
                err(format!("{}\n", failure.text()));
                code = 1;
            }
        }
    }
    Ok(code)
}
