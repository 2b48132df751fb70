//! Limits in v1 hierarchies.
//!
//! Source: the kernel's `admin-guide/cgroup-v1/`.

use std::path::{Path, PathBuf};

use gantry_oci::runtime::{BlockIo, Cpu, Memory, NetworkLimits, Resources};
use rustix::io::Errno;

use crate::files::{self, set};
use crate::{Cgroup, CgroupError};

/// Writes all limits but the device rules; answers the settings that were left out.
pub(crate) fn apply(
    group: &Cgroup,
    resources: &Resources,
) -> Result<Vec<&'static str>, CgroupError> {
    let mut ignored = Vec::new();
    if let Some(memory) = &resources.memory {
        apply_memory(group, memory, &mut ignored)?;
    }
    if let Some(cpu) = &resources.cpu {
        apply_cpu(group, cpu)?;
    }
    if let Some(pids) = &resources.pids {
        let path = controller(group, "pids", "pids.limit")?;
        let value = if pids.limit > 0 { pids.limit.to_string() } else { "max".to_owned() };
        set(&path.join("pids.max"), &value, "pids.limit")?;
    }
    if let Some(block_io) = &resources.block_io {
        apply_block_io(group, block_io, &mut ignored)?;
    }
    for limit in &resources.hugepage_limits {
        let path = controller(group, "hugetlb", "hugepageLimits")?;
        let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size);
        set(&path.join(file), &limit.limit.to_string(), "hugepageLimits")?;
    }
    if let Some(network) = &resources.network {
        apply_network(group, network)?;
    }
    for (device, limits) in &resources.rdma {
        let path = controller(group, "rdma", "rdma")?;
        set(&path.join("rdma.max"), &rdma_line(device, limits), "rdma")?;
    }
    if !resources.unified.is_empty() {
        return Err(CgroupError::Unsupported {
            setting: "unified".to_owned(),
            needs: "v2".to_owned(),
        });
    }
    Ok(ignored)
}

/// One line of `rdma.max`.
pub(crate) fn rdma_line(device: &str, limits: &gantry_oci::runtime::Rdma) -> String {
    let part = |name: &str, value: Option<u32>| {
        value.map_or(String::new(), |value| format!(" {name}={value}"))
    };
    let (handles, objects) = (limits.hca_handles, limits.hca_objects);
    format!("{device}{}{}", part("hca_handle", handles), part("hca_object", objects))
}

/// A new group's CPU and memory node lists are empty, and no process may enter until they are not:
/// they are copied downwards from the mount point.
pub(crate) fn inherit_cpuset(mount: &Path, directory: &Path) -> Result<(), CgroupError> {
    let Some(above) = directory.parent().filter(|_| directory != mount) else { return Ok(()) };
    let lists = ["cpuset.cpus", "cpuset.mems"];
    let mut missing = Vec::new();
    for file in lists {
        if files::read(&directory.join(file))?.trim().is_empty() {
            missing.push(file);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_new = |file: &str| Ok(files::read(&above.join(file))?.trim().is_empty());
    let above_is_new = lists.into_iter().map(is_new).collect::<Result<Vec<bool>, CgroupError>>()?;
    inherit_cpuset(mount, above)?;
    for file in missing {
        files::write(&directory.join(file), files::read(&above.join(file))?.trim())?;
    }
    // A list that is written is compared with those of all groups beside: a group that was made
    // just now, for others below it, has the kernel copy them to the next ones.
    if above_is_new.contains(&true) {
        files::write(&above.join("cgroup.clone_children"), "1")?;
    }
    Ok(())
}

fn controller(group: &Cgroup, name: &str, setting: &str) -> Result<PathBuf, CgroupError> {
    group.controller_path(name).ok_or_else(|| CgroupError::Unsupported {
        setting: setting.to_owned(),
        needs: format!("{name} controller"),
    })
}

fn apply_memory(
    group: &Cgroup,
    memory: &Memory,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    let asked = memory.limit.or(memory.swap).or(memory.reservation).or(memory.kernel_tcp).is_some()
        || memory.swappiness.is_some()
        || memory.disable_oom_killer == Some(true);
    if !asked {
        return Ok(());
    }
    let path = controller(group, "memory", "memory")?;
    if memory.check_before_update == Some(true) {
        check_usage(&path.join("memory.usage_in_bytes"), memory.limit)?;
    }
    set_memory_and_swap(&path, memory, ignored)?;
    if let Some(bytes) = memory.reservation.filter(|bytes| *bytes != 0) {
        let file = path.join("memory.soft_limit_in_bytes");
        set(&file, &bytes.to_string(), "memory.reservation")?;
    }
    if let Some(bytes) = memory.kernel_tcp.filter(|bytes| *bytes != 0) {
        let file = path.join("memory.kmem.tcp.limit_in_bytes");
        or_ignore(set(&file, &bytes.to_string(), "memory.kernelTCP"), "memory.kernelTCP", ignored)?;
    }
    if memory.disable_oom_killer == Some(true) {
        let name = "memory.disableOOMKiller";
        or_ignore(set(&path.join("memory.oom_control"), "1", name), name, ignored)?;
    }
    match memory.swappiness {
        // What `-1` becomes that older clients send for "not set".
        None | Some(u64::MAX) => Ok(()),
        Some(value @ 0..=100) => {
            let (file, name) = (path.join("memory.swappiness"), "memory.swappiness");
            or_ignore(set(&file, &value.to_string(), name), name, ignored)
        }
        Some(value) => Err(CgroupError::Invalid {
            setting: "memory.swappiness".to_owned(),
            reason: format!("{value} is not between 0 and 100"),
        }),
    }
}

/// Refuses a limit below what is in use, which the kernel would enforce by reclaim or by killing.
pub(crate) fn check_usage(usage: &Path, limit: Option<i64>) -> Result<(), CgroupError> {
    let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) else { return Ok(()) };
    match files::number(usage)? {
        Some(usage) if limit != 0 && limit < usage => Err(CgroupError::Invalid {
            setting: "memory.limit".to_owned(),
            reason: format!("{limit} bytes are less than the {usage} in use"),
        }),
        _ => Ok(()),
    }
}

/// The limit of memory must never be above that of memory and swap, so which is written first
/// depends on the way they go.
fn set_memory_and_swap(
    path: &Path,
    memory: &Memory,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    let limit = memory.limit.filter(|bytes| *bytes != 0);
    let mut swap = memory.swap.filter(|bytes| *bytes != 0);
    let (limit_file, swap_file) =
        (path.join("memory.limit_in_bytes"), path.join("memory.memsw.limit_in_bytes"));
    if !swap_file.exists() {
        // Without swap accounting "no limit" is what there is.
        if swap.is_some_and(|bytes| bytes > 0) {
            ignored.push("memory.swap");
        }
        swap = None;
    } else if limit == Some(-1) && swap.is_none() {
        // Else the old limit of both would go on limiting memory.
        swap = Some(-1);
    }
    let set_limit = || match limit {
        Some(bytes) => set_memory(&limit_file, bytes),
        None => Ok(()),
    };
    let set_swap = || match swap {
        Some(bytes) => set(&swap_file, &bytes.to_string(), "memory.swap"),
        None => Ok(()),
    };
    let now = if limit.is_some() && swap.is_some() { files::number(&limit_file)? } else { None };
    let grows = match (swap, now) {
        (Some(-1), _) => true,
        (Some(new), Some(now)) => u64::try_from(new).is_ok_and(|new| now < new),
        _ => false,
    };
    if grows {
        set_swap()?;
        set_limit()
    } else {
        set_limit()?;
        set_swap()
    }
}

fn set_memory(file: &Path, bytes: i64) -> Result<(), CgroupError> {
    let result = set(file, &bytes.to_string(), "memory.limit");
    let Err(CgroupError::Write { source, .. }) = &result else { return result };
    if !files::is(source, Errno::BUSY) {
        return result;
    }
    // Not even reclaim could bring the usage down.
    let beside = |name: &str| files::number(&file.with_file_name(name)).ok().flatten().unwrap_or(0);
    Err(CgroupError::Invalid {
        setting: "memory.limit".to_owned(),
        reason: format!(
            "unable to set memory limit to {bytes} (current usage: {}, peak usage: {})",
            beside("memory.usage_in_bytes"),
            beside("memory.max_usage_in_bytes")
        ),
    })
}

fn apply_cpu(group: &Cgroup, cpu: &Cpu) -> Result<(), CgroupError> {
    let shares = cpu.shares.filter(|shares| *shares != 0);
    let asked = shares.or(cpu.period).or(cpu.burst).or(cpu.realtime_period).is_some()
        || cpu.quota.or(cpu.realtime_runtime).or(cpu.idle).is_some();
    if asked {
        let path = controller(group, "cpu", "cpu")?;
        if let Some(shares) = shares {
            set_shares(&path, shares)?;
        }
        set_bandwidth(&path, cpu)?;
        if let Some(us) = cpu.realtime_period.filter(|us| *us != 0) {
            set(&path.join("cpu.rt_period_us"), &us.to_string(), "cpu.realtimePeriod")?;
        }
        if let Some(us) = cpu.realtime_runtime.filter(|us| *us != 0) {
            set(&path.join("cpu.rt_runtime_us"), &us.to_string(), "cpu.realtimeRuntime")?;
        }
        if let Some(idle) = cpu.idle {
            set(&path.join("cpu.idle"), &idle.to_string(), "cpu.idle")?;
        }
    }
    for (value, file) in [(&cpu.cpus, "cpuset.cpus"), (&cpu.mems, "cpuset.mems")] {
        if let Some(list) = value.as_ref().filter(|list| !list.is_empty()) {
            let path = controller(group, "cpuset", file)?;
            set(&path.join(file), list, file)?;
        }
    }
    Ok(())
}

/// The kernel bends a weight that is out of its range; who asked for it is told instead.
fn set_shares(path: &Path, shares: u64) -> Result<(), CgroupError> {
    let file = path.join("cpu.shares");
    set(&file, &shares.to_string(), "cpu.shares")?;
    let invalid =
        |reason: String| CgroupError::Invalid { setting: "cpu.shares".to_owned(), reason };
    match files::number(&file)? {
        Some(got) if shares > got => Err(invalid(format!("the maximum allowed is {got}"))),
        Some(got) if shares < got => Err(invalid(format!("the minimum allowed is {got}"))),
        _ => Ok(()),
    }
}

/// Period, quota and burst. A period that does not fit the old quota can be set after the new one.
fn set_bandwidth(path: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    let period_file = path.join("cpu.cfs_period_us");
    let mut period = cpu.period.filter(|us| *us != 0).map(|us| us.to_string());
    if let Some(us) = &period {
        match set(&period_file, us, "cpu.period") {
            Err(CgroupError::Write { source, .. })
                if files::is(&source, Errno::INVAL) && cpu.quota.is_some_and(|us| us != 0) => {}
            result => {
                result?;
                period = None;
            }
        }
    }
    // A burst may not be above the quota: it goes first when that shrinks, last when that grows.
    let burst = |first: bool| match cpu.burst {
        Some(us) => {
            let result = set(&path.join("cpu.cfs_burst_us"), &us.to_string(), "cpu.burst");
            if first { Ok(result.is_ok()) } else { result.map(|()| true) }
        }
        None => Ok(true),
    };
    let burst_set = burst(true)?;
    if let Some(us) = cpu.quota.filter(|us| *us != 0) {
        set(&path.join("cpu.cfs_quota_us"), &us.to_string(), "cpu.quota")?;
        if let Some(us) = period {
            set(&period_file, &us, "cpu.period")?;
        }
    }
    if !burst_set {
        burst(false)?;
    }
    Ok(())
}

fn apply_block_io(
    group: &Cgroup,
    block_io: &BlockIo,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    if *block_io == BlockIo::default() {
        return Ok(());
    }
    let path = controller(group, "blkio", "blockIO")?;
    // The weight files are those of the scheduler in use; some kernels have none.
    let either = |plain: &str, bfq: &str| {
        let bfq = path.join(bfq);
        if bfq.exists() { bfq } else { path.join(plain) }
    };
    let mut weight = |file: PathBuf, value: String, name: &'static str| {
        or_ignore(set(&file, &value, name), name, ignored)
    };
    if let Some(value) = block_io.weight.filter(|value| *value != 0) {
        let file = either("blkio.weight", "blkio.bfq.weight");
        weight(file, value.to_string(), "blockIO.weight")?;
    }
    if let Some(value) = block_io.leaf_weight.filter(|value| *value != 0) {
        weight(path.join("blkio.leaf_weight"), value.to_string(), "blockIO.leafWeight")?;
    }
    for device in &block_io.weight_device {
        let (major, minor) = (device.major, device.minor);
        if let Some(value) = device.weight {
            let file = either("blkio.weight_device", "blkio.bfq.weight_device");
            weight(file, format!("{major}:{minor} {value}"), "blockIO.weightDevice")?;
        }
        if let Some(value) = device.leaf_weight {
            let file = path.join("blkio.leaf_weight_device");
            weight(file, format!("{major}:{minor} {value}"), "blockIO.weightDevice.leafWeight")?;
        }
    }
    for (devices, file) in [
        (&block_io.throttle_read_bps_device, "blkio.throttle.read_bps_device"),
        (&block_io.throttle_write_bps_device, "blkio.throttle.write_bps_device"),
        (&block_io.throttle_read_iops_device, "blkio.throttle.read_iops_device"),
        (&block_io.throttle_write_iops_device, "blkio.throttle.write_iops_device"),
    ] {
        for one in devices {
            let value = format!("{}:{} {}", one.major, one.minor, one.rate);
            set(&path.join(file), &value, "blockIO.throttle")?;
        }
    }
    Ok(())
}

fn apply_network(group: &Cgroup, network: &NetworkLimits) -> Result<(), CgroupError> {
    if let Some(class) = network.class_id.filter(|class| *class != 0) {
        let path = controller(group, "net_cls", "network.classID")?;
        set(&path.join("net_cls.classid"), &class.to_string(), "network.classID")?;
    }
    for one in &network.priorities {
        let path = controller(group, "net_prio", "network.priorities")?;
        let value = format!("{} {}", one.name, one.priority);
        set(&path.join("net_prio.ifpriomap"), &value, "network.priorities")?;
    }
    Ok(())
}

/// Notes a setting that this host does not have, instead of failing.
pub(crate) fn or_ignore(
    result: Result<(), CgroupError>,
    name: &'static str,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    match result {
        Err(CgroupError::Unsupported { .. }) => {
            if !ignored.contains(&name) {
                ignored.push(name);
            }
            Ok(())
        }
        result => result,
    }
}
