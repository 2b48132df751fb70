//! Which addresses containers get, keep, and leave behind.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gantry_network::{CreateNetwork, EndpointRequest, JoinRequest, Networks, Sandbox};

use crate::manage::{with_options, with_subnets};
use crate::world::{
    First as _, Host, ask, call, container, eventually, inside, join, join_on, on_host, run,
    serve_tcp, serve_udp, settles, udp_client,
};

/// The same container as before, started again.
async fn again(networks: &Networks, sandbox: &Sandbox) -> Sandbox {
    let endpoint = |had: &gantry_network::EndpointRecord| EndpointRequest {
        preferred: had.v4.map(|v4| v4.address),
        preferred6: had.v6.map(|v6| v6.address),
        ..EndpointRequest::on(had.network_name.as_str())
    };
    let request = JoinRequest {
        container_id: sandbox.record.container_id.clone(),
        names: sandbox.record.names.clone(),
        ..container(sandbox.record.endpoints.iter().map(endpoint).collect(), &[])
    };
    networks.join(request).await.unwrap()
}

async fn leave(networks: &Networks, sandbox: &Sandbox) {
    networks.leave(&sandbox.record.container_id).await.unwrap();
}

#[test]
fn the_lowest_and_the_one_before() {
    on_host(|host| async move {
        let networks = host.open().await;
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        // One after the other, as of `run --rm`.
        for _ in 0..5 {
            let sandbox = join_on(&networks, &["a"]).await.unwrap();
            assert_eq!(sandbox.address(), Ipv4Addr::new(10, 1, 0, 2));
            leave(&networks, &sandbox).await;
        }
        let first = join_on(&networks, &["a"]).await.unwrap();
        let second = join_on(&networks, &["a"]).await.unwrap();
        let third = join_on(&networks, &["a"]).await.unwrap();
        leave(&networks, &third).await;
        leave(&networks, &second).await;
        // A lower one is free, and yet it is the same again.
        let third = again(&networks, &third).await;
        assert_eq!(third.address(), Ipv4Addr::new(10, 1, 0, 4));
        leave(&networks, &first).await;
        let other = join_on(&networks, &["a"]).await.unwrap();
        assert_eq!(other.address(), first.address());
        let first = again(&networks, &first).await;
        assert_eq!(first.address(), second.address(), "its own is taken: the lowest");
        // What the network would not give away by itself is no preference.
        leave(&networks, &first).await;
        for address in [[10, 1, 0, 1], [10, 1, 0, 255], [10, 9, 0, 7]] {
            let preferred = Some(Ipv4Addr::from(address));
            let wish = EndpointRequest { preferred, ..EndpointRequest::on("a") };
            let sandbox = networks.join(container(vec![wish], &[])).await.unwrap();
            assert_eq!(sandbox.address(), second.address(), "{preferred:?}");
            leave(&networks, &sandbox).await;
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn with_a_pool() {
    on_host(|host| async move {
        let mut config = host.config();
        config.pool_size = 4;
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        let in_use = |want: u64| {
            let of = || networks.find("bridge").unwrap().v4[0].ips_in_use;
            settles("the pool is full", || of() == want + 3);
        };
        in_use(4);
        let last = |sandbox: &Sandbox| sandbox.address().octets()[3];
        let first = join(&networks, &[]).await.unwrap();
        let second = join(&networks, &[]).await.unwrap();
        assert_eq!((last(&first), last(&second)), (2, 3));
        in_use(6);
        // Neither ready nor taken: made for it.
        leave(&networks, &first).await;
        let first = again(&networks, &first).await;
        assert_eq!(last(&first), 2);
        // Ready: 4 to 7 are.
        in_use(6);
        let wish = |address: u8| EndpointRequest {
            preferred: Some(Ipv4Addr::new(172, 17, 0, address)),
            ..EndpointRequest::on("bridge")
        };
        let sixth = networks.join(container(vec![wish(6)], &[])).await.unwrap();
        assert_eq!(last(&sixth), 6);
        // Ready, but wanted with another network.
        let wishes = vec![wish(5), EndpointRequest::on("a")];
        let fifth = networks.join(container(wishes, &[])).await.unwrap();
        assert_eq!(last(&fifth), 5);
        // Taken.
        let other = networks.join(container(vec![wish(2)], &[])).await.unwrap();
        assert_eq!(last(&other), 4);
        in_use(9);
        for sandbox in [&first, &second, &other, &fifth, &sixth] {
            leave(&networks, sandbox).await;
        }
        in_use(4);
        // Low ones come back as the pool fills up.
        let mut seen = Vec::new();
        for _ in 0..12 {
            let sandbox = join(&networks, &[]).await.unwrap();
            in_use(5);
            seen.push(last(&sandbox));
            leave(&networks, &sandbox).await;
        }
        assert!(seen.iter().all(|address| *address < 13), "{seen:?}");
        assert!(seen[8..].iter().all(|address| *address < 8), "{seen:?}");
        networks.destroy().await.unwrap();
    });
}

/// With ready namespaces for busy networks; nobody fills the pool of the default bridge.
async fn open_with_ready(host: &Host) -> Networks {
    let mut config = host.config();
    config.pool_size = 1;
    host.open_with(config).await.unwrap()
}

#[test]
fn busy_networks_have_namespaces_ready() {
    on_host(|host| async move {
        let networks = open_with_ready(&host).await;
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        let gone = networks.find("a").unwrap().v4[0].ips_in_use;
        let ports = || run("ip -o link show type veth").lines().count();
        let last = |sandbox: &Sandbox| sandbox.address().octets()[3];
        let mut sandboxes = Vec::new();
        for address in 2..10 {
            let sandbox = join_on(&networks, &["a"]).await.unwrap();
            assert_eq!(last(&sandbox), address);
            sandboxes.push(sandbox);
        }
        eventually("two stand ready, beside eight", || ports() == 10);
        // They cannot be seen, and lead where those made on the spot lead.
        let seen = networks.find("a").unwrap();
        assert_eq!((seen.endpoints.len(), seen.v4[0].ips_in_use), (8, gone + 8));
        let tenth = join_on(&networks, &["a"]).await.unwrap();
        assert_eq!(last(&tenth), 10);
        assert!(tenth.sysfs.is_some(), "it stood ready");
        serve_tcp(tenth.netns.as_fd(), 80);
        let to = format!("{}:80", tenth.address());
        call(sandboxes[0].netns.as_fd(), &to).unwrap();
        call(host.netns.as_fd(), &to).unwrap();
        let routes = inside(tenth.netns.as_fd(), || run("ip route show default"));
        assert!(routes.contains("via 10.1.0.1"), "{routes}");
        // Their addresses are whoever's asks for them.
        eventually("two stand ready, beside nine", || ports() == 11);
        let wish = EndpointRequest {
            address: Some(Ipv4Addr::new(10, 1, 0, 11)),
            ..EndpointRequest::on("a")
        };
        let wanted = networks.join(container(vec![wish], &[])).await.unwrap();
        assert_eq!(last(&wanted), 11);
        for sandbox in sandboxes.iter().chain([&tenth, &wanted]) {
            leave(&networks, sandbox).await;
        }
        // They do not keep the network, nor outlive it.
        networks.remove("a").await.unwrap();
        drop((sandboxes, tenth, wanted));
        eventually("the one that the server is in is left", || ports() == 1);
        networks.destroy().await.unwrap();
    });
}

/// The address that somebody just left is the lowest free one, and so goes to the next namespace
/// that is to stand ready: who wants it meanwhile gets it all the same.
#[test]
fn namespaces_in_the_making_give_their_addresses_up() {
    on_host(|host| async move {
        let networks = open_with_ready(&host).await;
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        let mut old = join_on(&networks, &["a"]).await.unwrap();
        let mut others = Vec::new();
        for _ in 0..8 {
            others.push(join_on(&networks, &["a"]).await.unwrap());
        }
        for round in 0..48 {
            let address = old.address();
            // Takes one that stands ready: another is made.
            let next = join_on(&networks, &["a"]).await.unwrap();
            leave(&networks, &old).await;
            tokio::time::sleep(Duration::from_millis(round % 16)).await;
            old = match round % 2 {
                0 => again(&networks, &old).await,
                _ => {
                    let address = Some(address);
                    let wish = EndpointRequest { address, ..EndpointRequest::on("a") };
                    networks.join(container(vec![wish], &[])).await.unwrap()
                }
            };
            assert_eq!(old.address(), address, "round {round}");
            leave(&networks, &next).await;
        }
        for sandbox in others.iter().chain([&old]) {
            leave(&networks, sandbox).await;
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn ready_namespaces_leave_when_addresses_run_out() {
    on_host(|host| async move {
        let networks = open_with_ready(&host).await;
        // Twenty-nine beside the gateway.
        networks.create(with_subnets("a", &["10.1.0.0/27"])).await.unwrap();
        let mut sandboxes = Vec::new();
        for _ in 0..29 {
            sandboxes.push(join_on(&networks, &["a"]).await.unwrap());
        }
        let error = join_on(&networks, &["a"]).await.unwrap_err();
        assert!(matches!(error, gantry_network::JoinError::NoAddress { .. }), "{error:?}");
        for sandbox in &sandboxes {
            leave(&networks, sandbox).await;
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn nobody_answers_for_who_is_gone() {
    on_host(|host| async move {
        let networks = host.open().await;
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        let neighbour = join_on(&networks, &["a"]).await.unwrap();
        for name in ["a", "bridge"] {
            let old = join_on(&networks, &[name]).await.unwrap();
            let to = |port: u16| format!("{}:{port}", old.address());
            for port in [80, 81] {
                serve_tcp(old.netns.as_fd(), port);
                call(host.netns.as_fd(), &to(port)).unwrap();
            }
            let from = if name == "a" { neighbour.netns.as_fd() } else { host.netns.as_fd() };
            call(from, &to(81)).unwrap();
            leave(&networks, &old).await;
            assert!(call(from, &to(81)).is_err(), "{name}: it is cut off");
            // Its namespace is still there, as long as a process is in it.
            let new = again(&networks, &old).await;
            assert_eq!(new.address(), old.address());
            serve_tcp(new.netns.as_fd(), 80);
            for from in [host.netns.as_fd(), from] {
                assert!(call(from, &to(80)).is_ok(), "{name}: the new one answers");
                assert!(call(from, &to(81)).is_err(), "{name}: the old one answers");
            }
            inside(old.netns.as_fd(), || run("ip link show eth0"));
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn with_ipv6_alone() {
    on_host(|host| async move {
        let networks = host.open().await;
        let wish = CreateNetwork {
            enable_ipv4: Some(false),
            enable_ipv6: Some(true),
            ..with_subnets("six", &["fd00:7::/64"])
        };
        networks.create(wish).await.unwrap();
        let first = join_on(&networks, &["six"]).await.unwrap();
        let second = join_on(&networks, &["six"]).await.unwrap();
        let v6 = |sandbox: &Sandbox| sandbox.record.endpoints[0].v6.unwrap().address.to_string();
        assert_eq!((v6(&first), v6(&second)), ("fd00:7::2".to_owned(), "fd00:7::3".to_owned()));
        leave(&networks, &first).await;
        leave(&networks, &second).await;
        let second_again = again(&networks, &second).await;
        assert_eq!(v6(&second_again), "fd00:7::3");
        let mac = |sandbox: &Sandbox| sandbox.record.endpoints[0].mac.clone();
        assert_eq!(mac(&second_again), mac(&second), "neighbours know it by that");
        let other = join_on(&networks, &["six"]).await.unwrap();
        assert_eq!(v6(&other), "fd00:7::2");
        networks.destroy().await.unwrap();
    });
}

/// Connections of this host that an address is part of.
fn connections(address: Ipv4Addr) -> usize {
    let all = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let word = format!("={address} ");
    all.lines().filter(|line| line.contains(&word)).count()
}

#[test]
fn connections_go_with_the_address() {
    on_host(|host| async move {
        let networks = host.open().await;
        let outside = host.neighbour();
        serve_udp(outside.as_fd(), 53, "outside");
        networks.create(with_subnets("a", &["10.1.0.0/24"])).await.unwrap();
        // More at once than are looked for one by one.
        let mut sandboxes = Vec::new();
        for name in ["a", "bridge", "a", "a", "a", "a", "a", "a"] {
            let sandbox = join_on(&networks, &[name]).await.unwrap();
            let client = udp_client(sandbox.netns.as_fd());
            ask(&client, "10.99.0.2:53").unwrap();
            sandboxes.push(sandbox);
        }
        let seen = |sandbox: &Sandbox| {
            let address = sandbox.address();
            inside(host.netns.as_fd(), move || connections(address))
        };
        assert!(sandboxes.iter().all(|sandbox| seen(sandbox) > 0));
        for sandbox in sandboxes.drain(..2) {
            let begun = Instant::now();
            leave(&networks, &sandbox).await;
            println!("leave, with connections to forget: {:?}", begun.elapsed());
            assert_eq!(seen(&sandbox), 0, "{}", sandbox.address());
        }
        let connected = sandboxes.pop().unwrap();
        let (id, address) = (&connected.record.container_id, connected.address());
        let leaving: Vec<_> = sandboxes
            .iter()
            .map(|sandbox| {
                let (networks, id) = (networks.clone(), sandbox.record.container_id.clone());
                tokio::spawn(async move { networks.leave(&id).await.unwrap() })
            })
            .collect();
        for left in leaving {
            left.await.unwrap();
        }
        assert!(sandboxes.iter().all(|sandbox| seen(sandbox) == 0));
        assert!(seen(&connected) > 0, "who stays keeps his own");
        networks.disconnect(id, "a").await.unwrap();
        settles("the address is free", || networks.find("a").unwrap().v4[0].ips_in_use == 3);
        assert_eq!(seen(&connected), 0, "{address}");
        networks.destroy().await.unwrap();
    });
}

#[test]
fn on_macvlan() {
    on_host(|host| async move {
        let networks = host.open().await;
        // Any interface will do as a parent.
        run("ip link add up0 type veth peer name up1");
        run("ip link set up0 up");
        run("ip link set up1 up");
        let mut wish = with_options("m", &[("parent", "up0")]);
        "macvlan".clone_into(&mut wish.driver);
        networks.create(wish).await.unwrap();
        let mut before = join_on(&networks, &["m"]).await.unwrap();
        for _ in 0..3 {
            leave(&networks, &before).await;
            // The old namespace is still there.
            let next = again(&networks, &before).await;
            assert_eq!(next.address(), before.address());
            before = next;
        }
        networks.destroy().await.unwrap();
    });
}
