//! `GET /containers/{id}/stats`.

use std::time::Duration;

use gantry_api_types::stats::{
    BlkioEntry, BlkioStats, ContainerStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    ThrottlingData,
};
use gantry_api_types::ZERO_TIME;
use tokio::time::{Instant, sleep_until};

use crate::{Container, ObserveError};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// Figures over time: one a second, or the only one.
#[derive(Debug)]
pub struct StatsStream {
    container: Container,
    mode: Mode,
    previous: Option<ContainerStats>,
    next_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One a second until the container is gone.
    Stream,
    /// One answer that holds two samples.
    Two,
    /// One answer of one sample.
    One,
    /// Nothing more.
    Over,
}

impl StatsStream {
    /// The next figures; `None` when the stream is over or the container is gone.
    pub async fn next(&mut self) -> Option<ContainerStats> {
        if self.mode == Mode::Over || self.container.is_gone() {
            return None;
        }
        if self.mode == Mode::Two && self.container.pid().is_some() {
            self.previous = Some(self.sample());
            self.next_at = Instant::now() + INTERVAL;
        }
        sleep_until(self.next_at).await;
        let mut stats = self.sample();
        if let Some(previous) = self.previous.take() {
            stats.preread = previous.read;
            stats.precpu_stats = previous.cpu_stats;
        }
        if self.mode == Mode::Stream {
            self.previous = Some(stats.clone());
            self.next_at = Instant::now() + INTERVAL;
        } else {
            self.mode = Mode::Over;
        }
        Some(stats)
    }

    /// Reads the figures of now; zeros when the container does not run.
    fn sample(&self) -> ContainerStats {
        let named = ContainerStats {
            name: format!("/{}", self.container.name()),
            id: self.container.id().to_owned(),
            read: ZERO_TIME.to_owned(),
            preread: ZERO_TIME.to_owned(),
            ..ContainerStats::default()
        };
        let Some(pid) = self.container.pid() else { return named };
        let Ok(group) = self.container.cgroup().stats() else { return named };
        ContainerStats {
            read: jiff::Timestamp::now().to_string(),
            pids_stats: PidsStats {
                current: group.pids.current,
                limit: group.pids.limit.unwrap_or_default(),
            },
            blkio_stats: blkio(group.blkio),
            cpu_stats: cpu(group.cpu),
            memory_stats: memory(group.memory),
            networks: networks(pid),
            ..named
        }
    }
}

impl Container {
    /// Reads resource use. `stream` goes on each second; else there is one answer, after a second
    /// sample unless `one_shot`. A stopped container gives zeros.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub async fn stats(&self, stream: bool, one_shot: bool) -> Result<StatsStream, ObserveError> {
        let mode = match (stream, one_shot) {
            (true, _) => Mode::Stream,
            (false, false) => Mode::Two,
            (false, true) => Mode::One,
        };
        Ok(StatsStream { container: self.clone(), mode, previous: None, next_at: Instant::now() })
    }
}

fn cpu(cpu: gantry_cgroup::CpuStats) -> CpuStats {
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: cpu.usage_ns,
            percpu_usage: cpu.per_cpu_ns,
            usage_in_kernelmode: cpu.kernel_ns,
            usage_in_usermode: cpu.user_ns,
        },
        system_cpu_usage: system_cpu_ns(),
        online_cpus: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        throttling_data: ThrottlingData {
            periods: cpu.throttling.periods,
            throttled_periods: cpu.throttling.throttled_periods,
            throttled_time: cpu.throttling.throttled_ns,
        },
    }
}

/// Time of all CPUs so far, busy or not, in nanoseconds: the first line of `/proc/stat`, whose unit
/// is a hundredth of a second on every Linux (`USER_HZ`).
fn system_cpu_ns() -> u64 {
    const NS_PER_TICK: u64 = 10_000_000;
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq; what follows is contained in these.
    let ticks: u64 =
        line.split_whitespace().skip(1).take(7).filter_map(|text| text.parse::<u64>().ok()).sum();
    ticks * NS_PER_TICK
}

fn memory(memory: gantry_cgroup::MemoryStats) -> MemoryStats {
    MemoryStats {
        usage: memory.usage,
        max_usage: memory.max_usage,
        stats: memory.stat,
        failcnt: memory.failcnt,
        limit: memory.limit.unwrap_or_else(host_memory_bytes),
    }
}

/// The host's memory, which is the limit of a container that has none.
pub(crate) fn host_memory_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn blkio(blkio: gantry_cgroup::BlkioStats) -> BlkioStats {
    let entries = |entries: Vec<gantry_cgroup::BlkioEntry>| {
        let shown = |entry: gantry_cgroup::BlkioEntry| BlkioEntry {
            major: entry.major,
            minor: entry.minor,
            op: entry.op,
            value: entry.value,
        };
        Some(entries.into_iter().map(shown).collect())
    };
    BlkioStats {
        io_service_bytes_recursive: entries(blkio.io_service_bytes_recursive),
        io_serviced_recursive: entries(blkio.io_serviced_recursive),
        io_queue_recursive: entries(blkio.io_queue_recursive),
        io_service_time_recursive: entries(blkio.io_service_time_recursive),
        io_wait_time_recursive: entries(blkio.io_wait_time_recursive),
        io_merged_recursive: entries(blkio.io_merged_recursive),
        io_time_recursive: entries(blkio.io_time_recursive),
        sectors_recursive: entries(blkio.sectors_recursive),
    }
}

fn networks(pid: u32) -> Option<std::collections::BTreeMap<String, NetworkStats>> {
    let counters = gantry_network::interface_counters(pid).ok()?;
    let shown = counters
        .into_iter()
        .filter(|(name, _)| name != "lo")
        .map(|(name, counters)| {
            let stats = NetworkStats {
                rx_bytes: counters.rx_bytes,
                rx_packets: counters.rx_packets,
                rx_errors: counters.rx_errors,
                rx_dropped: counters.rx_dropped,
                tx_bytes: counters.tx_bytes,
                tx_packets: counters.tx_packets,
                tx_errors: counters.tx_errors,
                tx_dropped: counters.tx_dropped,
            };
            (name, stats)
        })
        .collect::<std::collections::BTreeMap<_, _>>();
    (!shown.is_empty()).then_some(shown)
}
