//! Medians, and how figures are printed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use gantry_rig::Daemon;

use super::rows::{Goal, Pair};

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
    /// So many.
    Count,
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

/// Takes `times` samples of both sides in turn, after one that does not count; their medians.
pub(crate) fn alternate<T>(
    times: u32,
    (reference, gantry): (&T, &T),
    mut sample: impl FnMut(&T) -> io::Result<f64>,
) -> io::Result<Pair> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=times {
        let (one, other) = (sample(reference)?, sample(gantry)?);
        if round > 0 {
            theirs.push(one);
            ours.push(other);
        }
    }
    Ok(Pair { reference: median(&mut theirs), gantry: median(&mut ours) })
}

/// A figure in the unit that reads best.
pub(crate) fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value < 1e-3 => format!("{:.1} us", value * 1e6),
        Unit::Seconds if value < 1.0 => format!("{:.2} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes if value < 1e6 => format!("{:.0} KiB", value / 1024.0),
        Unit::Bytes => format!("{:.2} MiB", value / f64::from(1 << 20)),
        Unit::BytesPerSecond => format!("{:.0} MB/s", value / 1e6),
        Unit::PerSecond if value >= 1e3 => format!("{value:.0} /s"),
        Unit::PerSecond => format!("{value:.1} /s"),
        Unit::Count => format!("{value:.0}"),
    }
}

/// What is to be reached, of the figure itself or of the ratio.
pub(crate) fn show_goal(goal: Goal, unit: Unit) -> String {
    match goal {
        Goal::RatioAtMost(most) => format!("<= {most:.3} x"),
        Goal::RatioAtLeast(least) => format!(">= {least:.2} x"),
        Goal::AtMost(most) => format!("<= {}", show(most, unit)),
        Goal::AtLeast(least) => format!(">= {}", show(least, unit)),
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

/// The processor time of a daemon, its helpers, its containers and the kernel's threads.
pub(crate) struct Meter {
    usage: PathBuf,
}

impl Meter {
    /// Moves the daemon into a control group beside those of its containers, where what it starts
    /// stays, so that the group above counts all.
    pub(crate) fn new(daemon: &Daemon) -> io::Result<Self> {
        let (parent, file) = match Path::new("/sys/fs/cgroup/cpuacct").is_dir() {
            true => (Path::new("/sys/fs/cgroup/cpuacct").join(&daemon.name), "cpuacct.usage"),
            false => (Path::new("/sys/fs/cgroup").join(&daemon.name), "cpu.stat"),
        };
        let group = parent.join("engine");
        fs::create_dir_all(&group)?;
        for pid in daemon.pids() {
            fs::write(group.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(Self { usage: parent.join(file) })
    }

    /// The seconds of processor time that some work takes.
    pub(crate) fn used_s(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
        let before = self.now_s()? + kernel_threads_s();
        work()?;
        Ok(self.now_s()? + kernel_threads_s() - before)
    }

    fn now_s(&self) -> io::Result<f64> {
        let text = fs::read_to_string(&self.usage)?;
        let (digits, unit) = match text.strip_prefix("usage_usec ") {
            Some(rest) => (rest, 1e-6),
            None => (text.as_str(), 1e-9),
        };
        let number = digits.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        number.map(|number| number * unit).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Run time of all kernel threads: the first field of `/proc/<pid>/schedstat`, in nanoseconds.
fn kernel_threads_s() -> f64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| -> Option<f64> {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Their parent is kthreadd, process 2.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        let times = (parent == "2").then(|| fs::read_to_string(entry.path().join("schedstat")));
        times?.ok()?.split(' ').next()?.parse().ok()
    };
    entries.filter_map(of).sum::<f64>() / 1e9
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
