//! Container names: which are allowed, and how one is made up when none is given.

use std::fmt::Write as _;

/// Adjectives of generated names.
const ADJECTIVES: &[&str] = &[
    "agile", "amber", "ample", "apt", "ardent", "astute", "avid", "balmy", "blithe", "bold",
    "brave", "breezy", "bright", "brisk", "calm", "candid", "careful", "cheery", "civil", "clear",
    "clever", "cosmic", "crisp", "curious", "dapper", "daring", "deft", "devoted", "eager",
    "earnest", "easy", "elated", "eloquent", "epic", "fair", "faithful", "fearless", "fleet",
    "fluent", "fond", "frank", "free", "fresh", "friendly", "gallant", "gentle", "gifted", "glad",
    "golden", "graceful", "grand", "hardy", "hearty", "helpful", "honest", "hopeful", "humble",
    "jolly", "jovial", "keen", "kind", "light", "lively", "loyal", "lucid", "lucky", "mellow",
    "merry", "mighty", "mindful", "modest", "neat", "nimble", "noble", "patient", "placid",
    "plucky", "polite", "prompt", "proud", "quick", "quiet", "radiant", "rapid", "ready", "robust",
    "serene", "sharp", "silent", "sincere", "smooth", "snug", "solid", "spry", "stable", "steady",
    "sturdy", "sunny", "swift", "tender", "tidy", "tranquil", "trusty", "upbeat", "valiant",
    "vivid", "warm", "wise", "witty", "zesty",
];

/// People whose work containers, networks and computing stand on.
const SURNAMES: &[&str] = &[
    "agnesi",
    "ampere",
    "apgar",
    "babbage",
    "baran",
    "bardeen",
    "bell",
    "berners",
    "bernoulli",
    "bessel",
    "bohr",
    "boole",
    "born",
    "bose",
    "brahe",
    "brattain",
    "burnell",
    "cannon",
    "cantor",
    "cauchy",
    "cerf",
    "chandra",
    "church",
    "clarke",
    "codd",
    "cori",
    "curie",
    "dalton",
    "davies",
    "dijkstra",
    "dirac",
    "easley",
    "edison",
    "einstein",
    "engelbart",
    "erdos",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "floyd",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "godel",
    "goodall",
    "gray",
    "hamilton",
    "hamming",
    "hardy",
    "hawking",
    "heisenberg",
    "herschel",
    "hertz",
    "hilbert",
    "hoare",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "jansky",
    "johnson",
    "joule",
    "kahn",
    "kepler",
    "kernighan",
    "khayyam",
    "knuth",
    "kolmogorov",
    "lagrange",
    "lamarr",
    "lamport",
    "laplace",
    "leavitt",
    "leibniz",
    "liskov",
    "lovelace",
    "maxwell",
    "mccarthy",
    "meitner",
    "mendel",
    "metcalfe",
    "minsky",
    "napier",
    "naur",
    "newton",
    "noether",
    "nyquist",
    "ohm",
    "pascal",
    "pasteur",
    "pauli",
    "planck",
    "poincare",
    "postel",
    "ptolemy",
    "ramanujan",
    "riemann",
    "ritchie",
    "rivest",
    "rubin",
    "sagan",
    "shannon",
    "sinoussi",
    "sutherland",
    "tarjan",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "vonneumann",
    "wiener",
    "wilkes",
    "wilson",
    "wirth",
    "wu",
    "yonath",
    "zuse",
];

/// Tries before a number is put behind a generated name.
const PLAIN_TRIES: usize = 6;

/// Whether Docker takes `name` (without the leading slash): `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// A name that `taken` does not know.
pub(crate) fn generate(mut taken: impl FnMut(&str) -> bool) -> String {
    for attempt in 0.. {
        let bits = random_u64();
        let adjective = pick(ADJECTIVES, bits);
        let surname = pick(SURNAMES, bits >> 32);
        let mut name = format!("{adjective}_{surname}");
        if attempt >= PLAIN_TRIES {
            let _ = write!(name, "{}", bits >> 16 & 0xffff);
        }
        if !taken(&name) {
            return name;
        }
    }
    unreachable!("the loop has no end")
}

/// A new container, exec or volume id: 64 hexadecimal digits that are not all decimal in the
/// first twelve, since a host name of digits alone reads as an address.
pub(crate) fn new_id() -> String {
    loop {
        let mut id = String::with_capacity(64);
        for _ in 0..4 {
            let _ = write!(id, "{:016x}", random_u64());
        }
        if id.as_bytes()[..12].iter().any(|b| !b.is_ascii_digit()) {
            return id;
        }
    }
}

fn pick<'a>(words: &[&'a str], bits: u64) -> &'a str {
    let index = (bits & 0xffff) % words.len() as u64;
    words[usize::try_from(index).unwrap_or(0)]
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the kernel's random source is there from boot on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_pattern() {
        for (name, want) in [
            ("web", true),
            ("w", false),
            ("", false),
            ("a1", true),
            ("_web", false),
            ("web/1", false),
            ("a.b-c_d", true),
            ("é1", false),
            ("-x", false),
        ] {
            assert_eq!(is_valid(name), want, "{name}");
        }
    }

    #[test]
    fn generated_names_are_valid_and_avoid_taken_ones() {
        let mut calls = 0;
        let name = generate(|_| {
            calls += 1;
            calls < 12
        });
        assert!(is_valid(&name), "{name}");
        assert!(name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
        assert!(is_valid(&generate(|_| false)));
    }

    #[test]
    fn words_are_sorted_and_unique() {
        for words in [ADJECTIVES, SURNAMES] {
            assert!(words.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn ids_have_64_hex_digits() {
        let id = new_id();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
