//! The requirements for one image, and what comes of them.

use std::{collections::BTreeSet, sync::Arc};

use gantry_oci::Reference;

use crate::{
    Denied, Evidence, Rejection, identity::SignedIdentity, key::PublicKey, signature::Demand,
};

/// Reasons that are told of one image.
const REASONS_MAX: usize = 4;
/// The longest of them, characters.
const REASON_MAX: usize = 400;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A registry, by the name that the user gave: whatever mirror it comes from.
    Registry(Reference),
    /// An archive of `docker save`.
    DockerArchive,
    /// An archive of an OCI layout.
    OciArchive,
    /// A root file system.
    Tarball,
}

impl Subject {
    /// The transport that policies know it by.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::DockerArchive => "docker-archive",
            Self::OciArchive => "oci-archive",
            Self::Tarball => "tarball",
        }
    }

    fn name(&self) -> Option<&Reference> {
        match self {
            Self::Registry(name) => Some(name),
            _ => None,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Registry(name) => name.clone().or_latest().familiar(),
            Self::OciArchive => "in an oci-archive".to_owned(),
            other => format!("in a {}", other.transport()),
        }
    }
}

/// One requirement.
#[derive(Debug)]
pub(crate) enum Requirement {
    Accept,
    Reject,
    Signed { keys: Vec<PublicKey>, identity: SignedIdentity },
}

/// The requirements for one image; all must hold.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) image: Subject,
    /// The rule as users find it in the file.
    pub(crate) words: String,
    pub(crate) requirements: Arc<[Requirement]>,
}

impl Rule {
    /// Where no policy is, nothing is required.
    pub(crate) fn none(image: Subject) -> Self {
        Self { image, words: String::new(), requirements: [].into() }
    }

    /// Whether an answer needs the image's signatures; [`Rule::judge`] gives it without them, if not.
    #[must_use]
    pub fn needs_signatures(&self) -> bool {
        let rejects = |one: &Requirement| matches!(one, Requirement::Reject);
        let signed = |one: &Requirement| matches!(one, Requirement::Signed { .. });
        // What is rejected anyway needs no question.
        self.requirements.iter().any(signed) && !self.requirements.iter().any(rejects)
    }

    /// Whether an image may come.
    ///
    /// # Errors
    /// [`Denied`], with the rule and the reason.
    pub fn judge(&self, evidence: &Evidence) -> Result<(), Denied> {
        let why = |one: &Requirement| match one {
            Requirement::Accept => None,
            Requirement::Reject => Some("it rejects every such image".to_owned()),
            Requirement::Signed { keys, identity } => self.unsigned(evidence, keys, identity),
        };
        let reject = self.requirements.iter().find(|one| matches!(one, Requirement::Reject));
        match reject.and_then(why).or_else(|| self.requirements.iter().find_map(why)) {
            None => Ok(()),
            Some(why) => Err(Denied { image: self.image.words(), rule: self.words.clone(), why }),
        }
    }

    /// Why no signature is what it must be; none if one is.
    fn unsigned(
        &self,
        evidence: &Evidence,
        keys: &[PublicKey],
        identity: &SignedIdentity,
    ) -> Option<String> {
        let demand =
            Demand { keys, identity, image: self.image.name(), digests: &evidence.digests };
        let mut reasons = BTreeSet::new();
        for signature in &evidence.signatures {
            match demand.judge(signature) {
                Ok(()) => return None,
                Err(why) => drop(reasons.insert(why)),
            }
        }
        let unusable = evidence.unusable.iter().cloned().map(Rejection::Unusable);
        reasons.extend(unusable);
        if reasons.is_empty() {
            return Some(match self.image {
                Subject::Registry(_) => "it must be signed, and has no signature".to_owned(),
                _ => "it must be signed, and archives carry no signatures".to_owned(),
            });
        }
        // A lying registry does not decide how long an error is.
        let short = |why: &Rejection| why.to_string().chars().take(REASON_MAX).collect();
        let words: Vec<String> = reasons.iter().take(REASONS_MAX).map(short).collect();
        Some(words.join("; "))
    }
}
