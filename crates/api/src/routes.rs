//! Every route of the Engine API, in one table.
//!
//! The first row that fits answers. Rows marked `client` are dropped when their client leaves;
//! rows marked `raw` write errors as plain text, since their client expects a raw stream.

use futures_util::future::BoxFuture;
use hyper::Method;

use crate::absent::Refusal;
use crate::body::Response;
use crate::call::Call;
use crate::error::ApiError;
use crate::{
    build, containers, events, exec, images, networks, pattern, registry, system, volumes,
};

/// A handler.
pub(crate) type Handler = fn(Call) -> BoxFuture<'static, Result<Response, ApiError>>;

/// One row.
pub(crate) struct Route {
    method: &'static str,
    /// Path with its parameters.
    pub(crate) pattern: &'static str,
    /// What it does.
    pub(crate) action: Action,
    /// Its answer is dropped when the client leaves.
    pub(crate) ends_with_client: bool,
    /// Its errors are plain text.
    pub(crate) raw_errors: bool,
}

/// What a route does.
pub(crate) enum Action {
    /// Calls a handler.
    Do(Handler),
    /// Refuses.
    Refuse(Refusal),
}

/// The route for a request, and the values of its parameters.
pub(crate) fn find(method: &Method, path: &str) -> Option<(&'static Route, Vec<String>)> {
    // A trailing slash is the same list for networks alone, as in Docker.
    let path = if path == "/networks/" { "/networks" } else { path };
    ROUTES
        .iter()
        .filter(|route| route.method == method.as_str())
        .find_map(|route| pattern::matches(route.pattern, path).map(|params| (route, params)))
}

macro_rules! routes {
    ($($method:ident $pattern:literal => $kind:ident($($what:tt)*) $(+ $mark:ident)?;)*) => {
        &[$(Route {
            method: stringify!($method),
            pattern: $pattern,
            action: routes!(@$kind $($what)*),
            ends_with_client: routes!(@mark client $($mark)?),
            raw_errors: routes!(@mark raw $($mark)?),
        }),*]
    };
    (@handle $handler:path) => { Action::Do(|call| Box::pin($handler(call))) };
    (@refuse $refusal:expr) => { Action::Refuse($refusal) };
    (@later $feature:literal) => { Action::Refuse(Refusal::NotYet($feature)) };
    (@mark client client) => { true };
    (@mark raw raw) => { true };
    (@mark $want:ident $($mark:ident)?) => { false };
}

const ROUTES: &[Route] = routes! {
    GET "/_ping" => handle(system::ping);
    HEAD "/_ping" => handle(system::ping_head);
    GET "/version" => handle(system::version);
    GET "/info" => handle(system::info);
    GET "/system/df" => handle(system::disk_usage);
    GET "/events" => handle(events::events) + client;
    POST "/auth" => handle(registry::auth::check);

    GET "/containers/json" => handle(containers::list);
    POST "/containers/create" => handle(containers::create);
    POST "/containers/prune" => handle(containers::prune);
    GET "/containers/{id}/json" => handle(containers::inspect);
    GET "/containers/{id}/top" => handle(containers::top);
    GET "/containers/{id}/logs" => handle(containers::logs::logs) + client;
    GET "/containers/{id}/changes" => handle(containers::archive::changes);
    GET "/containers/{id}/export" => handle(containers::archive::export) + client;
    GET "/containers/{id}/stats" => handle(containers::logs::stats) + client;
    GET "/containers/{id}/attach/ws" => handle(containers::attach::attach_websocket);
    GET "/containers/{id}/checkpoints" => later("checkpoints");
    HEAD "/containers/{id}/archive" => handle(containers::archive::stat);
    GET "/containers/{id}/archive" => handle(containers::archive::get) + client;
    PUT "/containers/{id}/archive" => handle(containers::archive::put);
    POST "/containers/{id}/resize" => handle(containers::resize);
    POST "/containers/{id}/start" => handle(containers::start);
    POST "/containers/{id}/stop" => handle(containers::stop);
    POST "/containers/{id}/restart" => handle(containers::restart);
    POST "/containers/{id}/kill" => handle(containers::kill);
    POST "/containers/{id}/update" => handle(containers::update);
    POST "/containers/{id}/rename" => handle(containers::rename);
    POST "/containers/{id}/pause" => handle(containers::pause);
    POST "/containers/{id}/unpause" => handle(containers::unpause);
    POST "/containers/{id}/attach" => handle(containers::attach::attach) + raw;
    POST "/containers/{id}/wait" => handle(containers::wait::wait) + client;
    POST "/containers/{id}/exec" => handle(exec::create);
    POST "/containers/{id}/checkpoints" => later("checkpoints");
    DELETE "/containers/{id}/checkpoints/{checkpoint}" => later("checkpoints");
    DELETE "/containers/{id}" => handle(containers::remove);

    POST "/exec/{id}/start" => handle(exec::start);
    POST "/exec/{id}/resize" => handle(exec::resize);
    GET "/exec/{id}/json" => handle(exec::inspect);

    GET "/images/json" => handle(images::list::list);
    GET "/images/search" => handle(registry::search::search);
    GET "/images/get" => handle(images::transfer::save_many) + client;
    POST "/images/load" => handle(images::transfer::load);
    POST "/images/create" => handle(images::transfer::create) + client;
    POST "/images/prune" => handle(images::change::prune);
    GET "/images/{name}/get" => handle(images::transfer::save_one) + client;
    GET "/images/{name}/history" => handle(images::inspect::history);
    GET "/images/{name}/attestations" => later("reading attestations");
    GET "/images/{name}/json" => handle(images::inspect::inspect);
    POST "/images/{name}/push" => handle(registry::push::push) + client;
    POST "/images/{name}/tag" => handle(images::change::tag);
    DELETE "/images/{name}" => handle(images::change::remove);
    POST "/commit" => handle(images::change::commit);
    GET "/distribution/{name}/json" => handle(registry::describe);

    POST "/build" => handle(build::build) + client;
    POST "/build/prune" => handle(build::prune);
    POST "/build/cancel" => handle(build::cancel);
    POST "/session" => later("build sessions");
    POST "/grpc" => later("the BuildKit interface");

    GET "/volumes" => handle(volumes::list);
    POST "/volumes/create" => handle(volumes::create);
    POST "/volumes/prune" => handle(volumes::prune);
    GET "/volumes/{name}" => handle(volumes::inspect);
    PUT "/volumes/{name}" => refuse(Refusal::NoManager);
    DELETE "/volumes/{name}" => handle(volumes::remove);

    POST "/gantry/build" => handle(build::session::session);

    GET "/gantry/volumes/{name}/archive" => handle(volumes::own::backup) + client;
    PUT "/gantry/volumes/{name}/archive" => handle(volumes::own::restore);
    POST "/gantry/volumes/{name}/clone" => handle(volumes::own::duplicate);

    GET "/networks" => handle(networks::list);
    POST "/networks/create" => handle(networks::create);
    POST "/networks/prune" => handle(networks::prune);
    GET "/networks/{id}" => handle(networks::inspect);
    DELETE "/networks/{id}" => handle(networks::remove);
    POST "/networks/{id}/connect" => handle(networks::connect);
    POST "/networks/{id}/disconnect" => handle(networks::disconnect);

    GET "/gantry/networks/reach" => handle(networks::reach);
    GET "/gantry/networks/doctor" => handle(networks::doctor);

    GET "/plugins" => handle(system::plugins);
    GET "/plugins/privileges" => later("installing plugins");
    POST "/plugins/pull" => later("installing plugins");
    POST "/plugins/create" => later("creating plugins");
    GET "/plugins/{name}/json" => refuse(Refusal::NoPlugin);
    DELETE "/plugins/{name}" => refuse(Refusal::NoPlugin);
    POST "/plugins/{name}/enable" => refuse(Refusal::NoPlugin);
    POST "/plugins/{name}/disable" => refuse(Refusal::NoPlugin);
    POST "/plugins/{name}/upgrade" => refuse(Refusal::NoPlugin);
    POST "/plugins/{name}/push" => refuse(Refusal::NoPlugin);
    POST "/plugins/{name}/set" => refuse(Refusal::NoPlugin);

    GET "/swarm" => refuse(Refusal::NoManager);
    POST "/swarm/init" => later("swarm mode");
    POST "/swarm/join" => later("swarm mode");
    POST "/swarm/leave" => refuse(Refusal::NoSwarm);
    POST "/swarm/update" => refuse(Refusal::NoManager);
    GET "/swarm/unlockkey" => refuse(Refusal::NoManager);
    POST "/swarm/unlock" => refuse(Refusal::NoSwarm);
    GET "/nodes" => refuse(Refusal::NoManager);
    GET "/nodes/{id}" => refuse(Refusal::NoManager);
    DELETE "/nodes/{id}" => refuse(Refusal::NoManager);
    POST "/nodes/{id}/update" => refuse(Refusal::NoManager);
    GET "/services" => refuse(Refusal::NoManager);
    POST "/services/create" => refuse(Refusal::NoManager);
    GET "/services/{id}/logs" => refuse(Refusal::NoManager);
    GET "/services/{id}" => refuse(Refusal::NoManager);
    DELETE "/services/{id}" => refuse(Refusal::NoManager);
    POST "/services/{id}/update" => refuse(Refusal::NoManager);
    GET "/tasks" => refuse(Refusal::NoManager);
    GET "/tasks/{id}/logs" => refuse(Refusal::NoManager);
    GET "/tasks/{id}" => refuse(Refusal::NoManager);
    GET "/secrets" => refuse(Refusal::NoManager);
    POST "/secrets/create" => refuse(Refusal::NoManager);
    GET "/secrets/{id}" => refuse(Refusal::NoManager);
    DELETE "/secrets/{id}" => refuse(Refusal::NoManager);
    POST "/secrets/{id}/update" => refuse(Refusal::NoManager);
    GET "/configs" => refuse(Refusal::NoManager);
    POST "/configs/create" => refuse(Refusal::NoManager);
    GET "/configs/{id}" => refuse(Refusal::NoManager);
    DELETE "/configs/{id}" => refuse(Refusal::NoManager);
    POST "/configs/{id}/update" => refuse(Refusal::NoManager);

    GET "/debug/vars" => later("profiling the daemon");
    GET "/debug/pprof/" => later("profiling the daemon");
    GET "/debug/pprof/{name}" => later("profiling the daemon");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_api_answers() {
        for row in include_str!("../tests/engine-api.tsv").lines() {
            let (method, path) = row.split_once('\t').expect("two columns");
            if method == "OPTIONS" {
                continue;
            }
            let filled = path.replace(['{', '}'], "");
            let method: Method = method.parse().expect("a method");
            let (route, _) = find(&method, &filled).unwrap_or_else(|| panic!("{method} {path}"));
            let plain = |text: &str| {
                let mut inside = false;
                text.trim_end_matches('/')
                    .chars()
                    .filter(|c| {
                        inside = (inside || *c == '{') && *c != '}';
                        !inside
                    })
                    .collect::<String>()
            };
            let known = path.starts_with("/debug/pprof") || plain(route.pattern) == plain(path);
            assert!(known, "{method} {path} went to {}", route.pattern);
        }
    }

    #[test]
    fn methods_matter() {
        assert!(find(&Method::PUT, "/info").is_none());
        assert!(find(&Method::GET, "/networks/").is_some());
        assert!(find(&Method::GET, "/volumes/").is_none());
    }
}
