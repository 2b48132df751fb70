//! A policy: requirements by transport and scope.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::Reference;

use crate::{
    KeyError, PolicyError, Rule, Subject,
    document::{self, Sigstore, Written, WrittenIdentity},
    identity::{SignedIdentity, is_prefix},
    key::PublicKey,
    rule::Requirement,
    scope,
};

/// Transports whose images have no scope but the default one: an archive comes as a stream, and
/// nobody here knows its path.
const WITHOUT_SCOPES: [&str; 3] = ["docker-archive", "oci-archive", "tarball"];

type Requirements = Arc<[Requirement]>;

/// A policy that was read, with its keys.
#[derive(Debug)]
pub struct Policy {
    default: Requirements,
    transports: BTreeMap<String, BTreeMap<String, Requirements>>,
}

/// Reads keys of files.
struct Keys<'a>(&'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>);

impl Policy {
    /// Reads a policy; files of keys are read by `read`.
    ///
    /// # Errors
    /// When it is no policy, says what is not understood here, or a key cannot be read.
    pub fn parse(
        json: &[u8],
        read: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, PolicyError> {
        let document = document::read(json)?;
        let mut keys = Keys(read);
        let default = requirements("default", document.default, &mut keys)?;
        let mut transports = BTreeMap::new();
        for (transport, written) in document.transports.0 {
            let mut scopes = BTreeMap::new();
            for (scope, written) in written.0 {
                let at = format!("transports.{transport}.{scope:?}");
                if !scope.is_empty() && WITHOUT_SCOPES.contains(&transport.as_str()) {
                    return Err(PolicyError::Scope { at });
                }
                scopes.insert(scope, requirements(&at, written, &mut keys)?);
            }
            transports.insert(transport, scopes);
        }
        Ok(Self { default, transports })
    }

    /// The requirements for an image: those of the most specific scope that it is in.
    #[must_use]
    pub fn rule(&self, image: Subject) -> Rule {
        let transport = image.transport();
        let rule = |words: String, requirements: &Requirements| Rule {
            image: image.clone(),
            words,
            requirements: Arc::clone(requirements),
        };
        if let Some(known) = self.transports.get(transport) {
            let scopes = match &image {
                Subject::Registry(name) => scope::of(name),
                _ => Vec::new(),
            };
            for scope in scopes.iter().map(String::as_str).chain([""]) {
                if let Some(requirements) = known.get(scope) {
                    return rule(format!("{transport} {scope:?}"), requirements);
                }
            }
        }
        rule("default".to_owned(), &self.default)
    }
}

fn requirements(
    at: &str,
    written: Vec<Written>,
    keys: &mut Keys<'_>,
) -> Result<Requirements, PolicyError> {
    if written.is_empty() {
        return Err(PolicyError::Empty { at: at.to_owned() });
    }
    let mut all = Vec::new();
    for (index, written) in written.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        all.push(match written {
            Written::InsecureAcceptAnything {} => Requirement::Accept,
            Written::Reject {} => Requirement::Reject,
            Written::SignedBy(_) => {
                let what = "a requirement of type signedBy (GPG keys)".to_owned();
                return Err(PolicyError::NotImplemented { at, what });
            }
            Written::SigstoreSigned(written) => signed(&at, *written, keys)?,
        });
    }
    Ok(all.into())
}

fn signed(at: &str, written: Sigstore, keys: &mut Keys<'_>) -> Result<Requirement, PolicyError> {
    if let Some(field) = written.not_implemented() {
        let (at, what) = (at.to_owned(), format!("{field} of sigstoreSigned"));
        return Err(PolicyError::NotImplemented { at, what });
    }
    let identity = match written.signed_identity {
        None => SignedIdentity::MatchRepoDigestOrExact,
        Some(written) => identity(&format!("{at}.signedIdentity"), written)?,
    };
    let sources = (written.key_path, written.key_paths, written.key_data, written.key_datas);
    let keys = match sources {
        (Some(path), None, None, None) => vec![keys.of_file(at, path)?],
        (None, Some(paths), None, None) if !paths.is_empty() => {
            paths.into_iter().map(|path| keys.of_file(at, path)).collect::<Result<_, _>>()?
        }
        (None, None, Some(data), None) => vec![of_data(at, "keyData", &data)?],
        (None, None, None, Some(datas)) if !datas.is_empty() => {
            datas.iter().map(|data| of_data(at, "keyDatas", data)).collect::<Result<_, _>>()?
        }
        _ => return Err(PolicyError::KeySources { at: at.to_owned() }),
    };
    Ok(Requirement::Signed { keys, identity })
}

impl Keys<'_> {
    fn of_file(&mut self, at: &str, path: PathBuf) -> Result<PublicKey, PolicyError> {
        let at = at.to_owned();
        if !path.is_absolute() {
            return Err(PolicyError::Relative { at, path });
        }
        match (self.0)(&path) {
            Err(source) => Err(PolicyError::KeyFile { at, path, source: Arc::new(source) }),
            Ok(pem) => PublicKey::from_pem(&pem).map_err(|source| PolicyError::Key {
                at,
                key: path.display().to_string(),
                source,
            }),
        }
    }
}

fn of_data(at: &str, field: &str, data: &str) -> Result<PublicKey, PolicyError> {
    let pem = STANDARD.decode(data).map_err(|_| KeyError::Base64);
    let key = pem.and_then(|pem| PublicKey::from_pem(&pem));
    key.map_err(|source| PolicyError::Key { at: at.to_owned(), key: field.to_owned(), source })
}

fn identity(at: &str, written: WrittenIdentity) -> Result<SignedIdentity, PolicyError> {
    let at = || at.to_owned();
    let name = |text: String| match text.parse::<Reference>() {
        Ok(name) => Ok((name, text)),
        Err(source) => Err(PolicyError::Reference { at: at(), text, source }),
    };
    Ok(match written {
        WrittenIdentity::MatchExact {} => SignedIdentity::MatchExact,
        WrittenIdentity::MatchRepoDigestOrExact {} => SignedIdentity::MatchRepoDigestOrExact,
        WrittenIdentity::MatchRepository {} => SignedIdentity::MatchRepository,
        WrittenIdentity::MatchDigest {} => SignedIdentity::MatchDigest,
        WrittenIdentity::ExactReference { docker_reference } => match name(docker_reference)? {
            (name, text) if name.is_name_only() => {
                return Err(PolicyError::NameOnly { at: at(), text });
            }
            (name, _) => SignedIdentity::ExactReference(name),
        },
        WrittenIdentity::ExactRepository { docker_repository } => {
            SignedIdentity::ExactRepository(name(docker_repository)?.0)
        }
        WrittenIdentity::RemapIdentity { prefix, signed_prefix } => {
            let wrong = [&prefix, &signed_prefix].into_iter().find(|text| !is_prefix(text));
            if let Some(text) = wrong {
                return Err(PolicyError::Prefix { at: at(), text: text.clone() });
            }
            SignedIdentity::RemapIdentity { prefix, signed_prefix }
        }
    })
}
