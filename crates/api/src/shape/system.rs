//! Differences of the documents about the daemon.

use gantry_api_types::ApiVersion;
use gantry_api_types::build::BuildCache;
use gantry_api_types::container::ContainerSummary;
use gantry_api_types::image::ImageSummary;
use gantry_api_types::system::{
    BuildCacheUsage, ContainerUsage, DiskUsage, FirewallBackend, ImageUsage, Info, VolumesUsage,
};
use gantry_api_types::volume::Volume;

/// `GET /info`.
pub(crate) fn info(info: &mut Info, version: ApiVersion) {
    let old_limits = (!version.at_least(42)).then_some(false);
    info.kernel_memory = old_limits;
    info.kernel_memory_tcp = old_limits;
    if version.at_least(50) {
        info.bridge_nf_iptables = None;
        info.bridge_nf_ip6tables = None;
    } else {
        // Our filters need no bridge netfilter; a false here would make old clients warn.
        info.bridge_nf_iptables = Some(true);
        info.bridge_nf_ip6tables = Some(true);
        info.discovered_devices.clear();
    }
    if version.at_least(49) {
        let nftables = || FirewallBackend { driver: "nftables".to_owned(), info: Vec::new() };
        info.firewall_backend.get_or_insert_with(nftables);
    } else {
        info.firewall_backend = None;
        for commit in [&mut info.containerd_commit, &mut info.runc_commit, &mut info.init_commit] {
            commit.expected = Some(commit.id.clone());
        }
    }
    if let Some(registry) = &mut info.registry_config {
        let lists = [
            &mut registry.allow_nondistributable_artifacts_cidrs,
            &mut registry.allow_nondistributable_artifacts_hostnames,
        ];
        for list in lists {
            let had = !version.at_least(47);
            *list = had.then(|| list.take().unwrap_or_default());
        }
    }
    if version.at_least(46) {
        info.cdi_spec_dirs.get_or_insert_default();
    } else {
        info.containerd = None;
        info.cdi_spec_dirs = None;
    }
    if !version.at_least(45) {
        info.runtimes.values_mut().for_each(|runtime| runtime.status.clear());
    }
}

/// `GET /system/df`: lists before 1.52, sums with the lists on demand from then on. 1.52 itself has
/// both for clients that do not know of the demand.
pub(crate) fn disk_usage(
    mut usage: DiskUsage,
    version: ApiVersion,
    verbose: Option<bool>,
) -> DiskUsage {
    let rows = |images: &mut Option<Vec<ImageSummary>>| {
        images.iter_mut().flatten().for_each(|row| super::image_summary(row, version));
    };
    rows(&mut usage.images);
    let containers = usage.containers.iter_mut().flatten();
    containers.for_each(|row| super::container_summary(row, version));
    let all: i64 = usage.build_cache.iter().flatten().map(|row| row.size).sum();
    for row in usage.build_cache.iter_mut().flatten() {
        match version.at_least(42) {
            true => row.parent.clear(),
            false => row.parents.clear(),
        }
    }
    if version.at_least(52) {
        let with_lists = verbose.is_none() && !version.at_least(53);
        let lists = if with_lists { lists(&usage) } else { DiskUsage::default() };
        return sums(usage, lists, verbose.unwrap_or_default());
    }
    DiskUsage {
        builder_size: (!version.at_least(42)).then_some(all),
        image_usage: None,
        container_usage: None,
        volume_usage: None,
        build_cache_usage: None,
        ..usage
    }
}

fn lists(usage: &DiskUsage) -> DiskUsage {
    DiskUsage {
        layers_size: usage.layers_size,
        images: usage.images.clone(),
        containers: usage.containers.clone(),
        volumes: usage.volumes.clone(),
        build_cache: usage.build_cache.clone(),
        ..DiskUsage::default()
    }
}

fn sums(usage: DiskUsage, lists: DiskUsage, verbose: bool) -> DiskUsage {
    let layers_size = usage.layers_size.unwrap_or_default();
    let image_usage = usage.images.map(|images| image_sum(images, layers_size, verbose));
    let container_usage = usage.containers.map(|containers| container_sum(containers, verbose));
    let volume_usage = usage.volumes.map(|volumes| volume_sum(volumes, verbose));
    let build_cache_usage = usage.build_cache.map(|rows| build_cache_sum(rows, verbose));
    DiskUsage {
        image_usage: usage.image_usage.or(image_usage),
        container_usage: usage.container_usage.or(container_usage),
        volume_usage: usage.volume_usage.or(volume_usage),
        build_cache_usage: usage.build_cache_usage.or(build_cache_usage),
        ..lists
    }
}

fn image_sum(images: Vec<ImageSummary>, layers_size: i64, verbose: bool) -> ImageUsage {
    let used: i64 = images
        .iter()
        .filter(|image| image.containers > 0)
        .map(|image| image.size - image.shared_size.max(0))
        .sum();
    ImageUsage {
        active_count: count(images.iter().filter(|image| image.containers > 0)),
        total_count: count(images.iter()),
        reclaimable: (layers_size - used).max(0),
        total_size: layers_size,
        items: if verbose { images } else { Vec::new() },
    }
}

fn container_sum(containers: Vec<ContainerSummary>, verbose: bool) -> ContainerUsage {
    let active =
        |row: &&ContainerSummary| matches!(row.state.as_str(), "running" | "paused" | "restarting");
    let size = |row: &ContainerSummary| row.size_rw.unwrap_or_default();
    ContainerUsage {
        active_count: count(containers.iter().filter(active)),
        total_count: count(containers.iter()),
        reclaimable: containers.iter().filter(|row| !active(row)).map(size).sum(),
        total_size: containers.iter().map(size).sum(),
        items: if verbose { containers } else { Vec::new() },
    }
}

fn volume_sum(volumes: Vec<Volume>, verbose: bool) -> VolumesUsage {
    let used =
        |volume: &&Volume| volume.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0);
    let size = |volume: &Volume| volume.usage_data.as_ref().map_or(0, |usage| usage.size.max(0));
    VolumesUsage {
        active_count: count(volumes.iter().filter(used)),
        total_count: count(volumes.iter()),
        reclaimable: volumes.iter().filter(|volume| !used(volume)).map(size).sum(),
        total_size: volumes.iter().map(size).sum(),
        items: if verbose { volumes } else { Vec::new() },
    }
}

/// What images share is counted with them.
fn build_cache_sum(rows: Vec<BuildCache>, verbose: bool) -> BuildCacheUsage {
    let own = || rows.iter().filter(|row| !row.shared);
    let total_size = own().map(|row| row.size).sum();
    let used: i64 = own().filter(|row| row.in_use).map(|row| row.size).sum();
    BuildCacheUsage {
        active_count: count(rows.iter().filter(|row| row.in_use)),
        total_count: count(rows.iter()),
        reclaimable: total_size - used,
        total_size,
        items: if verbose { rows } else { Vec::new() },
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}
