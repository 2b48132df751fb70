//! Watching a build: events are shown as they come, and two interrupts end it in two ways.

use std::collections::VecDeque;
use std::time::Duration;

use gantry_build_proto::{Built, Failure as BuildFailure, Progress, Warning};
use gantry_client::{BuildEvent, BuildSession};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::host::Host;
use super::progress::{Colors, Display, Mode, Screen, Title};
use crate::app::Failure;
use crate::output::err;
use crate::term;

/// How often the view is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for a daemon that was told to stop.
const CANCEL_LIMIT: Duration = Duration::from_millis(900);
/// The screen where its size is not known.
const SCREEN: Screen = Screen { rows: 24, columns: 80 };
/// Warnings that are kept; more would not be read.
const WARNINGS_MAX: usize = 1000;

/// How to show a build.
pub(crate) struct Shown<'a> {
    pub(crate) mode: Mode,
    pub(crate) colors: Colors,
    pub(crate) host: &'a Host,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    Done(Box<Built>),
    Failed(Box<BuildFailure>),
    /// The user would not wait any more.
    Interrupted,
}

/// A build that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    warnings: VecDeque<Warning>,
}

impl Ended {
    /// The warnings that are to be shown.
    pub(crate) fn warnings(&self, mode: Mode) -> Vec<Warning> {
        match mode {
            Mode::Quiet | Mode::RawJson => Vec::new(),
            Mode::Plain | Mode::Tty => self.warnings.iter().cloned().collect(),
        }
    }
}

/// Interrupts of the user, and orders to end.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn catch() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Shows a build until it ends; the session comes back, since dropping it lets the daemon forget
/// what it kept.
pub(crate) async fn watch(
    mut session: BuildSession,
    shown: Shown<'_>,
) -> Result<(BuildSession, Ended), Failure> {
    let mut interrupts = Interrupts::catch()?;
    let title = Title {
        sentence: "building with \"default\" instance using gantry driver".into(),
        short: "gantry:default".into(),
    };
    let mut display = Display::new(shown.mode, title, shown.colors, now_ns());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warnings = VecDeque::new();
    let mut deadline: Option<Instant> = None;
    let end = loop {
        let patience = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = session.next() => match event {
                Ok(BuildEvent::Progress(event)) => {
                    if let Progress::Warning(warning) = &event {
                        add(&mut warnings, warning.clone());
                    }
                    write(&display.event(event, now_ns()));
                }
                Ok(BuildEvent::Done(built)) => {
                    built.warnings.iter().for_each(|w| add(&mut warnings, w.clone()));
                    break Ok(End::Done(built));
                }
                Ok(BuildEvent::Failed(mut failure)) => {
                    failure.cancelled |= deadline.is_some();
                    break Ok(End::Failed(failure));
                }
                Err(_) if deadline.is_some() => break Ok(End::Interrupted),
                Err(error) => break Err(error),
            },
            _ = tick.tick() => write(&display.tick(now_ns(), screen())),
            () = interrupts.next() => {
                if deadline.is_some() {
                    break Ok(End::Interrupted);
                }
                deadline = Some(Instant::now() + CANCEL_LIMIT);
                session.cancel();
            }
            () = patience => break Ok(End::Interrupted),
        }
    };
    write(&display.finish(now_ns(), screen()));
    for message in shown.host.left_out() {
        add(&mut warnings, Warning { message, ..Warning::default() });
    }
    Ok((session, Ended { end: end?, warnings }))
}

fn add(warnings: &mut VecDeque<Warning>, warning: Warning) {
    if !warnings.contains(&warning) {
        warnings.push_back(warning);
        warnings.truncate(WARNINGS_MAX);
    }
}

fn write(text: &str) {
    if !text.is_empty() {
        err(text);
    }
}

fn screen() -> Screen {
    let size = term::stderr_size();
    size.map_or(SCREEN, |(rows, columns)| Screen { rows: rows.into(), columns: columns.into() })
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
