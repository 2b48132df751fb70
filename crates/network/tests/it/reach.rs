//! Who reaches whom.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use gantry_network::Proto;

use crate::world::{
    First as _, ask, call, eventually, inside, join, many, on_host, run, serve_tcp, serve_udp,
    udp_client,
};

#[test]
fn published_and_not() {
    on_host(|host| async move {
        let outside = host.neighbour();
        let networks = host.open().await;
        let ports = ["8080:80", "127.0.0.1:8081:80", "10.99.0.1:8082:80"];
        let web = join(&networks, &ports).await.unwrap();
        let address = web.address();
        for port in [80, 81] {
            serve_tcp(web.netns.as_fd(), port);
        }
        inside(outside.as_fd(), || run("ip route add 172.17.0.0/16 via 10.99.0.1"));
        inside(outside.as_fd(), || run("ip route add 127.9.9.9/32 via 10.99.0.1"));
        let (host, outside) = (host.netns.as_fd(), outside.as_fd());

        // From elsewhere: what is published there, with the caller's address, and nothing else.
        assert_eq!(call(outside, "10.99.0.1:8080").unwrap(), "10.99.0.2");
        assert_eq!(call(outside, "10.99.0.1:8082").unwrap(), "10.99.0.2");
        assert!(call(outside, "10.99.0.1:8081").is_err(), "published on loopback");
        assert!(call(outside, "10.99.0.1:80").is_err(), "not published");
        assert!(call(outside, &format!("{address}:80")).is_err(), "routed around publishing");
        assert!(call(outside, &format!("{address}:81")).is_err(), "routed, not published");

        // From this host: by loopback, by its addresses, and directly.
        assert_eq!(call(host, "127.0.0.1:8080").unwrap(), "172.17.0.1");
        assert_eq!(call(host, "127.0.0.1:8081").unwrap(), "172.17.0.1");
        assert!(call(host, "127.0.0.1:8082").is_err(), "published on another address");
        assert!(call(host, "10.99.0.1:8080").is_ok());
        assert!(call(host, "10.99.0.1:8082").is_ok());
        assert!(call(host, "10.99.0.1:8081").is_err());
        assert!(call(host, &format!("{address}:81")).is_ok(), "the host reaches containers");

        networks.leave(&web.record.container_id).await.unwrap();
        assert!(call(outside, "10.99.0.1:8080").is_err(), "withdrawn");
        assert!(call(host, "127.0.0.1:8081").is_err(), "withdrawn");
        networks.destroy().await.unwrap();
    });
}

/// Whether the kernel sends bridged frames through the IP hooks is a setting of the host, and
/// decides by which way packets between containers go.
fn with_bridge_netfilter(on: bool) {
    let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if std::path::Path::new(path).exists() {
        std::fs::write(path, if on { "1" } else { "0" }).unwrap();
    }
}

#[test]
fn between_containers() {
    between_containers_with(true);
}

#[test]
fn between_containers_without_bridge_netfilter() {
    between_containers_with(false);
}

fn between_containers_with(bridge_netfilter: bool) {
    on_host(move |host| async move {
        with_bridge_netfilter(bridge_netfilter);
        let _outside = host.neighbour();
        let networks = host.open().await;
        let web = join(&networks, &["8080:80"]).await.unwrap();
        let other = join(&networks, &[]).await.unwrap();
        serve_tcp(web.netns.as_fd(), 80);
        let direct = format!("{}:80", web.address());
        assert_eq!(call(other.netns.as_fd(), &direct).unwrap(), other.address().to_string());
        // By the published port: from a neighbour, and from the container itself.
        for from in [&other, &web] {
            for to in ["10.99.0.1:8080", "172.17.0.1:8080"] {
                assert_eq!(call(from.netns.as_fd(), to).unwrap(), "172.17.0.1", "{to}");
            }
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn without_icc() {
    without_icc_with(true);
}

#[test]
fn without_icc_or_bridge_netfilter() {
    without_icc_with(false);
}

fn without_icc_with(bridge_netfilter: bool) {
    on_host(move |host| async move {
        with_bridge_netfilter(bridge_netfilter);
        let outside = host.neighbour();
        let mut config = host.config();
        config.icc = false;
        let networks = host.open_with(config).await.unwrap();
        let web = join(&networks, &["8080:80"]).await.unwrap();
        let other = join(&networks, &[]).await.unwrap();
        serve_tcp(web.netns.as_fd(), 80);
        let direct = format!("{}:80", web.address());
        assert!(call(other.netns.as_fd(), &direct).is_err());
        assert!(call(outside.as_fd(), "10.99.0.1:8080").is_ok());
        assert!(call(host.netns.as_fd(), "127.0.0.1:8080").is_ok());
        networks.destroy().await.unwrap();
    });
}

/// Containers reach the outside with the host's address, and never the host's loopback.
#[test]
fn outwards() {
    on_host(|host| async move {
        let outside = host.neighbour();
        let networks = host.open().await;
        let container = join(&networks, &[]).await.unwrap();
        serve_tcp(outside.as_fd(), 9000);
        assert_eq!(call(container.netns.as_fd(), "10.99.0.2:9000").unwrap(), "10.99.0.1");
        serve_tcp(host.netns.as_fd(), 9001);
        assert!(call(container.netns.as_fd(), "172.17.0.1:9001").is_ok());
        inside(container.netns.as_fd(), || {
            run("ip addr del 127.0.0.1/8 dev lo");
            run("ip route add 127.0.0.0/8 via 172.17.0.1");
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        });
        assert!(call(container.netns.as_fd(), "127.0.0.1:9001").is_err(), "host's loopback");
        networks.destroy().await.unwrap();
    });
}

/// A flow of UDP without an end must follow its port to the next owner, and to nobody between.
#[test]
fn udp_follows_its_port() {
    on_host(|host| async move {
        let outside = host.neighbour();
        let networks = host.open().await;
        let client = udp_client(outside.as_fd());
        let to = "10.99.0.1:5353";
        assert!(ask(&client, to).is_err(), "before it is published");
        let first = join(&networks, &["5353:53/udp"]).await.unwrap();
        serve_udp(first.netns.as_fd(), 53, "first");
        assert_eq!(ask(&client, to).unwrap(), "first 10.99.0.2");
        networks.leave(&first.record.container_id).await.unwrap();
        assert!(ask(&client, to).is_err(), "after it was withdrawn");
        let second = join(&networks, &["5353:53/udp"]).await.unwrap();
        serve_udp(second.netns.as_fd(), 53, "second");
        assert_eq!(ask(&client, to).unwrap(), "second 10.99.0.2");
        let local = udp_client(host.netns.as_fd());
        assert_eq!(ask(&local, "127.0.0.1:5353").unwrap(), "second 172.17.0.1");
        networks.destroy().await.unwrap();
    });
}

#[test]
fn rules_come_back_after_a_flush() {
    on_host(|host| async move {
        let networks = host.open().await;
        let web = join(&networks, &["8080:80"]).await.unwrap();
        serve_tcp(web.netns.as_fd(), 80);
        let answers = || call(host.netns.as_fd(), "127.0.0.1:8080").is_ok();
        run("nft flush ruleset");
        eventually("healing", answers);
        // A change that finds nothing left notices by itself.
        run("nft flush ruleset");
        let second = join(&networks, &["8081:80"]).await.unwrap();
        assert!(answers());
        run("nft flush ruleset");
        networks.leave(&second.record.container_id).await.unwrap();
        assert!(answers());
        assert_eq!(web.address(), Ipv4Addr::new(172, 17, 0, 2));
        networks.destroy().await.unwrap();
    });
}

/// A media server's range: one join, one transaction; flows from before follow here too.
#[test]
fn ten_thousand_ports() {
    on_host(|host| async move {
        let outside = host.neighbour();
        let networks = host.open().await;
        let client = udp_client(outside.as_fd());
        assert!(ask(&client, "10.99.0.1:19999").is_err(), "before it is published");
        let mut request = many(10000, 10000);
        for port in &mut request.ports {
            port.proto = Proto::Udp;
            // One descriptor each is enough here.
            port.host_ip = Some(Ipv4Addr::UNSPECIFIED.into());
        }
        let range = networks.join(request).await.unwrap();
        serve_udp(range.netns.as_fd(), 10000, "last");
        assert_eq!(ask(&client, "10.99.0.1:19999").unwrap(), "last 10.99.0.2");
        networks.leave(&range.record.container_id).await.unwrap();
        assert!(!run("nft list table inet gantry-gantry0").contains("19999"));
        networks.destroy().await.unwrap();
    });
}
