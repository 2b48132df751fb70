//! The options of the log drivers, read as dockerd reads them.

use std::collections::BTreeMap;

use crate::config::{AttrKeys, LogConfigError, LogFile};

const LOCAL_MAX_SIZE_BYTES: u64 = 20 * 1024 * 1024;
const LOCAL_MAX_FILES: u32 = 5;

/// Checks `mode` and its buffer. Both modes block here: the shim's buffers are bounded, and it
/// never drops a line.
pub(crate) fn check_mode(options: &BTreeMap<String, String>) -> Result<(), LogConfigError> {
    let mode = options.get("mode").map_or("", String::as_str);
    match mode {
        "" | "blocking" if options.contains_key("max-buffer-size") => {
            Err(LogConfigError::BufferSize)
        }
        "" | "blocking" => Ok(()),
        "non-blocking" => {
            options.get("max-buffer-size").map_or(Ok(()), |text| size(text).map(drop))
        }
        other => Err(LogConfigError::Mode(other.to_owned())),
    }
}

/// Reads the options of `json-file`.
pub(crate) fn json_file(options: &BTreeMap<String, String>) -> Result<LogFile, LogConfigError> {
    let mut file = LogFile { max_files: 1, ..LogFile::default() };
    for (name, value) in options {
        match name.as_str() {
            "max-size" => file.max_size_bytes = size_or_none(value)?,
            "max-file" => file.max_files = count(value)?,
            "compress" => file.compress = boolean(value)?,
            "labels" => file.keys.labels = names(value),
            "labels-regex" => file.keys.labels_regex = Some(value.clone()),
            "env" => file.keys.env = names(value),
            "env-regex" => file.keys.env_regex = Some(value.clone()),
            "tag" => file.keys.tag = Some(value.clone()),
            "mode" | "max-buffer-size" => {}
            other => return Err(LogConfigError::JsonFileOption(other.to_owned())),
        }
    }
    if file.compress && (file.max_files == 1 || file.max_size_bytes.is_none()) {
        return Err(LogConfigError::Value(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
                .to_owned(),
        ));
    }
    Ok(file)
}

/// Reads the options of `local`: rotated and compressed unless told otherwise.
pub(crate) fn local(options: &BTreeMap<String, String>) -> Result<LogFile, LogConfigError> {
    let mut file = LogFile {
        max_size_bytes: Some(LOCAL_MAX_SIZE_BYTES),
        max_files: LOCAL_MAX_FILES,
        compress: true,
        ..LogFile::default()
    };
    for (name, value) in options {
        match name.as_str() {
            "max-size" => file.max_size_bytes = Some(size(value)?),
            "max-file" => file.max_files = count(value)?,
            "compress" => file.compress = boolean(value)?,
            "labels" | "env" | "labels-regex" | "env-regex" | "tag" => {
                keep_key(&mut file.keys, name, value);
            }
            "mode" | "max-buffer-size" => {}
            other => return Err(LogConfigError::LocalOption(other.to_owned())),
        }
    }
    if file.compress && file.max_files < 2 {
        return Err(LogConfigError::Value(
            "compression cannot be enabled when max file count is 1".to_owned(),
        ));
    }
    Ok(file)
}

fn keep_key(keys: &mut AttrKeys, name: &str, value: &str) {
    match name {
        "labels" => keys.labels = names(value),
        "env" => keys.env = names(value),
        "labels-regex" => keys.labels_regex = Some(value.to_owned()),
        "env-regex" => keys.env_regex = Some(value.to_owned()),
        _ => keys.tag = Some(value.to_owned()),
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn boolean(value: &str) -> Result<bool, LogConfigError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(LogConfigError::Value(format!(
            "strconv.ParseBool: parsing {other:?}: invalid syntax"
        ))),
    }
}

fn count(value: &str) -> Result<u32, LogConfigError> {
    let number: i64 = value.parse().map_err(|_| {
        LogConfigError::Value(format!("strconv.Atoi: parsing {value:?}: invalid syntax"))
    })?;
    match u32::try_from(number) {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err(LogConfigError::Value("max-file cannot be less than 1".to_owned())),
    }
}

fn size_or_none(value: &str) -> Result<Option<u64>, LogConfigError> {
    if value == "-1" { Ok(None) } else { size(value).map(Some) }
}

/// Sizes as go-units reads them: a decimal number and a binary unit (`10m`, `1.5GiB`, `512 kb`).
fn size(value: &str) -> Result<u64, LogConfigError> {
    let invalid = || LogConfigError::Value(format!("invalid size: '{value}'"));
    let split = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(invalid()),
    };
    // A float's cast saturates, so a size beyond u64 is the largest one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = (number * (1_u64 << shift) as f64) as u64;
    if bytes == 0 {
        return Err(LogConfigError::Value("max-size must be a positive number".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{local, size};
    use crate::LogConfig;
    use std::collections::BTreeMap;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn sizes_are_read_as_go_units_does() {
        for (text, want) in [
            ("10", Some(10)),
            ("10k", Some(10 << 10)),
            ("10KB", Some(10 << 10)),
            ("1.5m", Some(3 << 19)),
            ("2 GiB", Some(2 << 30)),
            ("0", None),
            ("-1", None),
            ("ten", None),
            ("10x", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn wrong_options_get_dockers_words() {
        macro_rules! late {
            ($text:literal) => {
                concat!("failed to initialize logging driver: ", $text)
            };
        }
        for (driver, pairs, want) in [
            ("json-file", &[("x", "1")][..], "unknown log opt 'x' for json-file log driver"),
            ("local", &[("y", "")][..], "unknown log opt 'y' for log driver local"),
            ("json-file", &[("max-file", "0")][..], late!("max-file cannot be less than 1")),
            ("", &[("max-file", "x")][..], late!("strconv.Atoi: parsing \"x\": invalid syntax")),
            ("json-file", &[("max-size", "x")][..], late!("invalid size: 'x'")),
            ("json-file", &[("max-size", "0")][..], late!("max-size must be a positive number")),
            (
                "json-file",
                &[("compress", "true"), ("max-size", "1k")][..],
                late!(
                    "compress cannot be true when max-file is less than 2 or max-size is not set"
                ),
            ),
            (
                "local",
                &[("max-file", "1")][..],
                late!("compression cannot be enabled when max file count is 1"),
            ),
            ("json-file", &[("mode", "odd")][..], "logger: logging mode not supported: odd"),
            (
                "json-file",
                &[("max-buffer-size", "1m")][..],
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
            ("nope", &[][..], "error looking up logging plugin nope: plugin \"nope\" not found"),
        ] {
            let error = LogConfig::from_docker(driver, &options(pairs)).expect_err("refused");
            assert_eq!(error.to_string(), want, "{driver} {pairs:?}");
        }
        for pairs in
            [&[("max-file", "3")][..], &[("mode", "non-blocking"), ("max-buffer-size", "1m")]]
        {
            LogConfig::from_docker("json-file", &options(pairs)).expect("accepted");
        }
    }

    #[test]
    fn local_rotates_by_default() {
        let file = local(&BTreeMap::new()).expect("no options");
        assert_eq!((file.max_size_bytes, file.max_files, file.compress), (Some(20 << 20), 5, true));
    }
}
