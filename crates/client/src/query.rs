//! Query strings and path segments.

/// A query string under construction.
#[derive(Debug, Clone, Default)]
pub struct Query(String);

impl Query {
    /// An empty query.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&escape(value.as_ref(), false));
        self
    }

    /// Adds a pair if there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds `name=1` if `value` is true.
    #[must_use]
    pub fn with_flag(self, name: &str, value: bool) -> Self {
        if value { self.with(name, "1") } else { self }
    }

    /// The text with its question mark; empty if nothing was added.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Escapes a name for use inside a path; slashes stay, since image names have them.
pub(crate) fn segment(name: &str) -> String {
    escape(name, true)
}

fn escape(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if plain || (path && matches!(byte, b'/' | b':' | b'@')) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_must_be() {
        let query = Query::new().with("a", "x y/ü").with_flag("b", true).with_flag("c", false);
        assert_eq!(query.as_str(), "?a=x%20y%2F%C3%BC&b=1");
        assert_eq!(segment("host:5000/a b@sha256:1"), "host:5000/a%20b@sha256:1");
    }
}
