//! A compiled filter: its instructions, its flags, its file format, and an interpreter of it.

use crate::SeccompError;

/// The longest program that the kernel takes: `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction of classic BPF: `struct sock_filter`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// What a filter looks at: `struct seccomp_data`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Call {
    /// System call number.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Arguments.
    pub args: [u64; 6],
}

/// A compiled filter and the flags to install it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<SockFilter>,
    flags: u32,
}

impl Program {
    /// The instructions, for `struct sock_fprog`.
    #[must_use]
    pub fn instructions(&self) -> &[SockFilter] {
        &self.instructions
    }

    /// Flags of `seccomp(SECCOMP_SET_MODE_FILTER)`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether installing it answers the descriptor that the profile's listener is to be sent:
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    #[must_use]
    pub fn has_listener(&self) -> bool {
        self.flags & crate::flags::NEW_LISTENER != 0
    }

    /// The same program with other flags.
    #[must_use]
    pub fn with_flags(self, flags: u32) -> Program {
        Program { flags, ..self }
    }

    /// The instructions as the kernel reads them: native-endian `struct sock_filter`s.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.instructions.len() * 8);
        for each in &self.instructions {
            bytes.extend_from_slice(&each.code.to_ne_bytes());
            bytes.extend_from_slice(&[each.jt, each.jf]);
            bytes.extend_from_slice(&each.k.to_ne_bytes());
        }
        bytes
    }

    /// Reads [`Self::to_bytes`] back, with no flags. The program is checked as the kernel would, so
    /// that a damaged cache file is found before a container is made.
    ///
    /// # Errors
    /// [`SeccompError::Malformed`] and [`SeccompError::TooLong`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Program, SeccompError> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(SeccompError::Malformed("its size is not a multiple of 8"));
        }
        let instructions = chunks
            .iter()
            .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| SockFilter {
                code: u16::from_ne_bytes([c0, c1]),
                jt,
                jf,
                k: u32::from_ne_bytes([k0, k1, k2, k3]),
            })
            .collect();
        Program::new(instructions, 0)
    }

    /// What the filter answers to a call: a `SECCOMP_RET_*` action and its data.
    ///
    /// For tests and for explaining a profile; the kernel runs the real thing.
    #[must_use]
    pub fn evaluate(&self, call: &Call) -> u32 {
        let (mut at, mut a) = (0, 0_u32);
        while let Some(each) = self.instructions.get(at) {
            at += 1;
            let k = each.k;
            let taken = match each.code {
                op::LOAD => {
                    a = call.word(k);
                    continue;
                }
                op::AND => {
                    a &= k;
                    continue;
                }
                op::JUMP => {
                    at += k as usize;
                    continue;
                }
                op::RETURN => return k,
                op::EQUAL => a == k,
                op::GREATER => a > k,
                op::AT_LEAST => a >= k,
                _ => a & k != 0,
            };
            at += usize::from(if taken { each.jt } else { each.jf });
        }
        // `new` lets no program run off its end.
        crate::action::KILL_PROCESS
    }

    /// Checks the instructions: known ones only, jumps inside, a return at the end.
    pub(crate) fn new(instructions: Vec<SockFilter>, flags: u32) -> Result<Program, SeccompError> {
        let length = instructions.len();
        if length > MAX_INSTRUCTIONS {
            return Err(SeccompError::TooLong(length));
        }
        if instructions.last().is_none_or(|last| last.code != op::RETURN) {
            return Err(SeccompError::Malformed("it does not end with a return"));
        }
        for (at, each) in instructions.iter().enumerate() {
            let reach = match each.code {
                op::LOAD if each.k % 4 == 0 && each.k < 64 => 0,
                op::AND | op::RETURN => 0,
                op::JUMP => each.k as usize,
                op::EQUAL | op::GREATER | op::AT_LEAST | op::ANY_BIT => {
                    usize::from(each.jt.max(each.jf))
                }
                _ => return Err(SeccompError::Malformed("it has an unknown instruction")),
            };
            if at + reach >= length {
                return Err(SeccompError::Malformed("a jump leaves it"));
            }
        }
        Ok(Program { instructions, flags })
    }
}

impl Call {
    /// The 32-bit word at an offset of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8].to_ne_bytes();
                let (words, _) = arg.as_chunks::<4>();
                u32::from_ne_bytes(words[(offset as usize / 4) % 2])
            }
            _ => 0,
        }
    }
}

/// Operations of classic BPF that filters are made of.
pub(crate) mod op {
    /// `BPF_LD | BPF_W | BPF_ABS`.
    pub(crate) const LOAD: u16 = 0x20;
    /// `BPF_ALU | BPF_AND | BPF_K`.
    pub(crate) const AND: u16 = 0x54;
    /// `BPF_JMP | BPF_JA`.
    pub(crate) const JUMP: u16 = 0x05;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub(crate) const EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JGT | BPF_K`.
    pub(crate) const GREATER: u16 = 0x25;
    /// `BPF_JMP | BPF_JGE | BPF_K`.
    pub(crate) const AT_LEAST: u16 = 0x35;
    /// `BPF_JMP | BPF_JSET | BPF_K`.
    pub(crate) const ANY_BIT: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub(crate) const RETURN: u16 = 0x06;
}
