//! Containers on their networks.

use gantry_api_types::network::{EndpointSettings, Ipam, IpamConfig, NetworkCreateBody};
use gantry_engine::{Container, Engine, RemoveOptions};

use crate::bed::{create, host, on_host, script};

const FORCE: RemoveOptions = RemoveOptions { force: true, volumes: false };

async fn make_network(engine: &Engine, name: &str, subnet: &str) {
    let config = IpamConfig { subnet: subnet.to_owned(), ..IpamConfig::default() };
    let body = NetworkCreateBody {
        name: name.to_owned(),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        ..NetworkCreateBody::default()
    };
    engine.create_network(body).await.unwrap();
}

/// A container of this network that runs on.
async fn started(engine: &Engine, network: &str) -> Container {
    let request = script("while :; do busybox sleep 9; done", |body| {
        host(body).network_mode = network.into()
    });
    let container = create(engine, request).await;
    container.start().await.unwrap();
    container
}

fn address(container: &Container, network: &str) -> String {
    container.inspect(false).network_settings.networks[network].ip_address.clone()
}

#[test]
fn addresses_are_kept_over_a_restart() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        make_network(&engine, "a", "10.1.0.0/24").await;
        make_network(&engine, "b", "10.2.0.0/24").await;
        for (network, want) in [("a", ["10.1.0.2", "10.1.0.3", "10.1.0.4"]), ("bridge", [""; 3])] {
            let mut all = Vec::new();
            for want in want {
                let container = started(&engine, network).await;
                let got = address(&container, network);
                assert!(got == want || want.is_empty(), "{got}");
                all.push((container, got));
            }
            for (container, before) in &all {
                for _ in 0..3 {
                    container.restart(None, Some(0)).await.unwrap();
                    assert_eq!(&address(container, network), before);
                }
            }
            // Stopped in one order, started in another, with a daemon in between.
            for (container, _) in &all {
                container.stop(None, Some(0)).await.unwrap();
            }
            for (container, before) in all.iter().rev() {
                container.start().await.unwrap();
                assert_eq!(&address(container, network), before);
            }
            for (container, _) in all {
                container.remove(FORCE).await.unwrap();
            }
        }
        // Who comes meanwhile takes it; the address on the other network is its own still.
        // On a network of its own: where many have come lately, namespaces stand ready, with other
        // addresses.
        make_network(&engine, "c", "10.3.0.0/24").await;
        let first = started(&engine, "c").await;
        let settings = EndpointSettings::default();
        engine.connect("b", first.id(), settings.clone()).await.unwrap();
        first.stop(None, Some(0)).await.unwrap();
        left(&engine, "c").await;
        let second = started(&engine, "c").await;
        assert_eq!(address(&second, "c"), "10.3.0.2");
        first.start().await.unwrap();
        assert_eq!(
            (address(&first, "c"), address(&first, "b")),
            ("10.3.0.3".into(), "10.2.0.2".into())
        );
        // After a disconnection nothing is remembered.
        first.stop(None, Some(0)).await.unwrap();
        second.remove(FORCE).await.unwrap();
        left(&engine, "c").await;
        engine.disconnect("c", first.id()).await.unwrap();
        engine.connect("c", first.id(), settings).await.unwrap();
        first.start().await.unwrap();
        assert_eq!(address(&first, "c"), "10.3.0.2");
        first.remove(FORCE).await.unwrap();
        engine.shutdown().await;
    });
}

/// Waits until no container has an address on a network: they are given back behind the answers.
async fn left(engine: &Engine, network: &str) {
    while !engine.network(network).await.unwrap().containers.unwrap_or_default().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[test]
fn addresses_are_kept_over_a_restart_of_the_daemon() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        make_network(&engine, "a", "10.1.0.0/24").await;
        let lower = started(&engine, "a").await;
        let stopped = started(&engine, "a").await;
        let before = address(&stopped, "a");
        lower.remove(FORCE).await.unwrap();
        stopped.stop(None, Some(0)).await.unwrap();
        let id = stopped.id().to_owned();
        engine.shutdown().await;
        drop((engine, stopped, lower));
        let engine = bed.engine().await;
        let stopped = engine.container(&id).unwrap();
        stopped.start().await.unwrap();
        assert_eq!(address(&stopped, "a"), before);
        stopped.remove(FORCE).await.unwrap();
        engine.shutdown().await;
    });
}
