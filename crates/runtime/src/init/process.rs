//! The last steps before a program runs: the same for a container's first process and for an exec.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gantry_sys::kernel::Version;
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::Stdio;
use crate::capabilities;
use crate::channel::{self, During, Failure, FailureKind, FromInit, ToInit};
use crate::process_plan::{Filter, ProcessPlan};
use crate::resolve;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of `/etc/passwd` is read: an image is not to fill the memory with it.
const MAX_PASSWD: u64 = 4 << 20;

/// What the last steps talk to.
#[derive(Debug)]
pub(crate) struct Ends<'a> {
    /// The parent.
    pub(crate) channel: &'a OwnedFd,
    /// A socket at which whoever starts the container connects.
    pub(crate) listener: Option<&'a OwnedFd>,
    /// Whether to wait before the program is executed.
    pub(crate) waits: bool,
}

/// Writes the labels of Linux security modules that take effect at the next exec, through a
/// descriptor of the host's procfs: a container's `/proc` may be anything.
pub(crate) fn label(plan: &ProcessPlan<'_>, proc: BorrowedFd<'_>) -> Result<(), Failure> {
    let write = |path: &str, value: &str| -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(proc, path, flags, Mode::empty())?;
        rustix::io::write(&file, value.as_bytes()).map(drop)
    };
    if let Some(profile) = plan.process.apparmor_profile.as_deref().filter(|p| !p.is_empty()) {
        let text = || format!("unable to apply apparmor profile {profile:?}");
        let value = format!("exec {profile}");
        match write("thread-self/attr/apparmor/exec", &value) {
            Err(Errno::NOENT) => write("thread-self/attr/exec", &value),
            other => other,
        }
        .during(text)?;
    }
    if let Some(label) = plan.process.selinux_label.as_deref().filter(|l| !l.is_empty())
        && Path::new("/sys/fs/selinux/enforce").exists()
    {
        write("thread-self/attr/exec", label)
            .during(|| format!("unable to apply selinux label {label:?}"))?;
    }
    Ok(())
}

/// Has the kernel kill this process when its parent ends.
///
/// A parent that has ended already is noticed at the channel: the process waits for a word there
/// after each call of this. `getppid(2)` would not tell, it is 0 in a pid namespace of one's own.
pub(crate) fn die_with_parent(plan: &ProcessPlan<'_>) -> Result<(), Failure> {
    if !plan.dies_with_parent {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .during(|| "PR_SET_PDEATHSIG")
}

/// Leads a session of its own and gives it the terminal, or connects standard input, output, error.
pub(crate) fn connect(stdio: &Stdio, terminal: Option<&OwnedFd>) -> Result<(), Failure> {
    let text = || "connecting standard input, output and error";
    match rustix::process::setsid() {
        // Already a leader: the parent made it one.
        Ok(_) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).during(|| "setsid"),
    }
    let [stdin, stdout, stderr] = match (stdio, terminal) {
        (Stdio::Terminal, Some(slave)) => {
            rustix::process::ioctl_tiocsctty(slave)
                .during(|| "setting the controlling terminal")?;
            [slave, slave, slave]
        }
        (Stdio::Fds { stdin, stdout, stderr }, _) => [stdin, stdout, stderr],
        _ => return Ok(()),
    };
    // Copies above 2 first: the three may stand in each other's places.
    let lifted = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3).during(text);
    let (stdin, stdout, stderr) = (lifted(stdin)?, lifted(stdout)?, lifted(stderr)?);
    rustix::stdio::dup2_stdin(&stdin).during(text)?;
    rustix::stdio::dup2_stdout(&stdout).during(text)?;
    rustix::stdio::dup2_stderr(&stderr).during(text)
}

/// Does everything that is left, waits if told to, and executes the program.
pub(crate) fn run(
    plan: &mut ProcessPlan<'_>,
    ends: &Ends<'_>,
    terminal: Option<&OwnedFd>,
    before_exec: &dyn Fn() -> Result<(), Failure>,
) -> Result<Infallible, (Failure, Option<OwnedFd>)> {
    let program = prepare(plan).map_err(|failure| (failure, None))?;
    let ready = channel::report(ends.channel, &FromInit::Ready, terminal.map(AsFd::as_fd));
    ready.during(|| "reporting readiness").map_err(|failure| (failure, None))?;
    let starter = if ends.waits { wait(ends).map_err(|failure| (failure, None))? } else { None };
    let told = starter.as_ref().unwrap_or(ends.channel);
    let failure = match before_exec().and_then(|()| finish(plan, told)) {
        Ok(()) => {
            let error = gantry_sys::exec::execve(&program, &plan.args, &plan.env);
            program_failure(plan, error.raw_os_error().unwrap_or(0))
        }
        Err(failure) => failure,
    };
    Err((failure, starter))
}

fn program_failure(plan: &ProcessPlan<'_>, errno: i32) -> Failure {
    Failure { kind: FailureKind::Program, text: plan.process.args[0].clone(), errno }
}

/// Credentials, working directory and program.
fn prepare(plan: &mut ProcessPlan<'_>) -> Result<CString, Failure> {
    if let Some(name) = &plan.session_keyring {
        match gantry_sys::process::join_session_keyring(Some(name)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
            other => other.during(|| "unable to join session keyring")?,
        }
    }
    if let Some(attributes) = plan.scheduler {
        gantry_sys::sched::set_attributes(0, attributes).during(|| "error setting scheduler")?;
    }
    if let Some((class, level)) = plan.io_priority {
        gantry_sys::sched::set_io_priority(0, class, level)
            .during(|| "failed to set IO priority")?;
    }
    if !plan.has_home {
        let home = home(plan.process.user.uid).unwrap_or_else(|| c"/".to_owned());
        let value = [b"HOME=", home.as_bytes()].concat();
        plan.env.retain(|var| var.as_bytes() != b"HOME=");
        plan.env.extend(CString::new(value));
    }
    keep_descriptors(plan.preserve_fds)?;
    let entered = enter_cwd(&plan.process.cwd)?;
    plan.caps.limit()?;
    become_user(plan)?;
    if !entered {
        rustix::process::chdir(plan.process.cwd.as_str()).during(|| {
            format!("chdir to cwd ({:?}) set in config.json failed", plan.process.cwd)
        })?;
        check_cwd()?;
    }
    let waits_for_filter = plan.filter.is_some() && !plan.process.no_new_privileges;
    plan.caps.apply(waits_for_filter)?;
    plan.caps.raise_ambient()?;
    if plan.process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).during(|| "set no_new_privs")?;
    }
    rustix::process::umask(Mode::from(plan.umask));
    // Neither what this program does with signals nor what whoever started it had it ignore
    // (`nohup`, a shell's `&`) is for the container.
    gantry_sys::signal::reset_all();
    // Again: the change of credentials has cleared it.
    die_with_parent(plan)?;
    find_program(plan)
}

/// The descriptors that the program is to have, and no other.
fn keep_descriptors(preserve: u32) -> Result<(), Failure> {
    gantry_sys::descriptors::close_on_exec_from(3 + preserve)
        .during(|| "marking descriptors close-on-exec")?;
    for number in 3..3 + preserve {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        gantry_sys::descriptors::keep_over_exec(number)
            .during(|| format!("keeping descriptor {number}"))?;
    }
    Ok(())
}

/// Enters the working directory, made if it is missing; `false` when only its user may.
fn enter_cwd(cwd: &str) -> Result<bool, Failure> {
    let text = || format!("chdir to cwd ({cwd:?}) set in config.json failed");
    match rustix::process::chdir(cwd) {
        Ok(()) => {}
        Err(Errno::NOENT) => {
            let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let root = root.during(text)?;
            resolve::ensure(root.as_fd(), Path::new(cwd), resolve::Want::Directory)
                .during(|| format!("mkdir {cwd}"))?;
            rustix::process::chdir(cwd).during(text)?;
        }
        Err(Errno::ACCESS) => return Ok(false),
        Err(errno) => return Err(errno).during(text),
    }
    check_cwd()?;
    Ok(true)
}

/// Makes sure that the working directory is inside the root: a path through a descriptor that had
/// leaked in (`/proc/self/fd/7`) would lead to the host, and everything relative with it.
fn check_cwd() -> Result<(), Failure> {
    match rustix::process::getcwd(Vec::new()) {
        // The kernel says `(unreachable)/...` outside the root.
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(Failure::new(
            "current working directory is outside of container mount namespace root -- possible container breakout detected",
        )),
        Err(errno) => Err(errno).during(|| "getcwd"),
    }
}

fn become_user(plan: &ProcessPlan<'_>) -> Result<(), Failure> {
    let user = &plan.process.user;
    own_stdio(user.uid);
    let gids: Vec<Gid> = user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&gids).during(|| "setgroups")?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).during(|| "setgid")?;
    if user.uid == 0 {
        return rustix::thread::set_thread_res_uid(uid, uid, uid).during(|| "setuid");
    }
    rustix::thread::set_keep_capabilities(true).during(|| "set keep caps")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(|| "setuid")?;
    rustix::thread::set_keep_capabilities(false).during(|| "clear keep caps")
}

/// Lets the user open its own standard streams again by name (`/dev/stdout`).
///
/// Only for what is this container's alone: terminals, pipes, files, but not a device that others
/// use. What cannot be given away stays as it is.
fn own_stdio(uid: u32) {
    if uid == 0 {
        return;
    }
    let (stdin, stdout, stderr) =
        (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
    for fd in [stdin, stdout, stderr] {
        let Ok(stat) = rustix::fs::fstat(fd) else {
            continue;
        };
        if stat.st_uid != uid && !resolve::is_char_device(fd, 1, 3) {
            let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// A user's home directory by the container's `/etc/passwd`.
fn home(uid: u32) -> Option<CString> {
    // Not blocking: a FIFO under this name must not hold the container up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(CWD, "/etc/passwd", flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(MAX_PASSWD).read_to_end(&mut text).ok()?;
    home_in(&text, uid).and_then(|home| CString::new(home).ok())
}

fn home_in(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let number = std::str::from_utf8(fields.get(2)?).ok()?.parse::<u32>().ok()?;
        let home = fields.get(5)?;
        (number == uid && !home.is_empty()).then(|| home.to_vec())
    })
}

/// The program's path: `args[0]` itself with a slash in it, else by `PATH`.
fn find_program(plan: &ProcessPlan<'_>) -> Result<CString, Failure> {
    let name = &plan.args[0];
    if name.as_bytes().contains(&b'/') {
        check_program(name).map_err(|errno| program_failure(plan, errno.raw_os_error()))?;
        return Ok(name.clone());
    }
    let path = plan.env.iter().find_map(|var| var.as_bytes().strip_prefix(b"PATH="));
    for directory in path.unwrap_or(DEFAULT_PATH.as_bytes()).split(|byte| *byte == b':') {
        if directory.is_empty() {
            continue;
        }
        let joined = Path::new(std::ffi::OsStr::from_bytes(directory))
            .join(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let Ok(candidate) = CString::new(joined.as_os_str().as_bytes()) else {
            continue;
        };
        if check_program(&candidate).is_ok() {
            return Ok(candidate);
        }
    }
    Err(program_failure(plan, libc::ENOENT))
}

fn check_program(path: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    // With `CAP_DAC_OVERRIDE` the kernel still wants one bit for execution.
    gantry_sys::exec::may_execute(path)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
}

/// Waits for the word to start. Answers the connection that it came by, if not by the parent's.
fn wait(ends: &Ends<'_>) -> Result<Option<OwnedFd>, Failure> {
    let text = || "waiting for start";
    let Some(listener) = ends.listener else {
        return match channel::hear(ends.channel).during(text)? {
            Some(ToInit::Start) => Ok(None),
            // The parent has gone without starting the container.
            _ => Err(Failure::new("the runtime has gone")),
        };
    };
    loop {
        let accepted = rustix::net::accept_with(listener, SocketFlags::CLOEXEC);
        let connection = match accepted {
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            other => other.during(text)?,
        };
        // Somebody may look in and leave again without a word.
        if let Ok(Some(ToInit::Start)) = channel::hear(&connection) {
            return Ok(Some(connection));
        }
    }
}

/// Installs the system call filter and takes on the final capabilities.
fn finish(plan: &ProcessPlan<'_>, told: &OwnedFd) -> Result<(), Failure> {
    let Some(filter) = &plan.filter else {
        return Ok(());
    };
    if plan.process.no_new_privileges {
        return load(filter, told);
    }
    // Without no-new-privileges the kernel wants CAP_SYS_ADMIN, which goes right after.
    capabilities::raise_admin()?;
    load(filter, told)?;
    plan.caps.apply(false)
}

/// What a flag asks of the kernel.
fn needed(flags: u32) -> String {
    use gantry_seccomp::flags::WAIT_KILLABLE_RECV;
    if flags & WAIT_KILLABLE_RECV == 0 { String::new() } else { Version(5, 19).needed() }
}

fn load(filter: &Filter, told: &OwnedFd) -> Result<(), Failure> {
    let listener = gantry_sys::seccomp::load(&filter.program, filter.flags)
        .during(|| format!("unable to init seccomp{}", needed(filter.flags)))?;
    if let Some(listener) = listener {
        channel::report(told, &FromInit::Listener, Some(listener.as_fd()))
            .during(|| "sending the seccomp listener")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_by_number_only() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\n7:x:8:8::/named:\nempty:x:9:9:::\n";
        for (uid, want) in [(0, Some("/root")), (7, None), (8, Some("/named")), (9, None)] {
            assert_eq!(home_in(passwd, uid).as_deref(), want.map(str::as_bytes), "{uid}");
        }
    }
}
