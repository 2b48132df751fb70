//! The same commands on docker.io and on Gantry: compatibility is a difference, not an opinion.
//!
//! Cases are shell snippets in `tests/compare/*.cases`; `docker` in them is the real docker CLI. A
//! case's exit code, standard output and standard error must be the same on both, after what must
//! differ (ids, times, random ports) is replaced. A difference that is meant carries its reason in
//! the case file (`#! reason`); one that has a reason but no longer differs fails too.

mod builds;
mod cases;
mod normal;

use std::path::Path;

use gantry_rig::{Client, Daemon, Kind, Net, Ran, images};

use crate::chore::{ChoreError, io};
use cases::Case;

/// What both sides answered to a case.
struct Pair {
    name: String,
    reason: Option<String>,
    theirs: Ran,
    ours: Ran,
}

/// Runs every case whose name contains `filter`.
pub(crate) fn run(filter: Option<&str>, verbose: bool) -> Result<(), ChoreError> {
    let (cases, builds) = (cases::read(filter)?, builds::read(filter)?);
    if cases.is_empty() && builds.is_empty() {
        return Err(ChoreError::Text("no case has such a name".to_owned()));
    }
    let start = |kind| Daemon::start(kind, Net::Private, &[]).map_err(io("starting a daemon"));
    let (docker, gantry) = (start(Kind::Docker)?, start(Kind::Gantry)?);
    for daemon in [&docker, &gantry] {
        images::import_busybox(&daemon.client()).map_err(io("importing busybox"))?;
    }
    let both = |daemon: &Daemon| -> Result<Vec<Ran>, ChoreError> {
        let mut all = answers(daemon, &cases);
        if !builds.is_empty() {
            builds::prepare(daemon)?;
            all.extend(builds::answers(daemon, &builds)?);
        }
        Ok(all)
    };
    // Both sides run at the same time, each its cases in order.
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| both(&docker));
        let ours = both(&gantry);
        theirs.join().map(|theirs| (theirs, ours))
    })
    .map_err(|_| ChoreError::Text("docker's side of the comparison panicked".to_owned()))?;
    let named = cases.into_iter().map(|case| (case.name, case.reason));
    let named = named.chain(builds.into_iter().map(|case| (case.name, case.reason)));
    let pairs: Vec<_> = named
        .zip(theirs?.into_iter().zip(ours?))
        .map(|((name, reason), (theirs, ours))| Pair { name, reason, theirs, ours })
        .collect();
    judge(&pairs, verbose)
}

fn judge(pairs: &[Pair], verbose: bool) -> Result<(), ChoreError> {
    let (mut passed, mut failed, mut explained) = (0, 0, 0);
    for Pair { name, reason, theirs, ours } in pairs {
        match (theirs == ours, reason) {
            (true, None) => passed += 1,
            (false, Some(reason)) => {
                explained += 1;
                println!("explained  {name}: {reason}");
            }
            (true, Some(reason)) => {
                failed += 1;
                println!("NO LONGER DIFFERENT  {name} ({reason})");
            }
            (false, None) => {
                failed += 1;
                println!("DIFFERENT  {name}");
                print_difference(theirs, ours);
            }
        }
        if verbose {
            println!("== {name}\n{theirs:#?}\n{ours:#?}");
        }
    }
    println!("compare: {passed} the same, {explained} explained, {failed} different");
    println!("{} passed, {failed} failed", passed + explained);
    if failed == 0 { Ok(()) } else { Err(ChoreError::Differences(failed, pairs.len())) }
}

fn answers(daemon: &Daemon, cases: &[Case]) -> Vec<Ran> {
    let directory = daemon.root.join("case");
    let client = daemon.client();
    cases.iter().map(|case| answer(&client, &directory, case)).collect()
}

fn answer(client: &Client, directory: &Path, case: &Case) -> Ran {
    let _ = std::fs::remove_dir_all(directory);
    let _ = std::fs::create_dir_all(directory);
    let socket = client.socket().display();
    let script = format!("SOCK={socket}; cd {} || exit 1\n{}", directory.display(), case.script);
    let ran = client.shell(&script);
    // What a case leaves must not reach the next one.
    let _ = client.shell(
        "ids=$(docker ps -aq); [ -z \"$ids\" ] || docker rm -fv $ids >/dev/null 2>&1; \
         docker image prune -f >/dev/null 2>&1; \
         docker volume ls -q | xargs -r docker volume rm >/dev/null 2>&1; \
         for turn in networks configurations; do \
         docker network ls -q --filter type=custom | xargs -r docker network rm >/dev/null 2>&1; \
         done",
    );
    let _ = std::fs::remove_dir_all(directory);
    let clean = |text: &str| normal::normalise(text, &case.replace, directory);
    Ran { code: ran.code, stdout: clean(&ran.stdout), stderr: clean(&ran.stderr) }
}

fn print_difference(theirs: &Ran, ours: &Ran) {
    if theirs.code != ours.code {
        println!("  exit code: docker {}, gantry {}", theirs.code, ours.code);
    }
    for (stream, theirs, ours) in
        [("stdout", &theirs.stdout, &ours.stdout), ("stderr", &theirs.stderr, &ours.stderr)]
    {
        let (mut a, mut b) = (theirs.lines(), ours.lines());
        loop {
            match (a.next(), b.next()) {
                (None, None) => break,
                (x, y) if x == y => {}
                (x, y) => {
                    for (mark, line) in [('-', x), ('+', y)] {
                        if let Some(line) = line {
                            println!("  {stream} {mark} {line}");
                        }
                    }
                }
            }
        }
    }
}
