//! Running `git` so that neither the host's configuration nor the repository decides what it does.

use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_build_proto::Stream;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::UnixListener,
    process::Command,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Fetcher, GitError};
use crate::{
    cache::record::random,
    graph::GitSource,
    ops::{OpError, step_mounts::Confidant},
    runs::Sink,
};

/// Most that is read of what it prints.
const OUTPUT_MAX: usize = 4 << 20;
/// What is shown of its words.
const WORDS_MAX: usize = 2000;
/// Where it is looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What counts in the daemon's environment: the way to the outside and whom to trust there.
const INHERITED: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];
/// No hook, no file system monitor, no helper of the repository's; a server that falls silent is left.
const SETTINGS: [(&str, &str); 8] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("credential.helper", ""),
    ("advice.detachedHead", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// The program, with a directory to work in that goes away with this.
pub(super) struct Program {
    directory: PathBuf,
    env: Vec<(String, String)>,
    sink: Sink,
    stop: CancellationToken,
    _agent: Option<AbortOnDropHandle<()>>,
}

impl Program {
    pub(super) async fn begin(
        fetcher: &Fetcher,
        source: &GitSource,
        confidant: Option<&Confidant>,
        sink: Sink,
        stop: &CancellationToken,
    ) -> Result<Self, OpError> {
        let name: String = random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = fetcher.directory.join(name);
        let failed = |source| GitError::Files { step: "making a directory for git", source };
        std::fs::DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        let mut program = Self {
            env: environment(&directory),
            directory,
            sink,
            stop: stop.clone(),
            _agent: None,
        };
        let mut settings: Vec<(String, String)> =
            SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        if let Some(confidant) = confidant {
            settings.extend(authorization(source, confidant).await);
            program.offer_agent(confidant).map_err(failed)?;
        }
        program.env.push(("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()));
        for (number, (key, value)) in settings.into_iter().enumerate() {
            program.env.push((format!("GIT_CONFIG_KEY_{number}"), key));
            program.env.push((format!("GIT_CONFIG_VALUE_{number}"), value));
        }
        Ok(program)
    }

    /// Where it works.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs it, and returns what it printed.
    pub(super) async fn run(
        &mut self,
        step: &'static str,
        args: &[&str],
    ) -> Result<String, OpError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => GitError::NotInstalled,
            _ => GitError::Run { step, source },
        };
        let mut child = Command::new("git")
            .args(args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let _group = Group::of(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (output, words) = tokio::join!(read(stdout, None), read(stderr, Some(&self.sink)));
            Ok::<_, io::Error>((child.wait().await?, output?, words?))
        };
        let (status, output, words) = tokio::select! {
            done = work => done.map_err(failed)?,
            () = self.stop.cancelled() => return Err(OpError::Cancelled),
        };
        if !status.success() {
            let words = without_password(words.trim());
            let start = words.len().saturating_sub(WORDS_MAX);
            let start = (start..=words.len()).find(|at| words.is_char_boundary(*at));
            let words = words[start.unwrap_or_default()..].to_owned();
            return Err(GitError::Failed { step, words }.into());
        }
        Ok(output)
    }

    /// A socket by which ssh reaches the client's agent.
    fn offer_agent(&mut self, confidant: &Confidant) -> io::Result<()> {
        if !confidant.agents.iter().any(|agent| agent == "default") {
            return Ok(());
        }
        // Beside the directory that is checked out into.
        let path = self.directory.with_extension("agent");
        let listener = UnixListener::bind(&path)?;
        let serving = crate::ops::step_mounts::serve_agent(
            listener,
            Arc::clone(&confidant.client),
            "default".to_owned(),
        );
        self._agent = Some(AbortOnDropHandle::new(tokio::spawn(serving)));
        self.env.push(("SSH_AUTH_SOCK".to_owned(), path.display().to_string()));
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(std::fs::remove_file(self.directory.with_extension("agent")));
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, "could not remove a checkout");
        }
    }
}

/// All processes of a run: its helpers end with it.
struct Group(Option<Pid>);

impl Group {
    fn of(id: Option<u32>) -> Self {
        let id = id.and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // None is left, usually.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn environment(directory: &Path) -> Vec<(String, String)> {
    let ssh = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
               -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let fixed = [
        ("PATH", PATH),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ALLOW_PROTOCOL", "http:https:git:ssh"),
        ("GIT_SSH_COMMAND", ssh),
        ("GIT_LFS_SKIP_SMUDGE", "1"),
    ];
    let mut env: Vec<(String, String)> =
        fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    // No repository of the host's that lies above is taken for ours.
    let above = directory.parent().unwrap_or(directory);
    env.push(("GIT_CEILING_DIRECTORIES".to_owned(), above.display().to_string()));
    for name in INHERITED {
        env.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    env
}

/// What the client wants the server to be told, as BuildKit names the secrets.
async fn authorization(source: &GitSource, confidant: &Confidant) -> Option<(String, String)> {
    let (scheme, rest) = source.url.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let host = rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let key = format!("http.{scheme}://{host}/.extraheader");
    for name in [format!("GIT_AUTH_HEADER.{host}"), "GIT_AUTH_HEADER".to_owned()] {
        if let Ok(value) = confidant.client.secret(&name).await {
            let value = String::from_utf8_lossy(&value).trim().to_owned();
            return Some((key, format!("Authorization: {value}")));
        }
    }
    for name in [format!("GIT_AUTH_TOKEN.{host}"), "GIT_AUTH_TOKEN".to_owned()] {
        if let Ok(value) = confidant.client.secret(&name).await {
            let both = [b"x-access-token:", value.trim_ascii()].concat();
            return Some((key, format!("Authorization: basic {}", STANDARD.encode(both))));
        }
    }
    None
}

async fn read(stream: Option<impl AsyncRead + Unpin>, sink: Option<&Sink>) -> io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut all = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&all).into_owned());
        }
        if let Some(sink) = sink {
            let text = without_password(&String::from_utf8_lossy(&buffer[..read]));
            sink.write(Stream::Err, text.as_bytes());
        }
        if all.len() < OUTPUT_MAX {
            all.extend_from_slice(&buffer[..read]);
        }
    }
}

/// A text without what stands before the `@` of the URLs in it.
pub(super) fn without_password(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end =
            after.find(|c: char| c == '/' || c.is_whitespace() || c == '\'').unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(user) => {
                out.push_str("xxxxx");
                &after[user..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn passwords_are_not_shown() {
        for (text, want) in [
            ("fatal: 'https://u:p@host/x' failed", "fatal: 'https://xxxxx@host/x' failed"),
            ("https://host/x@y", "https://host/x@y"),
            ("a https://t@h/ b https://h/", "a https://xxxxx@h/ b https://h/"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_password(text), want);
        }
    }
}
