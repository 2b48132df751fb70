//! What a token allows: `repository:library/busybox:pull,push registry:catalog:*`.

use std::collections::{BTreeMap, BTreeSet};

/// What a token is to allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Actions on a repository.
    pub(crate) fn repository(path: &str, actions: &[&str]) -> Self {
        Self::default().and(&format!("repository:{path}"), actions)
    }

    /// The list of all repositories.
    pub(crate) fn catalog() -> Self {
        Self::default().and("registry:catalog", &["*"])
    }

    /// These, and actions on one thing more.
    pub(crate) fn and(mut self, resource: &str, actions: &[&str]) -> Self {
        let known = self.0.entry(resource.to_owned()).or_default();
        known.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// These, and those of a challenge.
    pub(crate) fn with_text(self, text: &str) -> Self {
        text.split_whitespace().fold(self, |all, scope| match scope.rsplit_once(':') {
            Some((resource, actions)) => all.and(resource, &actions.split(',').collect::<Vec<_>>()),
            None => all,
        })
    }

    /// One text for each thing.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |(resource, actions): (&String, &BTreeSet<String>)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        };
        self.0.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Scopes;

    #[test]
    fn scopes() {
        let scopes = Scopes::repository("a/b", &["push", "pull"])
            .with_text("repository:a/b:pull,delete  repository:host:5000/c:pull nonsense");
        assert_eq!(
            scopes.texts(),
            ["repository:a/b:delete,pull,push", "repository:host:5000/c:pull"]
        );
        assert!(Scopes::default().texts().is_empty());
    }
}
