//! `--mount` and `--device` of `RUN`: `key=value` between commas.

use thiserror::Error;

use crate::ast::{Device, Mount, MountType, Sharing};
use crate::csv::{self, CsvError};
use crate::error::did_you_mean;
use crate::expand::{ExpandError, Expander};
use crate::quote::quoted;
use crate::suggest::{Case, closest};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// Why a mount or a device is none, in BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MountError {
    /// Its quotes or commas are wrong.
    #[error("failed to parse csv {what}: {reason}")]
    Csv {
        /// `mounts` or `devices`.
        what: &'static str,
        /// What is wrong.
        reason: CsvError,
    },
    /// A variable's value cannot be had.
    #[error(transparent)]
    Expand(ExpandError),
    /// Stages must be known before variables are.
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    VariableInFrom,
    /// There is no such type.
    #[error("unsupported mount type {}{}", quoted(.value), did_you_mean(.hint.as_deref()))]
    Type {
        /// As written.
        value: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// There is no such way to share.
    #[error("unsupported sharing value {}{}", quoted(.value), did_you_mean(.hint.as_deref()))]
    Sharing {
        /// As written.
        value: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// A key has no value.
    #[error("invalid field '{0}' must be a key=value pair")]
    NotPair(String),
    /// There is no such key.
    #[error("unexpected key '{key}' in '{field}'{}", did_you_mean(.hint.as_deref()))]
    Key {
        /// The key.
        key: String,
        /// The whole field.
        field: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// The key is for other types.
    #[error("unexpected key '{key}' for mount type '{mount_type}'")]
    KeyOfOther {
        /// The key.
        key: &'static str,
        /// The type.
        mount_type: MountType,
    },
    /// Permissions or an owner, for a type that has none.
    #[error("{key} not allowed for {} type mounts", quoted(.mount_type.as_str()))]
    OwnerOfOther {
        /// The key.
        key: &'static str,
        /// The type.
        mount_type: MountType,
    },
    /// A value is neither true nor false, or no size.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A value is no number.
    #[error("invalid value {value} for {key}")]
    Number {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A secret comes of the client alone.
    #[error("secret mount should not have a from")]
    SecretFrom,
    /// A secret is shared with nobody.
    #[error("secret mount should not define sharing")]
    SecretSharing,
    /// Nothing says which secret.
    #[error("invalid secret mount. one of source, target required")]
    SecretWithoutName,
    /// Two things say which secret.
    #[error("both source and id can't be set")]
    SecretOfTwoNames,
    /// Only caches are shared.
    #[error("invalid cache sharing set for {0} mount")]
    SharingOfOther(MountType),
    /// A device has two names.
    #[error("device name already set to {0}")]
    DeviceOfTwoNames(String),
}

impl MountType {
    const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Secret, Self::Ssh, Self::Tmpfs];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

impl std::fmt::Display for MountType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Sharing {
    const ALL: [Self; 3] = [Self::Shared, Self::Private, Self::Locked];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}

/// Checks of a mount what can be while no variable is known.
pub(crate) fn check(text: &str) -> Result<(), MountError> {
    for field in fields(text, "mounts")? {
        let Some((key, value)) = field.split_once('=') else { continue };
        let names_variable = value.find('$').is_some_and(|at| at + 1 < value.len());
        if key.eq_ignore_ascii_case("from") && names_variable {
            return Err(MountError::VariableInFrom);
        }
    }
    Ok(())
}

/// A mount, variables expanded.
pub(crate) fn mount(text: &str, expander: &mut Expander<'_>) -> Result<Mount, MountError> {
    let mut reading = Reading { mount: Mount::default(), read_only: None };
    for field in fields(text, "mounts")? {
        match field.split_once('=') {
            None => reading.word(&field)?,
            Some((key, value)) => {
                let value = expander.word(value).map_err(MountError::Expand)?;
                reading.pair(&key.to_lowercase(), value, &field)?;
            }
        }
    }
    reading.finish()
}

/// A device: its name, and whether it must be there.
pub(crate) fn device(text: &str) -> Result<Device, MountError> {
    let mut device = Device::default();
    for field in fields(text, "devices")? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => device.required = bool_value("required", value)?,
            ("name", Some(value)) if device.name.is_empty() => value.clone_into(&mut device.name),
            ("name", Some(_)) => return Err(MountError::DeviceOfTwoNames(device.name)),
            _ if device.name.is_empty() => device.name = field,
            (_, None) => return Err(MountError::NotPair(field)),
            (key, Some(_)) => {
                let hint = closest(key, ["name", "required"], Case::Counts);
                return Err(MountError::Key { key: key.to_owned(), field, hint });
            }
        }
    }
    Ok(device)
}

fn fields(text: &str, what: &'static str) -> Result<Vec<String>, MountError> {
    csv::fields(text).map_err(|reason| MountError::Csv { what, reason })
}

/// A mount whose fields are being read: what a key means depends on the type so far.
struct Reading {
    mount: Mount,
    read_only: Option<bool>,
}

impl Reading {
    fn word(&mut self, field: &str) -> Result<(), MountError> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => self.required("true")?,
            _ => return Err(MountError::NotPair(field.to_owned())),
        }
        Ok(())
    }

    fn pair(&mut self, key: &str, value: String, field: &str) -> Result<(), MountError> {
        let mount = &mut self.mount;
        match key {
            "type" => mount.mount_type = mount_type(&value)?,
            "from" => mount.from = value,
            "source" | "src" => mount.source = value,
            "target" | "dst" | "destination" => mount.target = value,
            "readonly" | "ro" => self.read_only = Some(bool_value(key, &value)?),
            "readwrite" | "rw" => self.read_only = Some(!bool_value(key, &value)?),
            "required" => self.required(&value)?,
            "size" => self.size(value)?,
            "id" => mount.id = Some(value).filter(|id| !id.is_empty()),
            "sharing" => mount.sharing = Some(sharing(&value)?),
            "mode" => mount.mode = Some(number("mode", value, 8)?),
            "uid" => mount.uid = Some(number("uid", value, 10)?),
            "gid" => mount.gid = Some(number("gid", value, 10)?),
            "env" => mount.env = Some(value),
            _ => {
                let hint = closest(key, KEYS, Case::Counts);
                return Err(MountError::Key { key: key.to_owned(), field: field.to_owned(), hint });
            }
        }
        Ok(())
    }

    fn required(&mut self, value: &str) -> Result<(), MountError> {
        let mount_type = self.mount.mount_type;
        if !matches!(mount_type, MountType::Secret | MountType::Ssh) {
            return Err(MountError::KeyOfOther { key: "required", mount_type });
        }
        self.mount.required = bool_value("required", value)?;
        Ok(())
    }

    fn size(&mut self, value: String) -> Result<(), MountError> {
        let mount_type = self.mount.mount_type;
        if mount_type != MountType::Tmpfs {
            return Err(MountError::KeyOfOther { key: "size", mount_type });
        }
        let bytes = size_bytes(&value);
        let bytes = bytes.ok_or_else(|| MountError::Value { key: "size".to_owned(), value })?;
        self.mount.size_bytes = Some(bytes);
        Ok(())
    }

    fn finish(self) -> Result<Mount, MountError> {
        let Self { mut mount, read_only } = self;
        let mount_type = mount.mount_type;
        let has_owner = matches!(mount_type, MountType::Secret | MountType::Ssh | MountType::Cache);
        for (key, said) in [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)] {
            if said.is_some() && !has_owner {
                return Err(MountError::OwnerOfOther { key, mount_type });
            }
        }
        let writable = matches!(mount_type, MountType::Cache | MountType::Tmpfs);
        mount.read_only = read_only.unwrap_or(!writable);
        if mount_type == MountType::Secret {
            check_secret(&mount)?;
        }
        if mount.env.is_some() && mount_type != MountType::Secret {
            return Err(MountError::KeyOfOther { key: "env", mount_type });
        }
        if mount.sharing.is_some() && mount_type != MountType::Cache {
            return Err(MountError::SharingOfOther(mount_type));
        }
        Ok(mount)
    }
}

fn check_secret(mount: &Mount) -> Result<(), MountError> {
    if !mount.from.is_empty() {
        return Err(MountError::SecretFrom);
    }
    if mount.sharing.is_some() {
        return Err(MountError::SecretSharing);
    }
    if mount.source.is_empty() && mount.target.is_empty() && mount.id.is_none() {
        return Err(MountError::SecretWithoutName);
    }
    if !mount.source.is_empty() && mount.id.is_some() {
        return Err(MountError::SecretOfTwoNames);
    }
    Ok(())
}

fn mount_type(value: &str) -> Result<MountType, MountError> {
    let known = MountType::ALL.into_iter();
    known.clone().find(|known| known.as_str() == value.to_lowercase()).ok_or_else(|| {
        let hint = closest(value, known.map(MountType::as_str), Case::Counts);
        MountError::Type { value: value.to_owned(), hint }
    })
}

fn sharing(value: &str) -> Result<Sharing, MountError> {
    let known = Sharing::ALL.into_iter();
    known.clone().find(|known| known.as_str() == value.to_lowercase()).ok_or_else(|| {
        let hint = closest(value, known.map(Sharing::as_str), Case::Counts);
        MountError::Sharing { value: value.to_owned(), hint }
    })
}

fn number(key: &'static str, value: String, radix: u32) -> Result<u32, MountError> {
    match u32::from_str_radix(&value, radix) {
        Ok(number) if !value.starts_with('+') => Ok(number),
        _ => Err(MountError::Number { key, value }),
    }
}

fn bool_value(key: &str, value: &str) -> Result<bool, MountError> {
    crate::text::go_bool(value)
        .ok_or_else(|| MountError::Value { key: key.to_owned(), value: value.to_owned() })
}

/// Bytes of a size such as `64m`, `1.5GiB` or `1024`; units are powers of 1024.
fn size_bytes(value: &str) -> Option<u64> {
    let lower = value.trim_end().to_lowercase();
    let end = lower.find(|char: char| !(char.is_ascii_digit() || char == '.'));
    let (number, unit) = lower.split_at(end.unwrap_or(lower.len()));
    let unit = unit.trim_start();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let known = ["", "b", "ib"].contains(&unit.get(usize::from(shift > 0)..)?);
    if !known || (shift == 0 && unit == "ib") {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |digits: &str| digits.is_empty() || digits.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // More digits than these are less than a byte, whatever the unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let unit = 1u128 << shift;
    let whole: u128 = format!("0{whole}").parse().ok()?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = format!("0{fraction}").parse::<u128>().ok()? * unit / scale;
    u64::try_from(whole.checked_mul(unit)?.checked_add(part)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("1024", Some(1024)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1.5g", Some((3 << 30) / 2)),
            ("2 k", Some(2048)),
            ("100b", Some(100)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("1ib", None),
            ("-1", None),
            ("1.2.3k", None),
            ("99999999999p", None),
        ] {
            assert_eq!(size_bytes(text), want, "{text:?}");
        }
    }
}
