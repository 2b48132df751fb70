//! Debian's registry server, on the loopback of a daemon's network namespace.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::inside;

/// Debian's program (package docker-registry).
const PROGRAM: &str = "docker-registry";
/// bcrypt of [`PASSWORD`].
const HTPASSWD: &str = "alice:$2b$04$M..0EcdNq/Hd9WdnPSikYOhMiF95FNTqYCeO7tkrTLYXk8vaX4kOO\n";
/// Who may use a registry that asks.
pub const USER: &str = "alice";
/// Their password.
pub const PASSWORD: &str = "pa55word";
/// Longest wait for its first answer.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A registry that this rig started; dropping it ends it.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Registry {
    /// Starts one that keeps its data in `directory`, for whoever is in the network namespace of
    /// process `netns`. With `asks` only [`USER`] may use it.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start(netns: Option<u32>, directory: &Path, asks: bool) -> io::Result<Self> {
        // A port that is free here is most likely free there.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        fs::create_dir_all(directory)?;
        let users = directory.join("users");
        fs::write(&users, HTPASSWD)?;
        let auth = match asks {
            true => format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", users.display()),
            false => String::new(),
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, \
             delete: {{enabled: true}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n{auth}",
            directory.join("data").display()
        );
        let path = directory.join("config.yml");
        fs::write(&path, config)?;
        let child = inside(netns, Path::new(PROGRAM))
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log"))?)
            .spawn()?;
        let registry = Self { child, port, directory: directory.to_owned() };
        let begin = Instant::now();
        while !registry.answers(netns) {
            if begin.elapsed() > START_LIMIT {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("no registry in {START_LIMIT:?}: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Where its data lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn answers(&self, netns: Option<u32>) -> bool {
        let url = format!("http://127.0.0.1:{}/", self.port);
        let mut curl = inside(netns, Path::new("curl"));
        curl.args(["-s", "-o", "/dev/null", &url]);
        curl.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
