//! Joining, leaving, restarting, and what is left behind.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_network::{EndpointRequest, PortChoice, interface_counters};

use crate::world::{
    First as _, call, container, eventually, inside, join, many, on_host, publish, run, serve_tcp,
    settles,
};

#[test]
fn join_and_leave() {
    on_host(|host| async move {
        let networks = host.open().await;
        let bridge = networks.bridge();
        assert_eq!((bridge.subnet.to_string(), bridge.mtu), ("172.17.0.0/16".to_owned(), 1500));
        let first = join(&networks, &[]).await.unwrap();
        let record = &first.record;
        assert_eq!(first.address(), Ipv4Addr::new(172, 17, 0, 2));
        let endpoint = &record.endpoints[0];
        let prefix_len = endpoint.v4.unwrap().prefix_len;
        assert_eq!((endpoint.mac.as_str(), prefix_len), ("02:42:ac:11:00:02", 16));
        assert_eq!((endpoint.id.len(), endpoint.host_interface.len()), (64, 11));
        let seen = inside(first.netns.as_fd(), || {
            let addresses = run("ip -o addr");
            let parameters = ["ip_unprivileged_port_start", "ping_group_range"]
                .map(|name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap());
            (addresses, run("ip route"), parameters)
        });
        let (addresses, routes, parameters) = seen;
        assert!(addresses.contains("inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0"));
        assert!(addresses.contains("inet6 ::1/128") && !addresses.contains("inet6 fe80"));
        assert!(routes.starts_with("default via 172.17.0.1 dev eth0"), "{routes}");
        assert_eq!(parameters, ["0\n", "0\t2147483647\n"]);
        assert!(run("ip -o link show master gantry0").contains(&endpoint.host_interface));

        // A record survives its storage.
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<gantry_network::SandboxRecord>(&text).unwrap(), *record);

        // The lowest that is free.
        let second = join(&networks, &[]).await.unwrap();
        assert_eq!(second.address(), Ipv4Addr::new(172, 17, 0, 3));
        networks.leave(&record.container_id).await.unwrap();
        networks.leave(&record.container_id).await.unwrap();
        let third = join(&networks, &[]).await.unwrap();
        assert_eq!(third.address(), first.address());

        // Wishes.
        let wish = |last, mac: Option<&str>| {
            let endpoint = EndpointRequest {
                address: Some(Ipv4Addr::new(172, 17, 0, last)),
                mac: mac.map(|mac| mac.parse().unwrap()),
                ..EndpointRequest::on("bridge")
            };
            container(vec![endpoint], &[])
        };
        let fixed = networks.join(wish(9, Some("02:00:00:00:00:09"))).await.unwrap();
        assert!(
            inside(fixed.netns.as_fd(), || run("ip link show eth0")).contains("02:00:00:00:00:09")
        );
        for (request, want) in [
            (wish(9, None), "Address already in use"),
            (wish(1, None), "Address already in use"),
            (
                container(
                    vec![EndpointRequest {
                        address: Some(Ipv4Addr::new(172, 18, 0, 2)),
                        ..EndpointRequest::on("bridge")
                    }],
                    &[],
                ),
                "invalid address 172.18.0.2: It does not belong to any of this network's subnets",
            ),
            (
                wish(10, Some("01:00:00:00:00:09")),
                "invalid MAC address 01:00:00:00:00:09: an interface needs a unicast address",
            ),
        ] {
            assert_eq!(networks.join(request).await.unwrap_err().to_string(), want);
        }
        let counters = interface_counters(std::process::id()).unwrap();
        assert!(!counters.contains_key("lo"));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn addresses_run_out() {
    on_host(|host| async move {
        let mut config = host.config();
        config.bip = "10.5.0.1/24".parse().ok();
        config.fixed_cidr = "10.5.0.8/30".parse().ok();
        config.pool_size = 2;
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let mut joined = Vec::new();
        for _ in 8..12 {
            joined.push(join(&networks, &[]).await.unwrap());
        }
        joined.sort_by_key(|endpoint| endpoint.address());
        let addresses = joined.iter().map(|endpoint| endpoint.address().octets()[3]);
        assert_eq!(addresses.collect::<Vec<_>>(), [8, 9, 10, 11]);
        let id = networks.bridge().id;
        let want =
            format!("no available IPv4 addresses on this network's address pools: bridge ({id})");
        assert_eq!(join(&networks, &["8080:80"]).await.unwrap_err().to_string(), want);
        networks.leave(&joined.remove(1).record.container_id).await.unwrap();
        let again = join(&networks, &["8080:80"]).await.unwrap();
        assert_eq!(again.address(), Ipv4Addr::new(10, 5, 0, 9));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn ports_clash() {
    on_host(|host| async move {
        let networks = host.open().await;
        let holder =
            join(&networks, &["8080:80", "127.0.0.1:8090:80", "8080:80/udp"]).await.unwrap();
        let _tcp = TcpListener::bind("0.0.0.0:8000").unwrap();
        let _udp = UdpSocket::bind("127.0.0.1:8001").unwrap();
        let _udp_v6 = UdpSocket::bind("[::1]:8005").unwrap();
        for (ports, want) in [
            (&["8080:81"][..], "Bind for 0.0.0.0:8080 failed: port is already allocated"),
            (&["127.0.0.1:8080:81"], "Bind for 127.0.0.1:8080 failed: port is already allocated"),
            (&["8090:81"], "Bind for 0.0.0.0:8090 failed: port is already allocated"),
            (&["8070:1", "8070:2"], "Bind for 0.0.0.0:8070 failed: port is already allocated"),
            (&["8000:81"], "failed to bind host port for 0.0.0.0:8000: address already in use"),
            (&["8001:81/udp"], "failed to bind host port for 0.0.0.0:8001: address already in use"),
            (&["10.1.2.3:8002:81"], "failed to bind host port for 10.1.2.3:8002"),
            (
                &["8003:80", "8000:81"],
                "failed to bind host port for 0.0.0.0:8000: address already in use",
            ),
            (&["[fd99::1]:8004:80"], "failed to bind host port for fd99::1:8004"),
            (
                &["[::1]:8006:80", "[::]:8006:80"],
                "Bind for :::8006 failed: port is already allocated",
            ),
            (&["8005:80/udp"], "failed to bind host port for :::8005: address already in use"),
            (
                &["8000-8000:80"],
                "failed to bind host port for 0.0.0.0:8000: address already in use",
            ),
        ] {
            assert_eq!(join(&networks, ports).await.unwrap_err().to_string(), want, "{ports:?}");
        }
        // Nothing of a failed join is kept, and the host cannot take what a container has.
        let next = join(&networks, &["8003:80", "8001:80/tcp", "8000-8010:80"]).await.unwrap();
        let ports: Vec<String> = next
            .record
            .ports
            .iter()
            .map(|port| format!("{}:{}", port.host_ip, port.host_port))
            .collect();
        let both = |port: u16| [format!("0.0.0.0:{port}"), format!(":::{port}")];
        assert_eq!(ports, [both(8003), both(8001), both(8002)].concat());
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        let open = join(&networks, &["127.0.0.2:8090:80", ":80", ":80"]).await.unwrap();
        let range = host.config().ephemeral_ports;
        assert!(open.record.ports[1..].iter().all(|port| range.contains(&port.host_port)));
        let port = |at: usize| open.record.ports[at].host_port;
        assert_eq!((port(1), port(3)), (port(2), port(4)), "the same on both families");
        assert_ne!(port(1), port(3));
        networks.leave(&holder.record.container_id).await.unwrap();
        eventually("the port is free", || TcpListener::bind("0.0.0.0:8080").is_ok());
        assert!(join(&networks, &["8080:80"]).await.is_ok());
        // Also where the kernel has no SCTP sockets.
        let _sctp = join(&networks, &["9000:9/sctp"]).await.unwrap();
        let clash = join(&networks, &["9000:9/sctp"]).await.unwrap_err().to_string();
        assert_eq!(clash, "Bind for 0.0.0.0:9000 failed: port is already allocated");
        assert_eq!(publish("0:80").host_port, PortChoice::Any);
        networks.destroy().await.unwrap();
    });
}

#[test]
fn restart() {
    on_host(|host| async move {
        let networks = host.open().await;
        let kept = join(&networks, &["8080:80", "127.0.0.1:8081:80"]).await.unwrap();
        let lost = join(&networks, &["8082:80"]).await.unwrap();
        serve_tcp(kept.netns.as_fd(), 80);
        let before = networks.bridge();
        networks.close().await;
        drop(networks);

        // While the daemon is away, and while it comes back, ports stay published.
        assert!(call(host.netns.as_fd(), "127.0.0.1:8081").is_ok());
        let networks = host.open_with(host.config()).await.unwrap();
        assert_eq!(networks.bridge(), before);
        assert!(call(host.netns.as_fd(), "127.0.0.1:8081").is_ok());
        networks.adopt(&kept.record, kept.netns.try_clone().unwrap()).await.unwrap();
        networks.adopt(&kept.record, kept.netns.try_clone().unwrap()).await.unwrap();
        let mut other = kept.record.clone();
        other.container_id = "other".to_owned();
        assert!(networks.adopt(&other, kept.netns.try_clone().unwrap()).await.is_err());
        assert!(run("nft list table inet gantry-gantry0").contains("8082"));
        networks.finish_adoption().await.unwrap();
        let table = run("nft list table inet gantry-gantry0");
        assert!(!table.contains("8082") && table.contains("8080"), "{table}");
        assert!(call(host.netns.as_fd(), "127.0.0.1:8080").is_ok());

        // Its address and ports are taken; those of the lost one are free.
        let next = join(&networks, &["8082:80"]).await.unwrap();
        assert_eq!(next.address(), lost.address());
        assert!(join(&networks, &["8081:80"]).await.is_err());
        networks.leave(&kept.record.container_id).await.unwrap();
        assert!(join(&networks, &["8081:80"]).await.is_ok());
        networks.destroy().await.unwrap();
    });
}

#[test]
fn subnet_avoids_the_host() {
    on_host(|host| async move {
        run("ip link add dummy0 type bridge");
        run("ip link set dummy0 up");
        run("ip addr add 172.17.200.1/32 dev dummy0");
        run("ip route add 172.18.4.0/22 dev dummy0");
        run("ip route add 0.0.0.0/1 dev dummy0");
        let networks = host.open().await;
        let chosen = networks.bridge();
        assert_eq!(chosen.subnet.to_string(), "172.19.0.0/16");
        // After a reboot of the host, the same again, though a better one is free.
        networks.close().await;
        run("ip link del gantry0");
        run("ip link del dummy0");
        let networks = host.open().await;
        assert_eq!((networks.bridge().id, networks.bridge().subnet), (chosen.id, chosen.subnet));
        networks.close().await;
        let mut config = host.config();
        config.bip = "10.7.0.1/24".parse().ok();
        config.mtu = Some(1400);
        let networks = host.open_with(config).await.unwrap();
        let shown = run("ip addr show gantry0");
        assert!(shown.contains("inet 10.7.0.1/24") && shown.contains("mtu 1400"), "{shown}");
        assert!(!shown.contains("172.19."), "{shown}");
        networks.destroy().await.unwrap();

        run("ip link add gantry0 type veth peer name other0");
        let error = host.open_with(host.config()).await.unwrap_err();
        assert_eq!(error.to_string(), "interface gantry0 exists and is not a bridge");
    });
}

#[test]
fn daemons_side_by_side() {
    on_host(|host| async move {
        let first = host.open().await;
        let mut config = host.config();
        "gantry1".clone_into(&mut config.bridge);
        let second = host.open_with(config).await.unwrap();
        assert_eq!(second.bridge().subnet.to_string(), "172.18.0.0/16");
        let (a, b) =
            (join(&first, &["8080:80"]).await.unwrap(), join(&second, &["8081:80"]).await.unwrap());
        for endpoint in [&a, &b] {
            serve_tcp(endpoint.netns.as_fd(), 80);
        }
        let clash = join(&second, &["8080:80"]).await.unwrap_err().to_string();
        assert_eq!(clash, "failed to bind host port for 0.0.0.0:8080: address already in use");
        let direct = format!("{}:80", a.address());
        assert!(call(b.netns.as_fd(), &direct).is_err(), "networks are apart");
        assert!(call(b.netns.as_fd(), "172.17.0.1:8080").is_ok(), "published port");
        second.destroy().await.unwrap();
        assert!(call(host.netns.as_fd(), "127.0.0.1:8080").is_ok());
        first.destroy().await.unwrap();
    });
}

/// The whole table, as `nft` reads it.
const TABLE: &str = include_str!("golden/table.nft");

#[test]
fn table_of_rules() {
    on_host(|host| async move {
        // A table that an older version might have left, and that of a version before IPv6.
        run("nft add table inet gantry-gantry0");
        run("nft add map inet gantry-gantry0 published4 { type inet_service : ipv4_addr ; }");
        run("nft add chain inet gantry-gantry0 retired");
        run("nft add table ip gantry-gantry0");
        run("nft add chain ip gantry-gantry0 forward { type filter hook forward priority 0 ; }");
        let networks = host.open().await;
        join(&networks, &["53:5353/udp", "127.0.0.1:8081:80"]).await.unwrap();
        assert_eq!(run("nft list ruleset"), TABLE);
        networks.restore_rules().await.unwrap();
        assert_eq!(run("nft list ruleset"), TABLE);
        networks.close().await;
        drop(networks);

        let mut config = host.config();
        (config.icc, config.ip_masq) = (false, false);
        let networks = host.open_with(config).await.unwrap();
        assert_eq!(run("nft list ruleset"), TABLE, "what stands is kept until adoption is over");
        networks.finish_adoption().await.unwrap();
        let want: Vec<&str> = TABLE
            .lines()
            .filter(|line| !line.contains(" : 172.17.0.2 . ") && !line.contains("172.17.0.0/16"))
            .collect();
        let want =
            want.join("\n").replace("\"gantry0\" : accept", "\"gantry0\" : goto only_published");
        let lists = run("nft list ruleset").replace("\t\telements = { 172.17.0.0/16 }\n", "");
        assert_eq!(lists, format!("{want}\n"));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn nothing_is_left() {
    on_host(|host| async move {
        let mut config = host.config();
        config.pool_size = 3;
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let endpoint = join(&networks, &["8080:80"]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        networks.leave(&endpoint.record.container_id).await.unwrap();
        drop(endpoint);
        networks.destroy().await.unwrap();
        networks.destroy().await.unwrap();
        assert_eq!(run("nft list ruleset"), "");
        assert_eq!(std::fs::read_dir(&host.state).unwrap().count(), 0);
        eventually("only loopback is left", || run("ip -o link").lines().count() == 1);
        assert!(join(&networks, &[]).await.is_err());
    });
}

#[test]
fn abandoned_joins_are_undone() {
    on_host(|host| async move {
        let networks = host.open().await;
        for _ in 0..5 {
            let joining = networks.join(many(8000, 3));
            // On a busy machine it may be quicker than the clock; and the ports of an abandoned one
            // may not be free when the next comes.
            let patience = Duration::from_micros(200);
            if let Ok(Ok(joined)) = tokio::time::timeout(patience, joining).await {
                networks.leave(&joined.record.container_id).await.unwrap();
            }
        }
        settles("the published ports", || {
            !run("nft list table inet gantry-gantry0").contains("8000")
        });
        assert!(join(&networks, &["8000:80"]).await.is_ok());
        networks.destroy().await.unwrap();
    });
}

#[test]
fn storm() {
    on_host(|host| async move {
        let mut config = host.config();
        config.pool_size = 4;
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let begun = Instant::now();
        let (mut tasks, held) = (Vec::new(), Arc::new(Mutex::new(HashSet::new())));
        for lane in 0..8 {
            let (networks, held) = (networks.clone(), Arc::clone(&held));
            tasks.push(tokio::spawn(async move {
                for _ in 0..25 {
                    let endpoint =
                        join(&networks, &[&format!("{}:80", 7000 + lane)]).await.unwrap();
                    let address = endpoint.address();
                    assert!(held.lock().unwrap().insert(address), "{address} has two owners");
                    // Of 8 owners and 4 ready ones; some are between two owners.
                    assert!(address.octets()[3] < 2 + 3 * 8, "{address} is no low address");
                    held.lock().unwrap().remove(&address);
                    networks.leave(&endpoint.record.container_id).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        println!("200 joins and leaves, 8 at once: {:?}", begun.elapsed());
        networks.destroy().await.unwrap();
    });
}

/// Prints what a join costs; the targets are in the design, not asserted on a shared machine.
#[test]
fn speed() {
    on_host(|host| async move {
        let mut config = host.config();
        config.pool_size = 12;
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (what, count) in
            [("no port", 0), ("1 port", 1), ("200 ports", 200), ("3000 ports", 3000)]
        {
            let (mut joins, mut leaves) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let begun = Instant::now();
                let endpoint = networks.join(many(10000, count)).await.unwrap();
                joins.push(begun.elapsed());
                let begun = Instant::now();
                networks.leave(&endpoint.record.container_id).await.unwrap();
                leaves.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            joins.sort();
            leaves.sort();
            println!("pool hit, {what}: join {:?}, leave {:?}", joins[2], leaves[2]);
        }
        networks.destroy().await.unwrap();
        let networks = host.open().await;
        let mut spans = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            let _endpoint = join(&networks, &[]).await.unwrap();
            spans.push(begun.elapsed());
        }
        spans.sort();
        println!("no pool: join {:?} [{:?} - {:?}]", spans[4], spans[0], spans[8]);
        networks.destroy().await.unwrap();
    });
}
