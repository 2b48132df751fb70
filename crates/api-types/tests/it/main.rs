//! Bodies against recorded documents of a Docker daemon (API 1.41) and client (API 1.48).

use gantry_api_types::container::{
    ContainerCreateBody, ContainerInspect, ContainerSummary, UpdateBody,
};
use gantry_api_types::exec::{ExecCreateBody, ExecInspect, ExecStartBody};
use gantry_api_types::image::{HistoryItem, ImageInspect, ImageSummary, JsonMessage};
use gantry_api_types::network::{NetworkCreateBody, NetworkResource};
use gantry_api_types::stats::ContainerStats;
use gantry_api_types::system::{DiskUsage, Info, Version};
use gantry_api_types::volume::{VolumeCreateBody, VolumeList};
use gantry_api_types::{NullableList, NullableMap};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a document, writes it, and lists where the two differ as `-path`, `+path`, `!path`.
fn round_trip<T: DeserializeOwned + Serialize>(text: &str) -> Vec<String> {
    let want: Value = serde_json::from_str(text).expect("recorded document");
    let body: T = serde_json::from_value(want.clone()).expect("body");
    let have = serde_json::to_value(&body).expect("json");
    let again: T = serde_json::from_value(have.clone()).expect("own output");
    assert_eq!(serde_json::to_value(&again).expect("json"), have, "second round");
    let mut found = Vec::new();
    compare("", &want, &have, &mut found);
    found
}

fn compare(path: &str, want: &Value, have: &Value, found: &mut Vec<String>) {
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                let path = format!("{path}/{key}");
                match have.get(key) {
                    Some(other) => compare(&path, value, other, found),
                    None => found.push(format!("-{path}")),
                }
            }
            let extra = have.keys().filter(|key| !want.contains_key(*key));
            found.extend(extra.map(|key| format!("+{path}/{key}")));
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            for (index, (want, have)) in want.iter().zip(have).enumerate() {
                compare(&format!("{path}/{index}"), want, have, found);
            }
        }
        _ if want == have => {}
        _ => found.push(format!("!{path}")),
    }
}

#[test]
fn what_the_client_sends_comes_back_whole() {
    assert!(round_trip::<ContainerCreateBody>(include_str!("data/create.json")).is_empty());
    let network = r#"{"Driver":"bridge","Scope":"","IPAM":{"Driver":"default","Options":{},
        "Config":[{"Subnet":"10.0.0.0/24"}]},"Internal":false,"Attachable":false,"Ingress":false,
        "ConfigOnly":false,"ConfigFrom":null,"Options":{"k":"v"},"Labels":{"a":"b"},"Name":"n1"}"#;
    assert!(round_trip::<NetworkCreateBody>(network).is_empty());
    let update = include_str!("data/update.json");
    assert!(round_trip::<UpdateBody>(update).is_empty());
    let volume = r#"{"Driver":"local","DriverOpts":{"type":"tmpfs"},"Name":"vol1"}"#;
    assert!(round_trip::<VolumeCreateBody>(volume).is_empty());
}

/// Differences that remain are fields that are new since the recording or long gone.
#[test]
fn what_the_daemon_answers_comes_back_whole() {
    let gone = ["-/HostConfig/KernelMemory", "-/HostConfig/KernelMemoryTCP"];
    let new = ["+/NetworkSettings/Networks/bridge/DNSNames"];
    let listed: Vec<String> = new.iter().map(|path| path.replacen("+/", "+/0/", 1)).collect();
    let inspect = include_str!("data/container_inspect.json");
    assert_eq!(round_trip::<ContainerInspect>(inspect), [&gone[..], &new].concat());
    let list = include_str!("data/container_list.json");
    assert_eq!(round_trip::<Vec<ContainerSummary>>(list), listed);
    let df = round_trip::<DiskUsage>(include_str!("data/disk_usage.json"));
    let listed: Vec<String> =
        new.iter().map(|path| path.replacen("+/", "+/Containers/0/", 1)).collect();
    // What was `null` in 1.41 is `[]` or left out.
    let nulls = ["!/Images/0/RepoDigests".to_owned(), "-/BuildCache".to_owned()];
    assert_eq!(df, [&nulls[..1], &listed, &nulls[1..]].concat());
    assert!(round_trip::<Vec<HistoryItem>>(include_str!("data/history.json")).is_empty());
    assert!(round_trip::<ContainerStats>(include_str!("data/stats.json")).is_empty());
    assert!(round_trip::<Version>(include_str!("data/version.json")).is_empty());
    let images = round_trip::<Vec<ImageSummary>>(include_str!("data/image_list.json"));
    assert_eq!(images, ["!/0/RepoDigests"], "null in 1.41, [] from 1.43");
    let network = round_trip::<NetworkResource>(include_str!("data/network_inspect.json"));
    assert_eq!(network, [""; 0]);
    let networks = round_trip::<Vec<NetworkResource>>(include_str!("data/network_list.json"));
    assert_eq!(networks, [""; 0]);
    assert!(round_trip::<VolumeList>(r#"{"Volumes":[],"Warnings":null}"#).is_empty());
}

#[test]
fn information_comes_back() {
    let found = round_trip::<Info>(include_str!("data/info.json"));
    assert_eq!(found, ["+/CDISpecDirs"]);
}

#[test]
fn image_inspection_comes_back() {
    let found = round_trip::<ImageInspect>(include_str!("data/image_inspect.json"));
    let unknown: Vec<_> = found.iter().filter(|path| !path.starts_with("-/Config/")).collect();
    assert_eq!(unknown, [""; 0], "only the empty values that OCI does not know may go");
}

#[test]
fn every_body_takes_nulls_and_nothing() {
    fn check<T: DeserializeOwned + Serialize + Default + PartialEq + std::fmt::Debug>(name: &str) {
        let empty: T = serde_json::from_str("{}").expect(name);
        assert_eq!(empty, T::default(), "{name} from {{}}");
        let mut nulls = serde_json::to_value(T::default()).expect(name);
        if let Value::Object(fields) = &mut nulls {
            fields.values_mut().for_each(|value| *value = Value::Null);
        }
        serde_json::from_value::<T>(nulls).expect(name);
    }
    check::<ContainerCreateBody>("ContainerCreateBody");
    check::<ContainerInspect>("ContainerInspect");
    check::<ContainerSummary>("ContainerSummary");
    check::<ExecCreateBody>("ExecCreateBody");
    check::<ExecStartBody>("ExecStartBody");
    check::<ExecInspect>("ExecInspect");
    check::<ImageInspect>("ImageInspect");
    check::<ImageSummary>("ImageSummary");
    check::<NetworkCreateBody>("NetworkCreateBody");
    check::<NetworkResource>("NetworkResource");
    check::<VolumeCreateBody>("VolumeCreateBody");
    check::<ContainerStats>("ContainerStats");
    check::<Info>("Info");
    check::<Version>("Version");
}

#[test]
fn commands_may_be_one_string() {
    let text = r#"{"Image":"a","Cmd":"ls","Entrypoint":"","ExposedPorts":{"80/tcp":null},
        "HostConfig":{"Memory":5,"PortBindings":{"80/tcp":null}},"Unknown":[1]}"#;
    let body: ContainerCreateBody = serde_json::from_str(text).expect("body");
    assert_eq!(body.config.cmd.items(), ["ls"]);
    assert_eq!(body.config.entrypoint.items(), [""]);
    assert!(body.config.exposed_ports.contains_key("80/tcp"));
    assert_eq!(body.config.labels.pairs().count(), 0);
    let host = body.host_config.expect("host config");
    assert_eq!((host.memory, host.port_bindings.get("80/tcp")), (5, Some(&None)));
    let wrong = serde_json::from_str::<ContainerCreateBody>(r#"{"Cmd":{"a":1}}"#);
    assert!(wrong.is_err(), "an object is no command");
}

#[test]
fn settings_that_left_the_api_are_filled() {
    let mut inspect: ContainerInspect =
        serde_json::from_str(include_str!("data/container_inspect.json")).expect("body");
    let old = inspect.network_settings.clone();
    let settings = &mut inspect.network_settings;
    *settings = gantry_api_types::network::NetworkSettings {
        sandbox_id: old.sandbox_id.clone(),
        sandbox_key: old.sandbox_key.clone(),
        ports: old.ports.clone(),
        networks: old.networks.clone(),
        ..Default::default()
    };
    let keys = serde_json::to_value(&*settings).expect("json");
    let keys: Vec<_> = keys.as_object().expect("object").keys().cloned().collect();
    assert_eq!(keys, ["SandboxID", "SandboxKey", "Ports", "Networks"]);
    settings.fill_legacy();
    assert_eq!(*settings, old);
}

#[test]
fn progress_lines_keep_their_shape() {
    for line in [
        r#"{"status":"Pull complete","progressDetail":{},"id":"a1"}"#,
        r#"{"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[>]","id":"a1"}"#,
        r#"{"stream":"Step 1/2 : FROM a\n"}"#,
        r#"{"aux":{"ID":"sha256:1"}}"#,
        r#"{"errorDetail":{"code":1,"message":"no"},"error":"no"}"#,
    ] {
        let message: JsonMessage = serde_json::from_str(line).expect(line);
        assert_eq!(serde_json::to_string(&message).expect(line), line);
    }
}

#[test]
fn exec_has_docker_names() {
    let exec = serde_json::to_value(ExecInspect::default()).expect("json");
    assert_eq!(
        exec,
        json!({"ID":"","Running":false,"ExitCode":null,"ProcessConfig":{"tty":false,
            "entrypoint":"","arguments":[]},"OpenStdin":false,"OpenStderr":false,
            "OpenStdout":false,"CanRemove":false,"ContainerID":"","DetachKeys":"","Pid":0})
    );
}
