//! Making, finding and removing networks.

use std::time::Instant;

use gantry_network::{AddressPool, CreateNetwork, Driver, IpamConfig, NetworkConfig};

use crate::world::{Host, eventually, join_on, on_host, run, settles};

/// A network with nothing special.
pub(crate) fn named(name: &str) -> CreateNetwork {
    CreateNetwork { name: name.to_owned(), ..CreateNetwork::default() }
}

/// A network with these subnets.
pub(crate) fn with_subnets(name: &str, subnets: &[&str]) -> CreateNetwork {
    let config =
        |subnet: &&str| IpamConfig { subnet: (*subnet).to_owned(), ..IpamConfig::default() };
    CreateNetwork { ipam: subnets.iter().map(config).collect(), ..named(name) }
}

/// The same with options of the driver.
pub(crate) fn with_options(name: &str, options: &[(&str, &str)]) -> CreateNetwork {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    CreateNetwork { options: options.collect(), ..named(name) }
}

#[test]
fn create_find_remove() {
    on_host(|host| async move {
        let networks = host.open().await;
        let names = |list: &[gantry_network::NetworkInfo]| {
            let mut names: Vec<String> = list.iter().map(|n| n.record.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&networks.list()), ["bridge", "host", "none"]);
        let id = networks.create(named("one")).await.unwrap();
        let info = networks.find("one").unwrap();
        assert_eq!((info.record.id.as_str(), info.record.driver), (id.as_str(), Driver::Bridge));
        assert_eq!(info.v4[0].subnet, "172.18.0.0/16");
        assert_eq!(info.v4[0].gateway, "172.18.0.1".parse().ok());
        assert_eq!((info.v4[0].ips_in_use, info.v4[0].ips_available), (3, 65533));
        assert_eq!(networks.find(&id[..12]).unwrap().record.id, id);
        let bridge = format!("br-{}", &id[..12]);
        let shown = run(&format!("ip addr show {bridge}"));
        assert!(shown.contains("inet 172.18.0.1/16") && shown.contains(",UP"), "{shown}");
        assert!(!shown.contains("inet6"), "{shown}");
        assert!(run("nft list table inet gantry-gantry0").contains(&bridge));

        let two = networks.create(with_subnets("two", &["10.4.0.0/24"])).await.unwrap();
        let container = join_on(&networks, &["two"]).await.unwrap();
        for (result, want) in [
            (named("one"), "network with name one already exists".to_owned()),
            (
                with_subnets("three", &["10.4.0.0/16"]),
                "Pool overlaps with other one on this address space: \
                 10.4.0.0/24 of network two is in the way"
                    .to_owned(),
            ),
            (
                with_options("three", &[("com.docker.network.bridge.name", "gantry0")]),
                "bridge name gantry0 is already in use".to_owned(),
            ),
            (
                CreateNetwork { config_from: Some("no".to_owned()), ..named("three") },
                "configuration network \"no\" does not exist".to_owned(),
            ),
            (
                with_subnets("three", &["10.5.0.0/32"]),
                "failed to allocate gateway (): No available addresses on this pool".to_owned(),
            ),
        ] {
            assert_eq!(networks.create(result).await.unwrap_err().to_string(), want);
        }
        for (name, want) in [
            ("bridge", "bridge is a pre-defined network and cannot be removed".to_owned()),
            ("none", "none is a pre-defined network and cannot be removed".to_owned()),
            ("three", "network three not found".to_owned()),
            (
                "two",
                format!("error while removing network: network two id {two} has active endpoints"),
            ),
        ] {
            assert_eq!(networks.remove(name).await.unwrap_err().to_string(), want);
        }
        networks.leave(&container.record.container_id).await.unwrap();
        networks.remove("two").await.unwrap();
        networks.remove(&id).await.unwrap();
        eventually("the bridges are gone", || !run("ip -o link").contains("br-"));
        assert!(!run("nft list table inet gantry-gantry0").contains("br-"));
        assert_eq!(names(&networks.list()), ["bridge", "host", "none"]);
        // Its name, subnet and bridge are free again.
        networks.create(with_subnets("two", &["10.4.0.0/24"])).await.unwrap();
        networks.destroy().await.unwrap();
        assert_eq!(run("ip -o link").lines().filter(|line| line.contains("br-")).count(), 0);
    });
}

#[test]
fn configurations() {
    on_host(|host| async move {
        let networks = host.open().await;
        let config = CreateNetwork { config_only: true, ..with_subnets("conf", &["10.6.0.0/24"]) };
        networks.create(config).await.unwrap();
        let of = |name: &str| CreateNetwork { config_from: Some("conf".to_owned()), ..named(name) };
        networks.create(of("uses")).await.unwrap();
        let info = networks.find("uses").unwrap();
        assert_eq!(
            (info.v4[0].subnet.as_str(), info.record.driver),
            ("10.6.0.0/24", Driver::Bridge)
        );
        for (error, want) in [
            (
                networks.create(of("again")).await.unwrap_err().to_string(),
                "Pool overlaps with other one on this address space: \
                 10.6.0.0/24 of network uses is in the way",
            ),
            (
                networks.remove("conf").await.unwrap_err().to_string(),
                "error while removing network: configuration network \"conf\" is in use",
            ),
            (
                join_on(&networks, &["conf"]).await.unwrap_err().to_string(),
                "cannot create endpoint on configuration-only network",
            ),
        ] {
            assert_eq!(error, want);
        }
        networks.remove("uses").await.unwrap();
        networks.remove("conf").await.unwrap();
        networks.destroy().await.unwrap();
    });
}

#[test]
fn routes_of_the_host_are_named() {
    on_host(|host| async move {
        let networks = host.open().await;
        run("ip link add tun0 type bridge");
        run("ip link set tun0 up");
        run("ip addr add 10.9.0.5/24 dev tun0");
        run("ip route add 172.16.0.0/12 dev tun0");
        let error = networks.create(with_subnets("lan", &["10.9.0.0/16"])).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Pool overlaps with other one on this address space: \
             10.9.0.0/24 of interface tun0 is in the way"
        );
        networks.create(named("free")).await.unwrap();
        assert_eq!(networks.find("free").unwrap().v4[0].subnet, "192.168.0.0/20");
        networks.close().await;

        let mut config = host.config();
        config.address_pools = vec![AddressPool::parse("10.9.0.0/24", 26).unwrap()];
        let networks = host.open_with(config).await.unwrap();
        let error = networks.create(named("pool")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not find an available, non-overlapping IPv4 address pool among the defaults \
             to assign to the network"
        );
        let hint = gantry_fault::Fault::hint(&error).unwrap();
        assert!(hint.starts_with("10.9.0.0/24 of interface tun0 is in the way"), "{hint}");
        networks.destroy().await.unwrap();
    });
}

fn pools(host: &Host) -> NetworkConfig {
    let mut config = host.config();
    config.address_pools = vec![AddressPool::parse("10.0.0.0/8", 24).unwrap()];
    config
}

/// Prints what a network costs; none overlaps with another, and all are there after a restart.
#[test]
fn many_networks() {
    const COUNT: usize = 200;
    on_host(|host| async move {
        let networks = host.open_with(pools(&host)).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let begun = Instant::now();
        for number in 0..COUNT {
            networks.create(named(&format!("n{number}"))).await.unwrap();
        }
        let made = begun.elapsed();
        let mut subnets: Vec<String> =
            networks.list().iter().flat_map(|n| n.v4.iter().map(|s| s.subnet.clone())).collect();
        subnets.sort();
        subnets.dedup();
        assert_eq!(subnets.len(), COUNT + 1);
        let before = networks.list();
        networks.close().await;
        drop(networks);

        let begun = Instant::now();
        let networks = host.open_with(pools(&host)).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let opened = begun.elapsed();
        let user = |list: Vec<gantry_network::NetworkInfo>| {
            list.into_iter().filter(|n| n.record.name.starts_with('n')).collect::<Vec<_>>()
        };
        assert_eq!(user(networks.list()).len(), user(before).len());
        let begun = Instant::now();
        for number in 0..COUNT {
            networks.remove(&format!("n{number}")).await.unwrap();
        }
        let per = |span: std::time::Duration| span / u32::try_from(COUNT).unwrap();
        println!(
            "a network: made in {:?}, found again in {:?}, removed in {:?}",
            per(made),
            per(opened),
            per(begun.elapsed())
        );
        networks.destroy().await.unwrap();
    });
}

#[test]
fn what_stands_agrees_with_the_records() {
    on_host(|host| async move {
        let networks = host.open().await;
        let id = networks.create(named("kept")).await.unwrap();
        networks.close().await;
        drop(networks);
        // Somebody deleted a bridge; and a daemon was killed between making one and recording it.
        run(&format!("ip link del br-{}", &id[..12]));
        run("ip link add br-lost type bridge");
        run(&format!("ip link set br-lost alias gantry-gantry0:{}", "ab".repeat(32)));
        run("ip link add other0 type bridge");
        let networks = host.open().await;
        let links = run("ip -o link");
        assert!(links.contains(&format!("br-{}", &id[..12])), "{links}");
        assert!(!links.contains("br-lost") && links.contains("other0"), "{links}");
        join_on(&networks, &["kept"]).await.unwrap();
        networks.destroy().await.unwrap();
        assert!(run("ip -o link").contains("other0"));
    });
}

/// Gives up while a network is being made, as a client does that hangs up.
#[test]
fn abandoned_creates_are_undone() {
    on_host(|host| async move {
        let networks = host.open().await;
        for _ in 0..5 {
            let creating = networks.create(named("gone"));
            let patience = std::time::Duration::from_micros(200);
            // The name of an abandoned one may not be free yet.
            if let Ok(Ok(id)) = tokio::time::timeout(patience, creating).await {
                networks.remove(&id).await.unwrap();
            }
        }
        settles("the list of networks", || {
            networks.list().len() == 3 && !run("ip -o link").contains("br-")
        });
        networks.create(named("gone")).await.unwrap();
        networks.destroy().await.unwrap();
    });
}

#[test]
fn bridges_as_wished() {
    on_host(|host| async move {
        let networks = host.open().await;
        let options = [
            ("com.docker.network.bridge.name", "mine0"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.container_iface_prefix", "net"),
        ];
        networks.create(with_options("mine", &options)).await.unwrap();
        let container = join_on(&networks, &["mine"]).await.unwrap();
        assert_eq!(container.record.endpoints[0].interface, "net0");
        assert!(run("ip link show mine0").contains("mtu 1400"));
        networks.leave(&container.record.container_id).await.unwrap();
        networks.remove("mine").await.unwrap();
        // One that somebody else made is used, and stays.
        run("ip link add theirs0 type bridge");
        let options = [("com.docker.network.bridge.name", "theirs0")];
        networks.create(with_options("theirs", &options)).await.unwrap();
        networks.remove("theirs").await.unwrap();
        assert!(run("ip -o link").contains("theirs0"));
        let inhibited = [("com.docker.network.bridge.inhibit_ipv4", "true")];
        let id = networks.create(with_options("bare", &inhibited)).await.unwrap();
        assert!(!run(&format!("ip addr show br-{}", &id[..12])).contains("inet "));
        let isolated = CreateNetwork {
            internal: true,
            ..with_options("alone", &[("com.docker.network.bridge.gateway_mode_ipv4", "isolated")])
        };
        let id = networks.create(isolated).await.unwrap();
        assert!(!run(&format!("ip addr show br-{}", &id[..12])).contains("inet "));
        assert_eq!(networks.find("alone").unwrap().v4[0].gateway, None);
        networks.destroy().await.unwrap();
    });
}
