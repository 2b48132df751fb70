//! Tests of the whole crate.

mod checks;
mod corpus;
mod errors;
mod expand;
mod ignore;
mod instructions;
mod lexing;
mod mounts;
mod properties;

/// How often the usual number of cases is tried: `cargo xtask fuzz` sets it.
fn times() -> u32 {
    std::env::var("GANTRY_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The usual seed, or when more is tried another one each time, which a failure is printed with.
#[expect(clippy::print_stdout, reason = "a test's output is shown when it fails")]
fn seed(usual: u64) -> u64 {
    if times() == 1 {
        return usual;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = (u64::from(now.map_or(1, |now| now.subsec_nanos())) << 20) | 1;
    println!("seed {seed:#x}");
    seed
}
