use gantry_api_types::network::{EndpointResource, Ipam, IpamConfig, NetworkStatus};
use serde_json::{Value, json};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// Versions whose documents are held here.
const MINORS: [u16; 5] = [24, 41, 44, 48, 52];

fn version(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

fn network() -> NetworkResource {
    NetworkResource {
        name: "n1".into(),
        id: ID.into(),
        created: "2026-01-02T03:04:05.000000006Z".into(),
        scope: "local".into(),
        driver: "bridge".into(),
        enable_ipv4: Some(true),
        ipam: Ipam {
            driver: "default".into(),
            options: Some(BTreeMap::new()),
            config: Some(vec![IpamConfig { subnet: "10.0.0.0/24".into(), ..Default::default() }]),
        },
        containers: Some([("c".to_owned(), EndpointResource::default())].into()),
        status: Some(NetworkStatus::default()),
        ..NetworkResource::default()
    }
}

/// The document that every version has, with what a version adds.
fn document(more: Value) -> Value {
    let mut document = json!({
        "Name": "n1",
        "Id": ID,
        "Created": "2026-01-02T03:04:05.000000006Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.0.0.0/24"}]},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Options": {},
        "Labels": {},
    });
    let fields = document.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    document
}

fn endpoint_in_network() -> Value {
    json!({"c": {"Name": "", "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}})
}

#[test]
fn rows_by_version() {
    let want = |minor| match minor {
        24 => document(json!({"Containers": endpoint_in_network()})),
        41 | 44 => document(json!({"Containers": {}})),
        48 => document(json!({"Containers": {}, "EnableIPv4": true})),
        _ => document(json!({"EnableIPv4": true})),
    };
    for minor in MINORS {
        let mut network = network();
        network_row(&mut network, version(minor));
        assert_eq!(serde_json::to_value(&network).expect("json"), want(minor), "1.{minor}");
    }
}

#[test]
fn inspect_by_version() {
    let containers = endpoint_in_network();
    let want = |minor| match minor {
        24 | 41 | 44 => document(json!({"Containers": containers})),
        48 => document(json!({"Containers": containers, "EnableIPv4": true})),
        _ => document(json!({
            "Containers": containers,
            "EnableIPv4": true,
            "Status": {"IPAM": {}},
        })),
    };
    for minor in MINORS {
        let mut network = network();
        network_inspect(&mut network, version(minor));
        assert_eq!(serde_json::to_value(&network).expect("json"), want(minor), "1.{minor}");
    }
}

#[test]
fn pools_of_a_network_without_any() {
    for (minor, want) in [(24, json!([])), (41, json!([])), (44, Value::Null), (52, Value::Null)] {
        let mut host = NetworkResource { name: "host".into(), ..NetworkResource::default() };
        network_inspect(&mut host, version(minor));
        let value = serde_json::to_value(&host).expect("json");
        assert_eq!(value["IPAM"]["Config"], want, "1.{minor}");
        assert_eq!(value["Containers"], json!({}), "1.{minor}");
    }
}

#[test]
fn endpoints_by_version() {
    let want = |aliases: Value, more: Value| {
        let mut endpoint = json!({
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "Links": null,
            "Aliases": aliases,
            "MacAddress": "02:42:0a:00:00:09",
            "DriverOpts": null,
            "NetworkID": "n",
            "EndpointID": "e",
            "Gateway": "10.0.0.1",
            "IPAddress": "10.0.0.9",
            "IPPrefixLen": 24,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
        });
        let fields = endpoint.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        endpoint
    };
    let short = &ID[..SHORT_ID];
    let names = json!(["web", short]);
    for (minor, want) in [
        (24, want(json!(["www", short]), json!({"DNSNames": null}))),
        (41, want(json!(["www", short]), json!({"DNSNames": null}))),
        (44, want(json!(["www", short]), json!({"DNSNames": names}))),
        (45, want(json!(["www"]), json!({"DNSNames": names}))),
        (48, want(json!(["www"]), json!({"DNSNames": names, "GwPriority": 0}))),
        (52, want(json!(["www"]), json!({"DNSNames": names, "GwPriority": 0}))),
    ] {
        let endpoint: EndpointSettings = serde_json::from_value(json!({
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "Aliases": ["www"],
            "MacAddress": "02:42:0a:00:00:09",
            "NetworkID": "n",
            "EndpointID": "e",
            "Gateway": "10.0.0.1",
            "IPAddress": "10.0.0.9",
            "IPPrefixLen": 24,
            "DNSNames": names,
        }))
        .expect("an endpoint");
        let mut networks = BTreeMap::from([("mine".to_owned(), endpoint)]);
        endpoints(&mut networks, ID, version(minor));
        assert_eq!(serde_json::to_value(&networks["mine"]).expect("json"), want, "1.{minor}");
    }
}

#[test]
fn the_default_bridge_has_no_aliases() {
    let mut networks = BTreeMap::from([("bridge".to_owned(), EndpointSettings::default())]);
    endpoints(&mut networks, ID, version(41));
    assert_eq!(networks["bridge"].aliases, None);
}

#[test]
fn create_bodies_by_version() {
    let two =
        json!({"Image": "b", "NetworkingConfig": {"EndpointsConfig": {"n1": {}, "n2": null}}});
    let mac = json!({"Image": "b", "MacAddress": "02:00:00:00:00:01", "HostConfig":
        {"NetworkMode": "n1"}, "NetworkingConfig": {"EndpointsConfig": {"n1":
        {"MacAddress": "02:00:00:00:00:02", "GwPriority": 5}}}});
    let many = "Container cannot be connected to network endpoints: n1, n2";
    let differ = "the container-wide MAC address must match the endpoint-specific MAC address for \
                  the main network, or be left empty";
    for (body, minor, want) in [
        (&two, 24, Err(many)),
        (&two, 43, Err(many)),
        (&two, 44, Ok(("", None))),
        (&mac, 41, Ok(("", None))),
        (&mac, 44, Err(differ)),
        (&mac, 52, Err(differ)),
    ] {
        let mut body: ContainerCreateBody = serde_json::from_value(body.clone()).expect("a body");
        let got = create_endpoints(&mut body, version(minor)).map(|()| {
            let endpoints = body.networking_config.unwrap_or_default().endpoints_config;
            let first = endpoints["n1"].clone().unwrap_or_default();
            (first.mac_address, first.gw_priority)
        });
        let want = want.map(|(mac, priority)| (String::from(mac), priority));
        assert_eq!(got.map_err(|error| error.message), want.map_err(str::to_owned), "1.{minor}");
    }
}
