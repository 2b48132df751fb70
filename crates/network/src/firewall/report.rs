//! What `network doctor` says of the firewall.

/// A forward chain of somebody else that drops what it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// How many rules of ours are in it.
    pub inserted: usize,
    /// Why our packets do not pass it, if they do not.
    pub blocked: Option<String>,
}

/// The state of the firewall and of what it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Name of our table.
    pub table: String,
    /// Whether the kernel has the whole table.
    pub whole: bool,
    /// Chains that would drop our packets.
    pub foreign: Vec<ForeignChain>,
    /// Kernel parameters, by path below `/proc/sys`; absent if the kernel has not the file.
    pub parameters: Vec<(String, Option<String>)>,
    /// Tables of legacy iptables, which cannot be seen here.
    pub legacy_tables: Vec<String>,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}
