use serde_json::{Map, Value, json};

use crate::container::body::create_body;
use crate::flags::{Parsed, parse};
use crate::spec::TOP;

/// What docker 28.2.2 sent about networks and ports, with its command lines; empty fields left out.
const RECORDED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/create_network.jsonl"));

/// Fields of the host's configuration that are recorded.
const OF_HOST: [&str; 8] = [
    "NetworkMode",
    "PortBindings",
    "PublishAllPorts",
    "Links",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => *other == json!(0),
    }
}

/// The part of a body that is about networks and ports.
fn network_part(args: &[String]) -> Result<Value, String> {
    let create = TOP.iter().find(|entry| entry.name == "create").expect("create");
    let Parsed::Run(flags, rest) = parse(create.command.flags, args, false)? else {
        return Err("help".into());
    };
    let body = serde_json::to_value(create_body(&flags, &rest)?).expect("json");
    let mut part = Map::new();
    part.insert("ExposedPorts".into(), body["ExposedPorts"].clone());
    for name in OF_HOST {
        part.insert(name.into(), body["HostConfig"][name].clone());
    }
    let mut endpoints = body["NetworkingConfig"]["EndpointsConfig"].clone();
    for endpoint in endpoints.as_object_mut().into_iter().flat_map(Map::values_mut) {
        // An empty address configuration is told from none.
        let kept = endpoint["IPAMConfig"].is_object().then(|| endpoint["IPAMConfig"].clone());
        let fields = endpoint.as_object_mut().expect("an endpoint is an object");
        fields.retain(|_, value| !is_empty(value));
        fields.extend(kept.map(|kept| ("IPAMConfig".to_owned(), kept)));
    }
    part.insert("Endpoints".into(), endpoints);
    part.retain(|_, value| !is_empty(value));
    Ok(Value::Object(part))
}

#[test]
fn sends_what_docker_sends() {
    for line in RECORDED.lines() {
        let mut recorded: Map<String, Value> = serde_json::from_str(line).expect("recorded line");
        let args = recorded.remove("args").expect("args");
        let args: Vec<String> = serde_json::from_value(args).expect("texts");
        assert_eq!(network_part(&args), Ok(Value::Object(recorded)), "{args:?}");
    }
}

#[test]
fn refuses_in_docker_words() {
    let argument = |text: &str, why: &str| {
        format!("invalid argument \"{text}\" for \"--network\" flag: {why}")
    };
    let both = |flag: &str, what: &str| {
        format!("conflicting options: cannot specify both --{flag} and per-network {what}")
    };
    let mixed = "conflicting options: cannot attach both user-defined and non-user-defined \
                 network-modes"
        .to_owned();
    let scoped = "network-scoped aliases are only supported for user-defined networks".to_owned();
    let option = "invalid key value pair format in driver options";
    for (args, want) in [
        ("--network bridge --network n1 b", mixed.clone()),
        ("--network n1 --network container:x b", mixed.clone()),
        ("--network none --network n1 b", mixed),
        ("--network host --network host b", "network \"host\" is specified multiple times".into()),
        ("--network name=bridge,alias=x b", scoped.clone()),
        ("--network-alias x b", scoped),
        ("--network alias=x b", argument("alias=x", "network name/id is not specified")),
        ("--network n1=x b", argument("n1=x", "invalid field key n1")),
        ("--network n1,alias=x b", argument("n1,alias=x", "invalid field n1")),
        ("--network name=n1,no=1 b", argument("name=n1,no=1", "invalid field key no")),
        ("--network name=n1,driver-opt=x b", argument("name=n1,driver-opt=x", option)),
        ("--network name=n1,driver-opt==x b", argument("name=n1,driver-opt==x", option)),
        (
            "--network name=n1,gw-priority=0x1 b",
            argument("name=n1,gw-priority=0x1", "invalid gw-priority (0x1): invalid syntax"),
        ),
        ("--network name=n1,alias=a --network-alias b b", both("network-alias", "alias")),
        ("--network name=n1,ip=10.0.0.1 --ip 10.0.0.2 b", both("ip", "IPv4 address")),
        ("--network name=n1,ip6=::1 --ip6 ::2 b", both("ip6", "IPv6 address")),
        (
            "--network name=n1,link-local-ip=::1 --link-local-ip ::2 b",
            both("link-local-ip", "link-local IP addresses"),
        ),
        (
            "--network name=n1,mac-address=02:00:00:00:00:01 --mac-address 02:00:00:00:00:02 b",
            both("mac-address", "MAC address"),
        ),
        ("--network name=n1,mac-address=x b", "x is not a valid mac address".into()),
        ("--network  b", "no name set for network".into()),
    ] {
        let list: Vec<String> = args.split(' ').map(str::to_owned).collect();
        assert_eq!(network_part(&list), Err(want), "{args}");
    }
}

#[test]
fn driver_options_keep_their_values() {
    let args = ["--network", "name=n1,driver-opt=Key=net.ipv4.conf.IFNAME.x=1", "b"];
    let part = network_part(&args.map(str::to_owned)).expect("a body");
    assert_eq!(part["Endpoints"]["n1"]["DriverOpts"], json!({"key": "net.ipv4.conf.IFNAME.x=1"}));
}
