//! Values of the flags that limit a container or give it devices.

use gantry_api_types::host_config::{
    DeviceMapping, DeviceRequest, ThrottleDevice, Ulimit, WeightDevice,
};

use crate::values;

/// Names that `--ulimit` knows.
const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `name=soft[:hard]`.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let Some((name, limits)) = text.split_once('=') else {
        return Err(format!("invalid ulimit argument: {text}"));
    };
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| match text.parse::<i64>() {
        Ok(value) => Ok(value),
        Err(_) => values::go_int(text, 64),
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    let exceeds = hard != -1 && (soft == -1 || soft > hard);
    if exceeds {
        let bound =
            |value: i64| if value == -1 { "unlimited".to_owned() } else { value.to_string() };
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            bound(soft),
            bound(hard)
        ));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

/// Whether a device is a CDI name, `vendor.com/class=device`.
pub(crate) fn is_cdi(text: &str) -> bool {
    let Some((kind, device)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, more: &[char]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    word(vendor, &['.', '-', '_'])
        && word(class, &['-', '_'])
        && word(device, &['.', '-', '_', ':'])
}

/// `/dev/host[:/dev/guest][:rwm]`.
pub(crate) fn device(text: &str) -> Result<DeviceMapping, String> {
    let mode = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| "rwm".contains(c))
            && (1..text.len()).all(|at| !text[..at].contains(&text[at..=at]))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, second] if mode(second) => (*source, *source, *second),
        [source, target] => (*source, *target, "rwm"),
        [_, _, bad] if !mode(bad) => return Err(format!("bad mode specified: {bad}")),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => return Err(format!("bad format for path: {text}")),
    };
    if !source.starts_with('/') {
        return Err(format!("{source} is not an absolute path"));
    }
    if !target.starts_with('/') {
        return Err(format!("{target} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: source.to_owned(),
        path_in_container: target.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    })
}

/// `/dev/x:weight`.
pub(crate) fn weight_device(text: &str) -> Result<WeightDevice, String> {
    let (path, weight) = device_value(text)?;
    match weight.parse::<u16>() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => {
            Ok(WeightDevice { path: path.to_owned(), weight })
        }
        _ => Err(format!("invalid weight for device: {text}")),
    }
}

fn device_value(text: &str) -> Result<(&str, &str), String> {
    let Some((path, value)) = text.split_once(':').filter(|(path, _)| !path.is_empty()) else {
        return Err(format!("bad format: {text}"));
    };
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// `/dev/x:rate` in bytes.
pub(crate) fn throttle_bps(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_value(text)?;
    match values::bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok()) {
        Some(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate }),
        None => Err(format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )),
    }
}

/// `/dev/x:rate` in operations.
pub(crate) fn throttle_iops(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_value(text)?;
    match rate.parse::<u64>() {
        Ok(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate }),
        Err(_) => Err(format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
        )),
    }
}

/// `--gpus`: `all`, a count, or keys and values.
pub(crate) fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let count_of = |value: &str| {
        match value {
        "all" => Ok(-1),
        value => value.parse::<i64>().map_err(|_| {
            format!("invalid count ({value}): value must be either \"all\" or an integer: invalid syntax")
        }),
    }
    };
    let mut request = DeviceRequest { options: Some(Default::default()), ..Default::default() };
    let (mut capabilities, mut devices, mut count) = (vec![], None, None);
    for field in values::csv(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "driver" => request.driver = value.to_owned(),
            "count" => count = Some(count_of(value)?),
            "device" => devices = Some(value.split(',').map(str::to_owned).collect::<Vec<_>>()),
            "capabilities" => capabilities = value.split(',').map(str::to_owned).collect(),
            "options" => {
                for pair in values::csv(value)? {
                    let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
                    let pair = (name.to_owned(), value.to_owned());
                    request.options.get_or_insert_default().extend([pair]);
                }
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    capabilities.push("gpu".to_owned());
    // Devices by name set the count aside; one of the two there always is.
    request.count = count.unwrap_or(i64::from(devices.is_none()));
    request.device_ids = devices;
    request.capabilities = Some(vec![capabilities]);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_limits() {
        let limit = ulimit("nofile=1:2").expect("ulimit");
        assert_eq!((limit.soft, limit.hard), (1, 2));
        assert_eq!(ulimit("x").unwrap_err(), "invalid ulimit argument: x");
        assert!(ulimit("nofile=5:2").is_err());
        assert_eq!(device("/dev/a:r").expect("device").cgroup_permissions, "r");
        assert_eq!(device("/dev/a:/x:q").unwrap_err(), "bad mode specified: q");
        assert_eq!(device("a:b:c:d").unwrap_err(), "bad format for path: a:b:c:d");
        assert_eq!(throttle_bps("/dev/a:1mb").expect("rate").rate, 1 << 20);
        assert_eq!(gpus("all").expect("gpus").count, -1);
        assert!(is_cdi("vendor.com/xx=y") && !is_cdi("/dev/x"));
    }
}
