//! Terminals: the docker CLI in a real pty, driven by Python's `pty`.

/// Runs `argv` in a pty of 30x100, resizes it to 41x123 at "ready", sends `send`, prints the rest.
const DRIVER: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
rows = lambda fd, r, c: fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", r, c, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
rows(fd, 30, 100)
send, seen, resized, end = sys.argv[1].encode().decode("unicode_escape").encode("latin1"), b"", False, time.time() + 20
while time.time() < end:
    if select.select([fd], [], [], 0.2)[0]:
        try: data = os.read(fd, 65536)
        except OSError: break
        if not data: break
        seen += data
    if b"ready" in seen and not resized:
        resized = True
        # A client that was not listening yet is told again.
        for _ in range(5):
            rows(fd, 41, 123)
            os.kill(pid, signal.SIGWINCH)
            time.sleep(0.2)
        os.write(fd, send)
status = os.waitpid(pid, 0)[1]
sys.stdout.write(seen.decode(errors="replace"))
sys.stdout.write("\nexit %d\n" % os.waitstatus_to_exitcode(status))
"#;

pub(crate) fn in_a_terminal(client: &gantry_rig::Client, send: &str, command: &[&str]) -> String {
    let python = std::path::Path::new("python3");
    let ran = client.run(python, &[&["-c", DRIVER, send], command].concat(), None);
    ran.ok().to_owned()
}

const SHELL: &str = "stty -echo; echo ready; read line; stty size; exit 9";

#[test]
fn run_it_has_a_terminal_that_resizes() {
    let daemon = crate::gantry();
    let seen = in_a_terminal(
        &daemon.client(),
        "\\n",
        &["docker", "run", "--rm", "-it", "busybox", "sh", "-c", SHELL],
    );
    assert!(seen.contains("41 123"), "{seen}");
    assert!(seen.contains("exit 9"), "{seen}");
}

#[test]
fn exec_it_has_a_terminal_that_resizes() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client.docker(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let seen = in_a_terminal(&client, "\\n", &["docker", "exec", "-it", "box", "sh", "-c", SHELL]);
    assert!(seen.contains("41 123"), "{seen}");
    assert!(seen.contains("exit 9"), "{seen}");
}

#[test]
fn our_own_run_it_does_the_same() {
    let daemon = crate::gantry();
    let gantry = gantry_rig::daemon::gantry_binary().unwrap().display().to_string();
    let seen = in_a_terminal(
        &daemon.client(),
        "\\n",
        &[&gantry, "run", "--rm", "-it", "busybox", "sh", "-c", SHELL],
    );
    assert!(seen.contains("41 123"), "{seen}");
    assert!(seen.contains("exit 9"), "{seen}");
}

#[test]
fn detach_keys_leave_the_container_running() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = in_a_terminal(
        &client,
        "\\x10\\x11",
        &["docker", "run", "--name", "box", "-it", "busybox", "sh", "-c", SHELL],
    );
    assert_eq!(client.inspect("box")["State"]["Status"], "running");
}
