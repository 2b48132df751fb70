//! What tests of moving images stand on: two daemons, a registry, one network.

use std::time::Duration;

use gantry_rig::daemon::{Namespace, inside, program};
use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Client, Daemon, Kind, Net, Ran, client, images};

/// A network with two daemons on it, a registry, and a directory for it.
pub(crate) struct World {
    pub(crate) one: Daemon,
    pub(crate) two: Daemon,
    pub(crate) registry: Registry,
    pub(crate) netns: Namespace,
}

impl World {
    pub(crate) fn new(server: Server) -> Self {
        Self::with(server, &[])
    }

    /// The same, with more options of the daemons.
    pub(crate) fn with(server: Server, options: &[&str]) -> Self {
        gantry_rig::need_root();
        let netns = Namespace::new().unwrap();
        let daemon = || Daemon::start(Kind::Gantry, Net::Of(netns.pid()), options).unwrap();
        let (one, two) = (daemon(), daemon());
        images::import_busybox(&one.client()).unwrap();
        let registry = Registry::start(server, &one.root.join("registry"), Some(netns.pid()));
        Self { one, two, registry: registry.unwrap(), netns }
    }

    /// A command in this network, with nothing of the host's configuration.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        let program = program(name).unwrap_or_else(|| panic!("{name} is not installed"));
        let mut command = inside(Some(self.netns.pid()), &program);
        command.args(arguments).env("HOME", &self.one.root);
        client::finish(command, None)
    }
}

pub(crate) fn patient(daemon: &Daemon) -> Client {
    daemon.client().patient(Duration::from_secs(120))
}

pub(crate) fn digest_of(daemon: &Daemon, image: &str) -> String {
    let digests = daemon.client().inspect(image)["RepoDigests"].clone();
    let first = digests[0].as_str().unwrap_or_else(|| panic!("{image}: {digests}"));
    first.split_once('@').unwrap().1.to_owned()
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}
