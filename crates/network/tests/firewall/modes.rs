//! Gateway modes, sources of packets, IPv6 to containers without, the host's own policy.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::lab::{Container, Lab, check, redirects, serve, set_mode};
use super::world::{inside, on_host, run};
use crate::firewall::{FirewallOptions, GatewayMode, Origin, ReachQuery};
use crate::ipam::lock;
use crate::ports::Proto;
use crate::reserve;

#[test]
fn trusted_interfaces() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |rules| rules.trusted = vec!["eth7".to_owned(), "out0".to_owned()]);
        lab.network(2, |rules| rules.trusted = vec!["eth7".to_owned()]);
        lab.network(3, |rules| {
            rules.trusted = vec!["out0".to_owned()];
            rules.internal = true;
        });
        lab.begin();
        let [trusting, other, inner] = [1, 2, 3].map(|n| lab.container(n, 2));
        for container in [&trusting, &other, &inner] {
            for port in [80, 81, 82] {
                serve(container.netns.as_fd(), port);
            }
        }
        // Two host ports lead to one; one is published for this host alone.
        let ports = ["8080:80", "8090:80", "8080:80/udp", "127.0.0.1-8082:82", "::1-8082:82"];
        let _held = lab.publish(&trusting, &ports).await;
        let _other = lab.publish(&other, &["8081:80"]).await;
        let (outside, other) = (lab.outside.as_fd(), other.netns.as_fd());
        let calls = [
            ("outside", outside, "172.30.1.2:80", "10.99.0.2"),
            ("outside", outside, "udp://172.30.1.2:80", "10.99.0.2"),
            ("outside", outside, "[fd30:1::2]:80", "fd99::2"),
            ("outside", outside, "172.30.1.2:81", "-"),
            ("outside", outside, "[fd30:1::2]:81", "-"),
            ("outside", outside, "172.30.1.2:82", "-"),
            ("outside", outside, "[fd30:1::2]:82", "-"),
            ("outside", outside, "10.99.0.1:8080", "10.99.0.2"),
            ("outside", outside, "172.30.2.2:80", "-"),
            ("outside", outside, "[fd30:2::2]:80", "-"),
            ("outside", outside, "10.99.0.1:8081", "10.99.0.2"),
            ("outside", outside, "172.30.3.2:80", "-"),
            ("other network", other, "172.30.1.2:80", "-"),
        ];
        check("trusted", &calls);
        let reasons = lock(&lab.firewall).explain(&ReachQuery {
            addresses: vec![("net1".to_owned(), trusting.v4.into())],
            port: 80,
            proto: Proto::Tcp,
        });
        let direct = reasons
            .iter()
            .find(|way| way.from == Origin::OtherHosts && way.at.ip() == IpAddr::from(trusting.v4));
        let direct = direct.unwrap();
        assert!(direct.reachable && direct.by.contains("eth7, out0"), "{}", direct.by);
        lab.withdraw(&trusting);
        check("withdrawn", &[("outside", outside, "172.30.1.2:80", "-")]);
        let table = run("nft list table inet gantry-lab");
        assert!(!table.contains("172.30.1.2 ."), "{table}");
        lock(&lab.firewall).remove_network("net1").unwrap();
        assert!(!run("nft list set inet gantry-lab trusted").contains("br1"));
    });
}

#[test]
fn gateway_modes() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |rules| set_mode(rules, GatewayMode::Routed));
        lab.network(2, |rules| set_mode(rules, GatewayMode::NatUnprotected));
        lab.network(3, |_| ());
        lab.network(4, |rules| {
            rules.internal = true;
            set_mode(rules, GatewayMode::Isolated);
        });
        lab.begin();
        let [routed, open, other, alone] = [1, 2, 3, 4].map(|n| lab.container(n, 2));
        for container in [&routed, &open, &alone] {
            serve(container.netns.as_fd(), 80);
            serve(container.netns.as_fd(), 81);
        }
        serve(lab.outside.as_fd(), 9000);
        serve(lab.host.netns.as_fd(), 9001);
        let _held = lab.publish(&routed, &["8080:80", "8080:80/udp"]).await;
        let _open = lab.publish(&open, &["8081:80"]).await;
        inside(lab.outside.as_fd(), || run("busybox ping -c1 -W1 172.30.1.2"));
        let (outside, other) = (lab.outside.as_fd(), other.netns.as_fd());
        let (host, alone) = (lab.host.netns.as_fd(), alone.netns.as_fd());
        check(
            "modes",
            &[
                ("outside", outside, "172.30.1.2:80", "10.99.0.2"),
                ("outside", outside, "udp://172.30.1.2:80", "10.99.0.2"),
                ("outside", outside, "[fd30:1::2]:80", "fd99::2"),
                ("outside", outside, "172.30.1.2:81", "-"),
                ("outside", outside, "udp://[fd30:1::2]:81", "-"),
                ("outside", outside, "10.99.0.1:8080", "-"),
                ("host", host, "127.0.0.1:8080", "-"),
                ("other network", other, "172.30.1.2:80", "172.30.3.2"),
                ("other network", other, "172.30.1.2:81", "-"),
                ("routed", routed.netns.as_fd(), "10.99.0.2:9000", "172.30.1.2"),
                ("outside", outside, "172.30.2.2:81", "10.99.0.2"),
                ("outside", outside, "10.99.0.1:8081", "10.99.0.2"),
                ("outside", outside, "[fd30:2::2]:81", "fd99::2"),
                ("other network", other, "172.30.2.2:81", "-"),
                ("other network", other, "10.99.0.1:8081", "*"),
                ("isolated", alone, "172.30.4.1:9001", "-"),
                ("isolated", alone, "10.99.0.1:9001", "-"),
                ("isolated", alone, "10.99.0.2:9000", "-"),
                ("outside", outside, "172.30.4.2:80", "-"),
            ],
        );
        lab.withdraw(&routed);
        check("withdrawn", &[("outside", outside, "172.30.1.2:80", "-")]);
        lock(&lab.firewall).remove().unwrap();
    });
}

#[test]
fn sources() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        run("ip addr add 10.99.0.7/24 dev out0");
        run("ip addr add fd99::7/64 dev out0 nodad");
        lab.network(1, |rules| {
            rules.v4.as_mut().unwrap().snat_to = "10.99.0.7".parse().ok();
            rules.v6.as_mut().unwrap().snat_to = "fd99::7".parse().ok();
        });
        lab.network(2, |rules| {
            rules.v4.as_mut().unwrap().masquerade = false;
            rules.v6.as_mut().unwrap().masquerade = false;
        });
        lab.begin();
        let [translated, plain] = [1, 2].map(|n| lab.container(n, 2));
        serve(lab.outside.as_fd(), 9000);
        serve(plain.netns.as_fd(), 80);
        check(
            "sources",
            &[
                ("snat", translated.netns.as_fd(), "10.99.0.2:9000", "10.99.0.7"),
                ("snat", translated.netns.as_fd(), "[fd99::2]:9000", "fd99::7"),
                ("plain", plain.netns.as_fd(), "10.99.0.2:9000", "172.30.2.2"),
                ("plain", plain.netns.as_fd(), "[fd99::2]:9000", "fd30:2::2"),
                ("outside", lab.outside.as_fd(), "172.30.2.2:80", "-"),
            ],
        );
        lock(&lab.firewall).remove_network("net1").unwrap();
        lock(&lab.firewall).remove_network("net1").unwrap();
        let table = run("nft list table inet gantry-lab");
        assert!(!table.contains("br1") && !table.contains("172.30.1."), "{table}");
        lock(&lab.firewall).remove().unwrap();
    });
}

/// A container with IPv4 alone is reached on the host's IPv6 addresses.
#[test]
fn ipv6_to_ipv4() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |rules| rules.v6 = None);
        lab.begin();
        let mut web = lab.container(1, 2);
        web.v6 = None;
        serve(web.netns.as_fd(), 80);
        let held = lab.publish(&web, &["8080:80", "8080:80/udp", "fd99::1-8081:80"]).await;
        let bindings = held.iter().map(|held| held.published.host_ip.to_string());
        assert_eq!(bindings.collect::<Vec<_>>(), ["0.0.0.0", "::", "0.0.0.0", "::", "fd99::1"]);
        let (host, outside) = (lab.host.netns.as_fd(), lab.outside.as_fd());
        let calls = [
            ("outside", outside, "[fd99::1]:8080", "172.30.1.1"),
            ("outside", outside, "udp://[fd99::1]:8080", "172.30.1.1"),
            ("outside", outside, "[fd99::1]:8081", "172.30.1.1"),
            ("outside", outside, "10.99.0.1:8080", "10.99.0.2"),
            ("host", host, "[::1]:8080", "172.30.1.1"),
            ("host", host, "udp://[::1]:8080", "172.30.1.1"),
            ("host", host, "[::1]:8081", "-"),
        ];
        check("relayed", &calls);
        lab.withdraw(&web);
        drop(held);
        // The next owner: the relay let go of the port.
        let _held = lab.publish(&web, &["8080:80", "8080:80/udp", "fd99::1-8081:80"]).await;
        check("again", &calls);
        lock(&lab.firewall).remove().unwrap();
    });
}

/// A flow of UDP without an end follows its port to the next owner, and to nobody between.
#[test]
fn flows_of_udp() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.begin();
        let [first, second] = [2, 3].map(|last| lab.container(1, last));
        serve_as(&first, "first");
        serve_as(&second, "second");
        for to in ["10.99.0.1:5353", "[fd99::1]:5353"] {
            let client = inside(lab.outside.as_fd(), || UdpSocket::bind("[::]:0").unwrap());
            client.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            let to: SocketAddr = to.parse().unwrap();
            let to = match to.ip() {
                IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
                IpAddr::V6(_) => to,
            };
            let ask = || {
                client.send_to(b"?", to).ok()?;
                let mut buffer = [0; 64];
                let (len, _) = client.recv_from(&mut buffer).ok()?;
                Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
            };
            assert_eq!(ask(), None, "{to}: before it is published");
            for (name, container) in [("first", &first), ("second", &second)] {
                let _held = lab.publish(container, &["5353:53/udp"]).await;
                assert_eq!(ask().as_deref(), Some(name), "{to}");
                lab.withdraw(container);
                assert_eq!(ask(), None, "{to}: withdrawn");
            }
        }
        lock(&lab.firewall).remove().unwrap();
    });
}

/// Answers every datagram to port 53 with a name.
fn serve_as(container: &Container, name: &'static str) {
    let socket = inside(container.netns.as_fd(), || UdpSocket::bind("[::]:53").unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), peer);
        }
    });
}

/// What the host's input rules say of a port is what happens to it.
#[test]
fn host_policy() {
    on_host(|host| async move {
        let options = FirewallOptions { host_policy: true, ..FirewallOptions::default() };
        let lab = Lab::new(host, options);
        lab.network(1, |_| ());
        lab.network(2, |_| ());
        lab.begin();
        let [web, other] = [1, 2].map(|n| lab.container(n, 2));
        serve(web.netns.as_fd(), 80);
        let _held = lab.publish(&web, &["8080:80", "8080:80/udp", "127.0.0.1-8081:80"]).await;
        let (host, outside) = (lab.host.netns.as_fd(), lab.outside.as_fd());
        let inside = [
            ("host", host, "127.0.0.1:8080", "*"),
            ("host", host, "[::1]:8080", "*"),
            ("host", host, "127.0.0.1:8081", "*"),
            ("other network", other.netns.as_fd(), "10.99.0.1:8080", "*"),
            ("outside", outside, "10.99.0.1:8081", "-"),
            ("outside", outside, "172.30.1.2:80", "-"),
        ];
        let from_outside = |want| {
            ["10.99.0.1:8080", "udp://10.99.0.1:8080", "[fd99::1]:8080"]
                .map(|to| ("outside", outside, to, want))
        };
        check("no rules", &inside);
        check("no rules", &from_outside("*"));
        for program in ["iptables", "ip6tables"] {
            run(&format!("{program} -A INPUT -p tcp --dport 8080 -i out0 -j DROP"));
            run(&format!("{program} -A INPUT -p udp --dport 8080 -i out0 -j DROP"));
        }
        check("dropped", &inside);
        check("dropped", &from_outside("-"));
        for program in ["iptables", "ip6tables"] {
            run(&format!(
                "{program} -I INPUT -p tcp --dport 8080 -s {} -j ACCEPT",
                if program == "iptables" { "10.99.0.2" } else { "fd99::2" }
            ));
        }
        check(
            "accepted by source",
            &[
                ("outside", outside, "10.99.0.1:8080", "*"),
                ("outside", outside, "[fd99::1]:8080", "*"),
                ("outside", outside, "udp://10.99.0.1:8080", "-"),
            ],
        );
        lock(&lab.firewall).remove().unwrap();
    });
}

/// Ports that stood before a restart of the daemon are taken over, and only they remain.
#[test]
fn restart() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.begin();
        let [web, gone] = [2, 3].map(|last| lab.container(1, last));
        serve(web.netns.as_fd(), 80);
        serve(gone.netns.as_fd(), 80);
        let held = lab.publish(&web, &["8080:80"]).await;
        let _gone = lab.publish(&gone, &["8081:80"]).await;
        let (host, outside) = (lab.host.netns.as_fd(), lab.outside.as_fd());
        let mut next =
            crate::firewall::Firewall::install("gantry-lab".to_owned(), FirewallOptions::default())
                .unwrap();
        next.add_network(super::lab::rules(1, |_| ())).unwrap();
        check(
            "untouched",
            &[
                ("outside", outside, "10.99.0.1:8080", "*"),
                ("outside", outside, "10.99.0.1:8081", "*"),
            ],
        );
        // The old daemon goes, and its sockets with it.
        let published: Vec<_> = held.iter().map(|held| held.published.clone()).collect();
        *lock(&lab.firewall) = next;
        drop(held);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let ports = Arc::default();
        let held: Vec<_> =
            published.iter().map(|port| reserve::readopt(&ports, port).unwrap()).collect();
        lock(&lab.firewall).adopt("web", &redirects(&web, &held));
        lock(&lab.firewall).settle().unwrap();
        check(
            "settled",
            &[
                ("outside", outside, "10.99.0.1:8080", "10.99.0.2"),
                ("outside", outside, "[fd99::1]:8080", "fd99::2"),
                ("host", host, "[::1]:8080", "*"),
                ("outside", outside, "10.99.0.1:8081", "-"),
            ],
        );
        lock(&lab.firewall).remove().unwrap();
    });
}
