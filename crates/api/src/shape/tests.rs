use super::*;
use gantry_api_types::build::BuildCache;
use gantry_api_types::container::{Health, HealthSummary};
use gantry_api_types::events::EventActor;
use gantry_api_types::image::{Descriptor, ImageConfig};
use gantry_api_types::network::EndpointSettings;
use gantry_api_types::system::{DiskUsage, Info, RegistryConfig};

const ID: &str = "0123456789abcdef0123456789abcdef";

fn version(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

fn endpoint() -> EndpointSettings {
    EndpointSettings {
        ip_address: "172.17.0.2".into(),
        mac_address: "02:42:ac:11:00:02".into(),
        dns_names: Some(vec!["web".into()]),
        ..EndpointSettings::default()
    }
}

/// The keys of a document, without those below.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn container_inspect_by_version() {
    for (minor, legacy, mac, dns) in [
        (24, true, true, false),
        (41, true, true, false),
        (44, true, false, true),
        (52, false, false, true),
    ] {
        let mut document = ContainerInspect { id: ID.into(), ..ContainerInspect::default() };
        document.network_settings.networks.insert("bridge".into(), endpoint());
        document.image_manifest_descriptor = Some(Descriptor::default());
        document.state.health = Some(Health::default());
        container_inspect(&mut document, version(minor));
        let value = serde_json::to_value(&document).unwrap();
        let network = &value["NetworkSettings"];
        assert_eq!(network.get("IPAddress").is_some(), legacy, "1.{minor}");
        if legacy {
            assert_eq!(network["IPAddress"], "172.17.0.2", "1.{minor}");
            assert_eq!(value["GraphDriver"]["Name"], "overlay2", "1.{minor}");
            assert_eq!(network["SecondaryIPAddresses"], Value::Null);
        }
        assert_eq!(value["Config"].get("MacAddress").is_some(), mac, "1.{minor}");
        assert_eq!(network["Networks"]["bridge"]["DNSNames"].is_array(), dns, "1.{minor}");
        assert_eq!(value.get("ImageManifestDescriptor").is_some(), minor >= 48, "1.{minor}");
    }
}

#[test]
fn container_rows_by_version() {
    for minor in [24, 41, 44, 52] {
        let mut row = ContainerSummary {
            health: Some(HealthSummary::default()),
            image_manifest_descriptor: Some(Descriptor::default()),
            ..ContainerSummary::default()
        };
        row.host_config.annotations.insert("a".into(), "b".into());
        container_summary(&mut row, version(minor));
        let value = serde_json::to_value(&row).unwrap();
        assert_eq!(value.get("Health").is_some(), minor >= 52, "1.{minor}");
        assert_eq!(value["HostConfig"].get("Annotations").is_some(), minor >= 46, "1.{minor}");
    }
}

#[test]
fn image_inspect_by_version() {
    let document = || ImageInspect {
        size: 5,
        config: Some(ImageConfig { cmd: Some(vec!["sh".into()]), ..ImageConfig::default() }),
        ..ImageInspect::default()
    };
    let golden = [
        (
            24,
            vec![
                "Parent",
                "Container",
                "ContainerConfig",
                "DockerVersion",
                "VirtualSize",
                "GraphDriver",
            ],
        ),
        (
            41,
            vec![
                "Parent",
                "Container",
                "ContainerConfig",
                "DockerVersion",
                "VirtualSize",
                "GraphDriver",
            ],
        ),
        (44, vec!["Parent", "Container", "ContainerConfig", "DockerVersion", "GraphDriver"]),
        (45, vec!["Parent", "DockerVersion", "GraphDriver"]),
        (52, vec![]),
    ];
    for (minor, want) in golden {
        let value = image_inspect(document(), version(minor));
        let present = keys(&value);
        for key in [
            "Parent",
            "Container",
            "ContainerConfig",
            "DockerVersion",
            "VirtualSize",
            "GraphDriver",
        ] {
            assert_eq!(present.contains(&key), want.contains(&key), "{key} in 1.{minor}");
        }
        let config = keys(&value["Config"]);
        assert_eq!(config.contains(&"AttachStdin"), minor < 50, "1.{minor}");
        assert_eq!(value["Config"]["Cmd"][0], "sh");
    }
}

#[test]
fn image_rows_by_version() {
    for (minor, virtual_size, tags) in [
        (24, Some(5), vec!["<none>:<none>"]),
        (41, Some(5), vec!["<none>:<none>"]),
        (43, Some(5), vec![]),
        (44, None, vec![]),
    ] {
        let mut row = ImageSummary { size: 5, ..ImageSummary::default() };
        image_summary(&mut row, version(minor));
        assert_eq!(row.virtual_size, virtual_size, "1.{minor}");
        assert_eq!(row.repo_tags, tags, "1.{minor}");
    }
}

#[test]
fn events_by_version() {
    let message = |kind: &str, action: &str| {
        Arc::new(EventMessage {
            kind: kind.into(),
            action: action.into(),
            actor: EventActor { id: "x".into(), ..EventActor::default() },
            ..EventMessage::default()
        })
    };
    assert_eq!(event(&message("container", "start"), version(51)).unwrap().status, "start");
    assert_eq!(event(&message("container", "start"), version(52)).unwrap().status, "");
    assert_eq!(event(&message("image", "create"), version(45)), None);
    assert!(event(&message("image", "create"), version(46)).is_some());
}

#[test]
fn info_by_version() {
    for minor in [24, 41, 44, 49, 52] {
        let mut document =
            Info { registry_config: Some(RegistryConfig::default()), ..Info::default() };
        info(&mut document, version(minor));
        let value = serde_json::to_value(&document).unwrap();
        let present = keys(&value);
        for (key, since, until) in
            [("KernelMemory", 0, 42), ("BridgeNfIptables", 0, 50), ("FirewallBackend", 49, 99)]
        {
            assert_eq!(present.contains(&key), (since..until).contains(&minor), "{key} 1.{minor}");
        }
        assert_eq!(value["RuncCommit"].get("Expected").is_some(), minor < 49, "1.{minor}");
        let registry = keys(&value["RegistryConfig"]);
        assert_eq!(registry.contains(&"AllowNondistributableArtifactsCIDRs"), minor < 47);
    }
}

fn cached(size: i64, in_use: bool, shared: bool) -> BuildCache {
    BuildCache {
        parent: "p".into(),
        parents: vec!["p".into()],
        size,
        in_use,
        shared,
        ..BuildCache::default()
    }
}

#[test]
fn disk_usage_by_version() {
    let usage = || DiskUsage {
        layers_size: Some(100),
        images: Some(vec![
            ImageSummary { size: 60, containers: 1, ..ImageSummary::default() },
            ImageSummary { size: 40, ..ImageSummary::default() },
        ]),
        containers: Some(vec![
            ContainerSummary { state: "running".into(), size_rw: Some(3), ..Default::default() },
            ContainerSummary { state: "exited".into(), size_rw: Some(4), ..Default::default() },
        ]),
        build_cache: Some(vec![
            cached(8, true, false),
            cached(16, false, false),
            cached(32, false, true),
        ]),
        ..DiskUsage::default()
    };
    let old = disk_usage(usage(), version(41), None);
    let rows = old.build_cache.as_deref().unwrap();
    assert_eq!((rows[0].parent.as_str(), rows[0].parents.len()), ("p", 0));
    let newer = disk_usage(usage(), version(44), None).build_cache.unwrap();
    assert_eq!((newer[0].parent.as_str(), newer[0].parents.len()), ("", 1));
    assert_eq!((old.builder_size, old.images.map(|rows| rows.len())), (Some(56), Some(2)));
    assert_eq!(old.image_usage, None);
    assert_eq!(disk_usage(usage(), version(44), None).builder_size, None);
    let new = disk_usage(usage(), version(53), None);
    assert_eq!((new.images, new.layers_size), (None, None));
    let images = new.image_usage.unwrap();
    let sums = (images.active_count, images.total_count, images.reclaimable, images.total_size);
    assert_eq!(sums, (1, 2, 40, 100));
    assert!(images.items.is_empty());
    let cache = new.build_cache_usage.unwrap();
    let sums = (cache.active_count, cache.total_count, cache.reclaimable, cache.total_size);
    assert_eq!(sums, (1, 3, 16, 24), "what images share is theirs");
    let containers = new.container_usage.unwrap();
    assert_eq!((containers.reclaimable, containers.total_size), (4, 7));
    assert_eq!(disk_usage(usage(), version(52), Some(true)).image_usage.unwrap().items.len(), 2);
    let both = disk_usage(usage(), version(52), None);
    assert_eq!((both.images.unwrap().len(), both.build_cache.unwrap().len()), (2, 3));
    assert!(both.image_usage.unwrap().items.is_empty());
    assert_eq!(disk_usage(usage(), version(52), Some(false)).images, None);
}
