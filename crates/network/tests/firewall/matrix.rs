//! Who reaches what: the answers of reality, before and after a flush, and of `explain`.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::lab::{Lab, call, check, serve, set_mode};
use super::world::{eventually, on_host, run};
use crate::firewall::{FirewallOptions, GatewayMode, Origin, ReachQuery};
use crate::ipam::lock;
use crate::ports::Proto;

#[test]
fn before_and_after_a_flush() {
    matrix(true);
}

#[test]
fn without_bridge_netfilter() {
    matrix(false);
}

/// Whether bridged frames pass the IP hooks is a setting of the host.
fn set_bridge_netfilter(on: bool) {
    for name in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        let _ = std::fs::write(format!("/proc/sys/net/bridge/{name}"), if on { "1" } else { "0" });
    }
}

fn matrix(bridge_netfilter: bool) {
    on_host(move |host| async move {
        set_bridge_netfilter(bridge_netfilter);
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.network(2, |_| ());
        lab.network(3, |rules| rules.internal = true);
        lab.begin();
        let (web, friend) = (lab.container(1, 2), lab.container(1, 3));
        let (other, inner, inner_friend) =
            (lab.container(2, 2), lab.container(3, 2), lab.container(3, 3));
        for container in [&web, &other, &inner] {
            serve(container.netns.as_fd(), 80);
            serve(container.netns.as_fd(), 81);
        }
        serve(lab.outside.as_fd(), 9000);
        serve(lab.host.netns.as_fd(), 9001);
        let ports = ["8080:80", "8080:80/udp", "127.0.0.1-8081:80", "::1-8082:80"];
        let more =
            ["10.99.0.1-8083:80", "fd99::1-8084:80", "fd99::1-8085:80/udp", "::1-8086:80/udp"];
        let _held = lab.publish(&web, &[&ports[..], &more].concat()).await;
        let host = lab.host.netns.as_fd();
        let (outside, other) = (lab.outside.as_fd(), other.netns.as_fd());
        let (friend, own) = (friend.netns.as_fd(), web.netns.as_fd());
        let (inner, inner_friend) = (inner.netns.as_fd(), inner_friend.netns.as_fd());

        let calls = [
            // Published everywhere.
            ("outside", outside, "10.99.0.1:8080", "10.99.0.2"),
            ("outside", outside, "udp://10.99.0.1:8080", "10.99.0.2"),
            ("outside", outside, "[fd99::1]:8080", "fd99::2"),
            ("outside", outside, "udp://[fd99::1]:8080", "fd99::2"),
            ("host", host, "127.0.0.1:8080", "172.30.1.1"),
            ("host", host, "udp://127.0.0.1:8080", "172.30.1.1"),
            ("host", host, "10.99.0.1:8080", "*"),
            ("host", host, "[::1]:8080", "fd30:1::1"),
            ("host", host, "udp://[::1]:8080", "fd30:1::1"),
            ("host", host, "[fd99::1]:8080", "*"),
            ("other network", other, "10.99.0.1:8080", "*"),
            ("other network", other, "172.30.2.1:8080", "*"),
            ("other network", other, "udp://10.99.0.1:8080", "*"),
            ("other network", other, "[fd99::1]:8080", "*"),
            ("other network", other, "udp://[fd30:2::1]:8080", "*"),
            ("same network", friend, "10.99.0.1:8080", "172.30.1.1"),
            ("same network", friend, "[fd99::1]:8080", "fd30:1::1"),
            ("itself", own, "172.30.1.1:8080", "172.30.1.1"),
            ("itself", own, "[fd30:1::1]:8080", "fd30:1::1"),
            // Published on loopback.
            ("host", host, "127.0.0.1:8081", "172.30.1.1"),
            ("host", host, "[::1]:8082", "fd30:1::1"),
            ("host", host, "udp://[::1]:8086", "fd30:1::1"),
            ("host", host, "10.99.0.1:8081", "-"),
            ("outside", outside, "10.99.0.1:8081", "-"),
            ("outside", outside, "[fd99::1]:8082", "-"),
            ("other network", other, "10.99.0.1:8081", "-"),
            // Published on one address.
            ("outside", outside, "10.99.0.1:8083", "10.99.0.2"),
            ("outside", outside, "[fd99::1]:8084", "fd99::2"),
            ("outside", outside, "udp://[fd99::1]:8085", "fd99::2"),
            ("host", host, "[fd99::1]:8084", "*"),
            ("host", host, "127.0.0.1:8083", "-"),
            ("host", host, "[::1]:8084", "-"),
            // Not published: by a route of the neighbour's, and between networks.
            ("outside", outside, "10.99.0.1:81", "-"),
            ("outside", outside, "172.30.1.2:80", "-"),
            ("outside", outside, "172.30.1.2:81", "-"),
            ("outside", outside, "udp://172.30.1.2:80", "-"),
            ("outside", outside, "[fd30:1::2]:80", "-"),
            ("outside", outside, "udp://[fd30:1::2]:81", "-"),
            ("other network", other, "172.30.1.2:80", "-"),
            ("other network", other, "udp://172.30.1.2:81", "-"),
            ("other network", other, "[fd30:1::2]:80", "-"),
            ("same network", friend, "172.30.1.2:81", "172.30.1.3"),
            ("same network", friend, "[fd30:1::2]:81", "fd30:1::3"),
            ("host", host, "172.30.1.2:81", "172.30.1.1"),
            ("host", host, "[fd30:1::2]:81", "fd30:1::1"),
            // Internal.
            ("internal", inner, "10.99.0.2:9000", "-"),
            ("internal", inner, "[fd99::2]:9000", "-"),
            ("internal", inner, "10.99.0.1:8080", "-"),
            ("internal", inner, "10.99.0.1:9001", "-"),
            ("internal", inner, "[fd99::1]:9001", "-"),
            ("internal", inner, "172.30.1.2:80", "-"),
            ("internal", inner, "172.30.3.1:9001", "172.30.3.2"),
            ("internal", inner, "[fd30:3::1]:9001", "fd30:3::2"),
            ("internal friend", inner_friend, "172.30.3.2:80", "172.30.3.3"),
            ("internal friend", inner_friend, "[fd30:3::2]:80", "fd30:3::3"),
            ("other network", other, "172.30.3.2:80", "-"),
            ("outside", outside, "172.30.3.2:80", "-"),
            ("outside", outside, "[fd30:3::2]:80", "-"),
            ("host", host, "172.30.3.2:80", "172.30.3.1"),
            // Outwards.
            ("container", own, "10.99.0.2:9000", "10.99.0.1"),
            ("container", own, "[fd99::2]:9000", "fd99::1"),
            ("container", own, "172.30.1.1:9001", "172.30.1.2"),
        ];
        check("at first", &calls);
        run("nft flush ruleset");
        eventually("the table", || lock(&lab.firewall).report().whole);
        check("after a flush", &calls);
        run("nft delete chain inet gantry-lab forward");
        eventually("the table", || lock(&lab.firewall).report().whole);
        run("nft flush set inet gantry-lab bridges");
        eventually("the bridges", || run("nft list set inet gantry-lab bridges").contains("br1"));
        check("after parts were taken", &calls);
        lab.withdraw(&web);
        let gone = ["10.99.0.1:8080", "[fd99::1]:8084"].map(|to| ("outside", outside, to, "-"));
        check("withdrawn", &gone);
        check(
            "withdrawn",
            &[("host", host, "[::1]:8080", "-"), ("host", host, "127.0.0.1:8081", "-")],
        );
        lock(&lab.firewall).remove().unwrap();
        assert_eq!(run("nft list ruleset"), "");
    });
}

/// What `explain` says is what happens.
#[test]
fn explained() {
    on_host(|host| async move {
        // With it, what is redirected from one isolated port to another stays in the bridge.
        set_bridge_netfilter(false);
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.network(2, |rules| rules.icc = false);
        lab.network(3, |rules| set_mode(rules, GatewayMode::Routed));
        lab.network(4, |rules| set_mode(rules, GatewayMode::NatUnprotected));
        lab.network(5, |rules| rules.internal = true);
        lab.begin();
        let mut held = Vec::new();
        for n in 1..=5 {
            let (web, friend) = (lab.container(n, 2), lab.container(n, 3));
            let stranger = lab.container(1 + n % 3, 9);
            serve(web.netns.as_fd(), 80);
            let port = 8000 + u16::from(n) * 10;
            let ports = [
                format!("{port}:80"),
                format!("127.0.0.1-{}:80", port + 1),
                format!("::1-{}:80", port + 2),
            ];
            held.extend(lab.publish(&web, &ports.each_ref().map(String::as_str)).await);
            // Isolated ports are what CORE makes of icc off, where frames pass no IP hook.
            if n == 2 {
                for port in ["v2-2", "v2-3"] {
                    run(&format!("ip link set {port} type bridge_slave isolated on"));
                }
            }
            let v6 = web.v6.unwrap();
            let addresses = [IpAddr::V4(web.v4), IpAddr::V6(v6)];
            let query = ReachQuery {
                addresses: addresses.map(|address| (web.network.clone(), address)).to_vec(),
                port: 80,
                proto: Proto::Tcp,
            };
            let ways = lock(&lab.firewall).explain(&query);
            assert!(ways.len() >= 8, "{ways:?}");
            for way in ways {
                let from: BorrowedFd<'_> = match way.from {
                    Origin::ThisHost => lab.host.netns.as_fd(),
                    Origin::OtherHosts => lab.outside.as_fd(),
                    Origin::SameNetwork => friend.netns.as_fd(),
                    Origin::OtherNetworks => stranger.netns.as_fd(),
                };
                let mut at = way.at;
                match at.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip([10, 99, 0, 1].into()),
                    IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip("fd99::1".parse().unwrap()),
                    _ => {}
                }
                let reached = call(from, &at.to_string()).is_ok();
                assert_eq!(reached, way.reachable, "network {n}: {way:?}");
            }
            run(&format!("ip link del v{}-9", 1 + n % 3));
        }
        lock(&lab.firewall).remove().unwrap();
    });
}
