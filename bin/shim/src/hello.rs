//! The program of the built-in image: says hello, and shows what isolates it.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;

const LABEL_WIDTH: usize = 14;
/// A limit above this is none: cgroup v1 writes the largest number of pages.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// Prints the page.
pub(crate) fn run() -> ExitCode {
    let page = page(rustix::termios::isatty(rustix::stdio::stdout()));
    if io::stdout().write_all(page.as_bytes()).is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn page(colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let mut out = format!("\n  {}\n\n", paint("1;36", "Hello from Gantry!"));
    out.push_str("  Your installation works: this text was printed by a process of its own,\n");
    out.push_str("  in a container. This is what it sees:\n\n");
    for (label, value) in facts() {
        let label = format!("{label:<LABEL_WIDTH$}");
        out.push_str(&format!("    {} {value}\n", paint("32", &label)));
    }
    out.push_str("\n  To reach it, the command line asked the engine, the engine made a network\n");
    out.push_str(
        "  namespace and a layered file system, and a shim started this program in it.\n\n",
    );
    out.push_str("  Next, give it a root file system of your own:\n\n");
    for line in ["tar -C DIRECTORY -c . | gantry import - mine", "gantry run -it --rm mine sh"] {
        out.push_str(&format!("    {}\n", paint("1", line)));
    }
    out.push('\n');
    out
}

fn facts() -> Vec<(&'static str, String)> {
    let status = read("/proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    vec![
        ("process id", std::process::id().to_string()),
        ("host name", rustix::system::uname().nodename().to_string_lossy().into_owned()),
        ("kernel", rustix::system::uname().release().to_string_lossy().into_owned()),
        ("namespaces", namespaces()),
        ("address", addresses()),
        ("memory limit", memory_limit()),
        ("cpu limit", cpu_limit()),
        ("user", user()),
        ("capabilities", capabilities(&field("CapEff"))),
        ("seccomp", seccomp(&field("Seccomp")).to_owned()),
        (
            "new privileges",
            if field("NoNewPrivs") == "1" { "refused" } else { "possible" }.to_owned(),
        ),
        ("root", root()),
    ]
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn namespaces() -> String {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let number = |kind: &&str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        let text = link.to_string_lossy().into_owned();
        Some(format!("{kind} {}", text.split(['[', ']']).nth(1)?))
    };
    let found: Vec<String> = kinds.iter().filter_map(number).collect();
    found
        .chunks(3)
        .map(|row| row.join(", "))
        .collect::<Vec<_>>()
        .join(&format!("\n    {:LABEL_WIDTH$} ", ""))
}

/// Local addresses, as `/proc/net/fib_trie` lists them under `host LOCAL`.
fn addresses() -> String {
    let trie = read("/proc/net/fib_trie");
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.contains("host LOCAL")
            && let Some(address) = last.filter(|one| !one.is_loopback() && !found.contains(one))
        {
            found.push(address);
        }
    }
    if found.is_empty() {
        return "none but loopback".to_owned();
    }
    found.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ")
}

/// The first of two files that there is: control groups version 2, then 1.
fn cgroup(v2: &str, v1: &str) -> String {
    let text = read(&format!("/sys/fs/cgroup/{v2}"));
    let text = if text.is_empty() { read(&format!("/sys/fs/cgroup/{v1}")) } else { text };
    text.trim().to_owned()
}

fn memory_limit() -> String {
    match cgroup("memory.max", "memory/memory.limit_in_bytes").parse::<u64>() {
        Ok(bytes) if bytes < NO_LIMIT_BYTES => format!("{} MiB", bytes >> 20),
        _ => "none".to_owned(),
    }
}

fn cpu_limit() -> String {
    let both = cgroup("cpu.max", "cpu/cpu.cfs_quota_us");
    let mut words = both.split_ascii_whitespace();
    let quota = words.next().and_then(|word| word.parse::<f64>().ok());
    let period = words
        .next()
        .map(str::to_owned)
        .unwrap_or_else(|| read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
    match (quota, period.trim().parse::<f64>()) {
        (Some(quota), Ok(period)) if quota > 0.0 && period > 0.0 => {
            format!("{:.2} of {} CPUs", quota / period, processors())
        }
        _ => format!("none, {} CPUs", processors()),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn user() -> String {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    format!("{uid}:{gid}{}", if uid == 0 { " (root, in here)" } else { "" })
}

fn capabilities(effective: &str) -> String {
    let set = u64::from_str_radix(effective, 16).unwrap_or(0);
    format!(
        "{} of {}",
        set.count_ones(),
        read("/proc/sys/kernel/cap_last_cap").trim().parse().map_or(41, |last: u32| last + 1)
    )
}

fn seccomp(mode: &str) -> &'static str {
    match mode {
        "0" => "off",
        "1" => "strict",
        "2" => "filter",
        _ => "unknown",
    }
}

fn root() -> String {
    let mounts = read("/proc/self/mounts");
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/"));
    let mut words = line.unwrap_or_default().split(' ').skip(2);
    let kind = words.next().unwrap_or("unknown");
    let writable = words.next().is_some_and(|options| options.split(',').any(|one| one == "rw"));
    format!("{kind}, {}", if writable { "writable" } else { "read-only" })
}
