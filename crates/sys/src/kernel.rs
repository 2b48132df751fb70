//! Which kernel this is.

/// The oldest that everything works on.
pub const OLDEST: Version = Version(5, 15);

/// A kernel's version: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The running kernel's; zeros where its release tells none.
    #[must_use]
    pub fn running() -> Version {
        Version::of(&rustix::system::uname().release().to_string_lossy())
    }

    /// Words to end an error with: empty, unless the running kernel is older than this version.
    #[must_use]
    pub fn needed(self) -> String {
        let running = Version::running();
        if running < self {
            format!(" (Linux {self} can, this is {running})")
        } else {
            String::new()
        }
    }

    /// That of a release such as `6.18.44-generic`; zeros for what is missing.
    fn of(release: &str) -> Version {
        let mut numbers = release
            .split(|byte: char| !byte.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        Version(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, Version};

    #[test]
    fn releases_are_read() {
        for (release, want) in
            [("6.18.44-fc", (6, 18)), ("6.1-rc3", (6, 1)), ("7", (7, 0)), ("", (0, 0))]
        {
            assert_eq!(Version::of(release), Version(want.0, want.1), "{release}");
        }
        assert_eq!(OLDEST.needed(), "");
        assert!(Version(999, 0).needed().starts_with(" (Linux 999.0 can, this is "));
        assert!(Version(5, 4) < Version(5, 15) && Version(5, 15) < Version(6, 1));
    }
}
