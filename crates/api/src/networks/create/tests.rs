use serde_json::{Value, json};

use super::*;

/// Status and words of a refusal; 201 when there is none.
fn answer(body: Value, minor: u16) -> (u16, String) {
    let mut body: NetworkCreateBody = serde_json::from_value(body).expect("a body");
    match settle(&mut body, ApiVersion::new(1, minor)).and_then(|()| validate(&body)) {
        Ok(()) => (201, String::new()),
        Err(error) => (error.status.as_u16(), error.message),
    }
}

fn with(fields: Value) -> Value {
    let mut body = json!({"Name": "n1", "Driver": "bridge"});
    let object = body.as_object_mut().expect("an object");
    object.extend(fields.as_object().expect("an object").clone());
    body
}

fn pools(configs: Value) -> Value {
    with(json!({"IPAM": {"Config": configs}, "EnableIPv6": true}))
}

#[test]
fn bodies_that_are_fine() {
    for body in [
        json!({"Name": "n1"}),
        json!({"Name": "n1", "IPAM": null, "Options": null, "ConfigFrom": null}),
        with(json!({"Driver": "macvlan", "Options": {"parent": "eth0"}})),
        with(json!({"Driver": "some-plugin"})),
        with(json!({"ConfigFrom": {"Network": "cfg"}, "IPAM": {"Driver": "default"}})),
        with(json!({"ConfigOnly": true, "Driver": "null", "Labels": {"a": "b"}})),
        with(json!({"EnableIPv4": false, "EnableIPv6": true})),
        with(json!({"Name": "a b/c"})),
        pools(json!([{"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.128/25", "Gateway": "10.0.0.1",
            "AuxiliaryAddresses": {"a": "10.0.0.9"}}, {"Subnet": "fd00::/64", "Gateway": "fd00::1/64"}])),
        with(json!({"IPAM": {"Config": [{"Subnet": "fd00::5/64"}]}})),
    ] {
        assert_eq!(answer(body.clone(), 48), (201, String::new()), "{body}");
    }
}

#[test]
fn bodies_that_are_refused() {
    let swarm = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm \
                 join\" to connect this node to swarm and try again.";
    let operator = "configuration network can only contain network specific fields. Network \
                    operator fields like [ ingress | internal | attachable | scope ] are not \
                    supported.";
    let user = "user specified configurations are not supported if the network depends on a \
                configuration network";
    let options = "network driver options are not supported if the network depends on a \
                   configuration network";
    let from = |more: Value| {
        let mut body = with(more);
        body["ConfigFrom"] = json!({"Network": "cfg"});
        body
    };
    for (body, status, words) in [
        (json!({"Name": "host"}), 403, "operation is not permitted on predefined host network "),
        (
            json!({"Name": "default"}),
            403,
            "operation is not permitted on predefined default network ",
        ),
        (json!({}), 400, "invalid name: name is empty"),
        (json!({"Name": " "}), 400, "invalid name: name is empty"),
        (with(json!({"Driver": "overlay"})), 403, swarm),
        (with(json!({"Ingress": true})), 403, swarm),
        (with(json!({"Scope": "swarm"})), 403, swarm),
        (with(json!({"Scope": "moon"})), 400, "invalid network scope \"moon\""),
        (with(json!({"Driver": "host"})), 403, "only one instance of \"host\" network is allowed"),
        (with(json!({"Driver": "null"})), 403, "only one instance of \"null\" network is allowed"),
        (
            with(json!({"Driver": "ipvlan"})),
            501,
            "the ipvlan driver is not implemented by Gantry yet",
        ),
        (with(json!({"IPAM": {"Driver": "dhcp"}})), 404, "plugin \"dhcp\" not found"),
        (with(json!({"EnableIPv4": false})), 400, "IPv4 or IPv6 must be enabled"),
        (
            with(json!({"Options": {"com.docker.network.enable_ipv6": "maybe"}})),
            400,
            "driver-opt \"com.docker.network.enable_ipv6\" is not a valid bool",
        ),
        (with(json!({"ConfigOnly": true, "Internal": true})), 403, operator),
        (with(json!({"ConfigOnly": true, "Attachable": true})), 403, operator),
        (with(json!({"ConfigOnly": true, "Scope": "local"})), 403, operator),
        (
            from(json!({"ConfigOnly": true})),
            403,
            "a configuration network cannot depend on another configuration network",
        ),
        (from(json!({"Labels": {"a": "b"}})), 403, user),
        (from(json!({"EnableIPv6": true})), 403, user),
        (from(json!({"EnableIPv4": false})), 403, user),
        (from(json!({"IPAM": {"Driver": "other"}})), 403, user),
        (from(json!({"IPAM": {"Options": {"a": "b"}}})), 403, user),
        (from(json!({"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}})), 403, user),
        (from(json!({"Options": {"a": "b"}})), 403, options),
    ] {
        assert_eq!(answer(body.clone(), 48), (status, words.to_owned()), "{body}");
    }
}

#[test]
fn addresses_that_are_refused() {
    for (configs, words) in [
        (
            json!([{"Subnet": "10.0.0.0/33"}]),
            "invalid subnet 10.0.0.0/33: invalid CIDR block notation",
        ),
        (json!([{}]), "invalid subnet : invalid CIDR block notation"),
        (
            json!([{"Subnet": "10.0.0.5/24"}]),
            "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24",
        ),
        (
            json!([{"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.0/16"}]),
            "invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24",
        ),
        (
            json!([{"Subnet": "10.0.0.0/24", "IPRange": "fd00::/64"}]),
            "invalid ip-range fd00::/64: parent subnet is an IPv4 block",
        ),
        (
            json!([{"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}]),
            "invalid gateway 10.0.0.1: parent subnet is an IPv6 block",
        ),
        (
            json!([{"Subnet": "10.0.0.0/24", "Gateway": "x"}, {"Subnet": "10.1.0.0/24",
                "IPRange": "10.2.0.1/28", "AuxiliaryAddresses": {"a": "10.3.0.1"}}]),
            "* invalid gateway x: invalid address\n\
             * invalid ip-range 10.2.0.1/28: it should be 10.2.0.0/28\n\
             * invalid ip-range 10.2.0.1/28: parent subnet 10.1.0.0/24 doesn't contain ip-range\n\
             * invalid auxiliary address a: parent subnet 10.1.0.0/24 doesn't contain this address",
        ),
    ] {
        let want = (400, format!("invalid network config:\n{words}"));
        assert_eq!(answer(pools(configs.clone()), 48), want, "{configs}");
    }
}

#[test]
fn families_by_version_and_option() {
    let settled = |fields: Value, minor| {
        let mut body: NetworkCreateBody = serde_json::from_value(with(fields)).expect("a body");
        settle(&mut body, ApiVersion::new(1, minor)).expect("settled");
        let left = body.options.unwrap_or_default().len();
        (body.enable_ipv4, body.enable_ipv6, left)
    };
    let option = json!({"com.docker.network.enable_ipv6": "true"});
    for (fields, minor, want) in [
        (json!({"EnableIPv4": false, "EnableIPv6": true}), 48, (Some(false), Some(true), 0)),
        (json!({"EnableIPv4": false, "EnableIPv6": true}), 47, (None, Some(true), 0)),
        (json!({}), 41, (None, None, 0)),
        (json!({"Options": option}), 41, (None, Some(true), 1)),
        (json!({"Options": option, "EnableIPv6": false}), 41, (None, Some(false), 0)),
    ] {
        assert_eq!(settled(fields.clone(), minor), want, "1.{minor} {fields}");
    }
}
