//! What standard input holds: an archive or a Dockerfile.

use std::io::{self, Read};

/// A tar's block; its first one is a header.
const BLOCK_BYTES: usize = 512;
/// Beginnings of compressed files: gzip, bzip2, xz, zstd.
const MAGICS: &[&[u8]] = &[b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
/// Where a tar header has its checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The first bytes, fewer than a block only if there are no more.
pub(crate) fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(BLOCK_BYTES);
    let limit = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
    reader.take(limit).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether a file that begins so is a tar, compressed or not.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    if MAGICS.iter().any(|magic| head.starts_with(magic)) {
        return true;
    }
    let Some(block) = head.get(..BLOCK_BYTES) else { return false };
    // An archive without entries begins with its end, which is blocks of zeros.
    block.iter().all(|byte| *byte == 0) || checksum_is_right(block)
}

/// The checksum is the sum of a header's bytes, its own field counted as blanks.
fn checksum_is_right(block: &[u8]) -> bool {
    let field = String::from_utf8_lossy(&block[CHECKSUM]);
    let field = field.trim_matches(|char| matches!(char, ' ' | '\0'));
    let Ok(said) = u32::from_str_radix(field, 8) else { return false };
    let blanks = u32::try_from(CHECKSUM.len()).unwrap_or_default() * u32::from(b' ');
    let bytes = block.iter().enumerate().filter(|(at, _)| !CHECKSUM.contains(at));
    bytes.map(|(_, byte)| u32::from(*byte)).sum::<u32>() + blanks == said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_dockerfiles() {
        let mut header = tar::Header::new_old();
        header.set_path("Dockerfile").expect("path");
        header.set_size(0);
        header.set_cksum();
        let mut broken = header.as_bytes().to_vec();
        broken[0] ^= 1;
        for (bytes, want) in [
            (b"FROM scratch\n".to_vec(), false),
            (Vec::new(), false),
            ("# ".repeat(400).into_bytes(), false),
            (header.as_bytes().to_vec(), true),
            (broken, false),
            (vec![0; 1024], true),
            (b"\x1f\x8b\x08more".to_vec(), true),
            (b"BZh9".to_vec(), true),
        ] {
            let head = head(&mut bytes.as_slice()).expect("head");
            assert_eq!(is_archive(&head), want, "{bytes:?}");
        }
    }
}
