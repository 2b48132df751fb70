//! Names that say that a variable is secret.

/// Words of which one makes a name secret.
const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Words of which one says that it is not the secret itself.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether a variable of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            ("API_KEY", true),
            ("database_password", true),
            ("AUTH", true),
            ("secret_message", true),
            ("A_TOKEN_B", true),
            ("PUBLIC_KEY", false),
            ("KEY_FILE", false),
            ("TOKEN_VERSION", false),
            ("AUTHOR", false),
            ("MONKEY", false),
            ("", false),
        ] {
            assert_eq!(is_secret(name), want, "{name}");
        }
    }
}
