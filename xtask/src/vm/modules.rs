//! Kernel modules for the machine: those named here and all that they need, by `modules.dep`.
//!
//! None is loaded beforehand. As on a host, the kernel asks for each when somebody needs it, and
//! the machine's `/sbin/modprobe` finds it by `modules.alias`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::cpio::Tree;
use super::kernel::Kernel;
use crate::chore::{ChoreError, io};

/// What containers and their networks use and Debian builds as modules.
const WANTED: &[&str] = &[
    "br_netfilter",
    "bridge",
    "dummy",
    "ipvlan",
    "loop",
    "macvlan",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_nat",
    "nf_tables",
    "nfnetlink",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_objref",
    "nft_redir",
    "nft_reject",
    "nft_reject_inet",
    "overlay",
    "tun",
    "veth",
];

/// `modules.dep`: for each module's file, the files that must be loaded before it.
struct Needs<'text>(BTreeMap<&'text str, Vec<&'text str>>);

/// Adds the modules, and the tables by which modprobe finds them.
pub(crate) fn add(tree: &mut Tree, kernel: &Kernel) -> Result<(), ChoreError> {
    let table = |name: &str| {
        fs::read_to_string(kernel.modules.join(name)).map_err(io("reading the modules' tables"))
    };
    let (dep, alias) = (table("modules.dep")?, table("modules.alias")?);
    let (files, missing) = Needs::parse(&dep).closure(WANTED);
    if !missing.is_empty() {
        println!("vm: built in, or not there: {}", missing.join(" "));
    }
    let folder = format!("lib/modules/{}", kernel.release);
    for file in &files {
        let data = fs::read(kernel.modules.join(file)).map_err(io("reading a module"))?;
        tree.file(&format!("{folder}/{file}"), 0o644, data);
    }
    tree.file(&format!("{folder}/modules.dep"), 0o644, only(&dep, &files, dep_file).into_bytes());
    let names: BTreeSet<&str> = files.iter().map(|file| name_of(file)).collect();
    let alias = only(&alias, &names, alias_module).into_bytes();
    tree.file(&format!("{folder}/modules.alias"), 0o644, alias);
    Ok(())
}

impl<'text> Needs<'text> {
    fn parse(dep: &'text str) -> Self {
        let lines = dep.lines().filter_map(|line| line.split_once(':'));
        Self(lines.map(|(file, needs)| (file, needs.split_whitespace().collect())).collect())
    }

    /// The files of `wanted` modules and of all that these need, and the names that have no file: a
    /// kernel may have a module built in, or within another.
    fn closure<'name>(&self, wanted: &[&'name str]) -> (BTreeSet<&'text str>, Vec<&'name str>) {
        let by_name: BTreeMap<&str, &'text str> =
            self.0.keys().map(|file| (name_of(file), *file)).collect();
        let (mut found, mut missing) = (BTreeSet::new(), Vec::new());
        for name in wanted {
            let Some(file) = by_name.get(name).copied() else {
                missing.push(*name);
                continue;
            };
            // depmod writes the whole chain into a module's line, not only its next links.
            found.insert(file);
            found.extend(self.0.get(file).into_iter().flatten());
        }
        (found, missing)
    }
}

/// The lines of a table that are about one of `kept`.
fn only<'text>(
    table: &'text str,
    kept: &BTreeSet<&str>,
    about: impl Fn(&'text str) -> Option<&'text str>,
) -> String {
    let lines = table.lines().filter(|line| about(line).is_some_and(|name| kept.contains(name)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The file that a line of `modules.dep` is about.
fn dep_file(line: &str) -> Option<&str> {
    line.split_once(':').map(|(file, _)| file)
}

/// The module that a line of `modules.alias` (`alias PATTERN MODULE`) is about.
fn alias_module(line: &str) -> Option<&str> {
    line.rsplit_once(' ').map(|(_, module)| module)
}

/// The module of a file: `kernel/fs/overlayfs/overlay.ko`, or `overlay.ko.xz` on newer kernels.
fn name_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/overlayfs/overlay.ko:
kernel/net/bridge/br_netfilter.ko: kernel/net/bridge/bridge.ko kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/802/stp.ko: kernel/net/llc/llc.ko
kernel/net/llc/llc.ko:
";

    #[test]
    fn a_module_comes_with_all_that_it_needs() {
        let needs = Needs::parse(DEP);
        for (wanted, want) in [
            (&["overlay"][..], &["kernel/fs/overlayfs/overlay.ko"][..]),
            (
                &["br_netfilter", "stp"],
                &[
                    "kernel/net/802/stp.ko",
                    "kernel/net/bridge/br_netfilter.ko",
                    "kernel/net/bridge/bridge.ko",
                    "kernel/net/llc/llc.ko",
                ],
            ),
            (&[], &[]),
        ] {
            let (found, missing) = needs.closure(wanted);
            assert_eq!(found.into_iter().collect::<Vec<_>>(), want, "{wanted:?}");
            assert!(missing.is_empty(), "{wanted:?}");
        }
        let (found, missing) = needs.closure(&["no_such", "llc"]);
        assert_eq!((found.len(), missing), (1, vec!["no_such"]));
    }

    #[test]
    fn a_compressed_file_is_the_same_module() {
        for file in ["kernel/fs/overlayfs/overlay.ko", "a/overlay.ko.xz", "overlay.ko.zst"] {
            assert_eq!(name_of(file), "overlay", "{file}");
        }
    }

    #[test]
    fn tables_are_cut_down_to_what_is_there() {
        let kept = BTreeSet::from(["kernel/net/llc/llc.ko"]);
        assert_eq!(only(DEP, &kept, dep_file), "kernel/net/llc/llc.ko:\n");
        let alias = "# Aliases\nalias fs-overlay overlay\nalias net-pf-26 llc2\n";
        assert_eq!(
            only(alias, &BTreeSet::from(["overlay"]), alias_module),
            "alias fs-overlay overlay\n"
        );
    }
}
