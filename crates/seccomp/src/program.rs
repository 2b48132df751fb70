//! A compiled filter.

use crate::SeccompError;

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
    /// Flags of `seccomp(SECCOMP_SET_MODE_FILTER)`; with `SECCOMP_FILTER_FLAG_NEW_LISTENER` (8) the
    /// call answers the descriptor to send to the profile's listener.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }
    /// The same program with other flags.
    #[must_use]
    pub fn with_flags(self, flags: u32) -> Program {
        Program { flags, ..self }
    }
    /// The instructions as the kernel reads them: native-endian `struct sock_filter`s.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads [`Self::to_bytes`] back, with no flags.
    ///
    /// # Errors
    /// [`SeccompError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Program, SeccompError> {
        todo!()
    }
}
