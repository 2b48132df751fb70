//! JSON strings as Docker writes them, and bytes from any JSON string.
//!
//! Docker escapes what Go's encoder does (`<`, `>` and `&` too, U+2028 and U+2029), writes every
//! control character but newline and return as `\u00xx`, and invalid UTF-8 as `\ufffd`.

const BLOCK_BYTES: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Whether a byte stands for itself inside a string.
const PLAIN: [bool; 256] = plain_table();

const fn plain_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table[b'<' as usize] = false;
    table[b'>' as usize] = false;
    table[b'&' as usize] = false;
    table
}

/// Appends `bytes` as the inside of a JSON string.
pub(crate) fn append(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        let plain = plain_prefix(rest);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else { return };
        let taken = if byte < 0x80 { ascii(byte, out) } else { wide(rest, out) };
        rest = &rest[taken..];
    }
}

/// How many bytes at the start stand for themselves. Blocks are judged as a whole first, by
/// comparisons that the compiler makes vector instructions of.
fn plain_prefix(bytes: &[u8]) -> usize {
    let mut done = 0;
    for block in bytes.chunks_exact(BLOCK_BYTES) {
        let special = block.iter().fold(false, |found, &byte| {
            found
                | (byte.wrapping_sub(0x20) >= 0x60)
                | (byte == b'"')
                | (byte == b'\\')
                | (byte == b'&')
                | ((byte & !2) == b'<')
        });
        if special {
            break;
        }
        done += BLOCK_BYTES;
    }
    let rest = &bytes[done..];
    done + rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len())
}

fn ascii(byte: u8, out: &mut Vec<u8>) -> usize {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
    1
}

/// Copies the run of valid wide characters at the start, or marks one invalid byte.
fn wide(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let run = bytes.iter().position(|byte| *byte < 0x80).unwrap_or(bytes.len());
    let (text, broken) = match std::str::from_utf8(&bytes[..run]) {
        Ok(text) => (text, false),
        Err(error) => {
            let valid = error.valid_up_to();
            (std::str::from_utf8(&bytes[..valid]).unwrap_or_default(), true)
        }
    };
    if text.is_empty() && broken {
        out.extend_from_slice(b"\\ufffd");
        return 1;
    }
    for piece in text.split_inclusive(['\u{2028}', '\u{2029}']) {
        let cut = piece.trim_end_matches(['\u{2028}', '\u{2029}']);
        out.extend_from_slice(cut.as_bytes());
        match piece[cut.len()..].chars().next() {
            Some('\u{2028}') => out.extend_from_slice(b"\\u2028"),
            Some(_) => out.extend_from_slice(b"\\u2029"),
            None => {}
        }
    }
    text.len()
}

/// Appends the bytes that the inside of a JSON string stands for; `None` if it is malformed.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let (&kind, after) = rest.split_first()?;
        rest = after;
        match kind {
            b'"' | b'\\' | b'/' => out.push(kind),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => rest = code_point(rest, out)?,
            _ => return None,
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

fn code_point<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let first = hex4(text)?;
    let mut rest = &text[4..];
    let mut code = first;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix(b"\\u").and_then(hex4)
        && (0xdc00..0xe000).contains(&second)
    {
        code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        rest = &rest[6..];
    }
    let mut buffer = [0; 4];
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    Some(rest)
}

fn hex4(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::{append, decode};

    #[test]
    fn escapes_as_docker() {
        for (bytes, want) in [
            (&b"plain\n"[..], "plain\\n"),
            (b"a\tb\r", "a\\u0009b\\r"),
            (b"<&>\"\\", "\\u003c\\u0026\\u003e\\\"\\\\"),
            (b"\x1b[0m\x7f", "\\u001b[0m\x7f"),
            ("grüß 日本".as_bytes(), "grüß 日本"),
            ("a\u{2028}\u{2029}b".as_bytes(), "a\\u2028\\u2029b"),
            (b"\xff\xfea\xc3", "\\ufffd\\ufffda\\ufffd"),
            (b"\xc3\xbc\xc3", "ü\\ufffd"),
            (b"", ""),
        ] {
            let mut out = Vec::new();
            append(bytes, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{bytes:?}");
        }
    }

    #[test]
    fn every_byte_is_judged_alike_alone_and_in_a_block() {
        for byte in 0..=255_u8 {
            let (mut alone, mut inside) = (Vec::new(), Vec::new());
            append(&[byte], &mut alone);
            let mut block = [b'x'; 70];
            block[40] = byte;
            append(&block, &mut inside);
            let want = [&[b'x'; 40][..], &alone, &[b'x'; 29]].concat();
            assert_eq!(inside, want, "{byte:#x}");
        }
    }

    #[test]
    fn decodes_what_any_encoder_writes() {
        for (text, want) in [
            (&br"a\n\t\r\b\f\/\\"[..], Some(&b"a\n\t\r\x08\x0c/\\"[..])),
            (br"\ud83d\ude00!", Some("😀!".as_bytes())),
            (br"\ud83d", Some("\u{fffd}".as_bytes())),
            (br"\u00e4", Some("ä".as_bytes())),
            (br"\u00", None),
            (br"\q", None),
            (b"\\", None),
        ] {
            let mut out = Vec::new();
            let got = decode(text, &mut out).map(|()| out);
            let text = String::from_utf8_lossy(text);
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
