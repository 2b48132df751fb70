//! `RUN`: what is run, with which mounts.

use std::collections::HashMap;

use gantry_build_proto::Entitlement;
use gantry_dockerfile::{Instruction, Mount, MountType, Network, Run, Script, Security, Sharing};
use gantry_oci::Platform;

use super::{
    error::{At, PlanError},
    naming::summary,
    paths,
    stages::{Command, Origin},
    variables::Variables,
    words,
    work::Work,
};
use crate::graph::{self, Exec, MountKind, Op, StepNetwork};

/// Where a heredoc that is a program is put.
const SCRIPTS: &str = "/dev/pipes";
/// Permissions of such a program.
const SCRIPT_MODE: u32 = 0o755;
/// Where secrets are, unless they say so.
const SECRETS: &str = "/run/secrets";
/// Where agents' sockets are, unless they say so.
const AGENTS: &str = "/run/buildkit/ssh_agent";
/// What names show in the place of a secret.
const MASK: &str = "****";

const CACHE_MODE: u32 = 0o755;
const SECRET_MODE: u32 = 0o400;
const SSH_MODE: u32 = 0o600;

impl Work<'_, '_> {
    pub(super) fn run(&mut self, run: &Run, command: &Command<'_>) -> Result<(), At> {
        let instruction: &Instruction = &command.instruction;
        if let Some(device) = run.devices.first() {
            return Err(PlanError::Device(device.name.clone()).into());
        }
        let read = words::mounts(run, self.planner.dockerfile.escape, &self.state.variables)?;
        let mut mounts = Vec::with_capacity(read.len() + 1);
        let mut agents = 0;
        for (number, mount) in read.iter().enumerate() {
            let origin = command.from.get(number).copied().flatten();
            mounts.push(self.mount(mount, origin, &mut agents, instruction)?);
        }
        let args = self.args_of(run, &mut mounts);
        let shown = self.name_of_run(run, &read, instruction);
        let exec = Exec {
            base: self.state.vertex,
            args: args.clone(),
            stdin: None,
            env: self.state.variables.texts(),
            silent_env: self.planner.settings.silent_env.clone(),
            working_directory: self.state.directory().to_owned(),
            user: self.state.user().to_owned(),
            hostname: self.planner.settings.hostname.clone(),
            mounts,
            network: self.network(run.network)?,
            insecure: self.insecure(run.security)?,
            platform: self.foreign_platform()?,
            add_hosts: self.planner.settings.add_hosts.clone(),
            allowed_exit_codes: Vec::new(),
        };
        let shown = self.shown(instruction, &shown);
        let vertex = self.planner.vertices.push(Op::Exec(Box::new(exec)), shown, self.fresh);
        self.planner.hold(self.state.variables.bytes())?;
        let entry = format!("RUN {}{} # buildkit", self.declared(), args.join(" "));
        self.state.commit_layer(entry, vertex);
        Ok(())
    }

    /// Program and arguments; a heredoc that is a program becomes a mount.
    fn args_of(&mut self, run: &Run, mounts: &mut Vec<graph::Mount>) -> Vec<String> {
        match run.script() {
            Script::Exec(args) => args,
            Script::Shell(line) => self.with_shell(&line),
            Script::File { name, content } => {
                let path = format!("{SCRIPTS}/{name}");
                let from = self.inline(name, content, SCRIPT_MODE);
                mounts.push(graph::Mount {
                    target: SCRIPTS.to_owned(),
                    kind: MountKind::Bind { from, source: String::new(), writable: false },
                });
                self.with_shell(&path)
            }
        }
    }

    /// The instruction with the values of variables, secrets masked.
    fn name_of_run(&self, run: &Run, mounts: &[Mount], instruction: &Instruction) -> String {
        let mut text = instruction.written.text.clone();
        if let Some(content) = run.document() {
            text.push_str(&format!(" ({})", summary(content)));
        }
        let mut variables: Variables = self.state.variables.clone();
        for variable in mounts.iter().filter_map(|mount| mount.env.as_deref()) {
            variables.set(variable, MASK);
        }
        words::shown(&text, self.planner.dockerfile.escape, &variables)
    }

    /// `|2 A=1 B=2 `: the build arguments, as the history shows them before the command.
    fn declared(&self) -> String {
        let mut texts: Vec<String> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (name, given) in &self.state.build_args {
            let value = self.state.variables.get(name).unwrap_or(given);
            let text = format!("{name}={value}");
            match places.get(name.as_str()) {
                Some(place) => texts[*place] = text,
                None => {
                    places.insert(name, texts.len());
                    texts.push(text);
                }
            }
        }
        if texts.is_empty() {
            return String::new();
        }
        format!("|{} {} ", texts.len(), texts.join(" "))
    }

    fn network(&self, network: Option<Network>) -> Result<StepNetwork, At> {
        match network {
            None | Some(Network::Default) => Ok(self.planner.settings.network.clone()),
            Some(Network::None) => Ok(StepNetwork::None),
            Some(Network::Host) => {
                self.allowed(Entitlement::NetworkHost, "network.host")?;
                Ok(StepNetwork::Host)
            }
        }
    }

    fn insecure(&self, security: Option<Security>) -> Result<bool, At> {
        if security != Some(Security::Insecure) {
            return Ok(false);
        }
        self.allowed(Entitlement::SecurityInsecure, "security.insecure")?;
        Ok(true)
    }

    fn allowed(&self, entitlement: Entitlement, name: &'static str) -> Result<(), At> {
        if self.planner.settings.allows(entitlement) {
            return Ok(());
        }
        let hint = format!("allow it with --allow {name}");
        Err(At::from(PlanError::NotAllowed(name)).hint(hint))
    }

    /// The platform of the stage, if it is not the machine's.
    fn foreign_platform(&self) -> Result<Option<Platform>, At> {
        let platform = &self.state.platform;
        if platform.matches(&Platform::host()) {
            return Ok(None);
        }
        if self.planner.sources.runs(platform) {
            return Ok(Some(platform.clone()));
        }
        let hint = format!(
            "register an interpreter with binfmt_misc (qemu-user-static does), or build the stage \
             for {} with FROM --platform=$BUILDPLATFORM",
            Platform::host()
        );
        Err(At::from(PlanError::NotRunnable(platform.to_string())).hint(hint))
    }

    fn mount(
        &mut self,
        mount: &Mount,
        origin: Option<Origin>,
        agents: &mut usize,
        instruction: &Instruction,
    ) -> Result<graph::Mount, At> {
        let span = instruction.written.span;
        let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let mode = |default: u32| mount.mode.unwrap_or(default);
        let (target, kind) = match mount.mount_type {
            MountType::Bind => (self.target(mount)?, self.bind(mount, origin)?),
            MountType::Cache => {
                let target = self.target(mount)?;
                let id = mount.id.clone().unwrap_or_else(|| target.clone());
                let from = match origin {
                    None | Some(Origin::Scratch) => None,
                    origin => Some(self.source(origin)?),
                };
                let kind = MountKind::Cache {
                    id: format!("{}/{id}", self.planner.settings.cache_namespace),
                    sharing: sharing(mount.sharing),
                    from,
                    source: within(&mount.source),
                    read_only: mount.read_only,
                    mode: mode(CACHE_MODE),
                    uid,
                    gid,
                };
                (target, kind)
            }
            MountType::Tmpfs => {
                let size_bytes = mount.size_bytes.unwrap_or(0);
                (self.target(mount)?, MountKind::Tmpfs { size_bytes })
            }
            MountType::Secret => {
                let (id, target) = secret(mount)?;
                self.outline.secret(&id, mount.required, span);
                let kind = MountKind::Secret {
                    id,
                    file: target.is_some(),
                    variable: mount.env.clone().unwrap_or_default(),
                    required: mount.required,
                    mode: mode(SECRET_MODE),
                    uid,
                    gid,
                };
                let directory = self.state.directory();
                (target.map(|path| paths::absolute(directory, &path)).unwrap_or_default(), kind)
            }
            MountType::Ssh => {
                if !mount.source.is_empty() {
                    return Err(PlanError::SshSource.into());
                }
                let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
                let target = match mount.target.as_str() {
                    "" => format!("{AGENTS}.{agents}"),
                    target => paths::absolute(self.state.directory(), target),
                };
                *agents += 1;
                self.outline.agent(&id, mount.required, span);
                let (required, mode) = (mount.required, mode(SSH_MODE));
                (target, MountKind::Ssh { id, required, mode, uid, gid })
            }
        };
        Ok(graph::Mount { target, kind })
    }

    fn target(&self, mount: &Mount) -> Result<String, At> {
        let target = paths::absolute(self.state.directory(), &mount.target);
        if target == "/" {
            return Err(PlanError::MountTarget(target).into());
        }
        Ok(target)
    }

    fn bind(&mut self, mount: &Mount, origin: Option<Origin>) -> Result<MountKind, At> {
        Ok(MountKind::Bind {
            from: self.source(origin)?,
            source: within(&mount.source),
            writable: !mount.read_only,
        })
    }
}

/// A path in what is mounted, without slashes at its ends.
fn within(path: &str) -> String {
    paths::absolute("/", path).trim_start_matches('/').to_owned()
}

fn sharing(sharing: Option<Sharing>) -> graph::Sharing {
    match sharing {
        None | Some(Sharing::Shared) => graph::Sharing::Shared,
        Some(Sharing::Private) => graph::Sharing::Private,
        Some(Sharing::Locked) => graph::Sharing::Locked,
    }
}

/// A secret's name, and where its file goes; nowhere if it is a variable alone.
fn secret(mount: &Mount) -> Result<(String, Option<String>), At> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let given = [mount.source.clone(), mount.id.clone().unwrap_or_default(), last(&mount.target)];
    let id = given.into_iter().find(|id| !id.is_empty()).ok_or(PlanError::SecretName)?;
    let target = match (mount.target.as_str(), &mount.env) {
        ("", Some(_)) => None,
        ("", None) => Some(format!("{SECRETS}/{}", last(&id))),
        (target, _) => Some(target.to_owned()),
    };
    Ok((id, target))
}
