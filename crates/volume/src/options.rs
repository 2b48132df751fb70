//! Options of the local driver.
//!
//! ```text
//! type, device, o   what is mounted, in mount(8)'s words; all of Docker's
//! size              most that it may hold: project quota, or a tmpfs' own limit
//! uid, gid, mode    owner and permission bits of its top directory; ours
//! ```

use std::collections::BTreeMap;

use crate::VolumeError;

/// Options of a local volume, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalOptions {
    /// File system type.
    pub(crate) kind: String,
    /// What is mounted.
    pub(crate) device: String,
    /// Mount options.
    pub(crate) o: String,
    /// Most that it may hold, in bytes; 0 is no limit.
    pub(crate) size_bytes: u64,
    /// Owner of the top directory.
    pub(crate) uid: Option<u32>,
    /// Group of the top directory.
    pub(crate) gid: Option<u32>,
    /// Permission bits of the top directory.
    pub(crate) mode: Option<u32>,
}

impl LocalOptions {
    /// Reads and checks the options of the volume `name`.
    pub(crate) fn read(
        name: &str,
        options: Option<&BTreeMap<String, String>>,
    ) -> Result<Self, VolumeError> {
        let mut read = Self::default();
        let Some(options) = options else { return Ok(read) };
        for (option, value) in options {
            let bad = || VolumeError::BadValue {
                name: name.to_owned(),
                option: option.clone(),
                value: value.clone(),
            };
            match option.as_str() {
                "type" => read.kind.clone_from(value),
                "device" => read.device.clone_from(value),
                "o" => read.o.clone_from(value),
                "size" => read.size_bytes = bytes(value).ok_or_else(bad)?,
                "uid" => read.uid = Some(value.parse().map_err(|_| bad())?),
                "gid" => read.gid = Some(value.parse().map_err(|_| bad())?),
                "mode" => {
                    let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    read.mode = Some(mode.ok_or_else(bad)?);
                }
                _ => {
                    let (name, option) = (name.to_owned(), option.clone());
                    return Err(VolumeError::BadOption { name, option });
                }
            }
        }
        read.check(name, options)?;
        Ok(read)
    }

    fn check(&self, name: &str, options: &BTreeMap<String, String>) -> Result<(), VolumeError> {
        let needs: [(&str, &[&str]); 3] =
            [("device", &["type"]), ("type", &["device"]), ("o", &["device", "type"])];
        for (option, needed) in needs {
            let missing = needed.iter().find(|needed| !options.contains_key(**needed));
            if options.contains_key(option)
                && let Some(missing) = missing
            {
                let (name, option) = (name.to_owned(), (*missing).to_owned());
                return Err(VolumeError::MissingOption { name, option });
            }
        }
        // The owner of somebody else's directory is not ours to change.
        let foreign = self.is_bind() || matches!(self.kind.as_str(), "nfs" | "nfs4" | "cifs");
        let own = [
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
            ("mode", self.mode.is_some()),
            ("size", self.size_bytes > 0),
        ];
        match own.iter().find(|(_, given)| *given && foreign) {
            Some((option, _)) => Err(VolumeError::ForeignOption {
                name: name.to_owned(),
                option: (*option).to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Whether something has to be mounted before it can be used.
    pub(crate) fn is_mounted(&self) -> bool {
        !self.device.is_empty() || !self.kind.is_empty()
    }

    /// Whether it is a directory of the host.
    fn is_bind(&self) -> bool {
        self.o.split(',').any(|word| word == "bind" || word == "rbind")
    }

    /// Whether the kernel keeps it in memory.
    pub(crate) fn is_tmpfs(&self) -> bool {
        self.kind == "tmpfs"
    }
}

/// A size as Docker takes it: a number, with or without a fraction, and a unit of powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    // A float's cast saturates, so what is beyond u64 is the largest.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and less than a byte is lost"
    )]
    Some((number * 1024f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<LocalOptions, String> {
        let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LocalOptions::read("x1", Some(&options)).map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_options_get_dockers_words() {
        for (options, want) in [
            (&[("foo", "bar")][..], "create x1: invalid option: \"foo\""),
            (&[("type", "tmpfs")], "create x1: missing required option: \"device\""),
            (&[("device", "tmpfs")], "create x1: missing required option: \"type\""),
            (&[("o", "size=1m")], "create x1: missing required option: \"device\""),
            (&[("size", "abc")], "create x1: invalid size: 'abc'"),
            (&[("uid", "x")], "create x1: invalid uid: 'x'"),
            (&[("mode", "9")], "create x1: invalid mode: '9'"),
            (
                &[("type", "none"), ("device", "/x"), ("o", "bind"), ("uid", "1")],
                "create x1: option \"uid\" does not go with a mount of another's files",
            ),
        ] {
            assert_eq!(read(options).unwrap_err(), want);
        }
    }

    #[test]
    fn right_options_are_read() {
        let got = read(&[("uid", "5"), ("mode", "1750"), ("size", "1.5k")]).unwrap();
        assert_eq!((got.uid, got.mode, got.size_bytes), (Some(5), Some(0o1750), 1536));
        assert!(!got.is_mounted());
        let got = read(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]).unwrap();
        assert!(got.is_mounted() && got.is_tmpfs() && got.o == "size=1m");
    }

    #[test]
    fn sizes_are_read() {
        for (text, want) in [
            ("10", Some(10)),
            ("10b", Some(10)),
            ("2k", Some(2048)),
            ("2KiB", Some(2048)),
            ("1 GB", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("1x", None),
            ("-1", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }
}
