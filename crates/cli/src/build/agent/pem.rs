//! The PEM armour of private keys.

use base64::Engine as _;

/// What is in the armour.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pem {
    /// Such as `OPENSSH PRIVATE KEY`.
    pub(super) label: String,
    pub(super) bytes: Vec<u8>,
    /// A header says that it is encrypted.
    pub(super) encrypted: bool,
}

/// Takes the first armour of a text apart.
pub(super) fn parse(text: &[u8]) -> Option<Pem> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().map(str::trim);
    let label = lines.find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))?;
    let end = format!("-----END {label}-----");
    let (mut body, mut encrypted, mut ended) = (String::new(), false, false);
    for line in lines {
        if line == end {
            ended = true;
            break;
        }
        match line.split_once(':') {
            Some(("Proc-Type", kind)) => encrypted = kind.contains("ENCRYPTED"),
            Some(_) => {}
            None => body.push_str(line),
        }
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    ended.then(|| Pem { label: label.to_owned(), bytes, encrypted })
}
