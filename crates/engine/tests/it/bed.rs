//! A daemon's parts in temporary directories.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gantry_api_types::container::ContainerCreateBody;
use gantry_api_types::host_config::HostConfig;
use gantry_engine::{
    AttachOptions, Container, CreateRequest, Engine, EngineConfig, Parts, RemoveOptions,
    WaitCondition,
};
use gantry_image::{Images, LayerFile};
use gantry_oci::{ContainerConfig, ImageConfig, Reference};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// Nothing here takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// The directories of one daemon; a second [`Bed::engine`] on them is that daemon's next start.
pub(crate) struct Bed {
    root: PathBuf,
    name: String,
}

/// Runs a test on a host of its own; passes over it loudly where it cannot run.
pub(crate) fn on_host<F: Future<Output = ()>>(test: impl FnOnce(Arc<Bed>) -> F + Send + 'static) {
    if !rustix::process::geteuid().is_root() || program("busybox").is_none() {
        eprintln!("SKIPPED: needs root and a static busybox");
        return;
    }
    let work = move || {
        gantry_sys::netns::unshare_network().unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        // All threads of a runtime come from this one, and so are in its namespace.
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_all().build().unwrap()
        };
        let root = tempfile::tempdir().unwrap();
        let bed = Arc::new(Bed::at(root.path().to_owned()));
        let first = runtime();
        let run = || first.block_on(async { timeout(LIMIT, test(Arc::clone(&bed))).await });
        let done = std::panic::catch_unwind(AssertUnwindSafe(run));
        // The engine of a test that failed ends with its tasks.
        first.shutdown_timeout(LIMIT);
        // A test that fails leaves nothing either.
        runtime().block_on(bed.clean());
        match done {
            Ok(done) => done.expect("the test takes too long"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    };
    if let Err(panic) = std::thread::spawn(work).join() {
        std::panic::resume_unwind(panic);
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/bin", "/usr/bin", "/usr/sbin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

fn shim() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(path) = std::env::var_os("GANTRY_SHIM_BINARY") {
                return path.into();
            }
            let status = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "gantry-shim"])
                .status()
                .unwrap();
            assert!(status.success(), "building the shim");
            let test = std::env::current_exe().unwrap();
            test.parent().and_then(Path::parent).unwrap().join("gantry-shim")
        })
        .clone()
}

impl Bed {
    /// A bed in a directory.
    pub(crate) fn at(root: PathBuf) -> Bed {
        let name = root.file_name().unwrap().to_string_lossy().replace('.', "");
        Bed { root, name }
    }

    /// Its directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A daemon on these directories.
    pub(crate) async fn engine(&self) -> Engine {
        let (data, exec) = (self.root.join("data"), self.root.join("exec"));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&exec).unwrap();
        // The engine before may let go of it a moment behind its shutdown.
        let begun = std::time::Instant::now();
        let store = loop {
            match gantry_store::Store::open(&data.join("store.db")) {
                Err(_) if begun.elapsed() < Duration::from_secs(5) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                opened => break opened.unwrap(),
            }
        };
        let content = gantry_content::Content::open(&data.join("content")).unwrap();
        let snapshots = gantry_snapshot::Snapshots::open(&data.join("snapshots")).unwrap();
        let quiet: gantry_image::OnEvent = Arc::new(|_| {});
        let images = Images::open(store.clone(), content, snapshots.clone(), quiet).unwrap();
        self.put_image(&images);
        let volumes = gantry_volume::Volumes::open(&data.join("volumes"), store.clone()).unwrap();
        let network = gantry_network::NetworkConfig::new("gtest0", data.join("network"));
        let networks = gantry_network::Networks::open(network, store.clone()).await.unwrap();
        let tasks = gantry_task::Tasks::open(gantry_task::TasksConfig {
            exec_root: exec.clone(),
            shim: shim(),
            runtimes: BTreeMap::new(),
        })
        .unwrap();
        let cgroups = gantry_cgroup::Host::detect().unwrap();
        let parts = Parts { store, images, snapshots, volumes, networks, tasks, cgroups };
        let mut config = EngineConfig::new(data, exec);
        config.cgroup_parent = format!("gantry-test-{}", self.name);
        config.init_binary = shim();
        Engine::recover(parts, config).await.unwrap()
    }

    fn put_image(&self, images: &Images) {
        let busybox = fs::read(program("busybox").unwrap()).unwrap();
        let text = |path: &str, text: &str| LayerFile {
            path: path.to_owned(),
            mode: 0o644,
            data: text.as_bytes().to_vec(),
        };
        let mut files = vec![
            text("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/web:/bin/sh\n"),
            text("etc/group", "root:x:0:\nweb:x:33:\ndisk:x:6:web\n"),
            text("seed/file", "from the image"),
        ];
        for path in ["bin/sh", "bin/busybox"] {
            files.push(LayerFile { path: path.into(), mode: 0o755, data: busybox.clone() });
        }
        files.push(text("bin/plain", "not executable"));
        let config = ImageConfig {
            architecture: "amd64".into(),
            os: "linux".into(),
            config: Some(ContainerConfig {
                env: vec!["FROM_IMAGE=1".into()],
                cmd: Some(vec!["/bin/sh".into()]),
                ..ContainerConfig::default()
            }),
            ..ImageConfig::default()
        };
        let reference: Reference = "box:1".parse().unwrap();
        images.put_single_layer(&reference, &config, &files).unwrap();
    }

    /// Removes what a failed test has left running.
    async fn clean(&self) {
        let tasks = self.root.join("exec/tasks");
        if fs::read_dir(&tasks).map_or(0, Iterator::count) == 0 {
            self.remove_groups();
            return;
        }
        // The failed test may still hold the store: its engine died with the test's future.
        if let Ok(engine) = timeout(LIMIT, self.engine()).await {
            for container in engine.containers() {
                let options = RemoveOptions { force: true, volumes: true };
                let _ = container.remove(options).await;
            }
            engine.shutdown().await;
        }
        self.remove_groups();
    }

    fn remove_groups(&self) {
        let host = gantry_cgroup::Host::detect().unwrap();
        let _ = host.open(&format!("/gantry-test-{}", self.name)).remove();
    }
}

/// A request for a shell script in the test's image.
pub(crate) fn script(text: &str, change: impl FnOnce(&mut ContainerCreateBody)) -> CreateRequest {
    let mut body =
        ContainerCreateBody { host_config: Some(HostConfig::default()), ..Default::default() };
    body.config.image = "box:1".into();
    body.config.cmd = Some(["/bin/sh", "-c", text].map(str::to_owned).to_vec());
    change(&mut body);
    CreateRequest { name: None, body, platform: None }
}

/// The host side of a request's body.
pub(crate) fn host(body: &mut ContainerCreateBody) -> &mut HostConfig {
    body.host_config.get_or_insert_default()
}

/// Makes a container.
pub(crate) async fn create(engine: &Engine, request: CreateRequest) -> Container {
    let made = engine.create(request).await.unwrap();
    engine.container(&made.id).unwrap()
}

/// Runs a container to its end; its code and what it wrote to both streams.
pub(crate) async fn run(engine: &Engine, request: CreateRequest) -> (i64, String) {
    let container = create(engine, request).await;
    let out = output(&container).await;
    let ended = container.wait(WaitCondition::NextExit);
    container.start().await.unwrap();
    let code = ended.await.status_code;
    (code, out.await.unwrap())
}

/// Collects what a container will write.
pub(crate) async fn output(container: &Container) -> tokio::task::JoinHandle<String> {
    let options =
        AttachOptions { stdout: true, stderr: true, stream: true, ..AttachOptions::default() };
    let mut stream = container.attach(options).await.unwrap().stream.unwrap();
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        frames(&bytes)
    })
}

/// The text in a stream's frames.
pub(crate) fn frames(mut bytes: &[u8]) -> String {
    let mut text = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(8) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        text.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    String::from_utf8_lossy(&text).into_owned()
}
