//! Users and groups by name or number, from the container's own `/etc/passwd` and `/etc/group`.

use crate::error::Invalid;

/// The two files' texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFiles {
    /// `/etc/passwd`.
    pub(crate) passwd: String,
    /// `/etc/group`.
    pub(crate) group: String,
}

/// Most bytes that are read of either file.
pub(crate) const FILE_LIMIT_BYTES: u64 = 10 << 20;

/// Numbers that the kernel takes, as Docker bounds them.
const MAX_ID: u32 = i32::MAX as u32;

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Home directory; `/` when the user has none.
    pub(crate) home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Finds out who `user[:group]` is; empty is root.
///
/// # Errors
/// Docker's words for a name that is not there, or a number that is too large.
pub(crate) fn resolve(
    user: &str,
    group_add: &[String],
    files: &UserFiles,
) -> Result<Identity, Invalid> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, group),
        None => (user, ""),
    };
    let entry = find_user(user, &files.passwd);
    let number = parse_id(user)?;
    let mut identity = match (&entry, number) {
        (Some(entry), _) => {
            Identity { uid: entry.uid, gid: entry.gid, groups: Vec::new(), home: entry.home.into() }
        }
        (None, Some(uid)) => Identity { uid, ..Identity::default() },
        (None, None) if user.is_empty() => Identity::default(),
        (None, None) => {
            return Err(Invalid(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    if group.is_empty() {
        // Group membership goes by name; a number without an entry is a member of nothing.
        if let Some(entry) = &entry {
            identity.groups = memberships(entry.name, &files.group);
        }
    } else {
        identity.gid = find_group(group, &files.group)?;
    }
    for name in group_add {
        let gid = find_group(name, &files.group)?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    // A process must not get at files that its own group may not read by having dropped that group
    // for a supplementary one, so the primary group leads the list (CVE-2022-36109).
    identity.groups.retain(|gid| *gid != identity.gid);
    identity.groups.insert(0, identity.gid);
    if identity.home.is_empty() {
        identity.home = "/".to_owned();
    }
    Ok(identity)
}

/// A user by name, or by number when no name fits; the empty user is number 0.
fn find_user<'a>(user: &str, passwd: &'a str) -> Option<Passwd<'a>> {
    let wanted = if user.is_empty() { "0" } else { user };
    let by_name = entries(passwd).filter_map(read_user).find(|entry| entry.name == wanted);
    by_name.or_else(|| {
        let uid: u32 = wanted.parse().ok()?;
        entries(passwd).filter_map(read_user).find(|entry| entry.uid == uid)
    })
}

fn find_group(group: &str, text: &str) -> Result<u32, Invalid> {
    if let Some(found) = entries(text).filter_map(read_group).find(|entry| entry.name == group) {
        return Ok(found.gid);
    }
    parse_id(group)?.ok_or_else(|| {
        Invalid(format!("unable to find group {group}: no matching entries in group file"))
    })
}

fn memberships(user: &str, text: &str) -> Vec<u32> {
    let mut gids = Vec::new();
    for group in entries(text).filter_map(read_group) {
        if group.members.split(',').any(|member| member == user) && !gids.contains(&group.gid) {
            gids.push(group.gid);
        }
    }
    gids
}

/// A number within range, `None` for a name. What starts with a digit or sign and is no number of
/// the range is an error, so that it never falls to root.
fn parse_id(text: &str) -> Result<Option<u32>, Invalid> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.strip_prefix('-') {
            Some(rest) if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) => {
                Err(out_of_range())
            }
            _ => Ok(None),
        };
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(out_of_range()),
    }
}

fn out_of_range() -> Invalid {
    Invalid("uids and gids must be in range 0-2147483647".to_owned())
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read_user(line: &str) -> Option<Passwd<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    fields.next()?;
    let uid = fields.next()?.parse().ok().filter(|id| *id <= MAX_ID)?;
    let gid = fields.next()?.parse().ok().filter(|id| *id <= MAX_ID)?;
    fields.next();
    Some(Passwd { name, uid, gid, home: fields.next().unwrap_or("") })
}

fn read_group(line: &str) -> Option<Group<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    fields.next()?;
    let gid = fields.next()?.parse().ok().filter(|id| *id <= MAX_ID)?;
    Some(Group { name, gid, members: fields.next().unwrap_or("") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> UserFiles {
        UserFiles {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n\
                     broken:x:x:1::/:\n2000:x:7:7::/seven:\n"
                .into(),
            group: "root:x:0:\nweb:x:33:\ndisk:x:6:root,web\naudio:x:29:web\n".into(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        for (user, uid, gid, groups, home) in [
            ("", 0, 0, &[0, 6][..], "/root"),
            ("root", 0, 0, &[0, 6], "/root"),
            ("web", 33, 33, &[33, 6, 29], "/var/www"),
            ("33", 33, 33, &[33, 6, 29], "/var/www"),
            ("web:disk", 33, 6, &[6], "/var/www"),
            ("web:77", 33, 77, &[77], "/var/www"),
            ("1000", 1000, 0, &[0], "/"),
            ("1000:1000", 1000, 1000, &[1000], "/"),
            ("2000", 7, 7, &[7], "/seven"),
            ("2147483647", 2_147_483_647, 0, &[0], "/"),
        ] {
            let want = Identity { uid, gid, groups: groups.to_vec(), home: home.into() };
            assert_eq!(resolve(user, &[], &files()), Ok(want), "{user:?}");
        }
    }

    #[test]
    fn nonsense_never_falls_to_root() {
        for (user, want) in [
            ("nobody", "unable to find user nobody: no matching entries in passwd file"),
            ("web:none", "unable to find group none: no matching entries in group file"),
            ("broken", "unable to find user broken: no matching entries in passwd file"),
            ("0x0", "unable to find user 0x0: no matching entries in passwd file"),
            ("-1", "uids and gids must be in range 0-2147483647"),
            ("2147483648", "uids and gids must be in range 0-2147483647"),
            ("4294967296", "uids and gids must be in range 0-2147483647"),
            ("18446744073709551616", "uids and gids must be in range 0-2147483647"),
            ("0:-1", "uids and gids must be in range 0-2147483647"),
        ] {
            let got = resolve(user, &[], &files()).map_err(|error| error.to_string());
            assert_eq!(got, Err(want.to_owned()), "{user:?}");
        }
    }

    #[test]
    fn groups_are_added() {
        let add = ["audio".to_owned(), "1234".into(), "disk".into()];
        let got = resolve("root", &add, &files()).unwrap();
        assert_eq!(got.groups, [0, 6, 29, 1234]);
        assert!(resolve("", &["nope".to_owned()], &files()).is_err());
    }
}
