//! An executor that runs real commands: each in a mount namespace of its own, chrooted into the step's
//! file system.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;
use gantry_build::executor::{Ended, Executor, ExecutorError, Step, StepSource};
use gantry_build_proto::Stream;
use rustix::{
    fs::{CWD, FileType},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change,
        mount_remount, move_mount, open_tree,
    },
    thread::UnshareFlags,
};
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Runs commands, and remembers which.
#[derive(Default)]
pub(crate) struct TestExecutor {
    pub runs: Mutex<Vec<String>>,
    pub running: AtomicUsize,
    /// Variables that steps were given, all of them.
    pub env: Mutex<Vec<String>>,
}

impl TestExecutor {
    pub(crate) fn take_runs(&self) -> Vec<String> {
        let mut runs = std::mem::take(&mut *self.runs.lock().unwrap());
        runs.sort();
        runs
    }
}

/// A command that the executor panics over.
pub(crate) const BREAKS: &str = ": breaks the executor";

impl Executor for TestExecutor {
    fn run(
        &self,
        step: Step,
        output: mpsc::Sender<(Stream, Vec<u8>)>,
        cancelled: CancellationToken,
    ) -> BoxFuture<'_, Result<Ended, ExecutorError>> {
        Box::pin(async move {
            self.runs.lock().unwrap().push(step.args.last().cloned().unwrap_or_default());
            self.env.lock().unwrap().extend(step.env.clone());
            assert!(!step.args.iter().any(|arg| arg == BREAKS), "on purpose");
            self.running.fetch_add(1, Ordering::SeqCst);
            let ended = run(step, output, cancelled).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            ended
        })
    }
}

async fn run(
    step: Step,
    output: mpsc::Sender<(Stream, Vec<u8>)>,
    cancelled: CancellationToken,
) -> Result<Ended, ExecutorError> {
    let failed = |error: io::Error| ExecutorError::NotStarted(error.to_string());
    // A thread's mount namespace goes with the thread, or its last process.
    let spawned = tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || spawn(step)).join().expect("the thread ends")
    });
    let (mut child, place) = spawned.await.expect("the thread ends").map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let pump = async {
        tokio::join!(
            copy(tokio::process::ChildStdout::from_std(stdout).unwrap(), Stream::Out, &output),
            copy(tokio::process::ChildStderr::from_std(stderr).unwrap(), Stream::Err, &output),
        );
    };
    let killed = tokio::select! {
        () = pump => false,
        () = cancelled.cancelled() => {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            true
        }
    };
    let status = ended.await.expect("the wait ends").map_err(failed)?;
    drop(fs::remove_dir(place));
    if killed {
        return Err(ExecutorError::Cancelled);
    }
    Ok(Ended { code: status.code().unwrap_or(137), oom_killed: false })
}

async fn copy(
    mut from: impl tokio::io::AsyncRead + Unpin,
    stream: Stream,
    to: &mpsc::Sender<(Stream, Vec<u8>)>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.send((stream, buffer[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

fn spawn(step: Step) -> io::Result<(std::process::Child, PathBuf)> {
    // Copied here: a mount that is attached nowhere may only be copied where it was made.
    let mut sources = Vec::new();
    for mount in &step.mounts {
        sources.push(match &mount.source {
            StepSource::Path(fd) => Some(copy_mount(fd)?),
            StepSource::Tmpfs(_) => None,
        });
    }
    let place = step.rootfs.upper.with_file_name("root");
    fs::create_dir_all(&place)?;
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS | UnshareFlags::FS)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let lower: Vec<String> =
        step.rootfs.lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        step.rootfs.upper.display(),
        step.rootfs.work.display()
    );
    let options = std::ffi::CString::new(options)?;
    mount("overlay", &place, "overlay", MountFlags::empty(), options.as_c_str())?;
    for (wanted, source) in step.mounts.iter().zip(sources) {
        let target = place.join(wanted.target.trim_start_matches('/'));
        attach(&target, source, wanted.read_only)?;
    }
    let (program, args) = step.args.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = place.join(step.working_directory.trim_start_matches('/'));
    fs::create_dir_all(&directory)?;
    let mut command = Command::new("/usr/sbin/chroot");
    command.arg(&place).arg(program).args(args);
    command.env_clear().envs(step.env.iter().filter_map(|text| text.split_once('=')));
    command.stdin(if step.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    if let (Some(text), Some(mut stdin)) = (step.stdin, child.stdin.take()) {
        // Who does not read it has no need of it.
        match io::Write::write_all(&mut stdin, &text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    Ok((child, place))
}

fn copy_mount(fd: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(fd.as_fd(), "", flags)?)
}

fn attach(target: &Path, source: Option<OwnedFd>, read_only: bool) -> io::Result<()> {
    let Some(source) = source else {
        fs::create_dir_all(target)?;
        return Ok(mount("tmpfs", target, "tmpfs", MountFlags::empty(), None)?);
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&source)?.st_mode);
    if kind == FileType::Directory {
        fs::create_dir_all(target)?;
    } else {
        fs::create_dir_all(target.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        drop(fs::File::options().create(true).append(true).open(target)?);
    }
    move_mount(&source, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    if read_only {
        mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")?;
    }
    Ok(())
}
