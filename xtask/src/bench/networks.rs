//! Networks, ports and volumes: what it costs to make, fill and remove them.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use gantry_rig::Daemon;
use serde_json::{Value, json};

use super::api::Api;
use super::rows::{Pair, Rig, sleeper, timed};
use super::sample::median;
use super::size::engine_pids;

/// How many networks count as the first ones, and as the last ones.
const ENDS: usize = 20;

/// Creates a network and gives its id.
pub(crate) fn create(api: &mut Api, name: &str) -> io::Result<String> {
    let answer = api.call("POST", "/networks/create", &json!({"Name": name}).to_string())?;
    let json: Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
    json["Id"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other("no Id"))
}

/// Removes a network.
pub(crate) fn remove(api: &mut Api, id: &str) -> io::Result<()> {
    api.call("DELETE", &format!("/networks/{id}"), "").map(drop)
}

/// A sleeper's wish for a network.
pub(crate) fn on(network: &str) -> Value {
    json!({"HostConfig": {"NetworkMode": network}})
}

/// One network, made and removed.
pub(crate) fn cycle(rig: &Rig) -> io::Result<Pair> {
    rig.alternate(rig.times(20), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let seconds = timed(|| {
            let id = create(&mut api, "bench")?;
            remove(&mut api, &id)
        })?;
        // What the daemons do behind the answer belongs to no sample.
        sleep(Duration::from_millis(200));
        Ok(seconds)
    })
}

/// Many networks of ours in a row: the first ones against the last ones, which are made beside all
/// others, and removed before all others.
pub(crate) fn in_a_row(rig: &Rig, removal: bool) -> io::Result<Pair> {
    let mut api = Api::connect(&rig.gantry.client())?;
    let (mut ids, mut creates, mut removals) = (Vec::new(), Vec::new(), Vec::new());
    let count = if rig.smoke { 2 * ENDS } else { 1000 };
    for number in 0..count {
        creates.push(timed(|| {
            ids.push(create(&mut api, &format!("row{number}"))?);
            Ok(())
        })?);
    }
    for id in ids.iter().rev() {
        removals.push(timed(|| remove(&mut api, id))?);
    }
    // Links are deleted behind the answers; the next row shall not pay for it.
    sleep(Duration::from_secs(2));
    // Removals went the other way: the last of them has no other network beside it.
    if removal {
        removals.reverse();
    }
    let samples = if removal { &mut removals } else { &mut creates };
    let (few, many) = samples.split_at_mut(count - ENDS);
    Ok(Pair { reference: median(&mut few[..ENDS]), gantry: median(many) })
}

/// Starts of ours on one network of a user: the tenth container against the thousandth. Samples
/// beside ten are taken before and after the crowd, so that a machine that changes its pace shows
/// in both.
pub(crate) fn crowded(rig: &Rig) -> io::Result<Pair> {
    let mut api = Api::connect(&rig.gantry.client())?;
    let network = create(&mut api, "crowded")?;
    let take = |api: &mut Api, samples: &mut Vec<f64>| -> io::Result<()> {
        sleep(Duration::from_secs(1));
        for _ in 0..rig.times(30) {
            let id = api.create(&super::rows::sleeper_body(&on(&network)))?;
            samples.push(timed(|| api.start(&id))?);
            api.remove(&id, true)?;
            sleep(Duration::from_millis(50));
        }
        Ok(())
    };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    let mut ids = Vec::new();
    fill(&mut api, &network, 9, &mut ids)?;
    take(&mut api, &mut few)?;
    fill(&mut api, &network, if rig.smoke { 30 } else { 999 }, &mut ids)?;
    take(&mut api, &mut many)?;
    remove_all(&rig.gantry, &ids.split_off(9))?;
    take(&mut api, &mut few)?;
    remove_all(&rig.gantry, &ids)?;
    remove(&mut api, &network)?;
    Ok(Pair { reference: median(&mut few), gantry: median(&mut many) })
}

/// Starts sleepers on a network until there are `count`.
fn fill(api: &mut Api, network: &str, count: usize, ids: &mut Vec<String>) -> io::Result<()> {
    while ids.len() < count {
        ids.push(sleeper(api, &on(network))?);
    }
    Ok(())
}

/// Removes running containers, several at once.
fn remove_all(daemon: &Daemon, ids: &[String]) -> io::Result<()> {
    let client = daemon.client();
    std::thread::scope(|scope| {
        let workers: Vec<_> = ids
            .chunks(ids.len().div_ceil(8).max(1))
            .map(|part| {
                scope.spawn(|| {
                    let mut api = Api::connect(&client)?;
                    part.iter().try_for_each(|id| api.remove(id, true))
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_| io::Error::other("a worker panicked"))?
        })
    })
}

/// Processes beside the container's own that one with twenty published ports adds.
pub(crate) fn helpers(rig: &Rig) -> io::Result<Pair> {
    rig.both(|daemon| {
        let mut api = Api::connect(&daemon.client())?;
        let before = engine_pids(daemon).len();
        let all = |value: Value| -> serde_json::Map<_, _> {
            (0..20).map(|port| (format!("{}/tcp", 1000 + port), value.clone())).collect()
        };
        let id = sleeper(
            &mut api,
            &json!({
                "ExposedPorts": all(json!({})),
                "HostConfig": {"PortBindings": all(json!([{}]))},
            }),
        )?;
        sleep(Duration::from_millis(200));
        let after = engine_pids(daemon).len();
        api.remove(&id, true)?;
        let more = u32::try_from(after.saturating_sub(before)).map_err(io::Error::other)?;
        Ok(f64::from(more))
    })
}

/// A named volume, made and removed.
pub(crate) fn volume(rig: &Rig) -> io::Result<Pair> {
    rig.alternate(rig.times(40), |daemon| {
        let mut api = Api::connect(&daemon.client())?;
        timed(|| {
            api.call("POST", "/volumes/create", r#"{"Name":"bench"}"#)?;
            api.call("DELETE", "/volumes/bench", "").map(drop)
        })
    })
}
