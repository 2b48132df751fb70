//! Sandboxes with several endpoints: live changes, routes, restarts.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use gantry_network::{
    ContainerNames, CreateNetwork, EndpointRequest, IpamConfig, Networks, Sandbox,
};

use crate::manage::{named, with_options, with_subnets};
use crate::world::{
    First as _, Host, call, container, eventually, inside, join_on, on_host, publish, run,
    serve_tcp, settles,
};

/// What `ip` says inside.
pub(crate) fn ip(sandbox: &Sandbox, what: &str) -> String {
    inside(sandbox.netns.as_fd(), || run(&format!("ip {what}")))
}

async fn with_networks(host: &Host) -> Networks {
    let networks = host.open().await;
    for (name, subnet) in [("a", "10.1.0.0/24"), ("b", "10.2.0.0/24"), ("c", "10.3.0.0/24")] {
        networks.create(with_subnets(name, &[subnet])).await.unwrap();
    }
    let internal = CreateNetwork { internal: true, ..with_subnets("inside", &["10.4.0.0/24"]) };
    networks.create(internal).await.unwrap();
    networks
}

#[test]
fn several_endpoints() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let sandbox = join_on(&networks, &["b", "inside", "bridge", "a"]).await.unwrap();
        let names: Vec<&str> =
            sandbox.record.endpoints.iter().map(|e| e.interface.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1", "eth2", "eth3"]);
        let gateways: Vec<bool> = sandbox.record.endpoints.iter().map(|e| e.is_gateway).collect();
        assert_eq!(gateways, [false, false, false, true]);
        let routes = ip(&sandbox, "route");
        assert!(routes.contains("default via 10.1.0.1 dev eth3"), "{routes}");
        assert_eq!(routes.lines().count(), 5, "{routes}");
        assert!(ip(&sandbox, "-o addr show eth1").contains("10.4.0.2/24"));
        assert!(!ip(&sandbox, "-o addr").contains("inet6 fe80"));
        assert_eq!(networks.find("inside").unwrap().endpoints.len(), 1);
        assert_eq!(networks.find("a").unwrap().v4[0].ips_in_use, 4);
        networks.leave(&sandbox.record.container_id).await.unwrap();
        assert_eq!(networks.find("a").unwrap().v4[0].ips_in_use, 3);

        let none = join_on(&networks, &[]).await.unwrap();
        assert!(
            ip(&none, "-o link").lines().count() == 1 && ip(&none, "link").contains("LOOPBACK,UP")
        );
        for (names, want) in [
            (&["a", "a"][..], "endpoint with name"),
            (&["a", "nope"], "network nope not found"),
            (&["host"], "container cannot be connected to network host, which has no endpoints"),
        ] {
            let error = join_on(&networks, names).await.unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        assert_eq!(networks.find("a").unwrap().v4[0].ips_in_use, 3, "nothing of them is kept");
        networks.destroy().await.unwrap();
    });
}

#[test]
fn connect_and_disconnect() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let sandbox = join_on(&networks, &["b"]).await.unwrap();
        let id = sandbox.record.container_id.as_str();
        let wish = EndpointRequest {
            address: Some(Ipv4Addr::new(10, 1, 0, 9)),
            link_local: vec![Ipv4Addr::new(169, 254, 3, 4).into()],
            mac: "02:00:00:00:00:09".parse().ok(),
            ..EndpointRequest::on("a")
        };
        let record = networks.connect(id, wish.clone()).await.unwrap();
        assert_eq!((record.endpoints.len(), record.endpoints[1].is_gateway), (2, true));
        let addresses = ip(&sandbox, "addr show eth1");
        for part in ["10.1.0.9/24", "169.254.3.4/16", "02:00:00:00:00:09"] {
            assert!(addresses.contains(part), "{part} in {addresses}");
        }
        assert!(ip(&sandbox, "route").contains("default via 10.1.0.1 dev eth1"));
        let record = networks.connect(id, EndpointRequest::on("inside")).await.unwrap();
        assert!(ip(&sandbox, "route").contains("default via 10.1.0.1 dev eth1"));
        assert_eq!(record.endpoints[2].v4.unwrap().gateway, None);
        let priority = EndpointRequest {
            gw_priority: 1,
            interface: Some("wan0".to_owned()),
            ..EndpointRequest::on("c")
        };
        networks.connect(id, priority).await.unwrap();
        assert!(ip(&sandbox, "route").contains("default via 10.3.0.1 dev wan0"));

        for (request, want) in [
            (wish, format!("endpoint with name {} already exists in network a", record.names.name)),
            (EndpointRequest::on("nope"), "network nope not found".to_owned()),
            (
                EndpointRequest {
                    interface: Some("eth0".to_owned()),
                    ..EndpointRequest::on("bridge")
                },
                "invalid interface name \"eth0\"".to_owned(),
            ),
            (
                EndpointRequest {
                    address: Some(Ipv4Addr::new(10, 7, 0, 1)),
                    ..EndpointRequest::on("bridge")
                },
                "invalid address 10.7.0.1: It does not belong to any of this network's subnets"
                    .to_owned(),
            ),
        ] {
            assert_eq!(networks.connect(id, request).await.unwrap_err().to_string(), want);
        }
        assert_eq!(networks.find("bridge").unwrap().v4[0].ips_in_use, 3);

        let record = networks.disconnect(id, "c").await.unwrap();
        assert_eq!(record.endpoints.len(), 3);
        assert!(ip(&sandbox, "route").contains("default via 10.1.0.1 dev eth1"));
        // The network can go at once; the interface goes behind.
        networks.remove("c").await.unwrap();
        eventually("the interface is gone", || !ip(&sandbox, "-o link").contains("wan0"));
        networks.disconnect(id, "a").await.unwrap();
        // The lowest number is taken again, once it is free.
        let record = networks.connect(id, EndpointRequest::on("a")).await.unwrap();
        assert_eq!(record.endpoints.last().unwrap().interface, "eth1");
        let error = networks.disconnect(id, "bridge").await.unwrap_err().to_string();
        assert_eq!(error, format!("container {id} is not connected to network bridge"));
        for name in ["a", "b", "inside"] {
            networks.disconnect(id, name).await.unwrap();
        }
        eventually("loopback alone is left", || ip(&sandbox, "-o link").lines().count() == 1);
        assert_eq!(ip(&sandbox, "route"), "");
        let record = networks.connect(id, EndpointRequest::on("b")).await.unwrap();
        assert_eq!(record.endpoints[0].interface, "eth0");
        assert!(ip(&sandbox, "route").contains("default via 10.2.0.1 dev eth0"));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn ports_move_with_the_gateway() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let request = container(vec![EndpointRequest::on("inside")], &["8080:80", ":81"]);
        let sandbox = networks.join(request).await.unwrap();
        assert_eq!(sandbox.record.ports, []);
        let id = sandbox.record.container_id.as_str();
        serve_tcp(sandbox.netns.as_fd(), 80);
        let answers = || call(host.netns.as_fd(), "127.0.0.1:8080");
        assert!(answers().is_err(), "an internal network has no way in");
        let record = networks.connect(id, EndpointRequest::on("b")).await.unwrap();
        assert_eq!(answers().unwrap(), "10.2.0.1");
        let ports = record.ports.clone();
        assert_eq!(ports[0].host_port, 8080);
        // A port that was found by chance stays what it is.
        let record = networks.connect(id, EndpointRequest::on("a")).await.unwrap();
        assert_eq!((answers().unwrap().as_str(), &record.ports), ("10.1.0.1", &ports));
        let record = networks.disconnect(id, "a").await.unwrap();
        assert_eq!((answers().unwrap().as_str(), &record.ports), ("10.2.0.1", &ports));
        let record = networks.disconnect(id, "b").await.unwrap();
        assert!(answers().is_err() && record.ports.is_empty());
        assert!(std::net::TcpListener::bind("0.0.0.0:8080").is_ok());
        // A connect that finds its port taken is undone.
        let holder = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
        let error = networks.connect(id, EndpointRequest::on("b")).await.unwrap_err().to_string();
        assert_eq!(error, "failed to bind host port for 0.0.0.0:8080: address already in use");
        drop(holder);
        assert_eq!(networks.sandbox(id).unwrap().endpoints.len(), 1);
        assert_eq!(ip(&sandbox, "-o link").lines().count(), 2);
        networks.connect(id, EndpointRequest::on("b")).await.unwrap();
        assert!(answers().is_ok());
        assert_eq!(publish("1:2").container_port, 2);
        networks.destroy().await.unwrap();
    });
}

#[test]
fn adopted_after_a_restart() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let names = ContainerNames { name: "web".to_owned(), ..ContainerNames::default() };
        let mut request = container(["a", "inside"].map(EndpointRequest::on).into(), &["8080:80"]);
        request.names = names.clone();
        let kept = networks.join(request).await.unwrap();
        let id = kept.record.container_id.as_str();
        assert!(kept.record.dns.is_some());
        serve_tcp(kept.netns.as_fd(), 80);
        let before = networks.find("a").unwrap();
        networks.close().await;
        drop(networks);

        let networks = host.open_with(host.config()).await.unwrap();
        let text = serde_json::to_string(&kept.record).unwrap();
        let record = serde_json::from_str(&text).unwrap();
        networks.adopt(&record, kept.netns.try_clone().unwrap()).await.unwrap();
        networks.finish_adoption().await.unwrap();
        assert_eq!(networks.find("a").unwrap(), before);
        assert!(call(host.netns.as_fd(), "127.0.0.1:8080").is_ok());
        assert!(networks.remove("a").await.is_err(), "in use");
        let record = networks.connect(id, EndpointRequest::on("b")).await.unwrap();
        assert_eq!((record.endpoints[2].interface.as_str(), record.names), ("eth2", names));
        let wish = EndpointRequest { address: Some(kept.address()), ..EndpointRequest::on("a") };
        let error = networks.join(container(vec![wish], &[])).await.unwrap_err().to_string();
        assert_eq!(error, "Address already in use");
        networks.disconnect(id, "a").await.unwrap();
        assert!(call(host.netns.as_fd(), "127.0.0.1:8080").is_ok());
        networks.leave(id).await.unwrap();
        networks.remove("a").await.unwrap();

        let mut lost = kept.record.clone();
        lost.container_id = "lost".to_owned();
        let error = networks.adopt(&lost, kept.netns.try_clone().unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), "network a of a running container is gone");
        networks.destroy().await.unwrap();
    });
}

#[test]
fn names_are_told() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let mut request = container(vec![EndpointRequest::on("a")], &[]);
        request.names.name = "db".to_owned();
        request.endpoints[0].aliases = vec!["store".to_owned()];
        let db = networks.join(request).await.unwrap();
        let asker = join_on(&networks, &["a"]).await.unwrap();
        let resolve = |name: &'static str| {
            inside(asker.netns.as_fd(), move || {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
                let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                query.push(u8::try_from(name.len()).unwrap());
                query.extend(name.as_bytes());
                query.extend([0, 0, 1, 0, 1]);
                socket.send_to(&query, "127.0.0.11:53").unwrap();
                let mut answer = [0; 512];
                let (len, _) = socket.recv_from(&mut answer).ok()?;
                let answered = answer[7] > 0;
                let octets: [u8; 4] = answer[len - 4..len].try_into().unwrap();
                answered.then_some(Ipv4Addr::from(octets))
            })
        };
        for name in ["db", "store"] {
            assert_eq!(resolve(name), Some(db.address()), "{name}");
        }
        let id = db.record.container_id.as_str();
        let names = ContainerNames { name: "other".to_owned(), ..ContainerNames::default() };
        networks.set_names(id, names).unwrap();
        assert_eq!((resolve("db"), resolve("other")), (None, Some(db.address())));
        networks.connect(id, EndpointRequest::on("b")).await.unwrap();
        networks.disconnect(id, "a").await.unwrap();
        assert_eq!(resolve("other"), None, "on another network");
        let record = networks.connect(&asker.record.container_id, EndpointRequest::on("b")).await;
        let address = networks.sandbox(id).unwrap().endpoints[0].v4.unwrap().address;
        assert_eq!((record.is_ok(), resolve("other")), (true, Some(address)));
        // A container of the default bridge is served from when it comes to one with names.
        let late = join_on(&networks, &["bridge"]).await.unwrap();
        assert!(late.record.dns.is_none());
        let record = networks.connect(&late.record.container_id, EndpointRequest::on("b")).await;
        assert!(record.unwrap().dns.is_some());
        networks.destroy().await.unwrap();
    });
}

#[test]
fn ipv6() {
    on_host(|host| async move {
        let networks = host.open().await;
        let six = |wish: CreateNetwork| CreateNetwork { enable_ipv6: Some(true), ..wish };
        networks.create(six(named("auto"))).await.unwrap();
        let dual = with_subnets("dual", &["10.1.0.0/24", "fd00:7::/64"]);
        networks.create(six(dual)).await.unwrap();
        networks.create(named("four")).await.unwrap();
        let only = CreateNetwork { enable_ipv4: Some(false), ..six(named("only")) };
        networks.create(only).await.unwrap();
        let ula = networks.bridge().ula;
        let auto = networks.find("auto").unwrap();
        assert!(auto.v6[0].subnet.starts_with("fd") && auto.v6[0].subnet.ends_with("/64"));
        assert!(ula.contains(auto.record.v6[0].subnet.first()), "{ula}");
        let next = networks.find("only").unwrap().record.v6[0].subnet;
        assert!(ula.contains(next.first()) && !next.overlaps(auto.record.v6[0].subnet));

        let sandbox = join_on(&networks, &["four", "dual"]).await.unwrap();
        let id = sandbox.record.container_id.as_str();
        let addresses = ip(&sandbox, "-6 -o addr");
        assert!(addresses.contains("eth1    inet6 fd00:7::2/64"), "{addresses}");
        assert!(!addresses.contains("tentative") && !addresses.contains("eth0"), "{addresses}");
        assert!(ip(&sandbox, "-6 route").contains("default via fd00:7::1 dev eth1"));
        assert!(ip(&sandbox, "route").contains("default via 10.1.0.1 dev eth1"));
        let other = join_on(&networks, &["dual"]).await.unwrap();
        serve_six(&other, 80);
        assert!(call(sandbox.netns.as_fd(), "[fd00:7::3]:80").is_ok());
        assert!(call(host.netns.as_fd(), "[fd00:7::3]:80").is_ok());

        // The last endpoint with IPv6 takes it along, and the first brings it.
        networks.disconnect(id, "dual").await.unwrap();
        eventually("IPv6 is gone", || ip(&sandbox, "-6 -o addr").lines().count() == 1);
        assert!(ip(&sandbox, "route").contains("dev eth0"));
        let wish =
            EndpointRequest { address6: "fd00:7::99".parse().ok(), ..EndpointRequest::on("dual") };
        networks.connect(id, wish).await.unwrap();
        let addresses = ip(&sandbox, "-6 -o addr");
        assert!(addresses.contains("fd00:7::99/64") && !addresses.contains("eth0"), "{addresses}");
        let only = join_on(&networks, &["only"]).await.unwrap();
        assert_eq!(only.record.endpoints[0].v4, None);
        assert!(only.record.endpoints[0].is_gateway);
        assert!(ip(&only, "-6 route").contains("default via"));
        for (address6, network, want) in [
            ("fd00:7::99", "dual", "Address already in use"),
            (
                "fd00:9::9",
                "dual",
                "invalid address fd00:9::9: It does not belong to any of this network's subnets",
            ),
            ("fd00:9::9", "four", "invalid address fd00:9::9: the network has no IPv6"),
        ] {
            let wish =
                EndpointRequest { address6: address6.parse().ok(), ..EndpointRequest::on(network) };
            let error = networks.join(container(vec![wish], &[])).await.unwrap_err();
            assert_eq!(error.to_string(), want);
        }
        networks.destroy().await.unwrap();
        // The range outlives everything but its daemon's data.
        assert_ne!(host.open().await.bridge().ula, ula);
    });
}

pub(crate) fn serve_six(sandbox: &Sandbox, port: u16) {
    let listener = inside(sandbox.netns.as_fd(), || {
        std::net::TcpListener::bind((IpAddr::from([0_u16; 8]), port)).unwrap()
    });
    std::thread::spawn(move || listener.incoming().for_each(drop));
}

#[test]
fn addresses_and_sysctls() {
    on_host(|host| async move {
        let networks = host.open().await;
        networks.create(named("chosen")).await.unwrap();
        let range = IpamConfig {
            subnet: "10.1.0.0/24".to_owned(),
            ip_range: "10.1.0.128/30".to_owned(),
            gateway: "10.1.0.200".to_owned(),
            auxiliary: [("router".to_owned(), "10.1.0.129".to_owned())].into(),
        };
        networks.create(CreateNetwork { ipam: vec![range], ..named("range") }).await.unwrap();
        let address = |last, network: &str| EndpointRequest {
            address: Some(Ipv4Addr::new(10, 1, 0, last)),
            ..EndpointRequest::on(network)
        };
        for (wish, want) in [
            (address(200, "range"), "Address already in use"),
            (address(129, "range"), "Address already in use"),
            (address(255, "range"), "Address already in use"),
            (
                address(2, "chosen"),
                "user specified IP address is supported only when connecting to networks with \
                 user configured subnets",
            ),
        ] {
            let error = networks.join(container(vec![wish], &[])).await.unwrap_err();
            assert_eq!(error.to_string(), want);
        }
        let mut given = Vec::new();
        for _ in 0..3 {
            given.push(join_on(&networks, &["range"]).await.unwrap().address().octets()[3]);
        }
        assert_eq!(given, [128, 130, 131]);
        let id = networks.find("range").unwrap().record.id;
        assert_eq!(
            join_on(&networks, &["range"]).await.unwrap_err().to_string(),
            format!("no available IPv4 addresses on this network's address pools: range ({id})")
        );
        let mut wish = address(7, "range");
        let key = "com.docker.network.endpoint.sysctls".to_owned();
        let value = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.neigh.IFNAME.gc_stale_time=77";
        wish.driver_opts.insert(key.clone(), value.to_owned());
        let sandbox = networks.join(container(vec![wish.clone()], &[])).await.unwrap();
        let values = inside(sandbox.netns.as_fd(), || {
            ["conf/eth0/log_martians", "neigh/eth0/gc_stale_time"]
                .map(|name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap())
        });
        assert_eq!(values, ["1\n", "77\n"]);
        assert!(ip(&sandbox, "route").contains("default via 10.1.0.200"));
        wish.address = Some(Ipv4Addr::new(10, 1, 0, 8));
        wish.driver_opts.insert(key, "net.ipv4.conf.IFNAME.no_such_thing=1".to_owned());
        let error = networks.join(container(vec![wish.clone()], &[])).await.unwrap_err();
        assert_eq!(error.to_string(), "writing /proc/sys/net/ipv4/conf/eth0/no_such_thing");
        wish.driver_opts.clear();
        assert!(networks.join(container(vec![wish], &[])).await.is_ok(), "the address is free");
        networks.destroy().await.unwrap();
    });
}

#[test]
fn macvlan() {
    on_host(|host| async move {
        let networks = host.open().await;
        run("ip link add parent0 type veth peer name wire0");
        run("ip link set parent0 up");
        run("ip link set wire0 up");
        let of = |name: &str, options: &[(&str, &str)], subnet: &str| CreateNetwork {
            driver: "macvlan".to_owned(),
            ipam: with_subnets(name, &[subnet]).ipam,
            ..with_options(name, options)
        };
        for (options, want) in [
            (
                &[("parent", "nope0")][..],
                "invalid subinterface vlan name nope0, example formatting is eth0.10",
            ),
            (&[("parent", "lo")], "loopback interface is not a valid macvlan parent link"),
        ] {
            let error = networks.create(of("m", options, "10.9.0.0/24")).await.unwrap_err();
            assert_eq!(error.to_string(), want);
        }
        networks.create(of("m", &[("parent", "parent0")], "10.9.0.0/24")).await.unwrap();
        let error = networks.create(of("m2", &[("parent", "parent0")], "10.8.0.0/24")).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "network m is already using parent interface parent0"
        );
        let joined = join_on(&networks, &["m"]).await;
        if joined.as_ref().is_err_and(|e| gantry_fault::chain(e).contains("not supported")) {
            // Nothing of the failure is kept.
            assert_eq!(networks.find("m").unwrap().v4[0].ips_in_use, 3);
            println!("SKIPPED: this kernel has no macvlan interfaces");
            networks.destroy().await.unwrap();
            return;
        }
        let first = joined.unwrap();
        let second = join_on(&networks, &["m"]).await.unwrap();
        assert!(ip(&first, "-d link show eth0").contains("macvlan mode bridge"));
        assert!(ip(&first, "route").contains("default via 10.9.0.1 dev eth0"));
        serve_tcp(second.netns.as_fd(), 80);
        assert!(call(first.netns.as_fd(), &format!("{}:80", second.address())).is_ok());
        let vlan = of("v", &[("parent", "parent0.10"), ("macvlan_mode", "vepa")], "10.7.0.0/24");
        match networks.create(vlan).await {
            Ok(_) => assert!(run("ip -o link").contains("parent0.10@parent0")),
            Err(error) => {
                assert!(gantry_fault::chain(&error).contains("not supported"), "{error:?}");
                println!("SKIPPED: this kernel has no 802.1q interfaces");
                networks.create(with_subnets("v", &["10.7.0.0/24"])).await.unwrap();
            }
        }
        match networks.create(of("alone", &[], "10.6.0.0/24")).await {
            Ok(_) => {
                let alone = join_on(&networks, &["alone"]).await.unwrap();
                assert_eq!(ip(&alone, "route").lines().count(), 1, "no way out");
            }
            Err(error) => {
                assert!(gantry_fault::chain(&error).contains("not supported"), "{error:?}");
                println!("SKIPPED: this kernel has no dummy interfaces");
            }
        }
        networks.remove("v").await.unwrap();
        assert!(!run("ip -o link").contains("parent0.10"));
        networks.destroy().await.unwrap();
        assert!(run("ip -o link").contains("parent0"));
    });
}

#[test]
fn abandoned_changes_are_undone() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let sandbox = join_on(&networks, &["a"]).await.unwrap();
        let id = sandbox.record.container_id.as_str();
        for _ in 0..5 {
            let connecting = networks.connect(id, EndpointRequest::on("b"));
            // On a busy machine it may be quicker than the clock; and an abandoned one may still
            // be connected when the next comes.
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_micros(300), connecting).await {
                networks.disconnect(id, "b").await.unwrap();
            }
        }
        for _ in 0..5 {
            let joining = join_on(&networks, &["b", "c"]);
            if let Ok(joined) = tokio::time::timeout(Duration::from_micros(300), joining).await {
                networks.leave(&joined.unwrap().record.container_id).await.unwrap();
            }
        }
        settles("the sandbox", || {
            networks.sandbox(id).unwrap().endpoints.len() == 1
                && ip(&sandbox, "-o link").lines().count() == 2
        });
        for name in ["b", "c"] {
            eventually("addresses are free", || networks.find(name).unwrap().v4[0].ips_in_use == 3);
            networks.remove(name).await.unwrap();
        }
        networks.destroy().await.unwrap();
    });
}

/// Changes of many sandboxes at once, and joins and leaves beside them.
#[test]
fn storm_of_changes() {
    on_host(|host| async move {
        let networks = with_networks(&host).await;
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let networks = networks.clone();
            tasks.push(tokio::spawn(async move {
                let sandbox = join_on(&networks, &["a", "b"]).await.unwrap();
                let id = sandbox.record.container_id.as_str();
                for _ in 0..4 {
                    networks.disconnect(id, "a").await.unwrap();
                    networks.connect(id, EndpointRequest::on("c")).await.unwrap();
                    networks.disconnect(id, "c").await.unwrap();
                    networks.connect(id, EndpointRequest::on("a")).await.unwrap();
                }
                let routes = ip(&sandbox, "route");
                assert!(routes.contains("default via 10.1.0.1"), "{routes}");
                networks.leave(id).await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for name in ["a", "b", "c"] {
            eventually("addresses are free", || networks.find(name).unwrap().v4[0].ips_in_use == 3);
        }
        networks.destroy().await.unwrap();
    });
}
