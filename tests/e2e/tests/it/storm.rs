//! Commands that go on while a daemon is killed.

use std::os::unix::process::CommandExt;
use std::process::Stdio;

use gantry_rig::Client;

/// Shell scripts in process groups of their own, ended with all that they run: a command that is left
/// over would find the next daemon.
pub(crate) struct Storm(Vec<std::process::Child>);

impl Storm {
    /// Begins scripts, which find the number of the round in `ROUND`.
    pub(crate) fn begin(client: &Client, scripts: &[&str], round: u64) -> Self {
        let begin = |script: &&str| {
            let mut command = client.command(std::path::Path::new("sh"));
            command.env("ROUND", round.to_string()).args(["-c", script]).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        Self(scripts.iter().map(begin).collect())
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let group = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
        }
    }
}
