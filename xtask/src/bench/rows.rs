//! The table: what is measured, and what is to be reached.

use std::io;
use std::time::{Duration, Instant};

use gantry_rig::{Client, Daemon};
use serde_json::{Value, json};

use super::api::Api;
use super::builds::{self, Against};
use super::registries::{self, Of, Served};
use super::sample::{self, Unit};
use super::traffic::{Via, What};
use super::{crowd, networks, path, size, streams, traffic};

/// Both daemons.
pub(crate) struct Rig {
    /// Debian's docker.io.
    pub docker: Daemon,
    /// Ours.
    pub gantry: Daemon,
    /// Few repetitions.
    pub smoke: bool,
}

/// A figure of the reference and ours.
pub(crate) struct Pair {
    /// docker.io's or crun's; our own in the quiet case where two cases of ours are compared.
    pub reference: f64,
    /// Ours.
    pub gantry: f64,
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Ours by the reference's is at most this.
    RatioAtMost(f64),
    /// Ours by the reference's is at least this: more is better.
    RatioAtLeast(f64),
    /// Our figure is at most this, whatever the reference's is.
    AtMost(f64),
    /// Our figure is at least this, whatever the reference's is.
    AtLeast(f64),
}

impl Goal {
    /// Whether a pair is good enough.
    pub(crate) fn reached(self, pair: &Pair) -> bool {
        let ratio = pair.gantry / pair.reference;
        match self {
            Goal::RatioAtMost(most) => ratio <= most,
            Goal::RatioAtLeast(least) => ratio >= least,
            Goal::AtMost(most) => pair.gantry <= most,
            Goal::AtLeast(least) => pair.gantry >= least,
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    /// What is measured.
    pub name: &'static str,
    /// Of both figures.
    pub unit: Unit,
    /// What is to be reached.
    pub goal: Goal,
    /// Takes the samples.
    pub measure: fn(&Rig) -> io::Result<Pair>,
}

const fn row(
    name: &'static str,
    unit: Unit,
    goal: Goal,
    measure: fn(&Rig) -> io::Result<Pair>,
) -> Row {
    Row { name, unit, goal, measure }
}

const KIB: f64 = 1024.0;
const TWELFTH: Goal = Goal::RatioAtMost(1.0 / 12.0);
// The same, but for the machine's noise.
const AS_FAST: Goal = Goal::RatioAtLeast(0.95);
const AS_SOON: Goal = Goal::RatioAtMost(1.1);

/// Every figure that is promised.
pub(crate) const ROWS: &[Row] = &[
    // First of all: a daemon that has done nothing yet but take an image.
    row("pss of the idle daemon", Unit::Bytes, Goal::AtMost(20.0 * KIB * KIB), size::idle),
    row("api create+start+wait+remove, bridge", Unit::Seconds, TWELFTH, |rig| {
        path::cycle(rig, "bridge")
    }),
    row("api create+start+wait+remove, no network", Unit::Seconds, TWELFTH, |rig| {
        path::cycle(rig, "none")
    }),
    row("run --rm busybox true, by each CLI", Unit::Seconds, Goal::RatioAtMost(0.1), path::by_cli),
    row("containers a second, 8 at once", Unit::PerSecond, Goal::RatioAtLeast(12.0), path::storm),
    row("cpu of the whole machine per container", Unit::Seconds, TWELFTH, path::cpu),
    row("oci run of a bundle, against crun", Unit::Seconds, Goal::RatioAtMost(1.1), path::oci_run),
    row("exec true through the api", Unit::Seconds, Goal::RatioAtMost(0.25), path::exec),
    row("pss per running container, 200", Unit::Bytes, Goal::AtMost(500.0 * KIB), |rig| {
        size::running(rig, false)
    }),
    row("pss per running container, a port each", Unit::Bytes, Goal::AtMost(520.0 * KIB), |rig| {
        size::running(rig, true)
    }),
    row(
        "pss of the daemon after all that",
        Unit::Bytes,
        Goal::AtMost(24.0 * KIB * KIB),
        size::idle,
    ),
    row("load of 550 MB, 26,000 files", Unit::Seconds, Goal::RatioAtMost(0.5), streams::load),
    row("attach throughput", Unit::BytesPerSecond, Goal::RatioAtLeast(2.0), streams::attach),
    row("log of 1,000,000 lines", Unit::BytesPerSecond, Goal::RatioAtLeast(2.0), streams::log),
    row("start beside 200, against beside 1", Unit::Seconds, Goal::RatioAtMost(1.1), crowd::start),
    row("start with 200 ports, against 1", Unit::Seconds, Goal::RatioAtMost(2.0), |rig| {
        crowd::ports(rig, false)
    }),
    row("removal with 200 ports, against 1", Unit::Seconds, Goal::RatioAtMost(2.0), |rig| {
        crowd::ports(rig, true)
    }),
    row("wait answers after the death", Unit::Seconds, Goal::AtMost(0.001), crowd::wait_latency),
    row("list of 200 containers", Unit::Seconds, Goal::AtMost(0.005), crowd::list),
    row("daemon start with 200 exited", Unit::Seconds, Goal::RatioAtMost(0.1), crowd::restart),
    row("bridge throughput, between containers", Unit::BytesPerSecond, AS_FAST, |rig| {
        traffic::bridge(rig, What::Throughput)
    }),
    row("bridge round trip, between containers", Unit::Seconds, AS_SOON, |rig| {
        traffic::bridge(rig, What::RoundTrip)
    }),
    row("port throughput, host's address", Unit::BytesPerSecond, AS_FAST, |rig| {
        traffic::published(rig, Via::HostAddress, What::Throughput)
    }),
    row("port round trip, host's address", Unit::Seconds, AS_SOON, |rig| {
        traffic::published(rig, Via::HostAddress, What::RoundTrip)
    }),
    row("port throughput, 127.0.0.1", Unit::BytesPerSecond, AS_FAST, |rig| {
        traffic::published(rig, Via::Loopback4, What::Throughput)
    }),
    row("port round trip, 127.0.0.1", Unit::Seconds, AS_SOON, |rig| {
        traffic::published(rig, Via::Loopback4, What::RoundTrip)
    }),
    row("port throughput, [::1]", Unit::BytesPerSecond, AS_FAST, |rig| {
        traffic::published(rig, Via::Loopback6, What::Throughput)
    }),
    row("port round trip, [::1]", Unit::Seconds, AS_SOON, |rig| {
        traffic::published(rig, Via::Loopback6, What::RoundTrip)
    }),
    row("names to one client", Unit::PerSecond, Goal::AtLeast(20_000.0), traffic::names),
    row("network create+remove", Unit::Seconds, Goal::RatioAtMost(0.2), networks::cycle),
    row("network create, 1,000th against 1st", Unit::Seconds, Goal::RatioAtMost(2.0), |rig| {
        networks::in_a_row(rig, false)
    }),
    row("network removal, of 1,000 against of 1", Unit::Seconds, Goal::RatioAtMost(2.0), |rig| {
        networks::in_a_row(rig, true)
    }),
    row("start as 1,000th on a network, to 10th", Unit::Seconds, Goal::RatioAtMost(1.2), {
        networks::crowded
    }),
    row("helper processes with 20 ports", Unit::Count, Goal::AtMost(1.0), networks::helpers),
    row("volume create+remove", Unit::Seconds, Goal::RatioAtMost(0.5), networks::volume),
    row("build cold, against BuildKit", Unit::Seconds, Goal::RatioAtMost(0.5), |rig| {
        builds::cold(rig, Against::Buildkit)
    }),
    row("build cold, against the classic builder", Unit::Seconds, Goal::RatioAtMost(0.25), |rig| {
        builds::cold(rig, Against::Classic)
    }),
    row("build cold, against buildah", Unit::Seconds, Goal::RatioAtMost(0.5), |rig| {
        builds::cold(rig, Against::Buildah)
    }),
    row("build unchanged, against BuildKit", Unit::Seconds, Goal::RatioAtMost(0.2), |rig| {
        builds::unchanged(rig, Against::Buildkit)
    }),
    row("build unchanged, against buildah", Unit::Seconds, Goal::RatioAtMost(0.2), |rig| {
        builds::unchanged(rig, Against::Buildah)
    }),
    row("build of three stages of 1 s", Unit::Seconds, Goal::AtMost(1.3), builds::parallel),
    row("build, 1 of 50,000 files changed", Unit::Seconds, Goal::RatioAtMost(1.0 / 3.0), {
        builds::one_of_many
    }),
    row("bytes sent again of 50,000 files", Unit::Bytes, Goal::AtMost(256.0 * KIB), {
        builds::sent_again
    }),
    row("memory, layer of 512 MiB against 16", Unit::Bytes, Goal::RatioAtMost(1.2), {
        builds::memory
    }),
    row("pull of 550 MB, 26,000 files", Unit::Seconds, Goal::RatioAtMost(0.4), |rig| {
        registries::pull(rig, Of::Time)
    }),
    row("cpu of that pull", Unit::Seconds, Goal::RatioAtMost(0.5), |rig| {
        registries::pull(rig, Of::Cpu)
    }),
    row("push of it again", Unit::Seconds, Goal::AtMost(0.1), registries::push_again),
    row("first push of 550 MB", Unit::Seconds, Goal::RatioAtMost(0.125), registries::first_push),
    row("registry's blobs, 8 clients", Unit::BytesPerSecond, Goal::RatioAtLeast(2.0), |rig| {
        registries::serve(rig, Served::Blobs)
    }),
    row("registry's manifests, 8 clients", Unit::PerSecond, Goal::RatioAtLeast(3.0), |rig| {
        registries::serve(rig, Served::Manifests)
    }),
    row("registry's memory, 32 uploads of 1 GiB", Unit::Bytes, Goal::AtMost(60.0 * KIB * KIB), {
        registries::memory
    }),
];

impl Rig {
    /// How often something is repeated that is to be repeated `full` times.
    pub(crate) fn times(&self, full: u32) -> u32 {
        if self.smoke { 2 } else { full }
    }

    /// How many containers are a crowd.
    pub(crate) fn many(&self) -> u32 {
        if self.smoke { 8 } else { 200 }
    }

    /// Takes `times` samples of both in turn, after one that does not count.
    pub(crate) fn alternate(
        &self,
        times: u32,
        sample: impl FnMut(&Daemon) -> io::Result<f64>,
    ) -> io::Result<Pair> {
        sample::alternate(times, (&self.docker, &self.gantry), sample)
    }

    /// Measures one after the other.
    pub(crate) fn both(
        &self,
        mut measure: impl FnMut(&Daemon) -> io::Result<f64>,
    ) -> io::Result<Pair> {
        Ok(Pair { reference: measure(&self.docker)?, gantry: measure(&self.gantry)? })
    }
}

/// A container of the busybox image.
pub(crate) fn body(command: &[&str], network: &str) -> String {
    json!({"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": network}}).to_string()
}

/// A container that sleeps, with more in its body.
pub(crate) fn sleeper_body(extra: &Value) -> String {
    let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "3600"]});
    if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
        body.extend(extra.clone());
    }
    body.to_string()
}

/// Makes and starts a container that sleeps.
pub(crate) fn sleeper(api: &mut Api, extra: &Value) -> io::Result<String> {
    let id = api.create(&sleeper_body(extra))?;
    api.start(&id)?;
    Ok(id)
}

/// A client that enters no namespace: the socket is a file, and the program that enters would count.
pub(crate) fn plain_client(daemon: &Daemon) -> Client {
    Client::new(daemon.client().socket().to_owned(), None)
}

/// How many seconds some work takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Lets what the last sample left behind settle, so that the next does not pay for it.
pub(crate) fn settle() {
    rustix::fs::sync();
    std::thread::sleep(Duration::from_millis(500));
}
