//! Users and their passwords, from a file that `htpasswd -B` writes.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use tokio::sync::Semaphore;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a password that was right is not checked again: that takes a tenth of a second.
const REMEMBER: Duration = Duration::from_secs(300);
/// Most that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// Passwords that are checked at once; others wait.
const CHECKS: usize = 2;
/// Checked in place of the hash of a user who is not there, so that time does not tell names.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuqbNP4vGR3Vvj5HGxqaVCvCUiyaVYbAS";

/// The users.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    state: Mutex<State>,
    /// Keys what is remembered, so that memory holds no hash that others could search.
    secret: hmac::Key,
    checks: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    hashes: HashMap<String, String>,
    changed: Option<SystemTime>,
    looked: Instant,
    remembered: HashMap<Vec<u8>, Instant>,
}

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or has passwords of another kind than bcrypt.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let changed = fs::metadata(path)?.modified().ok();
        let hashes = parse(&fs::read_to_string(path)?)?;
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(State {
                hashes,
                changed,
                looked: Instant::now(),
                remembered: HashMap::new(),
            }),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            checks: Arc::new(Semaphore::new(CHECKS)),
        })
    }

    /// Whether there is a user of this name.
    pub(crate) fn has(&self, user: &str) -> bool {
        self.look_again();
        self.state().hashes.contains_key(user)
    }

    /// Whether this is the user's password.
    pub(crate) async fn check(&self, user: &str, password: &str) -> bool {
        self.look_again();
        let hash = self.state().hashes.get(user).cloned();
        // The hash is part of it: a password that was changed is not remembered.
        let known = [user, password, hash.as_deref().unwrap_or_default()]
            .map(|part| digest(&SHA256, part.as_bytes()));
        let joined: Vec<u8> = known.iter().flat_map(|part| part.as_ref()).copied().collect();
        let proof = hmac::sign(&self.secret, &joined).as_ref().to_vec();
        if self.state().remembered.get(&proof).is_some_and(|at| at.elapsed() < REMEMBER) {
            return true;
        }
        let (exists, hash) = (hash.is_some(), hash.unwrap_or_else(|| NOBODY.to_owned()));
        let Ok(permit) = Arc::clone(&self.checks).acquire_owned().await else { return false };
        let password = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let right = bcrypt::verify(password, &hash).unwrap_or(false);
            drop(permit);
            right
        });
        let right = checked.await.unwrap_or(false) && exists;
        if right {
            let mut state = self.state();
            if state.remembered.len() >= REMEMBERED_MAX {
                state.remembered.clear();
            }
            state.remembered.insert(proof, Instant::now());
        }
        right
    }

    /// Reads the file again if it has changed; one that cannot be read changes nothing.
    fn look_again(&self) {
        let mut state = self.state();
        if state.looked.elapsed() < LOOK_EVERY {
            return;
        }
        state.looked = Instant::now();
        let changed = fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if changed == state.changed {
            return;
        }
        match fs::read_to_string(&self.path).and_then(|text| parse(&text)) {
            Ok(hashes) => {
                tracing::info!(users = hashes.len(), "passwords are read again");
                state.hashes = hashes;
                state.changed = changed;
                state.remembered.clear();
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "passwords stay as they were")
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> io::Result<HashMap<String, String>> {
    let mut users = HashMap::new();
    let lines = text.lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (user, hash) = line.split_once(':').unwrap_or((line, ""));
        if user.is_empty() || !["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind)) {
            let text = format!("line {} is not user:hash with a bcrypt hash", at + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_is_taken() {
        let users = parse("# people\nann:$2y$05$abc\n\n bob:$2b$05$def \n").unwrap();
        assert_eq!(users["bob"], "$2b$05$def");
        for wrong in ["ann", "ann:plain", "ann:$apr1$x", ":$2y$05$abc"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn passwords_are_checked_and_read_again() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("htpasswd");
        let line =
            |user: &str, password: &str| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        fs::write(&path, line("ann", "one")).unwrap();
        let users = Users::open(&path).unwrap();
        for _ in 0..2 {
            assert!(users.check("ann", "one").await);
            assert!(!users.check("ann", "two").await);
            assert!(!users.check("bob", "one").await);
        }
        assert!(bcrypt::verify("anything", NOBODY).is_ok(), "it is a hash");
        fs::write(&path, line("ann", "two") + &line("bob", "one")).unwrap();
        fs::File::open(&path)
            .unwrap()
            .set_modified(SystemTime::now() + Duration::from_secs(5))
            .unwrap();
        users.state().looked = Instant::now() - LOOK_EVERY;
        assert!(users.check("ann", "two").await);
        assert!(!users.check("ann", "one").await);
        assert!(users.has("bob"));
    }
}
