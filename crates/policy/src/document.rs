//! The text of a policy, read strictly: what is unknown or said twice is an error, as in podman.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    marker::PhantomData,
    path::PathBuf,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

use crate::PolicyError;

/// A policy as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) default: Vec<Written>,
    #[serde(default)]
    pub(crate) transports: Unique<Unique<Vec<Written>>>,
}

/// A requirement as it is written.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Written {
    InsecureAcceptAnything {},
    Reject {},
    SignedBy(IgnoredAny),
    SigstoreSigned(Box<Sigstore>),
}

/// `sigstoreSigned` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Sigstore {
    pub(crate) key_path: Option<PathBuf>,
    pub(crate) key_paths: Option<Vec<PathBuf>>,
    pub(crate) key_data: Option<String>,
    pub(crate) key_datas: Option<Vec<String>>,
    pub(crate) signed_identity: Option<WrittenIdentity>,
    fulcio: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    rekor_public_key_path: Option<IgnoredAny>,
    rekor_public_key_paths: Option<IgnoredAny>,
    rekor_public_key_data: Option<IgnoredAny>,
    rekor_public_key_datas: Option<IgnoredAny>,
}

impl Sigstore {
    /// The first field whose meaning is not known here.
    pub(crate) fn not_implemented(&self) -> Option<&'static str> {
        [
            ("fulcio", &self.fulcio),
            ("pki", &self.pki),
            ("rekorPublicKeyPath", &self.rekor_public_key_path),
            ("rekorPublicKeyPaths", &self.rekor_public_key_paths),
            ("rekorPublicKeyData", &self.rekor_public_key_data),
            ("rekorPublicKeyDatas", &self.rekor_public_key_datas),
        ]
        .into_iter()
        .find_map(|(name, value)| value.is_some().then_some(name))
    }
}

/// `signedIdentity` as it is written.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum WrittenIdentity {
    MatchExact {},
    MatchRepoDigestOrExact {},
    MatchRepository {},
    ExactReference { docker_reference: String },
    ExactRepository { docker_repository: String },
    RemapIdentity { prefix: String, signed_prefix: String },
    MatchDigest {},
}

/// Reads the text.
pub(crate) fn read(json: &[u8]) -> Result<Document, PolicyError> {
    let mut text = serde_json::Deserializer::from_slice(json);
    let document = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let at = match error.path().to_string() {
            path if path == "." => "policy".to_owned(),
            path => path,
        };
        PolicyError::Json { at, why: error.into_inner().to_string() }
    })?;
    let end = text.end();
    end.map_err(|error| PolicyError::Json { at: "policy".to_owned(), why: error.to_string() })?;
    Ok(document)
}

/// A map in which nothing is said twice.
#[derive(Debug)]
pub(crate) struct Unique<T>(pub(crate) BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    match all.entry(key) {
                        Entry::Vacant(free) => drop(free.insert(value)),
                        Entry::Occupied(taken) => {
                            let key = taken.key();
                            return Err(de::Error::custom(format!("{key:?} is there twice")));
                        }
                    }
                }
                Ok(Unique(all))
            }
        }
        d.deserialize_map(Reader(PhantomData))
    }
}
