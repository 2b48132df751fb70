//! The daemon's composition root: nothing else makes services.
//!
//! It reads as the floor plan: options, roots, then the mechanisms, the services upon them, the
//! engine, and last the door. Containers do not notice when it ends.

mod hello;
mod launch;
mod listen;
mod options;
mod pidfile;
mod quiet;
mod registry_image;
mod settings;
mod steps;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use gantry_api::{Api, Builds};
use gantry_api_types::ApiVersion;
use gantry_build::Builder;
use gantry_build::cache::Cache;
use gantry_build::frontend::DockerfileFrontend;
use gantry_content::Content;
use gantry_distribution::Proxies;
use gantry_engine::{Engine, Parts};
use gantry_image::Images;
use gantry_image::transfer::Transfers;
use gantry_network::Networks;
use gantry_policy::Gate;
use gantry_snapshot::Snapshots;
use gantry_store::Store;
use gantry_task::{Tasks, TasksConfig};
use gantry_volume::Volumes;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::format::FmtSpan;

pub(crate) use launch::start_in_background;
use listen::Listener;
use options::{Options, OptionsError};
use pidfile::PidFile;
use settings::Settings;
use steps::Steps;

/// Threads that serve requests: the work is system calls, so few are enough.
const WORKERS: usize = 2;
/// Which images may come, unless an option names another file.
const IMAGE_POLICY: &str = "/etc/gantry/policy.json";
/// Most threads for blocking work such as unpacking and mounts.
const BLOCKING_THREADS: usize = 64;

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
enum DaemonError {
    #[error("the daemon needs to be started with root privileges")]
    NotRoot,
    #[error("cannot make directory {0}")]
    Directory(String, #[source] io::Error),
    #[error("cannot write the shim")]
    Shim(#[source] io::Error),
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    PidFile(#[from] pidfile::PidFileError),
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    #[error("cannot use the host's control groups")]
    Cgroups(#[from] gantry_cgroup::CgroupError),
    #[error("cannot open the store")]
    Store(#[from] gantry_store::StoreError),
    #[error("cannot open the content store")]
    Content(#[from] gantry_content::ContentError),
    #[error("cannot open the snapshots")]
    Snapshots(#[from] gantry_snapshot::SnapshotError),
    #[error("cannot use the settings of registries")]
    Registries(#[from] gantry_distribution::DistributionError),
    #[error(transparent)]
    Policy(#[from] gantry_policy::PolicyError),
    #[error("cannot open the images")]
    Images(#[from] gantry_image::ImageError),
    #[error("cannot open the build cache")]
    Builder(#[source] io::Error),
    #[error("cannot open the volumes")]
    Volumes(#[from] gantry_volume::VolumeError),
    #[error("cannot set up the default network")]
    Network(#[from] gantry_network::NetworkError),
    #[error("cannot open the tasks")]
    Tasks(#[from] gantry_task::TaskError),
    #[error("cannot take up where the last daemon ended")]
    Recover(#[from] gantry_engine::RecoverError),
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
}

/// Runs `gantry daemon` (or `dockerd`) until it is told to end.
pub(crate) fn main(program: &'static str, args: &[OsString], as_dockerd: bool) -> ExitCode {
    let options = match Options::read(program, args) {
        Ok(options) => options,
        Err(OptionsError::Usage(error)) => {
            let code = if error.use_stderr() { 1 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
        Err(error) => return fail(&error),
    };
    if options.switch("version", false) {
        let _ = writeln!(io::stdout(), "{}", crate::version::line(program));
        return ExitCode::SUCCESS;
    }
    let settings = match Settings::from_options(&options, as_dockerd) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    log_to_stderr(&options);
    for (name, why) in options.accepted() {
        tracing::warn!("option {name} is accepted but does nothing yet: {why}");
    }
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "failed to start daemon: {}", gantry_fault::chain(error));
    ExitCode::FAILURE
}

fn log_to_stderr(options: &Options) {
    let level = match (options.switch("debug", false), options.text("log-level")) {
        (true, _) | (false, Some("debug")) => "debug",
        (false, Some("warn")) => "warn",
        (false, Some("error" | "fatal")) => "error",
        _ => "info",
    };
    let filter = std::env::var("GANTRY_LOG").unwrap_or_else(|_| format!("{level},hyper=warn"));
    let colour = !options.switch("raw-logs", false) && rustix::termios::isatty(io::stderr());
    // How long each step took is told only to whoever looks for it: spans close at every request.
    let spans = match filter.contains("debug") || filter.contains("trace") {
        true => FmtSpan::CLOSE,
        false => FmtSpan::NONE,
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(colour)
        .with_writer(io::stderr)
        .with_span_events(spans)
        .init();
}

fn run(settings: Settings) -> Result<(), DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Err(DaemonError::NotRoot);
    }
    // What this process was started with is not for shims, which outlive it: a lock that whoever
    // started it holds would be held by every container.
    if let Err(error) = gantry_sys::descriptors::close_on_exec_from(3) {
        tracing::warn!(%error, "shims inherit descriptors");
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    gantry_sys::memory::share_one_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(DaemonError::Threads)?;
    let done = runtime.block_on(serve(settings));
    // Blocking work that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    done
}

async fn serve(settings: Settings) -> Result<(), DaemonError> {
    warn_of_old_kernel();
    raise_open_files();
    // Others may pass through to volumes and sockets, but list nothing.
    make_directory(&settings.data_root, 0o711)?;
    make_directory(&settings.exec_root, 0o711)?;
    let gate = match &settings.image_policy {
        Some(path) => Gate::by_file(path, true)?,
        None => Gate::by_file(Path::new(IMAGE_POLICY), false)?,
    };
    let _pidfile = PidFile::write(&settings.pidfile)?;
    let mut listeners = Vec::new();
    for host in &settings.hosts {
        listeners.extend(Listener::bind(host, &settings.tls, settings.group.as_deref()).await?);
    }
    let hosts = settings.hosts.join(", ");
    let Services { parts, content, cache, image_events } =
        services(&settings, gate.clone()).await?;
    let images = parts.images.clone();
    let proxies = settings.registries.proxies.clone();
    let registries = gantry_distribution::Client::new(settings.registries)?;
    let transfers = Transfers::new(images.clone(), registries, settings.transfers)
        .with_built_in(registry_image::NAME, registry_image::put);
    let mut engine_config = settings.engine;
    engine_config.init_binary = crate::embedded_shim::install_init(&settings.data_root.join("bin"))
        .map_err(DaemonError::Shim)?;
    let engine = Engine::recover(parts, engine_config).await?;
    let _ = image_events.set(engine.clone());
    let builder = builder(&engine, content, cache, (transfers.clone(), proxies))
        .map_err(DaemonError::Builder)?;
    gantry_sys::memory::let_go_of_constants(crate::embedded_shim::SHIM);
    tokio::spawn(quiet::give_back());
    let api = Api {
        engine: engine.clone(),
        images,
        transfers,
        builds: Builds::new(builder),
        version: crate::version::server(),
        min_version: ApiVersion::MIN,
        host_names: vec![engine.config().name.clone()],
    };
    tracing::info!("gantry {} listens on {hosts}", crate::version::VERSION);
    accept_until_told(&listeners, api, &gate).await?;
    tracing::info!("ending; containers run on");
    engine.shutdown().await;
    for listener in &listeners {
        listener.unlink();
    }
    Ok(())
}

/// What there is before there is an engine.
struct Services {
    parts: Parts,
    content: Content,
    cache: Cache,
    /// Where images tell what happens to them, when there is one to publish it.
    image_events: Arc<OnceLock<Engine>>,
}

/// Makes the mechanisms and services below the engine.
async fn services(settings: &Settings, gate: Gate) -> Result<Services, DaemonError> {
    let root = &settings.data_root;
    let shim =
        crate::embedded_shim::install(&settings.exec_root, root).map_err(DaemonError::Shim)?;
    let cgroups = gantry_cgroup::Host::detect()?;
    if settings.favor_dynamic_cgroups {
        favor_dynamic_cgroups(&cgroups);
    }
    let store = Store::open(&root.join("gantry.db"))?;
    let content = Content::open(&root.join("content"))?;
    let snapshots = Snapshots::open(&root.join("snapshots"))?;
    // Images tell what happens to them before there is an engine to publish it.
    let engine: Arc<OnceLock<Engine>> = Arc::default();
    let publish = {
        let engine = engine.clone();
        Arc::new(move |event: gantry_image::ImageEvent| {
            if let Some(engine) = engine.get() {
                engine.events().publish_image(event);
            }
        })
    };
    let cache = Cache::open(store.clone())?;
    let images = Images::open_keeping(
        store.clone(),
        content.clone(),
        snapshots.clone(),
        publish,
        vec![cache.keeper()],
        gate,
    )?;
    hello::put(&images)?;
    let volumes = Volumes::open(&root.join("volumes"), store.clone())?;
    let networks = Networks::open(settings.network.clone(), store.clone()).await?;
    let tasks = Tasks::open(TasksConfig {
        exec_root: settings.exec_root.clone(),
        shim,
        runtimes: settings.runtimes.clone(),
    })?;
    let parts = Parts { store, images, snapshots, volumes, networks, tasks, cgroups };
    Ok(Services { parts, content, cache, image_events: engine })
}

/// Makes the builder, whose steps the engine runs.
fn builder(
    engine: &Engine,
    content: Content,
    cache: Cache,
    (transfers, proxies): (Transfers, Proxies),
) -> io::Result<Builder> {
    let (parts, config) = (engine.parts(), engine.config());
    Builder::open(gantry_build::Parts {
        directory: config.data_root.join("build"),
        scratch: config.exec_root.join("build"),
        store: parts.store.clone(),
        content,
        snapshots: parts.snapshots.clone(),
        images: parts.images.clone(),
        transfers,
        proxies,
        cache,
        executor: Arc::new(Steps(engine.clone())),
        frontend: Arc::new(DockerfileFrontend),
        options: gantry_build::Options::default(),
    })
}

/// Asks the kernel for fast moves between control groups; held for the daemon's life.
fn favor_dynamic_cgroups(cgroups: &gantry_cgroup::Host) {
    static HELD: OnceLock<gantry_cgroup::DynamicMoves> = OnceLock::new();
    match gantry_cgroup::favor_dynamic_moves(cgroups) {
        Ok(moves) => drop(HELD.set(moves)),
        Err(error) => {
            let needed = gantry_sys::kernel::Version(6, 0).needed();
            tracing::info!("control group attaches stay slow: {error}{needed}");
        }
    }
}

fn warn_of_old_kernel() {
    use gantry_sys::kernel::{OLDEST, Version};
    let running = Version::running();
    if running < OLDEST {
        tracing::warn!("this is Linux {running}: Gantry needs {OLDEST} or newer, expect failures");
    }
}

/// Lifts the limit of open files as far as it goes: each published port holds one.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Accepts connections until a signal says to end; one that asks for a reload reads the image policy.
async fn accept_until_told(
    listeners: &[Listener],
    api: Api,
    gate: &Gate,
) -> Result<(), DaemonError> {
    let told = CancellationToken::new();
    let router = gantry_api::router(api);
    let accepting = listeners.iter().map(|listener| {
        // Browsers reach TCP alone.
        let router = match listener {
            Listener::Unix { .. } => router.clone(),
            Listener::Tcp { .. } => router.clone().over_network(),
        };
        let told = told.clone();
        async move {
            loop {
                let accepted = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: the next try may find some.
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                };
                let (router, told) = (router.clone(), told.clone());
                tokio::spawn(async move {
                    match accepted.finish().await {
                        Ok(connection) => {
                            gantry_api::serve_connection(connection, router, told).await
                        }
                        Err(error) => tracing::debug!("TLS handshake: {error}"),
                    }
                });
            }
        }
    });
    let accepting = futures_util::future::join_all(accepting);
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    tokio::pin!(accepting);
    loop {
        tokio::select! {
            _ = &mut accepting => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                gate.reload();
                tracing::info!("a reload of the rest of the configuration is not implemented");
            }
        }
    }
    told.cancel();
    Ok(())
}

fn make_directory(path: &Path, mode: u32) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::Directory(path.display().to_string(), error);
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
}
