//! The options of the log drivers, read as dockerd reads them.

use std::collections::BTreeMap;

use crate::config::{AttrKeys, LogConfigError, LogFile};

const LOCAL_MAX_SIZE_BYTES: u64 = 20 * 1024 * 1024;
const LOCAL_MAX_FILES: u32 = 5;

/// Reads the options of `json-file`.
pub(crate) fn json_file(options: &BTreeMap<String, String>) -> Result<LogFile, LogConfigError> {
    let mut file = LogFile { max_files: 1, ..LogFile::default() };
    let mut max_files_given = false;
    for (name, value) in options {
        match name.as_str() {
            "max-size" => file.max_size_bytes = size_or_none(value)?,
            "max-file" => {
                file.max_files = count(value)?;
                max_files_given = true;
            }
            "compress" => file.compress = boolean(value)?,
            "labels" => file.keys.labels = names(value),
            "labels-regex" => file.keys.labels_regex = Some(value.clone()),
            "env" => file.keys.env = names(value),
            "env-regex" => file.keys.env_regex = Some(value.clone()),
            "tag" => file.keys.tag = Some(value.clone()),
            "mode" => mode(value)?,
            "max-buffer-size" => drop(size(value)?),
            other => return Err(unknown("json-file", other)),
        }
    }
    if max_files_given && file.max_size_bytes.is_none() && file.max_files > 1 {
        return Err(LogConfigError::Value(
            "invalid log opts: max-file can't be set without max-size".to_owned(),
        ));
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
            "mode" => mode(value)?,
            "max-buffer-size" => drop(size(value)?),
            other => return Err(unknown("local", other)),
        }
    }
    if file.max_files < 2 {
        file.compress = false;
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

fn unknown(driver: &'static str, option: &str) -> LogConfigError {
    LogConfigError::Option { driver, option: option.to_owned() }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `blocking` and `non-blocking` are taken; both block, as the shim never loses a line.
fn mode(value: &str) -> Result<(), LogConfigError> {
    match value {
        "" | "blocking" | "non-blocking" => Ok(()),
        other => Err(LogConfigError::Value(format!("logger: unknown log mode: {other}"))),
    }
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
    use super::{json_file, local, size};
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
        for (pairs, want) in [
            (&[("x", "1")][..], "unknown log opt 'x' for json-file log driver"),
            (&[("max-file", "0")][..], "max-file cannot be less than 1"),
            (&[("max-file", "x")][..], "strconv.Atoi: parsing \"x\": invalid syntax"),
            (&[("max-size", "x")][..], "invalid size: 'x'"),
            (
                &[("compress", "true"), ("max-size", "1k")][..],
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ),
            (&[("mode", "odd")][..], "logger: unknown log mode: odd"),
        ] {
            let error = json_file(&options(pairs)).expect_err("refused").to_string();
            assert_eq!(error, want, "{pairs:?}");
        }
        let error = local(&options(&[("y", "")])).expect_err("refused").to_string();
        assert_eq!(error, "unknown log opt 'y' for local log driver");
    }

    #[test]
    fn local_rotates_by_default() {
        let file = local(&BTreeMap::new()).expect("no options");
        assert_eq!((file.max_size_bytes, file.max_files, file.compress), (Some(20 << 20), 5, true));
    }
}
