use serde_json::Value;

use super::*;
use crate::flags::{Parsed, parse};
use crate::spec::GROUPS;

/// Bodies as docker 28.2.2 sent them to a recording listener, with its command lines.
const RECORDED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/network.jsonl"));

fn body_of(args: &[String]) -> Result<Value, String> {
    let group = GROUPS.iter().find(|group| group.name == "network").expect("network");
    let entry = group.entries.iter().find(|entry| entry.name == args[0]).expect("command");
    let Parsed::Run(flags, rest) = parse(entry.command.flags, &args[1..], true)? else {
        return Err("help".into());
    };
    if args[0] == "create" {
        create(&flags, &rest[0])
    } else {
        Ok(serde_json::to_value(connect(&flags, &rest[1])?).expect("json"))
    }
}

#[test]
fn sends_what_docker_sends() {
    for line in RECORDED.lines() {
        let mut recorded: Value = serde_json::from_str(line).expect("recorded line");
        let args = recorded["args"].as_array().expect("args").iter();
        let args: Vec<String> = args.map(|arg| arg.as_str().expect("text").to_owned()).collect();
        // Docker's client lists subnets in the order of a Go map.
        let mut body = body_of(&args).expect("a body");
        for body in [&mut body, &mut recorded["body"]] {
            if let Some(configs) = body["IPAM"]["Config"].as_array_mut() {
                configs.sort_by_key(Value::to_string);
            }
        }
        assert_eq!(body, recorded["body"], "{args:?}");
    }
}

#[test]
fn refuses_in_docker_words() {
    const CORRESPONDING: &str = "every ip-range or gateway must have a corresponding subnet";
    const OVERLAP: &str = "multiple overlapping subnet configuration is not supported";
    for (args, want) in [
        ("create --gateway 1.1.1.1 n", CORRESPONDING),
        ("create --subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2 n", CORRESPONDING),
        ("create --subnet 10.0.0.0/24 --subnet 10.0.0.0/28 n", OVERLAP),
        ("create --subnet 10.0.0.0/28 --subnet 10.0.0.0/24 n", OVERLAP),
        ("create --subnet x --gateway 10.0.0.1 n", "invalid subnet: invalid CIDR address: x"),
        ("create --subnet 10.0.0.0/24 --ip-range x n", "invalid CIDR address: x"),
        ("create --subnet 10.0.0.0/24 --gateway x n", "no matching subnet for gateway x"),
        (
            "create --subnet 10.0.0.0/24 --ip-range 10.1.0.0/28 n",
            "no matching subnet for range 10.1.0.0/28",
        ),
        (
            "create --subnet 10.0.0.0/24,10.1.0.0/24 --gateway 10.0.0.1,10.0.0.2 n",
            "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)",
        ),
        ("create --aux-address a=1.1.1.1 n", "no matching subnet for aux-address 1.1.1.1"),
        ("connect --driver-opt k n c", "invalid key/value pair format in driver options"),
        ("connect --driver-opt =k n c", "invalid key/value pair format in driver options"),
        (
            "connect --link x:y:z n c",
            "invalid argument \"x:y:z\" for \"--link\" flag: bad format for links: x:y:z",
        ),
    ] {
        let list: Vec<String> = args.split(' ').map(str::to_owned).collect();
        assert_eq!(body_of(&list), Err(want.to_owned()), "{args}");
    }
}
