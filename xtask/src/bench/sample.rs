//! Medians, and how figures are printed.

use std::fs;

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// So many a second.
    PerSecond,
    /// A ratio of two figures.
    Ratio,
}

/// The middle of the samples; 0 of none.
pub(crate) fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => 0.0,
        count if count % 2 == 1 => samples[count / 2],
        count => f64::midpoint(samples[count / 2 - 1], samples[count / 2]),
    }
}

/// A figure in the unit that reads best.
pub(crate) fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value < 1.0 => format!("{:.2} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes => format!("{:.2} MiB", value / f64::from(1 << 20)),
        Unit::BytesPerSecond => format!("{:.0} MB/s", value / 1e6),
        Unit::PerSecond => format!("{value:.1} /s"),
        Unit::Ratio => format!("{value:.2} x"),
    }
}

/// Proportional set size of processes, in bytes.
pub(crate) fn pss_bytes(pids: &[u32]) -> f64 {
    let of = |pid: &u32| -> f64 {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
        let kib: f64 =
            line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.0);
        kib * 1024.0
    };
    pids.iter().map(of).sum()
}

/// Busy time of the whole machine so far, in seconds: `proc(5)`, `/proc/stat`, 100 ticks a second.
pub(crate) fn machine_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq.
    [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        for (mut samples, want) in
            [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5), (vec![], 0.0)]
        {
            assert!((median(&mut samples) - want).abs() < 1e-9, "{samples:?}");
        }
    }
}
