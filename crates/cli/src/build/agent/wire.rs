//! Strings and numbers as SSH writes them (RFC 4251, 5), and DER as far as keys need it.

/// Appends a string with its length before it.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a number without sign, given as big-endian bytes.
pub(super) fn mpint(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, &signed(bytes));
}

/// A number without sign in as few bytes as two's complement takes.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let bytes = trimmed(bytes);
    let mut all = Vec::with_capacity(bytes.len() + 1);
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        all.push(0);
    }
    all.extend_from_slice(bytes);
    all
}

/// Big-endian bytes without zeros before them.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// Takes strings and numbers from the front of some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length)
    }

    /// A DER value of this tag.
    pub(super) fn der(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_first_chunk::<2>()?;
        if head[0] != tag {
            return None;
        }
        self.0 = rest;
        let length = match usize::from(head[1]) {
            short @ 0..0x80 => short,
            long => {
                let bytes = self.bytes(long - 0x80).filter(|bytes| bytes.len() <= 4)?;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
        };
        self.bytes(length)
    }
}

/// What is left of one number divided by another, both as big-endian bytes, digit by digit: it is
/// done twice for a key.
pub(super) fn remainder(number: &[u8], divisor: &[u8]) -> Option<Vec<u8>> {
    let divisor = trimmed(divisor);
    if divisor.is_empty() {
        return None;
    }
    // One byte more, since it is doubled before it is reduced.
    let mut left = vec![0_u8; divisor.len() + 1];
    let wide: Vec<u8> = std::iter::once(0).chain(divisor.iter().copied()).collect();
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in left.iter_mut().rev() {
                let next = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = next;
            }
            if left >= wide {
                subtract(&mut left, &wide);
            }
        }
    }
    Some(left)
}

/// Takes one number from another that is not less; both have as many bytes.
pub(super) fn subtract(from: &mut [u8], number: &[u8]) {
    let mut borrow = false;
    for (digit, taken) in from.iter_mut().zip(number).rev() {
        let (once, first) = digit.overflowing_sub(*taken);
        let (twice, second) = once.overflowing_sub(u8::from(borrow));
        *digit = twice;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_divided() {
        let mut out = Vec::new();
        mpint(&mut out, &[0, 0, 0x80]);
        mpint(&mut out, &[0]);
        assert_eq!(out, [0, 0, 0, 2, 0, 0x80, 0, 0, 0, 0]);
        for (number, divisor) in
            [(0_u64, 7_u64), (100, 7), (u64::MAX, 0xffff_ffff_ffff), (5, 1), (255, 256)]
        {
            let left = remainder(&number.to_be_bytes(), &divisor.to_be_bytes()).expect("some");
            let left = left.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            assert_eq!(left, number % divisor, "{number} % {divisor}");
        }
        assert_eq!(remainder(&[1], &[0]), None);
    }

    #[test]
    fn torn_bytes_are_no_value() {
        assert_eq!(Reader(&[0, 0, 0, 2, 1]).string(), None);
        assert_eq!(Reader(&[0x30, 0x81, 0x80]).der(0x30), None);
        assert_eq!(Reader(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]).der(0x30), None);
        assert_eq!(Reader(&[2, 1, 5]).der(2), Some(&[5][..]));
        assert_eq!(Reader(&[2, 1, 5]).der(3), None);
    }
}
