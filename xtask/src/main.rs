//! Gantry's own chores: `cargo xtask check | setup | test | bench | compare | vm`.

#![forbid(unsafe_code)]
// A chore speaks to the person who runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod chore;
mod compare;
mod house;
mod setup;
mod suite;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Gantry's own chores")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Format, lints, the house's invariants and the dependency rules.
    Check,
    /// Install from Debian what the tests need.
    Setup,
    /// Install, build, and run every test: unit, integration, real clients, comparison.
    Test {
        /// Leave out what needs root or Debian's packages.
        #[arg(long)]
        unit: bool,
    },
    /// Run the same commands on docker.io and on Gantry, and print every difference.
    Compare {
        /// Only cases whose name contains this.
        filter: Option<String>,
        /// Print what both answered also where they agree.
        #[arg(long)]
        verbose: bool,
    },
    /// Measure Gantry beside docker.io and crun, as ratios of medians.
    Bench {
        /// Only rows whose name contains this.
        filter: Option<String>,
        /// Few repetitions, small images: to see that it works.
        #[arg(long)]
        smoke: bool,
    },
    /// Read damaged Dockerfiles, ignore files and words, so many times as many as the tests do.
    Fuzz {
        /// How many times as many.
        #[arg(default_value_t = 100)]
        times: u32,
    },
    /// Boot a small machine with cgroup v2 and run there what this host may not show.
    Vm {
        /// Only tests whose name contains this.
        filter: Option<String>,
        /// Few tests: to see that it works.
        #[arg(long)]
        smoke: bool,
    },
}

/// The tests that damage what they read, optimised, and with other damage each time.
fn fuzz(times: u32) -> Result<(), chore::ChoreError> {
    let times = format!("GANTRY_FUZZ={times}");
    let cargo = [times.as_str(), "cargo", "test", "--release", "--locked"];
    let tests = ["-p", "gantry-dockerfile", "-p", "gantry-build", "--"];
    let names = ["properties::", "damaged_"];
    chore::run("env", &[&cargo[..], &tests, &names].concat())
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Check => house::check(),
        Chore::Setup => setup::install(),
        Chore::Test { unit } => suite::run_suite(unit),
        Chore::Compare { filter, verbose } => {
            chore::on_release_build(|| compare::run(filter.as_deref(), verbose))
        }
        Chore::Bench { filter, smoke } => {
            chore::on_release_build(|| bench::run(filter.as_deref(), smoke))
        }
        Chore::Fuzz { times } => fuzz(times),
        Chore::Vm { filter, smoke } => {
            chore::on_release_build(|| vm::run(filter.as_deref(), smoke))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
