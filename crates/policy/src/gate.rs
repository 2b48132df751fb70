//! The policy file as it is now.
//!
//! ```text
//! no file, none demanded    everything may come
//! a policy                  what it says
//!   the file is wrong now   what it said before, and a line in the log
//! wrong from the first on   nothing may come, until it is right
//! ```

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Policy, PolicyError, Rule, Subject};

/// The largest policy file, bytes.
const POLICY_MAX: u64 = 4 << 20;
/// The largest file of a key, bytes.
const KEY_MAX: u64 = 64 << 10;

/// Decides by a policy file, which is read again when it or a key changes; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Option<Arc<Watched>>);

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Whether there must be a file.
    demanded: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The files as they were when they were read last: the policy, then its keys.
    seen: Vec<(PathBuf, Stamp)>,
    now: Now,
}

/// What decides.
#[derive(Clone, Debug)]
enum Now {
    Nothing,
    Policy(Arc<Policy>),
    Broken(PolicyError),
}

/// What changes with a file: device, inode, size, and times of content and inode in nanoseconds.
type Stamp = Option<(u64, u64, u64, i128, i128)>;

impl Gate {
    /// A gate that lets everything in.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// A gate by a file; with `demanded` it must be there, else everything may come without it.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn by_file(path: &Path, demanded: bool) -> Result<Self, PolicyError> {
        let (now, seen) = look(path, demanded);
        if let Now::Broken(error) = now {
            return Err(error);
        }
        let state = Mutex::new(State { seen, now });
        Ok(Self(Some(Arc::new(Watched { path: path.to_owned(), demanded, state }))))
    }

    /// The rule for an image, by the file as it is now. Reads the disk, shortly.
    ///
    /// # Errors
    /// When there is a file that was never right, so that nobody knows what it wants.
    pub fn rule(&self, image: Subject) -> Result<Rule, PolicyError> {
        match self.now(false) {
            Now::Nothing => Ok(Rule::none(image)),
            Now::Policy(policy) => Ok(policy.rule(image)),
            Now::Broken(error) => Err(error),
        }
    }

    /// Reads the file again, also if it looks the same; what comes of it is in the log.
    pub fn reload(&self) {
        self.now(true);
    }

    fn now(&self, anew: bool) -> Now {
        let Some(watched) = &self.0 else { return Now::Nothing };
        let mut state = watched.state.lock().unwrap_or_else(PoisonError::into_inner);
        if anew || state.seen.iter().any(|(path, seen)| stamp(path) != *seen) {
            watched.refresh(&mut state);
        }
        state.now.clone()
    }
}

impl Watched {
    fn refresh(&self, state: &mut State) {
        // One that has gone is no permission.
        let had = matches!(state.now, Now::Policy(_));
        let (now, seen) = look(&self.path, self.demanded || had);
        state.seen = seen;
        let policy = self.path.display();
        match (now, had) {
            (Now::Broken(error), true) => {
                let error = gantry_fault::chain(&error);
                tracing::error!(%policy, error, "the image policy stays as it was");
            }
            (Now::Broken(error), false) => {
                let words = gantry_fault::chain(&error);
                tracing::error!(%policy, error = words, "no image may come until this is right");
                state.now = Now::Broken(error);
            }
            (Now::Nothing, _) => state.now = Now::Nothing,
            (now, _) => {
                tracing::info!(%policy, "the image policy was read again");
                state.now = now;
            }
        }
    }
}

/// Reads everything; stamps are taken before, so that no change is missed.
fn look(path: &Path, demanded: bool) -> (Now, Vec<(PathBuf, Stamp)>) {
    let mut seen = vec![(path.to_owned(), stamp(path))];
    let failed = |error| match error {
        PolicyError::Read { .. } => Now::Broken(error),
        error => Now::Broken(PolicyError::File { path: path.to_owned(), source: Arc::new(error) }),
    };
    let json = match read(path, POLICY_MAX) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !demanded => {
            return (Now::Nothing, seen);
        }
        Err(source) => {
            let (path, source) = (path.to_owned(), Arc::new(source));
            return (failed(PolicyError::Read { path, source }), seen);
        }
    };
    let parsed = Policy::parse(&json, &mut |key| {
        seen.push((key.to_owned(), stamp(key)));
        read(key, KEY_MAX)
    });
    let now = match parsed {
        Ok(policy) => Now::Policy(Arc::new(policy)),
        Err(error) => failed(error),
    };
    (now, seen)
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let written = time(meta.mtime(), meta.mtime_nsec());
    Some((meta.dev(), meta.ino(), meta.size(), written, time(meta.ctime(), meta.ctime_nsec())))
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
