//! Registries for tests: Debian's docker-registry, or ours, on loopback.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{gantry_binary, inside, program};

/// How long one may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// State `LISTEN` in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Who may use a registry that asks.
pub const USER: &str = "alice";
/// Their password.
pub const PASSWORD: &str = "pa55word";
/// bcrypt of [`PASSWORD`].
const HTPASSWD: &str = "alice:$2b$04$M..0EcdNq/Hd9WdnPSikYOhMiF95FNTqYCeO7tkrTLYXk8vaX4kOO\n";

/// Whose registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Debian's docker-registry.
    Debian,
    /// The same, for [`USER`] alone.
    Asking,
    /// `gantry registry serve`.
    Gantry,
}

/// A registry that is running; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    /// Host and port, as they stand in the names of its images.
    pub address: String,
    server: Server,
    root: PathBuf,
    netns_pid: Option<u32>,
    child: Child,
}

impl Registry {
    /// Starts one that keeps everything below `root`, in the network namespace of process
    /// `netns_pid`, or here. Waits until it listens.
    ///
    /// # Errors
    /// When the program is missing, or does not listen in time.
    pub fn start(server: Server, root: &Path, netns_pid: Option<u32>) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let child = launch(server, root, netns_pid, &address)?;
        Ok(Self { address, server, root: root.to_owned(), netns_pid, child })
    }

    /// Starts one that was killed again, as it was.
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.child = launch(self.server, &self.root, self.netns_pid, &self.address)?;
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts one and waits until it listens.
fn launch(server: Server, root: &Path, netns_pid: Option<u32>, address: &str) -> io::Result<Child> {
    let binary = match server {
        Server::Debian | Server::Asking => program("docker-registry")
            .ok_or_else(|| io::Error::other("docker-registry is not installed"))?,
        Server::Gantry => gantry_binary()?,
    };
    let mut command = inside(netns_pid, &binary);
    match server {
        Server::Debian | Server::Asking => {
            let config = root.with_extension("yml");
            fs::write(&config, debian_config(server, root, address)?)?;
            command.arg("serve").arg(config);
        }
        Server::Gantry => {
            command.args(["registry", "serve", "--listen", address, "--root"]).arg(root);
        }
    }
    let log = root.with_extension("log");
    let log_file = File::options().create(true).append(true).open(&log)?;
    command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
    let mut child = command.spawn()?;
    let begin = Instant::now();
    while begin.elapsed() < START_LIMIT {
        if listens(child.id(), address) {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(io::Error::other(format!("the registry ended, {status}: {said}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(io::Error::other(format!("the registry does not listen after {START_LIMIT:?}")))
}

/// Whether somebody listens there in the network namespace of process `pid`.
fn listens(pid: u32, address: &str) -> bool {
    let port: u16 = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let local = format!(":{port:04X}");
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp"));
    table.unwrap_or_default().lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|address| address.ends_with(&local))
            && words.nth(1) == Some(LISTENING)
    })
}

fn debian_config(server: Server, root: &Path, address: &str) -> io::Result<String> {
    let mut text = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  \
         filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        root.display()
    );
    if server == Server::Asking {
        let users = root.with_extension("users");
        fs::write(&users, HTPASSWD)?;
        let path = users.display();
        text.push_str(&format!("auth:\n  htpasswd:\n    realm: tests\n    path: {path}\n"));
    }
    Ok(text)
}

/// A port that nobody has here; in a namespace of a test's own nobody has it either.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
