//! Files of variables and labels.

use std::io;

use gantry_api_types::Map;

/// Longest file of variables or labels.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Go's words for a file that cannot be opened.
pub(crate) fn open(path: &str, error: &io::Error) -> String {
    format!("open {path}: {}", reason(error))
}

/// The kernel's words for an error, as Go prints them.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = io::Error::from_raw_os_error(code).to_string();
            let text = text.split(" (os error").next().unwrap_or("").to_owned();
            text[..1].to_lowercase() + &text[1..]
        }
        None => error.to_string(),
    }
}

fn lines(path: &str) -> Result<Vec<String>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| open(path, &error))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{path}: more than {MAX_FILE_BYTES} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => format!("read {path}: is a directory"),
        _ => open(path, &error),
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("invalid env file ({path}): invalid utf8 bytes"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .map(|line| line.trim_start().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect())
}

/// Variables of the files, then those of the flags; a bare name takes the value it has here.
pub(crate) fn env(files: &[String], flags: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for path in files {
        for line in lines(path)? {
            let name = line.split('=').next().unwrap_or("");
            if name.is_empty() {
                return Err(format!(
                    "invalid env file ({path}): no variable name on line '{line}'"
                ));
            }
            if name.contains(char::is_whitespace) {
                return Err(format!(
                    "invalid env file ({path}): variable '{name}' contains whitespaces"
                ));
            }
            // A bare name that is not set here is left out when a file names it.
            if line.contains('=') {
                all.push(line);
            } else if let Ok(value) = std::env::var(&line) {
                all.push(format!("{line}={value}"));
            }
        }
    }
    for pair in flags {
        match std::env::var(pair) {
            Ok(value) if !pair.contains('=') => all.push(format!("{pair}={value}")),
            _ => all.push(pair.clone()),
        }
    }
    Ok(all)
}

/// Labels of the files, then those of the flags.
pub(crate) fn labels(files: &[String], flags: &[String]) -> Result<Map, String> {
    let mut all = Map::new();
    for path in files {
        for line in lines(path)? {
            if let Some((name, value)) = line.split_once('=') {
                all.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    for pair in flags {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(all)
}
