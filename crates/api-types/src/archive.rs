//! What the archive endpoints tell about a path, in their `X-Docker-Container-Path-Stat` header.

use crate::body::lower_body;

lower_body! {
    /// A path in a container.
    pub struct ContainerPathStat {
        /// Last element.
        pub name: String,
        /// Size in bytes.
        pub size: i64,
        /// Mode in Go's bits ([`go_mode`]).
        pub mode: u32,
        /// Last change, RFC 3339 with ns.
        pub mtime: String,
        /// Where a symbolic link leads.
        #[serde(rename = "linkTarget")]
        pub link_target: String,
    }
}

/// Go: directory.
pub const GO_DIR: u32 = 1 << 31;
/// Go: symbolic link.
pub const GO_SYMLINK: u32 = 1 << 27;
/// Go: device node.
pub const GO_DEVICE: u32 = 1 << 26;
/// Go: named pipe.
pub const GO_NAMED_PIPE: u32 = 1 << 25;
/// Go: Unix socket.
pub const GO_SOCKET: u32 = 1 << 24;
/// Go: set user ID.
pub const GO_SETUID: u32 = 1 << 23;
/// Go: set group ID.
pub const GO_SETGID: u32 = 1 << 22;
/// Go: the device node is a character device.
pub const GO_CHAR_DEVICE: u32 = 1 << 21;
/// Go: sticky.
pub const GO_STICKY: u32 = 1 << 20;
/// Go: none of the above, and no regular file.
pub const GO_IRREGULAR: u32 = 1 << 19;

const PERMISSIONS: u32 = 0o777;
const S_IFMT: u32 = 0o170_000;
/// File types of `inode(7)` and Go's bits for them.
const TYPES: [(u32, u32); 7] = [
    (0o100_000, 0),
    (0o040_000, GO_DIR),
    (0o120_000, GO_SYMLINK),
    (0o060_000, GO_DEVICE),
    (0o020_000, GO_DEVICE | GO_CHAR_DEVICE),
    (0o010_000, GO_NAMED_PIPE),
    (0o140_000, GO_SOCKET),
];
const SPECIAL: [(u32, u32); 3] = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];

/// Turns `st_mode` into Go's `FileMode` bits.
///
/// Source: `inode(7)`; Go's package `io/fs`, type `FileMode`.
#[must_use]
pub fn go_mode(st_mode: u32) -> u32 {
    let kind = TYPES
        .iter()
        .find(|(unix, _)| st_mode & S_IFMT == *unix)
        .map_or(GO_IRREGULAR, |(_, go)| *go);
    let special =
        SPECIAL.iter().filter(|(unix, _)| st_mode & unix != 0).map(|(_, go)| go).sum::<u32>();
    kind | special | (st_mode & PERMISSIONS)
}

/// Turns Go's `FileMode` bits into `st_mode`; an irregular file has no type bits.
#[must_use]
pub fn unix_mode(go_mode: u32) -> u32 {
    let type_bits = TYPES.iter().fold(GO_IRREGULAR, |all, (_, go)| all | go);
    let kind = TYPES.iter().find(|(_, go)| go_mode & type_bits == *go).map_or(0, |(unix, _)| *unix);
    let special =
        SPECIAL.iter().filter(|(_, go)| go_mode & go != 0).map(|(unix, _)| unix).sum::<u32>();
    kind | special | (go_mode & PERMISSIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_convert_both_ways() {
        let table = [
            (0o100_644, 0o644),
            (0o040_755, 0x8000_01ed),
            (0o120_777, 0x0800_01ff),
            (0o041_777, 0x8010_01ff),
            (0o104_755, 0x0080_01ed),
            (0o102_755, 0x0040_01ed),
            (0o060_660, 0x0400_01b0),
            (0o020_666, 0x0420_01b6),
            (0o010_600, 0x0200_0180),
            (0o140_700, 0x0100_01c0),
            (0, GO_IRREGULAR),
        ];
        for (unix, go) in table {
            assert_eq!(go_mode(unix), go, "go_mode({unix:o})");
            assert_eq!(unix_mode(go), unix, "unix_mode({go:x})");
        }
    }
}
