//! The machine: qemu by software emulation, so that it runs wherever the tests do.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{Report, Saw};
use crate::chore::{ChoreError, io};

/// Longest life of a machine, boot and all tests: many times what an idle host needs.
const LIMIT: Duration = Duration::from_secs(900);

/// The kernel's command line. A panic restarts the machine at once, which qemu takes for its end;
/// only what is fatal is printed; nobody mounts a controller as cgroup v1.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=2 panic=-1 cgroup_no_v1=all \
     random.trust_cpu=on mitigations=off";

/// A running qemu, which ends with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // `timeout` passes this on to qemu; what has ended already is only waited for.
        if let Ok(None) = self.0.try_wait()
            && let Some(pid) =
                i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Boots, prints what the tests say, and returns when the machine is off or out of time.
pub(crate) fn boot(
    kernel: &Path,
    initramfs: &File,
    mut report: Report,
) -> Result<Report, ChoreError> {
    let begin = Instant::now();
    let mut machine = start(kernel, initramfs)?;
    let console = machine.0.stdout.take();
    let console =
        console.ok_or_else(|| ChoreError::Text("the machine has no console".to_owned()))?;
    let mut console = BufReader::new(console);
    let mut bytes = Vec::new();
    while console.read_until(b'\n', &mut bytes).map_err(io("reading the console"))? > 0 {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        match report.read(&line) {
            Saw::Boot => println!("vm: booted in {:.1?}", begin.elapsed()),
            Saw::Verdict(text) => println!("{text}"),
            Saw::Other => {}
        }
        bytes.clear();
    }
    drop(machine);
    let elapsed = begin.elapsed();
    println!("vm: off after {elapsed:.1?}");
    if elapsed >= LIMIT {
        println!("vm: out of time ({LIMIT:?})");
    }
    for line in report.complaints() {
        println!("{line}");
    }
    Ok(report)
}

fn start(kernel: &Path, initramfs: &File) -> Result<Machine, ChoreError> {
    // qemu opens what this process holds.
    let initramfs = format!("/proc/{}/fd/{}", std::process::id(), initramfs.as_raw_fd());
    // Two guards against a machine left behind: a time limit, and the death of this process.
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "timeout", "--kill-after=5"])
        .arg(LIMIT.as_secs().to_string())
        .args(["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"])
        .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", COMMAND_LINE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map(Machine)
        .map_err(io("starting qemu"))
}
