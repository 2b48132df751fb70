//! Registries for tests: Debian's docker-registry, or ours, on loopback.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::Path;
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
    child: Child,
}

impl Registry {
    /// Starts one that keeps everything below `root`, in the network namespace of process
    /// `netns_pid`, or here. Waits until it listens.
    ///
    /// # Errors
    /// When the program is missing, or does not listen in time.
    pub fn start(server: Server, root: &Path, netns_pid: Option<u32>) -> io::Result<Self> {
        let binary = match server {
            Server::Debian | Server::Asking => program("docker-registry")
                .ok_or_else(|| io::Error::other("docker-registry is not installed"))?,
            Server::Gantry => gantry_binary()?,
        };
        fs::create_dir_all(root)?;
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let log = root.with_extension("log");
        let mut command = inside(netns_pid, &binary);
        match server {
            Server::Debian | Server::Asking => {
                let config = root.with_extension("yml");
                let mut text = debian_config(root, &address);
                if server == Server::Asking {
                    let users = root.with_extension("users");
                    fs::write(&users, HTPASSWD)?;
                    let path = users.display();
                    text.push_str(&format!(
                        "auth:\n  htpasswd:\n    realm: tests\n    path: {path}\n"
                    ));
                }
                fs::write(&config, text)?;
                command.arg("serve").arg(config);
            }
            Server::Gantry => {
                command.args(["registry", "serve", "--listen", &address, "--root"]).arg(root);
            }
        }
        let log_file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
        let mut registry = Self { address, child: command.spawn()? };
        let begin = Instant::now();
        while begin.elapsed() < START_LIMIT {
            if registry.listens_on(port) {
                return Ok(registry);
            }
            if let Some(status) = registry.child.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("the registry ended, {status}: {said}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other(format!("the registry does not listen after {START_LIMIT:?}")))
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

    /// Whether somebody in its network namespace listens there.
    fn listens_on(&self, port: u16) -> bool {
        let local = format!(":{port:04X}");
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid()));
        table.unwrap_or_default().lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|address| address.ends_with(&local))
                && words.nth(1) == Some(LISTENING)
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn debian_config(root: &Path, address: &str) -> String {
    format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  \
         filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        root.display()
    )
}

/// A port that nobody has here; in a namespace of a test's own nobody has it either.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
