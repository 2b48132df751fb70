//! The registry as a container of Gantry's own.

use std::fs;

use crate::registry::gantry;

/// What the program carries is enough: nothing is fetched, and images come back from a container
/// that was made anew on the same volume.
#[test]
fn a_registry_runs_as_a_container() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let start = ["-p", "127.0.0.1:5000:5000", "-v", "registry:/var/lib/gantry-registry"];
    let run = [&["run", "-d", "--name", "registry"], &start[..], &["gantry-registry"]].concat();
    let ran = gantry(&client, &daemon, &run);
    let _ = ran.ok();
    assert!(ran.stderr.contains("built in"), "{}", ran.stderr);
    let name = "localhost:5000/team/bb:1";
    let folder = daemon.root.join("app");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), "FROM busybox\nRUN seq 100000 > /data\n").unwrap();
    let build = ["build", "-q", "-t", name, &folder.display().to_string()];
    let _ = gantry(&client, &daemon, &build).ok();
    client.eventually("a push", std::time::Duration::from_secs(20), |client| {
        client.docker(&["push", name]).code == 0
    });
    let id = client.inspect(name)["Id"].clone();
    let _ = client.docker(&["rm", "-f", "registry"]).ok();
    let _ = client.docker(&["rmi", name]).ok();
    // The docker CLI knows nothing of built-in images, and gets it too.
    let _ = client.docker(&["rmi", "gantry-registry"]).ok();
    let again = [&["run", "-d", "--name", "again"], &start[..], &["gantry-registry"]].concat();
    let _ = client.docker(&again).ok();
    client.eventually("a pull", std::time::Duration::from_secs(20), |client| {
        client.docker(&["pull", name]).code == 0
    });
    assert_eq!(client.inspect(name)["Id"], id);
    let counted = client.docker(&["run", "--rm", name, "wc", "-l", "/data"]);
    assert_eq!(counted.ok(), "100000 /data");
    // It ends as it is told, and well.
    let _ = client.docker(&["stop", "again"]).ok();
    assert_eq!(client.inspect("again")["State"]["ExitCode"], 0);
}
