//! What can be given to a stage: arguments, secrets, agents. The answer to `--call=outline`.

use std::collections::{BTreeMap, BTreeSet};

use gantry_dockerfile::{Arg, Span};
use serde_json::{Value, json};

use super::documents;

/// What a stage takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Outline {
    args: BTreeMap<String, Argument>,
    used: BTreeSet<String>,
    secrets: BTreeMap<String, Wanted>,
    agents: BTreeMap<String, Wanted>,
}

#[derive(Debug, Clone)]
struct Argument {
    value: String,
    description: String,
    span: Span,
    /// Arguments that its default is made of.
    needs: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    required: bool,
    span: Span,
}

impl Outline {
    /// An argument of the whole file; it counts once a stage uses it.
    pub(super) fn global(&mut self, arg: &Arg, value: &str, span: Span, needs: BTreeSet<String>) {
        let mut needs = needs;
        if needs.remove(&arg.name)
            && let Some(before) = self.args.get(&arg.name)
        {
            needs.extend(before.needs.iter().cloned());
        }
        self.insert(arg, value, span, needs);
    }

    /// An argument of a stage; `own` unless it takes its value of the whole file's.
    pub(super) fn declare(&mut self, arg: &Arg, value: &str, span: Span, own: bool) {
        if own {
            self.insert(arg, value, span, BTreeSet::new());
        }
        self.used.insert(arg.name.clone());
    }

    /// Arguments that `FROM` uses.
    pub(super) fn uses<'n>(&mut self, names: impl IntoIterator<Item = &'n String>) {
        self.used.extend(names.into_iter().cloned());
    }

    /// A secret.
    pub(super) fn secret(&mut self, id: &str, required: bool, span: Span) {
        self.secrets.entry(id.to_owned()).or_insert(Wanted { required, span });
    }

    /// An SSH agent.
    pub(super) fn agent(&mut self, id: &str, required: bool, span: Span) {
        self.agents.entry(id.to_owned()).or_insert(Wanted { required, span });
    }

    fn insert(&mut self, arg: &Arg, value: &str, span: Span, needs: BTreeSet<String>) {
        let argument =
            Argument { value: value.to_owned(), description: arg.description.clone(), span, needs };
        self.args.insert(arg.name.clone(), argument);
    }

    /// What is used, with what that needs.
    fn all_used(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.used.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name)
                && let Some(argument) = self.args.get(name)
            {
                open.extend(argument.needs.iter().map(String::as_str));
            }
        }
        found
    }
}

/// The document about some stages together: the target's first.
pub(super) fn document(stages: &[&Outline], name: &str, description: &str, text: &str) -> Value {
    let mut args: BTreeMap<&str, &Argument> = BTreeMap::new();
    let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
    for stage in stages {
        for used in stage.all_used() {
            if let Some(argument) = stage.args.get(used) {
                args.entry(used).or_insert(argument);
            }
        }
        for (id, wanted) in &stage.secrets {
            secrets.entry(id.as_str()).or_insert(*wanted);
        }
        for (id, wanted) in &stage.agents {
            agents.entry(id.as_str()).or_insert(*wanted);
        }
    }
    let mut args: Vec<_> = args.into_iter().collect();
    args.sort_by_key(|(_, argument)| argument.span.first_line);
    let args: Vec<_> = args
        .into_iter()
        .map(|(name, argument)| {
            documents::without_empty(json!({
                "name": name,
                "description": argument.description,
                "value": argument.value,
                "location": documents::location(argument.span),
            }))
        })
        .collect();
    documents::without_empty(json!({
        "name": name,
        "description": description,
        "args": args,
        "secrets": wanted(secrets),
        "ssh": wanted(agents),
        "sources": [documents::source_text(text)],
    }))
}

fn wanted(of: BTreeMap<&str, Wanted>) -> Vec<Value> {
    let mut all: Vec<_> = of.into_iter().collect();
    all.sort_by_key(|(_, wanted)| wanted.span.first_line);
    all.into_iter()
        .map(|(name, wanted)| {
            documents::without_empty(json!({
                "name": name,
                "required": wanted.required,
                "location": documents::location(wanted.span),
            }))
        })
        .collect()
}
