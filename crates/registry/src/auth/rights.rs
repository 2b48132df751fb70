//! Who may do what to which repository.

use serde::Deserialize;

use crate::pattern::Pattern;

/// What is done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read.
    Pull,
    /// Add blobs, manifests and tags.
    Push,
    /// Remove them.
    Delete,
}

impl Action {
    pub(crate) const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// A right of users to repositories.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Right {
    /// Users that this fits.
    pub user: Pattern,
    /// Repositories that this fits.
    #[serde(default)]
    pub repository: Pattern,
    /// What they may do there.
    pub actions: Vec<Action>,
}

/// All rights. Without any, whoever has a password may do everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) rights: Vec<Right>,
    /// Whoever comes may pull from these.
    pub(crate) anonymous_pull: Option<Pattern>,
}

impl Rights {
    /// Whether a user, or somebody without a name, may do this.
    pub(crate) fn allow(&self, user: Option<&str>, repository: &str, action: Action) -> bool {
        let open = self.anonymous_pull.as_ref().is_some_and(|open| open.fits(repository));
        if open && action == Action::Pull {
            return true;
        }
        let Some(user) = user else { return false };
        self.rights.is_empty()
            || self.rights.iter().any(|right| {
                right.user.fits(user)
                    && right.repository.fits(repository)
                    && right.actions.contains(&action)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_by_user_and_pattern() {
        let right = |user: &str, repository: &str, actions: &[Action]| Right {
            user: Pattern::new(user),
            repository: Pattern::new(repository),
            actions: actions.to_vec(),
        };
        let rights = Rights {
            rights: vec![
                right("ann", "**", &Action::ALL),
                right("*", "shared/**", &[Action::Pull]),
                right("bob", "bob/**", &[Action::Pull, Action::Push]),
            ],
            anonymous_pull: Some(Pattern::new("open/*")),
        };
        for (user, repository, action, want) in [
            (Some("ann"), "any/thing", Action::Delete, true),
            (Some("bob"), "shared/x", Action::Pull, true),
            (Some("bob"), "shared/x", Action::Push, false),
            (Some("bob"), "bob/x", Action::Push, true),
            (Some("bob"), "bob/x", Action::Delete, false),
            (Some("bob"), "other", Action::Pull, false),
            (None, "open/x", Action::Pull, true),
            (None, "open/x", Action::Push, false),
            (None, "shared/x", Action::Pull, false),
        ] {
            assert_eq!(rights.allow(user, repository, action), want, "{user:?} {repository}");
        }
        let plain = Rights::default();
        assert!(plain.allow(Some("ann"), "x", Action::Delete));
        assert!(!plain.allow(None, "x", Action::Pull));
    }
}
