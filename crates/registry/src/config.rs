//! What a registry is told: a TOML file, and the options of the command line over it.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_web::Secret;
use serde::Deserialize;

use crate::{
    auth::Right,
    pattern::Pattern,
    rules::{Protect, Quota, Retention, Span},
};

/// The whole configuration; every part has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where to tell health and figures without asking who wants to know; nowhere if empty.
    pub debug_listen: String,
    /// Where everything is kept; empty for the default.
    pub root: PathBuf,
    /// Indexes and manifests may refer to what is not here.
    pub sparse: bool,
    /// A text that every answer carries for the client's user, as a `Warning`.
    pub warning: String,
    /// Sizes.
    pub limits: Limits,
    /// Deletion.
    pub delete: Delete,
    /// Blobs, manifests and tags in a bucket.
    pub s3: Option<S3>,
    /// TLS.
    pub tls: Option<Tls>,
    /// A certificate from an authority.
    pub acme: Option<Acme>,
    /// Users and rights.
    pub auth: Auth,
    /// Garbage collection.
    pub collect: Collect,
    /// What goes by itself.
    pub retention: Vec<Retention>,
    /// How much repositories may hold.
    pub quotas: Vec<Quota>,
    /// Tags that stay.
    pub protect: Vec<Protect>,
    /// Registries to fetch from what is not here.
    pub mirrors: Vec<Mirror>,
    /// Who did what.
    pub audit: Audit,
}

/// Limits of sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Largest manifest.
    pub manifest_bytes: usize,
    /// Largest blob.
    pub blob_bytes: u64,
    /// Least length that clients are asked to send chunks in; shorter ones are taken too.
    pub chunk_min_bytes: u64,
    /// Memory for manifests that were asked for lately.
    pub cache_bytes: usize,
}

/// What may be deleted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Delete {
    /// Whether clients may delete at all.
    pub enabled: bool,
}

/// A bucket of an object storage that speaks S3.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct S3 {
    /// URL of the storage; Amazon's of the region if empty.
    pub endpoint: String,
    /// The bucket, which is there.
    pub bucket: String,
    /// What all keys begin with.
    pub prefix: String,
    /// The region; of the environment, or `us-east-1`, if empty.
    pub region: String,
    /// Who asks; if empty, the environment says it, or the machine if that is wished.
    pub access_key: String,
    /// Without keys, the role of the Amazon instance that this is counts.
    pub instance_role: bool,
    /// With what secret.
    #[serde(deserialize_with = "secret")]
    pub secret_key: Secret,
    /// The bucket is in the path, not in the host's name; so with an endpoint of one's own.
    pub path_style: Option<bool>,
    /// Clients are led to the bucket for blobs.
    pub redirect: bool,
}

fn secret<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Secret, D::Error> {
    String::deserialize(text).map(Secret::new)
}

/// TLS, by files in PEM form that are read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A certificate from an authority that speaks ACME.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Acme {
    /// URL of the authority's directory.
    #[serde(default = "lets_encrypt")]
    pub directory: String,
    /// File of the authority's own authority, in PEM form, beside those that the machine trusts.
    pub authority: Option<PathBuf>,
    /// Where the authority writes to.
    #[serde(default)]
    pub email: String,
    /// What the certificate is for.
    pub domains: Vec<String>,
    /// The authority's terms are agreed to.
    #[serde(default)]
    pub accept_terms: bool,
    /// Where the authority looks by HTTP, which it does at port 80; by TLS, at port 443, if empty.
    #[serde(default)]
    pub http_listen: String,
}

fn lets_encrypt() -> String {
    "https://acme-v02.api.letsencrypt.org/directory".to_owned()
}

impl Acme {
    /// What it lacks to be used.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if self.domains.is_empty() {
            Some("acme: domains are missing")
        } else if self.domains.iter().any(|domain| domain.contains('*')) {
            Some("acme: wildcards need proofs by DNS, which are not implemented")
        } else if !self.accept_terms {
            Some("acme: read the authority's terms, and set accept-terms = true")
        } else {
            None
        }
    }
}

/// How clients are told to say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// By a password with every request.
    Basic,
    /// By a token, which they get for the password.
    Token,
}

/// Users and rights. Passwords and tokens are both taken, whatever clients are told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Auth {
    /// A file of names and bcrypt hashes. Without it everybody may do everything.
    pub htpasswd: Option<PathBuf>,
    /// What clients are told; tokens if there are rights or anybody may pull.
    pub challenge: Option<Challenge>,
    /// What users are shown when they are asked for a password.
    pub realm: String,
    /// Repositories that anybody may pull from.
    pub anonymous_pull: Option<Pattern>,
    /// Who may do what. Without any, every user may do everything.
    pub rights: Vec<Right>,
    /// Who signs tokens, and for what service.
    pub issuer: String,
    /// The service that tokens are for.
    pub service: String,
    /// Where clients find tokens, if not at `/token` of the address by which they came.
    pub token_url: Option<String>,
    /// File of the key that signs tokens, PKCS #8 of Ed25519; made in the root if none is named.
    pub key: Option<PathBuf>,
    /// How long a token lives, in seconds.
    pub token_life_s: u64,
    /// How long a token lives that others are got with, in seconds.
    pub refresh_life_s: u64,
}

impl Auth {
    pub(crate) fn challenge(&self) -> Challenge {
        let plain = self.rights.is_empty() && self.anonymous_pull.is_none();
        self.challenge.unwrap_or(if plain { Challenge::Basic } else { Challenge::Token })
    }
}

/// Garbage collection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Collect {
    /// Pause between two runs.
    pub every: Span,
    /// How long a blob stays that no manifest needs, after a client was told that it is there.
    pub grace: Span,
    /// After how long an upload that nobody goes on with ends.
    pub uploads_after: Span,
}

/// A registry to fetch from what is not here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mirror {
    /// Repositories whose names begin with this and a slash are its; without it all are.
    #[serde(default)]
    pub prefix: String,
    /// Its URL, as `https://registry.example`.
    pub url: String,
    /// Its user, if it wants one.
    pub username: Option<String>,
    /// His password.
    #[serde(default)]
    pub password: String,
    /// How long a tag is served without asking whether it still is the same.
    #[serde(default = "five_minutes")]
    pub fresh_for: Span,
}

fn five_minutes() -> Span {
    Span::seconds(300)
}

/// The audit log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Audit {
    /// Its file; none is written without.
    pub file: Option<PathBuf>,
    /// Reading is noted, too, and not only changes, tokens and refusals.
    pub reads: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            debug_listen: String::new(),
            root: PathBuf::new(),
            sparse: false,
            warning: String::new(),
            limits: Limits::default(),
            delete: Delete::default(),
            s3: None,
            tls: None,
            acme: None,
            auth: Auth::default(),
            collect: Collect::default(),
            retention: Vec::new(),
            quotas: Vec::new(),
            protect: Vec::new(),
            mirrors: Vec::new(),
            audit: Audit::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            blob_bytes: 1 << 40,
            chunk_min_bytes: 0,
            cache_bytes: 32 << 20,
        }
    }
}

impl Default for Delete {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            htpasswd: None,
            challenge: None,
            realm: "Gantry registry".to_owned(),
            anonymous_pull: None,
            rights: Vec::new(),
            issuer: "gantry".to_owned(),
            service: "gantry-registry".to_owned(),
            token_url: None,
            key: None,
            token_life_s: 300,
            refresh_life_s: 30 * 86_400,
        }
    }
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            every: Span::seconds(3600),
            grace: Span::seconds(6 * 3600),
            uploads_after: Span::seconds(7 * 86_400),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The bucket cannot be one.
    #[error("cannot use bucket {bucket:?}: {reason}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// What is wrong.
        reason: String,
    },
    /// It is no TOML, or holds what nobody knows.
    #[error("{}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, or holds what is not known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}
