//! Signals by name or number.

/// `SIGKILL`.
pub const KILL: i32 = 9;
/// `SIGTERM`, the stop signal unless another is configured.
pub const TERM: i32 = 15;
/// First real-time signal that programs may use (`signal(7)`: two are the C library's).
const RTMIN: i32 = 34;
/// Last real-time signal.
const RTMAX: i32 = 64;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct SignalError(pub String);

/// Reads `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`.
///
/// # Errors
/// When there is no such signal.
pub fn parse(text: &str) -> Result<i32, SignalError> {
    let wrong = || SignalError(text.to_owned());
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=RTMAX).contains(&number) { Ok(number) } else { Err(wrong()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let listed = NAMES.iter().position(|known| *known == name);
    if let Some(number) = listed.and_then(|index| i32::try_from(index + 1).ok()) {
        return Ok(number);
    }
    match name {
        "IOT" => return Ok(6),
        "CLD" => return Ok(17),
        "POLL" => return Ok(29),
        "RTMIN" => return Ok(RTMIN),
        "RTMAX" => return Ok(RTMAX),
        _ => {}
    }
    let real_time = match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
        (Some(up), _) => up.parse::<i32>().ok().map(|n| RTMIN.saturating_add(n)),
        (_, Some(down)) => down.parse::<i32>().ok().map(|n| RTMAX.saturating_sub(n)),
        _ => None,
    };
    real_time.filter(|number| (RTMIN..=RTMAX).contains(number)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read() {
        for (text, want) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("SIGTERM", Some(15)),
            ("sigusr1", Some(10)),
            ("SYS", Some(31)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMIN+31", None),
            ("0", None),
            ("65", None),
            ("odd", None),
            ("", None),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
    }
}
