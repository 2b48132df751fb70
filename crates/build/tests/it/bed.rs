//! A builder in temporary directories, with a frontend that plans what it is told, a client in
//! memory, and an executor that runs real commands on the real file systems.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use gantry_archive::{EntryKind, Header, TarWriter};
use gantry_build::{
    Builder, Failed, Options, Parts,
    cache::Cache,
    graph::{
        Copy, CopyItem, Exec, Graph, ImageSource, Mount, MountKind, Op, Sharing, StepNetwork,
        Target, Vertex, VertexId,
    },
    plan::{Frontend, Input, Plan, Sources},
};
use gantry_build_proto::{
    BuildRequest, Built, Cached, ContextSource, DockerfileSource, Failure, OutputSpec, Progress,
};
use gantry_content::Content;
use gantry_image::transfer::{TransferLimits, Transfers};
use gantry_image::{Image, Images, Import};
use gantry_oci::{Digest, History, ImageConfig, Platform};
use gantry_snapshot::Snapshots;
use gantry_store::Store;

use crate::{client::TestClient, executor::TestExecutor};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A builder and all that it is made of.
pub(crate) struct Bed {
    pub builder: Builder,
    pub images: Images,
    pub content: Content,
    pub snapshots: Snapshots,
    pub executor: Arc<TestExecutor>,
    pub frontend: Arc<TestFrontend>,
    /// Builds that were begun.
    begun: AtomicU64,
}

/// Runs a test where it can run; passes over it loudly elsewhere.
pub(crate) fn on_host<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F) {
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
        eprintln!("SKIPPED: needs root and a static busybox");
        return;
    }
    // Not on a file system in memory, which may be no upper directory of an overlay.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let _mounts = Mounts(dir.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let done = tokio::time::timeout(LIMIT, test(dir.path().to_owned())).await;
        done.expect("the test takes too long");
    });
}

/// The mounts of a test's daemons, which they leave for the next one; they go before the directory
/// does, however the test ends.
struct Mounts<'a>(&'a Path);

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        use rustix::mount::{UnmountFlags, unmount};
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = table.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        for place in places.filter(|place| place.starts_with(self.0)) {
            let _ = unmount(place, UnmountFlags::DETACH);
        }
    }
}

/// Registries behind a proxy that is not there: nothing here asks the outside.
fn unreachable() -> gantry_distribution::Settings {
    let nowhere = Some("http://127.0.0.1:1".to_owned());
    let proxies = gantry_distribution::Proxies {
        http: nowhere.clone(),
        https: nowhere,
        ..gantry_distribution::Proxies::default()
    };
    let limits = gantry_distribution::Limits { attempts: 1, ..Default::default() };
    gantry_distribution::Settings { proxies, limits, ..Default::default() }
}

impl Bed {
    /// A daemon's start on the directories in `dir`.
    pub(crate) fn open(dir: &Path) -> Self {
        Self::open_with(dir, Options::default())
    }

    pub(crate) fn open_with(dir: &Path, options: Options) -> Self {
        let store = Store::open(&dir.join("store.db")).unwrap();
        let content = Content::open(&dir.join("content")).unwrap();
        let snapshots = Snapshots::open(&dir.join("snapshots")).unwrap();
        let cache = Cache::open(store.clone()).unwrap();
        let keepers = vec![cache.keeper()];
        let images = Images::open_keeping(
            store.clone(),
            content.clone(),
            snapshots.clone(),
            Arc::new(|_| ()),
            keepers,
            gantry_policy::Gate::open(),
        )
        .unwrap();
        let executor = Arc::new(TestExecutor::default());
        let frontend = Arc::new(TestFrontend::default());
        let builder = Builder::open(Parts {
            directory: dir.join("build"),
            scratch: dir.join("exec"),
            store,
            content: content.clone(),
            snapshots: snapshots.clone(),
            images: images.clone(),
            transfers: Transfers::new(
                images.clone(),
                gantry_distribution::Client::new(unreachable()).unwrap(),
                TransferLimits::default(),
            ),
            proxies: gantry_distribution::Proxies::default(),
            cache,
            executor: executor.clone(),
            frontend: frontend.clone(),
            options,
        })
        .unwrap();
        let begun = AtomicU64::new(0);
        Self { builder, images, content, snapshots, executor, frontend, begun }
    }

    /// The base image: busybox, some users, a link.
    pub(crate) fn base(&self) -> Arc<Image> {
        if let Ok(image) = self.images.resolve("base:1") {
            return image;
        }
        let mut tar = TarWriter::new(Vec::new());
        let busybox = std::fs::read("/bin/busybox").unwrap();
        for directory in ["bin/", "etc/", "usr/", "usr/lib/", "tmp/", "proc/", "dev/"] {
            tar.data(&Header { mtime_s: 1000, ..Header::directory(directory.as_bytes()) }, b"")
                .unwrap();
        }
        let program = Header { mode: 0o755, mtime_s: 1000, ..Header::file(b"bin/busybox", 0) };
        tar.data(&program, &busybox).unwrap();
        let programs = ["sh", "cat", "echo", "sleep", "touch", "mkdir", "rm", "ls", "env", "id"];
        let more = ["stat", "true", "ln", "chmod", "dd", "nc", "wc", "mount", "test", "head"];
        for name in programs.iter().chain(&more) {
            let path = format!("bin/{name}");
            let link = Header {
                kind: EntryKind::Symlink,
                link: b"busybox",
                mtime_s: 1000,
                ..Header::file(path.as_bytes(), 0)
            };
            tar.data(&link, b"").unwrap();
        }
        let lib = Header {
            kind: EntryKind::Symlink,
            link: b"usr/lib",
            mtime_s: 1000,
            ..Header::file(b"lib", 0)
        };
        tar.data(&lib, b"").unwrap();
        let passwd = b"root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n";
        tar.data(&Header { mtime_s: 1000, ..Header::file(b"etc/passwd", 0) }, passwd).unwrap();
        tar.data(&Header { mtime_s: 1000, ..Header::file(b"etc/group", 0) }, b"www:x:80:\n")
            .unwrap();
        let tar = tar.finish().unwrap();
        let import = Import {
            reference: Some("base:1".parse().unwrap()),
            changes: vec!["ENV PATH=/bin".to_owned()],
            ..Import::default()
        };
        let id = self.images.import(Box::new(std::io::Cursor::new(tar)), &import).unwrap();
        self.images.get(&id).unwrap()
    }

    /// Builds what `plan` plans.
    pub(crate) async fn build(
        &self,
        client: &Arc<TestClient>,
        request: BuildRequest,
        plan: Plan,
    ) -> Result<Built, Box<Failed>> {
        let text = self.frontend.keep(plan);
        let dockerfile = DockerfileSource::Text { name: "Dockerfile".to_owned(), text };
        let request = BuildRequest { dockerfile, ..request };
        let client = Arc::clone(client) as Arc<dyn gantry_build::Client>;
        let id = self.begun.fetch_add(1, Ordering::Relaxed).to_string();
        self.builder.build(&id, request, client).await
    }

    /// Builds, and gives the image.
    pub(crate) async fn image(
        &self,
        client: &Arc<TestClient>,
        request: BuildRequest,
        plan: Plan,
    ) -> Arc<Image> {
        let built = self.build(client, request, plan).await;
        let built = built.unwrap_or_else(|failed| panic!("{:?}", failed.failure));
        self.images.resolve(&built.image).unwrap()
    }

    /// Builds what must fail.
    pub(crate) async fn failure(
        &self,
        client: &Arc<TestClient>,
        request: BuildRequest,
        plan: Plan,
    ) -> Failure {
        match self.build(client, request, plan).await {
            Ok(built) => panic!("{built:?}"),
            Err(failed) => failed.failure.clone(),
        }
    }

    /// An image's files, each as `path kind mode uid:gid content`.
    pub(crate) fn files(&self, image: &Image) -> Vec<String> {
        use std::os::fd::AsFd;
        let root = self.snapshots.mount_layers(&image.lowers()).unwrap();
        let mut tar = Vec::new();
        gantry_archive::pack(root.as_fd(), b"", &mut tar).unwrap();
        list_tar(&tar)
    }

    /// The files of an image that its base has not, or has otherwise.
    pub(crate) fn new_files(&self, image: &Image) -> Vec<String> {
        let base = self.files(&self.base());
        self.files(image).into_iter().filter(|file| !base.contains(file)).collect()
    }

    /// The container directories that there are.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.snapshots.containers().unwrap()
    }
}

/// What a tar has, as [`Bed::files`].
pub(crate) fn list_tar(tar: &[u8]) -> Vec<String> {
    let mut reader = gantry_archive::Reader::new(tar);
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
        let kind = match entry.kind {
            EntryKind::File => "f",
            EntryKind::Directory => "d",
            EntryKind::Symlink => "l",
            EntryKind::HardLink => "h",
            _ => "o",
        };
        let mut content = String::from_utf8_lossy(&content).into_owned();
        if content.len() > 100 {
            content = format!("{} bytes", content.len());
        }
        if !entry.link.is_empty() {
            content = format!("-> {}", String::from_utf8_lossy(&entry.link));
        }
        found.push(format!(
            "{} {kind} {:o} {}:{} {content}",
            entry.display_name().trim_end_matches('/'),
            entry.mode,
            entry.uid,
            entry.gid
        ));
    }
    found
}

/// Plans that were made before are found by the text that stands for them.
#[derive(Default)]
pub(crate) struct TestFrontend {
    plans: Mutex<BTreeMap<String, Plan>>,
}

impl TestFrontend {
    fn keep(&self, plan: Plan) -> String {
        let mut plans = self.plans.lock().unwrap();
        let name = plans.len().to_string();
        plans.insert(name.clone(), plan);
        name
    }
}

impl Frontend for TestFrontend {
    fn plan<'a>(
        &'a self,
        input: Input<'a>,
        _sources: &'a dyn Sources,
    ) -> BoxFuture<'a, Result<Plan, Box<Failure>>> {
        let plan = self.plans.lock().unwrap().get(input.text).cloned();
        Box::pin(async move { plan.ok_or_else(Box::default) })
    }
}

/// A graph under construction.
#[derive(Default)]
pub(crate) struct Planner {
    pub graph: Graph,
}

impl Planner {
    pub(crate) fn add(&mut self, name: &str, op: Op) -> VertexId {
        self.graph.push(Vertex {
            name: name.to_owned(),
            instruction: name.to_owned(),
            place: None,
            op,
            no_cache: false,
        })
    }

    pub(crate) fn base(&mut self, bed: &Bed) -> VertexId {
        let id = bed.base().id.to_string();
        self.add("FROM base:1", Op::Image(ImageSource { id }))
    }

    pub(crate) fn context(&mut self) -> VertexId {
        let context = gantry_build::graph::ContextTree { name: String::new() };
        self.add("[internal] load build context", Op::Context(context))
    }

    /// `RUN` of a shell's command.
    pub(crate) fn run(&mut self, base: VertexId, command: &str) -> VertexId {
        self.run_with(base, command, |_| ())
    }

    pub(crate) fn run_with(
        &mut self,
        base: VertexId,
        command: &str,
        change: impl FnOnce(&mut Exec),
    ) -> VertexId {
        let mut exec = exec(base, command);
        change(&mut exec);
        self.add(&format!("RUN {command}"), Op::Exec(Box::new(exec)))
    }

    /// `COPY` of one name.
    pub(crate) fn copy(
        &mut self,
        base: VertexId,
        from: VertexId,
        source: &str,
        destination: &str,
    ) -> VertexId {
        self.copy_with(base, from, &[source], destination, |_| ())
    }

    pub(crate) fn copy_with(
        &mut self,
        base: VertexId,
        from: VertexId,
        sources: &[&str],
        destination: &str,
        change: impl FnOnce(&mut Copy),
    ) -> VertexId {
        let item = |source: &&str| CopyItem {
            from,
            source: (*source).to_owned(),
            pivot: None,
            unpack: false,
            wildcards: true,
            may_be_absent: false,
        };
        let mut copy = Copy {
            base: Some(base),
            items: sources.iter().map(item).collect(),
            destination: destination.to_owned(),
            owner: None,
            mode: None,
            parents: false,
            exclude: Vec::new(),
            epoch_s: None,
        };
        change(&mut copy);
        let name = format!("COPY {} {destination}", sources.join(" "));
        self.add(&name, Op::Copy(Box::new(copy)))
    }

    /// A plan whose target is a vertex.
    pub(crate) fn plan(self, vertex: VertexId) -> Plan {
        self.plan_of(vertex, ImageConfig::default())
    }

    pub(crate) fn plan_of(self, vertex: VertexId, config: ImageConfig) -> Plan {
        let mut config = config;
        let host = Platform::host();
        config.os.clone_from(&host.os);
        config.architecture.clone_from(&host.architecture);
        let mut layers_of_history = BTreeMap::new();
        for (index, made) in self.graph.vertices.iter().enumerate() {
            if matches!(made.op, Op::Exec(_) | Op::Copy(_) | Op::MakeDirectory(_)) {
                layers_of_history
                    .insert(config.history.len(), VertexId(u32::try_from(index).unwrap()));
                let created_by = made.instruction.clone();
                config.history.push(History { created_by, ..History::default() });
            }
        }
        let target = Target { vertex, config, layers_of_history, platform: host };
        Plan { graph: self.graph, targets: vec![target], ..Plan::default() }
    }
}

pub(crate) fn exec(base: VertexId, command: &str) -> Exec {
    Exec {
        base,
        args: vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()],
        stdin: None,
        env: vec!["PATH=/bin".to_owned()],
        silent_env: Vec::new(),
        working_directory: "/".to_owned(),
        user: String::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        network: StepNetwork::Default,
        insecure: false,
        platform: None,
        add_hosts: Vec::new(),
        allowed_exit_codes: Vec::new(),
    }
}

/// A directory that stays from build to build.
pub(crate) fn cache(id: &str, sharing: Sharing) -> MountKind {
    MountKind::Cache {
        id: id.to_owned(),
        sharing,
        from: None,
        source: String::new(),
        read_only: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

pub(crate) fn mount(target: &str, kind: MountKind) -> Mount {
    Mount { target: target.to_owned(), kind }
}

/// A request for an image, of a client's context.
pub(crate) fn request() -> BuildRequest {
    let identity = "client:/context".to_owned();
    BuildRequest {
        contexts: BTreeMap::from([(String::new(), ContextSource::Client { identity })]),
        outputs: vec![OutputSpec::default()],
        ..BuildRequest::default()
    }
}

/// How vertices ended, as `name: hit` or an error.
pub(crate) fn ends(client: &TestClient) -> Vec<String> {
    let progress = client.progress.lock().unwrap();
    let mut names = BTreeMap::new();
    let mut ends = Vec::new();
    for event in progress.iter() {
        match event {
            Progress::Vertex(vertex) => drop(names.insert(vertex.id, vertex.name.clone())),
            Progress::Completed(done) => {
                let name = names.get(&done.vertex).cloned().unwrap_or_default();
                let how = match (&done.error, done.cached) {
                    (Some(error), _) => error.clone(),
                    (None, Cached::Hit) => "hit".to_owned(),
                    (None, Cached::Miss) => "miss".to_owned(),
                    (None, Cached::No) => "no".to_owned(),
                };
                ends.push(format!("{name}: {how}"));
            }
            _ => {}
        }
    }
    ends.sort();
    ends
}

/// What vertices printed.
pub(crate) fn logs(client: &TestClient) -> String {
    let progress = client.progress.lock().unwrap();
    let text = progress.iter().filter_map(|event| match event {
        Progress::Log(log) => Some(log.text.clone()),
        _ => None,
    });
    text.collect()
}

/// A digest that is nothing's.
pub(crate) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}
