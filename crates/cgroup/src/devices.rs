//! Device access rules: v1's files, and v2's programs.

use std::collections::BTreeMap;
use std::path::Path;

use gantry_oci::runtime::DeviceRule;
use gantry_sys::bpf::{self, Instruction};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;

use crate::{CgroupError, files};

/// What rules come to: access to no device, or to all, but for exceptions. It is what v1's kernel
/// code keeps, so both versions mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    allow: bool,
    /// By device the kinds of access that differ from `allow`.
    exceptions: BTreeMap<Which, u8>,
}

/// Devices: `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Which {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Block = 1,
    Char = 2,
}

/// `BPF_DEVCG_ACC_*`.
const MAKE: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ANY: u8 = MAKE | READ | WRITE;

impl Access {
    /// Goes through the rules in order. Before the first nothing is allowed.
    pub(crate) fn from_rules(rules: &[DeviceRule]) -> Result<Access, CgroupError> {
        let mut access = Access { allow: false, exceptions: BTreeMap::new() };
        for rule in rules {
            access.add(rule)?;
        }
        Ok(access)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<(), CgroupError> {
        let kinds: &[Kind] = match rule.kind.as_deref() {
            None | Some("" | "a") => &[Kind::Block, Kind::Char],
            Some("c" | "u") => &[Kind::Char],
            Some("b") => &[Kind::Block],
            Some(other) => return Err(invalid(format!("unknown device type {other:?}"))),
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let bits = bits(rule.access.as_deref().unwrap_or("rwm"))?;
        if kinds.len() == 2 && major.is_none() && minor.is_none() && bits == ANY {
            *self = Access { allow: rule.allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        for &kind in kinds {
            let which = Which { kind, major, minor };
            let now = self.exceptions.get(&which).copied().unwrap_or(0);
            let next = if rule.allow == self.allow { now & !bits } else { now | bits };
            if next == 0 {
                self.exceptions.remove(&which);
            } else {
                self.exceptions.insert(which, next);
            }
        }
        Ok(())
    }
}

fn invalid(reason: String) -> CgroupError {
    CgroupError::Invalid { setting: "devices".to_owned(), reason }
}

fn number(value: Option<i64>) -> Result<Option<u32>, CgroupError> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| invalid(format!("{value} is no device number"))),
    }
}

fn bits(access: &str) -> Result<u8, CgroupError> {
    access.chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MAKE),
        other => Err(invalid(format!("unknown device access {other:?}"))),
    })
}

/// One line of `devices.list`.
fn line(which: &Which, bits: u8) -> String {
    let number =
        |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
    let kind = if which.kind == Kind::Char { 'c' } else { 'b' };
    let letter = |bit: u8, letter: &'static str| if bits & bit == 0 { "" } else { letter };
    let access = [letter(READ, "r"), letter(WRITE, "w"), letter(MAKE, "m")].concat();
    format!("{kind} {}:{} {access}", number(which.major), number(which.minor))
}

/// Brings the files of a v1 group to what the rules say. Where the group is a list of allowed
/// devices already only the difference is written, so that running processes never lose access to
/// what stays allowed.
pub(crate) fn write_v1(path: &Path, access: &Access) -> Result<(), CgroupError> {
    let (allow, deny) = (path.join("devices.allow"), path.join("devices.deny"));
    let now = files::read(&path.join("devices.list"))?;
    let now: Vec<&str> = now.lines().collect();
    let open = now.iter().any(|line| line.starts_with('a'));
    let wanted: Vec<String> =
        access.exceptions.iter().map(|(which, bits)| line(which, *bits)).collect();
    if access.allow {
        if !open {
            files::write(&allow, "a")?;
        }
        return wanted.iter().try_for_each(|line| files::write(&deny, line));
    }
    if open {
        files::write(&deny, "a")?;
    }
    let wanted_now = |line: &str| wanted.iter().any(|wanted| wanted == line);
    for line in wanted.iter().filter(|line| open || !now.contains(&line.as_str())) {
        files::write(&allow, line)?;
    }
    for line in now.iter().filter(|line| !open && !wanted_now(line)) {
        files::write(&deny, line)?;
        // What went with it but is wanted comes back: the lines of one device are one to the kernel.
        let device = line.rsplit_once(' ').map_or(*line, |(device, _)| device);
        for again in wanted.iter().filter(|wanted| wanted.starts_with(device)) {
            files::write(&allow, again)?;
        }
    }
    Ok(())
}

/// Makes the rules the filter of a v2 group, in the place of the one that was there.
pub(crate) fn attach(path: &Path, access: &Access) -> Result<(), CgroupError> {
    let fail = |source| CgroupError::Devices { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?;
    let program = bpf::load_device_filter(&program(access)).map_err(fail)?;
    let old = bpf::attached_device_filters(group.as_fd()).map_err(fail)?;
    let replace = if let [only] = old.as_slice() { Some(only.as_fd()) } else { None };
    bpf::attach_device_filter(group.as_fd(), program.as_fd(), replace).map_err(fail)?;
    if replace.is_none() {
        for each in &old {
            bpf::detach_device_filter(group.as_fd(), each.as_fd()).map_err(fail)?;
        }
    }
    Ok(())
}

/// Operations of eBPF that the filter is made of.
mod op {
    pub(super) const LOAD_WORD: u8 = 0x61;
    pub(super) const MOVE: u8 = 0xbc;
    pub(super) const MOVE_CONSTANT: u8 = 0xb7;
    pub(super) const AND_CONSTANT: u8 = 0x54;
    pub(super) const SHIFT_RIGHT: u8 = 0x74;
    pub(super) const JUMP_NOT_EQUAL: u8 = 0x56;
    pub(super) const JUMP_EQUAL: u8 = 0x16;
    pub(super) const EXIT: u8 = 0x95;
}

/// The filter: r2 is the device's kind, r3 the access asked for, r4 and r5 its numbers.
///
/// Each exception is a block that ends with the answer, or is left for the next one. An exception
/// that allows must cover all that is asked for; one that denies need only touch it.
fn program(access: &Access) -> Vec<Instruction> {
    let make =
        |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
    let mut code = vec![
        // struct bpf_cgroup_dev_ctx: access_type, major, minor.
        make(op::LOAD_WORD, 0x12, 0, 0),
        make(op::MOVE, 0x23, 0, 0),
        make(op::AND_CONSTANT, 0x02, 0, 0xffff),
        make(op::SHIFT_RIGHT, 0x03, 0, 16),
        make(op::LOAD_WORD, 0x14, 4, 0),
        make(op::LOAD_WORD, 0x15, 8, 0),
    ];
    for (which, bits) in &access.exceptions {
        let mut checks = vec![(op::JUMP_NOT_EQUAL, 0x02, which.kind as i32)];
        for (register, number) in [(0x04, which.major), (0x05, which.minor)] {
            if let Some(number) = number {
                // The comparison is of 32 bits, whatever their sign.
                checks.push((op::JUMP_NOT_EQUAL, register, number.cast_signed()));
            }
        }
        let asked = if access.allow {
            Some((i32::from(*bits), op::JUMP_EQUAL))
        } else if *bits == ANY {
            None
        } else {
            Some((i32::from(!*bits & ANY), op::JUMP_NOT_EQUAL))
        };
        // After the checks: move, and, jump where access matters; always move and exit.
        let tail: i16 = if asked.is_some() { 5 } else { 2 };
        let mut left = checks.iter().fold(tail, |left, _| left + 1);
        for (jump, register, value) in checks {
            left -= 1;
            code.push(make(jump, register, left, value));
        }
        if let Some((mask, jump)) = asked {
            code.push(make(op::MOVE, 0x31, 0, 0));
            code.push(make(op::AND_CONSTANT, 0x01, 0, mask));
            code.push(make(jump, 0x01, 2, 0));
        }
        code.push(make(op::MOVE_CONSTANT, 0x00, 0, i32::from(!access.allow)));
        code.push(make(op::EXIT, 0, 0, 0));
    }
    code.push(make(op::MOVE_CONSTANT, 0x00, 0, i32::from(access.allow)));
    code.push(make(op::EXIT, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: &str, numbers: (i64, i64), access: &str) -> DeviceRule {
        DeviceRule {
            allow,
            kind: Some(kind.to_owned()),
            major: Some(numbers.0),
            minor: Some(numbers.1),
            access: Some(access.to_owned()),
        }
    }

    fn lines(rules: &[DeviceRule]) -> (bool, Vec<String>) {
        let access = Access::from_rules(rules).unwrap();
        (access.allow, access.exceptions.iter().map(|(which, bits)| line(which, *bits)).collect())
    }

    #[test]
    fn rules_come_to_a_list() {
        let none = rule(false, "a", (-1, -1), "rwm");
        let (allow, list) = lines(&[
            none.clone(),
            rule(true, "c", (1, 3), "r"),
            rule(true, "c", (1, 3), "w"),
            rule(true, "c", (-1, -1), "m"),
            rule(true, "b", (8, 0), "rw"),
            rule(false, "b", (8, 0), "w"),
        ]);
        assert!(!allow);
        assert_eq!(list, ["b 8:0 r", "c *:* m", "c 1:3 rw"]);
        let all = rule(true, "a", (-1, -1), "rwm");
        let (allow, list) = lines(&[none, all, rule(false, "c", (1, 3), "rwm")]);
        assert!(allow);
        assert_eq!(list, ["c 1:3 rwm"]);
        assert_eq!(lines(&[rule(true, "c", (1, 3), "rwm")]), (false, vec!["c 1:3 rwm".to_owned()]));
    }

    #[test]
    fn senseless_rules_are_refused() {
        for bad in [
            rule(true, "x", (1, 3), "r"),
            rule(true, "c", (-2, 3), "r"),
            rule(true, "c", (1, 3), "q"),
        ] {
            assert!(matches!(
                Access::from_rules(std::slice::from_ref(&bad)),
                Err(CgroupError::Invalid { .. })
            ));
        }
    }
}
