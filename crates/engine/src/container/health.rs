//! Health probes: when they run, and what their results make of a container.
//!
//! ```text
//! starting ── exit 0 ──> healthy <── exit 0 ── unhealthy
//!     └──── as many failures in a row as `retries` ─────^  (not counted in the start period
//!                                                           while starting)
//! ```

use std::time::Duration;

use gantry_api_types::container::{Health, HealthConfig, HealthcheckResult};
use gantry_task::{AttachStream, Exit};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::driver::Driver;
use super::{Container, inspect::timestamp};
use crate::Engine;
use crate::events::now_ns;

/// Results that are kept.
const KEPT: usize = 5;
/// Bytes of a probe's output that are kept.
const OUTPUT_LIMIT: usize = 4096;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: i64 = 3;

const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// A probe with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Probe {
    /// The probe of a configuration; `None` when it has none. `shell` is the image's.
    pub(crate) fn of(config: Option<&HealthConfig>, shell: Option<&[String]>) -> Option<Self> {
        let config = config?;
        let (kind, rest) = config.test.split_first()?;
        let args = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let default = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = shell.filter(|shell| !shell.is_empty()).unwrap_or(&default);
                shell.iter().chain(rest.first()).cloned().collect()
            }
            _ => return None,
        };
        if args.is_empty() {
            return None;
        }
        let or = |ns: i64, default| match u64::try_from(ns) {
            Ok(ns) if ns > 0 => Duration::from_nanos(ns),
            _ => default,
        };
        Some(Self {
            args,
            interval: or(config.interval, DEFAULT_INTERVAL),
            timeout: or(config.timeout, DEFAULT_TIMEOUT),
            start_period: or(config.start_period, Duration::ZERO),
            start_interval: or(config.start_interval, DEFAULT_START_INTERVAL),
            retries: if config.retries > 0 { config.retries } else { DEFAULT_RETRIES },
        })
    }

    /// The health of a container that has just started.
    pub(crate) fn first() -> Health {
        Health { status: STARTING.to_owned(), failing_streak: 0, log: Some(Vec::new()) }
    }

    /// The pause before the next probe, `up` after the start.
    fn pause(&self, health: &Health, up: Duration) -> Duration {
        if health.status == STARTING && up < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }

    /// Takes a result in; `true` if the status has changed.
    fn take_in(&self, health: &mut Health, result: HealthcheckResult, up: Duration) -> bool {
        let before = health.status.clone();
        if result.exit_code == 0 {
            health.failing_streak = 0;
            HEALTHY.clone_into(&mut health.status);
        } else if health.status != STARTING || up >= self.start_period {
            health.failing_streak += 1;
            if health.failing_streak >= self.retries {
                UNHEALTHY.clone_into(&mut health.status);
            }
        }
        let log = health.log.get_or_insert_default();
        if log.len() == KEPT {
            log.remove(0);
        }
        log.push(result);
        before != health.status
    }
}

impl Driver {
    /// Begins probing, if the container has a probe; the last run's health is forgotten.
    pub(super) fn watch_health(&mut self) {
        if let Some(old) = self.health.take() {
            old.abort();
        }
        let config = &self.record.config;
        let probe = Probe::of(config.healthcheck.as_ref(), config.shell.as_deref());
        let Some(probe) = probe else {
            self.cell.show_health(None);
            return;
        };
        self.cell.show_health(Some(Probe::first()));
        let container = Container { engine: Engine(self.engine.clone()), cell: self.cell.clone() };
        let up = Duration::from_nanos(
            u64::try_from(now_ns() - self.state.started_at_ns).unwrap_or_default(),
        );
        self.health = Some(tokio::spawn(watch(container, probe, up)));
    }
}

/// Probes until it is aborted.
async fn watch(container: Container, probe: Probe, up_before: Duration) {
    let began = Instant::now();
    loop {
        let up = up_before + began.elapsed();
        let health = container.cell.health().map(|health| (*health).clone());
        let mut health = health.unwrap_or_else(Probe::first);
        tokio::time::sleep(probe.pause(&health, up)).await;
        // A frozen container is not asked, and one without a process is about to end this.
        if container.check_exec().is_err() {
            continue;
        }
        let result = run(&container, &probe).await;
        let changed = probe.take_in(&mut health, result, up_before + began.elapsed());
        let status = health.status.clone();
        container.cell.show_health(Some(health));
        if changed {
            container.tell(&format!("health_status: {status}"));
        }
    }
}

/// Runs one probe.
async fn run(container: &Container, probe: &Probe) -> HealthcheckResult {
    let start = now_ns();
    let (exit_code, output) = match container.exec_probe(&probe.args).await {
        Err(error) => (-1, gantry_fault::chain(&error)),
        Ok(mut running) => {
            let mut output = Output::default();
            let ended = async {
                output.collect(&mut running.stream).await;
                running.exit().await
            };
            match tokio::time::timeout(probe.timeout, ended).await {
                Ok(exit) => (i64::from(exit.code), output.text()),
                Err(_) => {
                    running.kill().await;
                    let limit = i64::try_from(probe.timeout.as_nanos()).unwrap_or(i64::MAX);
                    let limit = gantry_gotext::format_duration(limit);
                    let said = output.text();
                    let said = if said.is_empty() { said } else { format!(": {said}") };
                    (-1, format!("Health check exceeded timeout ({limit}){said}"))
                }
            }
        }
    };
    HealthcheckResult { start: timestamp(start), end: timestamp(now_ns()), exit_code, output }
}

/// A probe's process.
pub(crate) struct RunningProbe {
    /// Its output, in frames.
    pub(crate) stream: AttachStream,
    /// Its exec.
    pub(crate) exec: crate::Exec,
}

impl RunningProbe {
    async fn exit(&mut self) -> Exit {
        self.exec.ended().await
    }

    async fn kill(&self) {
        self.exec.kill(super::signal::KILL).await;
    }
}

/// What a probe wrote, both streams as they came, up to the limit.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    /// Reads frames to the end: a stream byte, three of zero, a length in big endian, the bytes.
    async fn collect(&mut self, stream: &mut AttachStream) {
        let mut head = [0; 8];
        let mut body = [0; 1024];
        while stream.read_exact(&mut head).await.is_ok() {
            let [_, _, _, _, length @ ..] = head;
            let mut left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
            while left > 0 {
                let part = left.min(body.len());
                match stream.read(&mut body[..part]).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => {
                        self.add(&body[..read]);
                        left -= read;
                    }
                }
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = OUTPUT_LIMIT - self.bytes.len().min(OUTPUT_LIMIT);
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        if self.cut { format!("{text}...") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str]) -> HealthConfig {
        let test = test.iter().map(ToString::to_string).collect();
        HealthConfig { test, ..HealthConfig::default() }
    }

    fn result(exit_code: i64) -> HealthcheckResult {
        HealthcheckResult { exit_code, ..HealthcheckResult::default() }
    }

    #[test]
    fn probes_are_read() {
        let args = |test: &[&str]| Probe::of(Some(&config(test)), None).map(|probe| probe.args);
        assert_eq!(args(&["CMD", "a", "b"]), Some(vec!["a".into(), "b".into()]));
        let shell = args(&["CMD-SHELL", "x y"]);
        assert_eq!(shell, Some(vec!["/bin/sh".into(), "-c".into(), "x y".into()]));
        for none in [&["NONE"][..], &[], &["CMD"]] {
            assert_eq!(args(none), None, "{none:?}");
        }
    }

    #[test]
    fn failures_count_outside_the_start_period() {
        let mut config = config(&["CMD", "x"]);
        config.start_period = 10_000_000_000;
        config.retries = 2;
        let probe = Probe::of(Some(&config), None).unwrap();
        let mut health = Probe::first();
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(11));
        assert_eq!(probe.pause(&health, early), DEFAULT_START_INTERVAL);
        assert_eq!(probe.pause(&health, late), DEFAULT_INTERVAL);
        for (code, up, status, streak, changed) in [
            (1, early, STARTING, 0, false),
            (1, late, STARTING, 1, false),
            (1, late, UNHEALTHY, 2, true),
            (1, late, UNHEALTHY, 3, false),
            (0, late, HEALTHY, 0, true),
            (0, late, HEALTHY, 0, false),
            (-1, early, HEALTHY, 1, false),
        ] {
            let got = probe.take_in(&mut health, result(code), up);
            assert_eq!(
                (health.status.as_str(), health.failing_streak, got),
                (status, streak, changed),
                "exit {code} after {up:?}"
            );
        }
        assert_eq!(health.log.unwrap().len(), KEPT);
    }

    #[test]
    fn output_is_cut() {
        let mut output = Output::default();
        output.add(&[b'x'; 4000]);
        output.add(&[b'y'; 200]);
        output.add(b"z");
        assert_eq!(output.text().len(), OUTPUT_LIMIT + 3);
    }
}
