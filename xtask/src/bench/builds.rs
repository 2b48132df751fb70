//! Builds by Gantry beside docker.io's two builders and Debian's buildah, each by its own command
//! line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_rig::client::DEBIAN_DOCKER;
use gantry_rig::{Client, daemon, debian};
use rustix::mount::UnmountFlags;

use super::rows::{Pair, Rig, plain_client, settle, timed};
use super::sample;

/// Name of the base image.
const BASE: &str = "debian:base";
/// Files that are copied in the row of a usual build.
const FILES: u32 = 1_000;
const FILE_LEN: usize = 2_000;
/// Files of a large context, and of a directory in it.
const MANY_FILES: u32 = 50_000;
const FILES_PER_DIRECTORY: u32 = 200;

/// Who builds for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// docker.io with `DOCKER_BUILDKIT=1`.
    Buildkit,
    /// docker.io with `DOCKER_BUILDKIT=0`.
    Classic,
    /// Debian's buildah.
    Buildah,
}

/// Debian, five `RUN` and a `COPY` of 1,000 files, none of which was seen before.
pub(crate) fn cold(rig: &Rig, against: Against) -> io::Result<Pair> {
    let bench = Bench::new(rig, against)?;
    let directory = rig.docker.root.join(format!("cold-{against:?}"));
    let mut round = 0;
    bench.alternate(rig.times(5), |build| {
        round += 1;
        usual_context(&directory, round)?;
        settle();
        timed(|| build.run(&directory))
    })
}

/// The same build again, with nothing changed.
pub(crate) fn unchanged(rig: &Rig, against: Against) -> io::Result<Pair> {
    let bench = Bench::new(rig, against)?;
    let directory = rig.docker.root.join(format!("unchanged-{against:?}"));
    usual_context(&directory, 0)?;
    bench.alternate(rig.times(15), |build| timed(|| build.run(&directory)))
}

/// Three stages that need nothing of each other and sleep a second each.
pub(crate) fn parallel(rig: &Rig) -> io::Result<Pair> {
    let bench = Bench::new(rig, Against::Buildkit)?;
    let directory = rig.docker.root.join("parallel");
    let mut round = 0;
    bench.alternate(rig.times(3), |build| {
        round += 1;
        let stage =
            |name: &str| format!("FROM {BASE} AS {name}\nRUN sleep 1; echo {round} > /{name}\n");
        let last = "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n";
        let text = ["a", "b", "c"].map(stage).concat() + last;
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("Dockerfile"), text)?;
        timed(|| build.run(&directory))
    })
}

/// A context of 50,000 files, of which one is another since the last build.
pub(crate) fn one_of_many(rig: &Rig) -> io::Result<Pair> {
    let bench = Bench::new(rig, Against::Buildkit)?;
    let directory = rig.docker.root.join("many");
    large_context(&directory, if rig.smoke { 500 } else { MANY_FILES })?;
    let mut round = 0;
    let pair = bench.alternate(rig.times(5), |build| {
        round += 1;
        fs::write(directory.join("d0/f0"), format!("changed {round}\n"))?;
        timed(|| build.run(&directory))
    });
    fs::remove_dir_all(&directory)?;
    pair
}

/// Bytes that Gantry's client sends of such a context; the reference is what it sent at first.
pub(crate) fn sent_again(rig: &Rig) -> io::Result<Pair> {
    let bench = Bench::new(rig, Against::Buildkit)?;
    let directory = rig.docker.root.join("sent");
    large_context(&directory, if rig.smoke { 500 } else { MANY_FILES })?;
    let first = bench.gantry.sent_bytes(&directory)?;
    fs::write(directory.join("d0/f0"), "changed\n")?;
    let again = bench.gantry.sent_bytes(&directory)?;
    fs::remove_dir_all(&directory)?;
    Ok(Pair { reference: first, gantry: again })
}

/// The most memory that the daemon has had after a build with a layer of 512 MiB, to that after
/// one of 16 MiB.
pub(crate) fn memory(rig: &Rig) -> io::Result<Pair> {
    let bench = Bench::new(rig, Against::Buildkit)?;
    let directory = rig.docker.root.join("memory");
    fs::create_dir_all(&directory)?;
    let pid = rig.gantry.pid().ok_or_else(|| io::Error::other("no daemon"))?;
    let peak = |mib: u32| -> io::Result<f64> {
        let text = format!("FROM {BASE}\nRUN head -c {mib}M /dev/urandom > /large\n");
        fs::write(directory.join("Dockerfile"), text)?;
        // Forgets the highest that was seen (proc(5)).
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        bench.gantry.run(&directory)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other("no VmHWM"))
    };
    let small = peak(16)?;
    Ok(Pair { reference: small, gantry: peak(if rig.smoke { 64 } else { 512 })? })
}

/// Both builders of a row, with the base image in each.
struct Bench {
    reference: Builder,
    gantry: Builder,
}

/// A builder's command line.
struct Builder {
    client: Client,
    program: Program,
}

enum Program {
    Gantry(PathBuf),
    Docker { buildkit: bool },
    Buildah { root: PathBuf },
}

impl Bench {
    fn new(rig: &Rig, against: Against) -> io::Result<Bench> {
        let archive = debian::archive(&rig.docker.root.join("debian"), "")?;
        let gantry = Builder {
            client: plain_client(&rig.gantry),
            program: Program::Gantry(daemon::gantry_binary()?),
        };
        let program = match against {
            Against::Buildkit => Program::Docker { buildkit: true },
            Against::Classic => Program::Docker { buildkit: false },
            Against::Buildah => Program::Buildah { root: rig.docker.root.join("buildah") },
        };
        let reference = Builder { client: plain_client(&rig.docker), program };
        for builder in [&gantry, &reference] {
            builder.import(&archive)?;
        }
        Ok(Bench { reference, gantry })
    }

    /// Takes samples of both in turn, after one that does not count.
    fn alternate(
        &self,
        times: u32,
        sample: impl FnMut(&Builder) -> io::Result<f64>,
    ) -> io::Result<Pair> {
        sample::alternate(times, (&self.reference, &self.gantry), sample)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // buildah leaves its store mounted.
        let Program::Buildah { root } = &self.reference.program else { return };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(root)) {
            if let Err(error) = rustix::mount::unmount(point, UnmountFlags::DETACH) {
                eprintln!("{point} stays mounted: {error}");
            }
        }
    }
}

impl Builder {
    /// Imports the base image.
    fn import(&self, archive: &Path) -> io::Result<()> {
        match &self.program {
            Program::Gantry(_) | Program::Docker { .. } => {
                if self.client.docker(&["image", "inspect", BASE]).code == 0 {
                    return Ok(());
                }
                let mut command = self.client.command(Path::new("docker"));
                done(command.arg("import").arg(archive).arg(BASE)).map(drop)
            }
            Program::Buildah { root } => {
                let made = done(buildah(root)?.args(["from", "scratch"]))?;
                done(buildah(root)?.args(["add", &made]).arg(archive).arg("/"))?;
                done(buildah(root)?.args(["commit", "--rm", &made, BASE])).map(drop)
            }
        }
    }

    /// Builds a directory.
    fn run(&self, directory: &Path) -> io::Result<()> {
        done(self.command()?.arg(directory)).map(drop)
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = match &self.program {
            Program::Gantry(path) => self.client.command(path),
            Program::Docker { .. } => self.client.command(Path::new(DEBIAN_DOCKER)),
            Program::Buildah { root } => buildah(root)?,
        };
        match &self.program {
            Program::Gantry(_) => command.args(["build", "-q", "-t", "bench"]),
            Program::Docker { buildkit } => command
                .env("DOCKER_BUILDKIT", if *buildkit { "1" } else { "0" })
                .args(["build", "-q", "-t", "bench"]),
            Program::Buildah { .. } => command.args(["build", "-q", "--layers", "-t", "bench"]),
        };
        Ok(command)
    }

    /// Builds, and gives how many bytes of the context were sent.
    fn sent_bytes(&self, directory: &Path) -> io::Result<f64> {
        let Program::Gantry(path) = &self.program else {
            return Err(io::Error::other("nobody else counts them so"));
        };
        let mut command = self.client.command(path);
        command.args(["build", "--progress=rawjson", "-t", "bench"]).arg(directory);
        let output = command.output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        // The last word on the transfer counts.
        let lines = [output.stdout, output.stderr].concat();
        let sent = String::from_utf8_lossy(&lines).lines().filter_map(transferred).next_back();
        sent.ok_or_else(|| io::Error::other("the progress names no transfer"))
    }
}

/// The bytes of a line of raw progress that is about the context's transfer.
fn transferred(line: &str) -> Option<f64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let statuses = line["statuses"].as_array()?;
    let transfer = statuses.iter().rfind(|status| {
        status["id"].as_str().is_some_and(|id| id.starts_with("transferring context"))
    })?;
    transfer["current"].as_f64()
}

/// buildah with a store of its own. Neither its network nor its control groups know a host like
/// a test's, so steps run in the host's network by the runtime that accepts any.
fn buildah(root: &Path) -> io::Result<Command> {
    let program = daemon::program("buildah")
        .ok_or_else(|| io::Error::other("no buildah: apt-get install buildah"))?;
    let mut command = Command::new(program);
    command.arg("--root").arg(root.join("root")).arg("--runroot").arg(root.join("run"));
    command.args(["--storage-driver", "overlay"]);
    command.env("BUILDAH_ISOLATION", "chroot");
    Ok(command)
}

/// Runs a command; what it said, without the last line's end.
fn done(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// A usual build: what the files hold depends on `seed`, and so does the first step.
fn usual_context(directory: &Path, seed: u32) -> io::Result<()> {
    let _ = fs::remove_dir_all(directory);
    let source = directory.join("src");
    fs::create_dir_all(&source)?;
    for file in 0..FILES {
        let text = format!("{seed} {file} ").repeat(FILE_LEN / 8);
        fs::write(source.join(format!("f{file}")), text)?;
    }
    let text = format!(
        "FROM {BASE}\n\
         RUN echo {seed} > /seed\n\
         RUN groupadd -g 1234 app && useradd -u 1234 -g app app\n\
         COPY src /src\n\
         RUN ls /src | wc -l > /count\n\
         RUN cat /src/* | sha256sum > /sum\n\
         RUN mkdir -p /var/lib/app && chown app:app /var/lib/app\n"
    );
    fs::write(directory.join("Dockerfile"), text)
}

/// A large context of small files.
fn large_context(directory: &Path, files: u32) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for file in 0..files {
        let folder = directory.join(format!("d{}", file / FILES_PER_DIRECTORY));
        if file % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&folder)?;
        }
        let name = format!("f{}", file % FILES_PER_DIRECTORY);
        fs::write(folder.join(name), format!("file {file}\n").repeat(10))?;
    }
    fs::write(directory.join("Dockerfile"), "FROM scratch\nCOPY . /all\n")
}
