//! What a graph may ask for. A frontend is no guard: every field is looked at here again.

use gantry_build_proto::{BuildRequest, Entitlement};

use super::index;
use crate::{
    graph::{Copy, Exec, Graph, MakeDirectory, Mode, Mount, MountKind, Op, StepNetwork, VertexId},
    ops::OpError,
};

/// Vertices that a graph may have.
const VERTICES_MAX: usize = 100_000;
/// The kernel's limit, with the byte that ends a path.
const PATH_MAX: usize = 4096;
/// Highest permissions.
const MODE_MAX: u32 = 0o7777;

/// Refuses a graph that is none, or that asks for what the request does not allow.
pub(crate) fn graph(
    graph: &Graph,
    targets: &[VertexId],
    request: &BuildRequest,
) -> Result<(), OpError> {
    if graph.vertices.len() > VERTICES_MAX {
        return Err(OpError::Graph("too many vertices"));
    }
    for (place, vertex) in graph.vertices.iter().enumerate() {
        if vertex.op.inputs().iter().any(|input| index(*input) >= place) {
            return Err(OpError::Graph("a vertex comes before its input"));
        }
        one(graph, &vertex.op, request)?;
    }
    for target in targets {
        match graph.vertices.get(index(*target)) {
            Some(vertex) if !is_tree(&vertex.op) => {}
            _ => return Err(OpError::Graph("a target is no file system")),
        }
    }
    Ok(())
}

fn one(graph: &Graph, op: &Op, request: &BuildRequest) -> Result<(), OpError> {
    match op {
        Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Git(_) | Op::Http(_) => {}
        Op::Inline(files) => {
            for file in files {
                absolute_or_name(&file.name)?;
                mode(file.mode)?;
            }
        }
        Op::Exec(exec) => step(graph, exec, request)?,
        Op::Copy(copy) => copies(graph, copy)?,
        Op::MakeDirectory(MakeDirectory {
            base,
            path: place,
            owner: _,
            mode: bits,
            epoch_s: _,
        }) => {
            file_system(graph, *base)?;
            absolute(place)?;
            mode(*bits)?;
        }
        Op::Merge { lower, upper } => {
            file_system(graph, *lower)?;
            file_system(graph, *upper)?;
        }
    }
    if let Op::Http(source) = op
        && (source.name.is_empty() || source.name.contains(['/', '\0']) || source.name == "..")
    {
        return Err(OpError::Graph("a file's name is none"));
    }
    Ok(())
}

fn step(graph: &Graph, exec: &Exec, request: &BuildRequest) -> Result<(), OpError> {
    file_system(graph, exec.base)?;
    if exec.insecure && !request.allow.contains(&Entitlement::SecurityInsecure) {
        return Err(OpError::NotAllowed("security.insecure"));
    }
    // Who asks for it of the whole build has allowed it.
    let host = exec.network == StepNetwork::Host && request.network != "host";
    if host && !request.allow.contains(&Entitlement::NetworkHost) {
        return Err(OpError::NotAllowed("network.host"));
    }
    if exec.args.is_empty() {
        return Err(OpError::Graph("a step without a command"));
    }
    let texts = exec.args.iter().chain(&exec.env).chain(&exec.silent_env).chain(&exec.add_hosts);
    let texts = texts.chain([&exec.working_directory, &exec.user, &exec.hostname]);
    if texts.clone().any(|text| text.contains('\0')) {
        return Err(OpError::Graph("a step's text has a NUL byte"));
    }
    absolute(&exec.working_directory)?;
    exec.mounts.iter().try_for_each(|wanted| mount(graph, wanted))
}

fn mount(graph: &Graph, mount: &Mount) -> Result<(), OpError> {
    let root = mount.target.split('/').all(|part| matches!(part, "" | "." | ".."));
    let needless = matches!(mount.kind, MountKind::Secret { file: false, .. });
    if (root && !needless) || mount.target.contains('\0') {
        return Err(OpError::Graph("a mount's target is none"));
    }
    match &mount.kind {
        MountKind::Bind { from, source, writable: _ } => {
            known(graph, *from)?;
            path(source)
        }
        MountKind::Cache { id, sharing: _, from, source, read_only: _, mode: bits, uid, gid } => {
            from.map_or(Ok(()), |from| known(graph, from))?;
            path(source)?;
            no_nul(id)?;
            mode(*bits)?;
            owner(*uid, *gid)
        }
        MountKind::Tmpfs { size_bytes: _ } => Ok(()),
        MountKind::Secret { id, file: _, variable, required: _, mode: bits, uid, gid } => {
            if id.is_empty() || variable.contains(['=', '\0']) {
                return Err(OpError::Graph("a secret's name is none"));
            }
            mode(*bits)?;
            owner(*uid, *gid)
        }
        MountKind::Ssh { id: _, required: _, mode: bits, uid, gid } => {
            mode(*bits)?;
            owner(*uid, *gid)
        }
    }
}

fn copies(graph: &Graph, copy: &Copy) -> Result<(), OpError> {
    copy.base.map_or(Ok(()), |base| file_system(graph, base))?;
    absolute(&copy.destination)?;
    for item in &copy.items {
        known(graph, item.from)?;
        path(&item.source)?;
        if item.source.is_empty() {
            return Err(OpError::Graph("a copy's source is none"));
        }
        if item.pivot.as_ref().is_some_and(|pivot| !is_below(&item.source, pivot)) {
            return Err(OpError::Graph("a copy's source is not below its pivot"));
        }
    }
    match &copy.mode {
        Some(Mode::Octal(bits)) => mode(*bits),
        Some(Mode::Symbolic(_)) | None => Ok(()),
    }
}

fn is_tree(op: &Op) -> bool {
    matches!(op, Op::Http(_) | Op::Inline(_))
}

/// What others build upon has layers. A context may turn out to be an image.
fn file_system(graph: &Graph, id: VertexId) -> Result<(), OpError> {
    match graph.vertices.get(index(id)) {
        Some(vertex) if !is_tree(&vertex.op) => Ok(()),
        _ => Err(OpError::Graph("a base is no file system")),
    }
}

fn known(graph: &Graph, id: VertexId) -> Result<(), OpError> {
    match graph.vertices.get(index(id)) {
        Some(_) => Ok(()),
        None => Err(OpError::Graph("no such vertex")),
    }
}

fn absolute(text: &str) -> Result<(), OpError> {
    match text.starts_with('/') {
        true => path(text),
        false => Err(OpError::Graph("a path is not absolute")),
    }
}

fn absolute_or_name(path: &str) -> Result<(), OpError> {
    let odd = |part: &str| matches!(part, "." | "..");
    match path.is_empty() || path.contains('\0') || path.split('/').any(odd) {
        true => Err(OpError::Graph("a file's name is none")),
        false => Ok(()),
    }
}

/// A path that the kernel may take.
fn path(text: &str) -> Result<(), OpError> {
    match text.len() < PATH_MAX {
        true => no_nul(text),
        false => Err(OpError::Graph("a path is too long")),
    }
}

/// Whether a path is a directory's or of something in it.
fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn no_nul(text: &str) -> Result<(), OpError> {
    match text.contains('\0') {
        true => Err(OpError::Graph("a text has a NUL byte")),
        false => Ok(()),
    }
}

fn mode(mode: u32) -> Result<(), OpError> {
    match mode <= MODE_MAX {
        true => Ok(()),
        false => Err(OpError::Graph("permissions are none")),
    }
}

/// The largest number means "leave it" to the kernel.
fn owner(uid: u32, gid: u32) -> Result<(), OpError> {
    match uid == u32::MAX || gid == u32::MAX {
        true => Err(OpError::Graph("an owner is none")),
        false => Ok(()),
    }
}
