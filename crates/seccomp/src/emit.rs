//! Code generation.
//!
//! Jumps of classic BPF only go forward, so the program is written from its end: what a jump leads
//! to is there before the jump. A system call number is found by bisection over ranges of numbers
//! that fare alike, so that a call costs about seven comparisons whatever its number, and the
//! kernel's cache of always-allowed calls understands all of it.

use crate::numbers::{Abi, X32_BIT};
use crate::profile::{Compare, Condition, ENOSYS, Outcome, Profile, Rule, Table};
use crate::program::{Program, SockFilter, op};
use crate::{SeccompError, action, arch};

/// A place in the program: how many instructions there are from it to the end.
type Label = usize;

/// What a range of numbers leads to.
#[derive(Clone, PartialEq, Eq)]
enum Leaf {
    Return(u32),
    /// The block of the outcome at this place of the table.
    Block(usize),
}

/// Offset of the architecture in `struct seccomp_data`.
const ARCH: u32 = 4;

/// Makes the program of a profile.
pub(crate) fn emit(profile: &Profile) -> Result<Program, SeccompError> {
    let mut code = Code { reversed: Vec::with_capacity(512), returns: Vec::new() };
    let find = |abi| profile.tables.iter().find(|table| table.abi == abi);
    // A call of an architecture that the profile does not name ends the thread.
    let mut next = code.ret(action::KILL_THREAD);
    for (audit, plain, x32) in [
        (arch::ARM, find(Abi::Arm), None),
        (arch::AARCH64, find(Abi::Aarch64), None),
        (arch::I386, find(Abi::X86), None),
        (arch::X86_64, find(Abi::X86_64), Some(find(Abi::X32))),
    ] {
        if plain.is_none() && x32.flatten().is_none() {
            continue;
        }
        let ranges = ranges(profile.default, plain, x32);
        let section = code.section(profile.default, plain, x32.flatten(), &ranges);
        next = code.jump(op::EQUAL, audit, section, next);
    }
    code.goto(next);
    code.push(op::LOAD, ARCH);
    code.reversed.reverse();
    Program::new(code.reversed, profile.flags)
}

/// What all numbers of an architecture lead to: the first number of each range, ascending from 0.
fn ranges(default: u32, plain: Option<&Table>, x32: Option<Option<&Table>>) -> Vec<(u32, Leaf)> {
    let mut ranges = Vec::with_capacity(128);
    let kill = Leaf::Return(action::KILL_THREAD);
    match plain {
        Some(table) => fill(&mut ranges, 0, default, table, 0),
        None => add(&mut ranges, 0, kill.clone()),
    }
    match x32 {
        Some(Some(table)) => {
            let before = plain.map_or(0, |table| table.calls.len());
            fill(&mut ranges, X32_BIT, default, table, before);
        }
        Some(None) => {
            add(&mut ranges, X32_BIT, kill);
            // -1 is what a tracer makes of a call to be skipped, no call of the x32 ABI.
            add(&mut ranges, u32::MAX, Leaf::Return(default));
        }
        None => {}
    }
    ranges
}

fn fill(ranges: &mut Vec<(u32, Leaf)>, base: u32, default: u32, table: &Table, offset: usize) {
    add(ranges, base, Leaf::Return(default));
    for (place, (number, outcome)) in table.calls.iter().enumerate() {
        let leaf = match outcome {
            Outcome::Always(code) => Leaf::Return(*code),
            Outcome::Rules(_) => {
                // Calls with the same rules share one block.
                let same = table.calls[..place].iter().position(|(_, other)| other == outcome);
                Leaf::Block(offset + same.unwrap_or(place))
            }
        };
        add(ranges, *number, leaf);
        add(ranges, number + 1, Leaf::Return(default));
    }
    if let Some(newest) = table.newest {
        add(ranges, newest + 1, Leaf::Return(action::ERRNO | ENOSYS));
    }
}

/// Starts a range at a number; a range of no length gives way, and equal neighbours become one.
fn add(ranges: &mut Vec<(u32, Leaf)>, start: u32, leaf: Leaf) {
    if ranges.last().is_some_and(|(last, _)| *last == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != leaf) {
        ranges.push((start, leaf));
    }
}

/// The program so far, last instruction first.
struct Code {
    reversed: Vec<SockFilter>,
    /// The nearest return of each action.
    returns: Vec<(u32, Label)>,
}

impl Code {
    /// The code of one architecture: loads the number and finds what it leads to.
    fn section(
        &mut self,
        default: u32,
        plain: Option<&Table>,
        x32: Option<&Table>,
        ranges: &[(u32, Leaf)],
    ) -> Label {
        let tables = [(plain, true), (x32, false)];
        let outcomes: Vec<(&Outcome, bool)> = tables
            .iter()
            .filter_map(|(table, wide)| table.map(|table| (table, *wide)))
            .flat_map(|(table, wide)| {
                let wide = wide && matches!(table.abi, Abi::X86_64 | Abi::Aarch64);
                table.calls.iter().map(move |(_, outcome)| (outcome, wide))
            })
            .collect();
        let mut blocks = Vec::new();
        self.bisect(ranges, &mut |code, leaf| match leaf {
            Leaf::Return(action) => code.ret(*action),
            Leaf::Block(place) => {
                if let Some((_, label)) = blocks.iter().find(|(known, _)| known == place) {
                    return *label;
                }
                let (outcome, wide) = outcomes[*place];
                let label = match outcome {
                    Outcome::Always(action) => code.ret(*action),
                    Outcome::Rules(rules) => code.rules(rules, default, wide),
                };
                blocks.push((*place, label));
                label
            }
        });
        self.push(op::LOAD, 0)
    }

    /// A comparison tree over ranges; its first instruction is the last one made.
    fn bisect(
        &mut self,
        ranges: &[(u32, Leaf)],
        leaf: &mut dyn FnMut(&mut Code, &Leaf) -> Label,
    ) -> Label {
        match ranges {
            // The slice is never empty: ranges start at 0.
            [] => self.ret(action::KILL_THREAD),
            [(_, only)] => {
                let label = leaf(self, only);
                self.goto(label)
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let above = self.side(high, leaf);
                let below = self.side(low, leaf);
                self.jump(op::AT_LEAST, high[0].0, above, below)
            }
        }
    }

    /// One side of a comparison: a leaf needs no instruction of its own.
    fn side(
        &mut self,
        ranges: &[(u32, Leaf)],
        leaf: &mut dyn FnMut(&mut Code, &Leaf) -> Label,
    ) -> Label {
        if let [(_, only)] = ranges { leaf(self, only) } else { self.bisect(ranges, leaf) }
    }

    /// Rules in order, then the default action.
    fn rules(&mut self, rules: &[Rule], default: u32, wide: bool) -> Label {
        let mut next = self.ret(default);
        for rule in rules.iter().rev() {
            let mut hit = self.ret(rule.action);
            for condition in rule.conditions.iter().rev() {
                hit = self.condition(condition, hit, next, wide);
            }
            next = hit;
        }
        next
    }

    /// One condition: on to `hit` when it holds, else to `miss`. 32-bit ABIs have no upper half.
    fn condition(&mut self, on: &Condition, hit: Label, miss: Label, wide: bool) -> Label {
        let (code, hit, miss) = match on.compare {
            Compare::Equal | Compare::Masked(_) => (op::EQUAL, hit, miss),
            Compare::NotEqual => (op::EQUAL, miss, hit),
            Compare::Greater => (op::GREATER, hit, miss),
            Compare::LessOrEqual => (op::GREATER, miss, hit),
            Compare::GreaterOrEqual => (op::AT_LEAST, hit, miss),
            Compare::Less => (op::AT_LEAST, miss, hit),
        };
        let mask = if let Compare::Masked(mask) = on.compare { mask } else { u64::MAX };
        let lower = 16 + u32::from(on.index) * 8;
        let upper = lower + 4;
        let (lower, upper) =
            if cfg!(target_endian = "big") { (upper, lower) } else { (lower, upper) };
        let (high, low) = halves(on.value);
        let (mask_high, mask_low) = halves(mask);
        let mut at = self.jump(code, low, hit, miss);
        at = self.load(at, lower, mask_low);
        if !wide || mask_high == 0 {
            return at;
        }
        // The upper halves decide unless they are equal.
        at = self.jump(op::EQUAL, high, at, miss);
        if code != op::EQUAL {
            at = self.jump(op::GREATER, high, hit, at);
        }
        self.load(at, upper, mask_high)
    }

    /// Loads a word, masked, before the code at a label.
    fn load(&mut self, then: Label, offset: u32, mask: u32) -> Label {
        self.goto(then);
        if mask != u32::MAX {
            self.push(op::AND, mask);
        }
        self.push(op::LOAD, offset)
    }

    /// A return that a jump made next can reach: an old one, or a new one where that is too far.
    fn ret(&mut self, action: u32) -> Label {
        let here = self.reversed.len();
        // Two instructions may come between, a trampoline and the jump's own other side.
        let near = |label: Label| here - label < usize::from(u8::MAX) - 4;
        if let Some((_, label)) = self.returns.iter().find(|(a, l)| *a == action && near(*l)) {
            return *label;
        }
        let label = self.push(op::RETURN, action);
        self.returns.retain(|(known, _)| *known != action);
        self.returns.push((action, label));
        label
    }

    /// A comparison with two ways on.
    fn jump(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        let no = self.reachable(no, 1);
        let yes = self.reachable(yes, 0);
        let here = self.reversed.len();
        // `reachable` saw to it that both fit; a program too long for that fails its check.
        let skip = |label: Label| u8::try_from(here - label).unwrap_or(u8::MAX);
        self.reversed.push(SockFilter { code, jt: skip(yes), jf: skip(no), k });
        self.reversed.len()
    }

    /// A label within reach of a conditional jump that comes after `more` further instructions.
    fn reachable(&mut self, label: Label, more: usize) -> Label {
        if self.reversed.len() + more - label <= usize::from(u8::MAX) {
            return label;
        }
        let far = self.reversed[label - 1];
        if far.code == op::RETURN {
            return self.ret(far.k);
        }
        self.long(label)
    }

    /// Makes the next instruction be followed by the code at a label.
    fn goto(&mut self, label: Label) -> Label {
        if label == self.reversed.len() {
            return label;
        }
        let target = self.reversed[label - 1];
        if target.code == op::RETURN { self.push(op::RETURN, target.k) } else { self.long(label) }
    }

    fn long(&mut self, label: Label) -> Label {
        let skip = self.reversed.len() - label;
        // Programs over 4096 instructions are refused at the end, so the distance always fits.
        self.push(op::JUMP, u32::try_from(skip).unwrap_or(u32::MAX))
    }

    fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(SockFilter { code, jt: 0, jf: 0, k });
        self.reversed.len()
    }
}

/// Upper and lower 32 bits.
fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
