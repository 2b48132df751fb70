//! `gantry registry`: the command line of the registry.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use gantry_fault::chain;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Config, ConfigError, ServeError, Server};

/// Least number of threads that serve requests: a download from a cold disk holds one for a moment.
const WORKERS_MIN: usize = 4;
/// Most threads that hash and write.
const BLOCKING_THREADS: usize = 32;
/// Stack of a thread, in bytes.
const STACK_BYTES: usize = 512 << 10;
/// Where the registry of root is kept.
const SYSTEM_ROOT: &str = "/var/lib/gantry-registry";

/// Keep images for others to push and pull.
#[derive(Parser)]
#[command(name = "gantry registry", disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve an OCI registry until told to end
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Address to listen on [default: 127.0.0.1:5000]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Directory of the registry [default: /var/lib/gantry-registry, for others than root
    /// $XDG_DATA_HOME/gantry-registry]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Configuration, in TOML; options stand over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged: debug, info, warn or error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

/// Why the registry does not run.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("cannot read the configuration")]
    Config(#[from] ConfigError),
    #[error("no directory for the registry: give it one with --root")]
    NoRoot,
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs `gantry registry …`; `args` are what stands behind these words.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let program = std::iter::once(OsString::from("gantry registry"));
    let line = match Line::try_parse_from(program.chain(args)) {
        Ok(line) => line,
        Err(error) => {
            let code = if error.use_stderr() { 1 } else { 0 };
            // A closed output leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let Verb::Serve(options) = line.verb;
    log_to_stderr(&options.log_level);
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gantry registry: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(level: &str) {
    let filter = std::env::var("GANTRY_LOG").unwrap_or_else(|_| format!("{level},hyper=warn"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(rustix::termios::isatty(io::stderr()))
        .with_writer(io::stderr)
        .try_init();
    // Whoever calls this from a program of his own may have a log already.
    drop(started);
}

fn serve(options: Serve) -> Result<(), CommandError> {
    let config = configuration(options)?;
    raise_open_files();
    // A heap for each thread would keep buffers for each of them.
    gantry_sys::memory::share_one_heap();
    // One that is installed already is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(WORKERS_MIN))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(CommandError::Threads)?;
    let done = runtime.block_on(async {
        let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let [terminate, interrupt] = signals;
        let terminate = terminate.map_err(CommandError::Signals)?;
        let interrupt = interrupt.map_err(CommandError::Signals)?;
        let root = config.root.clone();
        let server = Server::bind(config).await?;
        tracing::info!(address = %server.address(), root = %root.display(), "registry listens");
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(terminate, interrupt, shutdown.clone()));
        server.run(shutdown).await;
        tracing::info!("registry ends");
        Ok(())
    });
    runtime.shutdown_background();
    done
}

async fn cancel_on_signal(
    mut terminate: Signal,
    mut interrupt: Signal,
    shutdown: CancellationToken,
) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
}

fn configuration(options: Serve) -> Result<Config, CommandError> {
    let mut config = match &options.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if let Some(listen) = options.listen {
        config.listen = listen;
    }
    if let Some(root) = options.root {
        config.root = root;
    }
    if config.root.as_os_str().is_empty() {
        config.root = default_root().ok_or(CommandError::NoRoot)?;
    }
    Ok(config)
}

fn default_root() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(SYSTEM_ROOT.into());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data.or(home).map(|data| data.join("gantry-registry"))
}

/// Lifts the limit of open files as far as it goes: each connection and each download holds one.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
