//! SSH agents for steps: the user's own, or one of this process that holds some private keys.
//!
//! The agent protocol is that of draft-ietf-sshm-ssh-agent: messages with a length before them,
//! of which an agent for a build needs two, to list keys and to sign.

mod key;
mod pem;
mod wire;

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::Agent;
use super::tree::whole;
use crate::container::reason;
use key::Key;
use wire::Reader;

/// Where the user's agent listens.
const SOCKET_VARIABLE: &str = "SSH_AUTH_SOCK";
/// Largest file of a private key.
const KEY_BYTES_MAX: u64 = 100 << 10;
/// Longest message, as OpenSSH has it.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// An agent that steps may use.
#[derive(Debug)]
pub(crate) enum AgentSource {
    /// It listens there.
    Socket(PathBuf),
    /// It is here.
    Keys(Arc<Vec<Key>>),
}

/// Finds the agents, and reads keys, before anything is built.
pub(crate) fn sources(given: Vec<Agent>) -> Result<HashMap<String, AgentSource>, String> {
    let mut all = HashMap::new();
    for Agent { id, paths } in given {
        let source = source(&paths)?;
        if all.insert(id.clone(), source).is_some() {
            return Err(format!("invalid duplicate ID {id}"));
        }
    }
    Ok(all)
}

fn source(paths: &[PathBuf]) -> Result<AgentSource, String> {
    let usual;
    let paths = match paths {
        [] => {
            let socket = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
            let Some(socket) = socket else {
                return Err(format!(
                    "invalid empty ssh agent socket: make sure {SOCKET_VARIABLE} is set"
                ));
            };
            usual = [PathBuf::from(socket)];
            &usual[..]
        }
        paths => paths,
    };
    let mut keys = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| {
            let shown = path.display();
            format!("failed to stat {shown}: stat {shown}: {}", reason(&error))
        })?;
        if metadata.file_type().is_socket() {
            return match paths {
                [_] => Ok(AgentSource::Socket(path.clone())),
                _ => Err("only single socket allowed".into()),
            };
        }
        keys.push(read_key(path)?);
    }
    Ok(AgentSource::Keys(Arc::new(keys)))
}

fn read_key(path: &Path) -> Result<Key, String> {
    let failed = |why: &str| format!("failed to parse {}: {why}", path.display());
    let bytes = whole(path, KEY_BYTES_MAX).map_err(|error| failed(&reason(&error)))?;
    let bytes = bytes.ok_or_else(|| failed("it is longer than 100 KiB"))?;
    Key::parse(&bytes).map_err(|error| failed(&error.to_string()))
}

impl AgentSource {
    /// A new connection.
    pub(crate) fn connect(&self) -> Result<UnixStream, String> {
        match self {
            Self::Socket(path) => UnixStream::connect(path).map_err(|error| {
                format!("failed to connect to {}: {}", path.display(), reason(&error))
            }),
            Self::Keys(keys) => {
                let (theirs, ours) = UnixStream::pair().map_err(|error| reason(&error))?;
                let keys = Arc::clone(keys);
                let serve = move || {
                    // It ends when the other side hangs up, in whatever way.
                    let _ = serve(ours, &keys);
                };
                std::thread::Builder::new()
                    .name("build-agent".into())
                    .spawn(serve)
                    .map_err(|error| reason(&error))?;
                Ok(theirs)
            }
        }
    }
}

fn serve(mut stream: UnixStream, keys: &[Key]) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 || length > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message)?;
        let mut framed = Vec::new();
        wire::string(&mut framed, &answer(&message, keys));
        stream.write_all(&framed)?;
    }
}

/// The answer to a message.
fn answer(message: &[u8], keys: &[Key]) -> Vec<u8> {
    let answer = match message.split_first() {
        Some((&REQUEST_IDENTITIES, [])) => Some(identities(keys)),
        Some((&SIGN_REQUEST, rest)) => signature(rest, keys),
        _ => None,
    };
    answer.unwrap_or_else(|| vec![FAILURE])
}

fn identities(keys: &[Key]) -> Vec<u8> {
    let mut answer = vec![IDENTITIES_ANSWER];
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    answer.extend_from_slice(&count.to_be_bytes());
    for key in keys {
        wire::string(&mut answer, &key.public);
        wire::string(&mut answer, key.comment.as_bytes());
    }
    answer
}

fn signature(request: &[u8], keys: &[Key]) -> Option<Vec<u8>> {
    let mut reader = Reader(request);
    let (public, data, flags) = (reader.string()?, reader.string()?, reader.number()?);
    let key = keys.iter().find(|key| key.public == public)?;
    let mut answer = vec![SIGN_RESPONSE];
    wire::string(&mut answer, &key.sign(data, flags)?);
    Some(answer)
}

#[cfg(test)]
mod tests;
