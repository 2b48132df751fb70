//! IPv6 and other gateways on the default bridge.

use std::os::fd::AsFd;

use gantry_network::{CreateNetwork, EndpointRequest, NetworkConfig, Sandbox};

use crate::manage::named;
use crate::sandboxes::{ip, serve_six};
use crate::world::{First as _, call, container, join, join_on, on_host, run, settles};

fn v6(sandbox: &Sandbox) -> String {
    sandbox.record.endpoints[0].v6.map(|v6| v6.address.to_string()).unwrap_or_default()
}

#[test]
fn ipv6() {
    on_host(|host| async move {
        let mut config = host.config();
        (config.pool_size, config.ipv6) = (2, true);
        let networks = host.open_with(config).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let bridge = networks.bridge();
        let address = bridge.v6.unwrap();
        assert!(bridge.ula.contains(address.address()) && address.prefix_len() == 64, "{address}");
        assert!(run("ip -6 -o addr show gantry0").contains(&address.to_string()));
        let of = || networks.find("bridge").unwrap();
        assert!(of().record.enable_ipv6);
        settles("the pool is full", || of().v6[0].ips_in_use == 4);

        let base = address.first().to_string();
        let first = join(&networks, &["8080:80"]).await.unwrap();
        let second = join(&networks, &[]).await.unwrap();
        assert_eq!((v6(&first), v6(&second)), (format!("{base}2"), format!("{base}3")));
        let addresses = ip(&first, "-6 -o addr");
        assert!(addresses.contains(&format!("{base}2/64")), "{addresses}");
        assert!(!addresses.contains("tentative"), "{addresses}");
        assert!(ip(&first, "-6 route").contains(&format!("default via {base}1 dev eth0")));
        serve_six(&first, 80);
        for (from, to) in [
            (second.netns.as_fd(), format!("[{base}2]:80")),
            (host.netns.as_fd(), format!("[{base}2]:80")),
            (host.netns.as_fd(), "[::1]:8080".to_owned()),
            (second.netns.as_fd(), format!("[{base}1]:8080")),
        ] {
            assert!(call(from, &to).is_ok(), "{to}");
        }
        // Another network has another subnet, and a container may be on both.
        networks.create(CreateNetwork { enable_ipv6: Some(true), ..named("six") }).await.unwrap();
        assert!(!networks.find("six").unwrap().record.v6[0].subnet.overlaps(address));
        let both = join_on(&networks, &["six", "bridge"]).await.unwrap();
        assert!(ip(&both, "-6 -o addr show eth1").contains(&base));
        networks.leave(&second.record.container_id).await.unwrap();
        let wish = EndpointRequest {
            preferred: Some(second.address()),
            preferred6: second.record.endpoints[0].v6.map(|v6| v6.address),
            ..EndpointRequest::on("bridge")
        };
        let again = networks.join(container(vec![wish], &[])).await.unwrap();
        assert_eq!((again.address(), v6(&again)), (second.address(), v6(&second)));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn ipv6_after_a_restart() {
    on_host(|host| async move {
        let with = |ipv6| {
            let mut config = host.config();
            config.ipv6 = ipv6;
            config
        };
        let networks = host.open_with(with(true)).await.unwrap();
        networks.finish_adoption().await.unwrap();
        let bridge = networks.bridge();
        let address = bridge.v6.unwrap();
        let base = address.first().to_string();
        let first = join(&networks, &["8080:80"]).await.unwrap();
        let again = join(&networks, &[]).await.unwrap();
        serve_six(&first, 80);
        networks.close().await;
        drop(networks);

        // The same subnet after a restart, and the same containers.
        run("ip link set gantry0 down");
        let networks = host.open_with(with(true)).await.unwrap();
        assert_eq!(networks.bridge(), bridge);
        for sandbox in [&first, &again] {
            let netns = sandbox.netns.try_clone().unwrap();
            networks.adopt(&sandbox.record, netns).await.unwrap();
        }
        networks.finish_adoption().await.unwrap();
        assert!(call(host.netns.as_fd(), "[::1]:8080").is_ok());
        assert_eq!(networks.find("bridge").unwrap().v6[0].ips_in_use, 4);
        networks.close().await;
        drop(networks);

        // Switched off, those who have it keep it, and others do not get it.
        let networks = host.open_with(with(false)).await.unwrap();
        networks.adopt(&first.record, first.netns.try_clone().unwrap()).await.unwrap();
        networks.finish_adoption().await.unwrap();
        assert!(!run("ip -6 -o addr show gantry0").contains(&base));
        assert_eq!(v6(&join(&networks, &[]).await.unwrap()), "");
        networks.close().await;
        let networks = host.open_with(with(true)).await.unwrap();
        assert_eq!(networks.bridge().v6, Some(address));
        networks.destroy().await.unwrap();
    });
}

#[test]
fn subnets_and_gateways() {
    on_host(|host| async move {
        let mut config = host.config();
        config.bip = "10.5.0.1/24".parse().ok();
        config.ipv6 = true;
        config.fixed_cidr_v6 = "fd00:9::5/80".parse().ok();
        config.default_gateway = "10.5.0.2".parse().ok();
        config.default_gateway_v6 = "fd00:9::3".parse().ok();
        let networks = host.open_with(config.clone()).await.unwrap();
        networks.finish_adoption().await.unwrap();
        assert_eq!(networks.bridge().v6, "fd00:9::1/80".parse().ok());
        let first = join(&networks, &[]).await.unwrap();
        assert_eq!((first.address().octets()[3], v6(&first).as_str()), (3, "fd00:9::2"));
        assert!(ip(&first, "route").contains("default via 10.5.0.2 dev eth0"));
        assert!(ip(&first, "-6 route").contains("default via fd00:9::3 dev eth0"));
        networks.create(named("a")).await.unwrap();
        let both = join_on(&networks, &["bridge", "a"]).await.unwrap();
        let bridge = &both.record.endpoints[0];
        assert_eq!(bridge.v4.unwrap().gateway, config.default_gateway);
        assert_eq!(bridge.v6.unwrap().gateway, config.default_gateway_v6);
        networks.close().await;

        config.fixed_cidr_v6 = "fd00:8::/64".parse().ok();
        config.default_gateway_v6 = None;
        let networks = host.open_with(config.clone()).await.unwrap();
        let shown = run("ip -6 -o addr show gantry0");
        assert!(shown.contains("fd00:8::1/64") && !shown.contains("fd00:9::1"), "{shown}");
        networks.close().await;
        for (range, gateway, want) in [
            ("fd00:8::/128", "10.5.0.2", "fixed-cidr-v6 fd00:8::/128 is too small"),
            ("fd00:8::/64", "10.6.0.2", "default gateway 10.6.0.2 is not inside the bridge's"),
        ] {
            config.fixed_cidr_v6 = range.parse().ok();
            config.default_gateway = gateway.parse().ok();
            let error = host.open_with(config.clone()).await.unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        networks.destroy().await.unwrap();
    });
}

#[test]
fn what_is_refused_makes_no_bridge() {
    on_host(|host| async move {
        let with = |change: &dyn Fn(&mut NetworkConfig)| {
            let mut config = host.config();
            (config.bip, config.ipv6) = (None, true);
            change(&mut config);
            config
        };
        for config in [
            with(&|config| config.fixed_cidr_v6 = "fd00:8::/128".parse().ok()),
            with(&|config| config.default_gateway = "192.0.2.1".parse().ok()),
            with(&|config| config.default_gateway_v6 = "2001:db8::1".parse().ok()),
        ] {
            let error = host.open_with(config).await.unwrap_err();
            assert!(!run("ip -o link").contains("gantry0"), "{error}");
        }
    });
}
