//! A request's configuration over its image's, with Docker's rules. Pure.

use gantry_api_types::container::{ContainerConfig, HealthConfig};
use gantry_api_types::{Empty, NullableList as _};
use gantry_oci::ContainerConfig as ImageDefaults;

/// Fills what the request leaves open from the image.
pub(super) fn image_defaults(config: &mut ContainerConfig, image: &ImageDefaults) {
    let text = |own: &mut String, default: &String| {
        if own.is_empty() {
            own.clone_from(default);
        }
    };
    text(&mut config.user, &image.user);
    text(&mut config.working_dir, &image.working_dir);
    text(&mut config.stop_signal, &image.stop_signal);
    for port in image.exposed_ports.keys() {
        config.exposed_ports.insert(port.clone(), Empty);
    }
    merge_env(config, &image.env);
    if !image.labels.is_empty() || config.labels.is_some() {
        let own = config.labels.take().unwrap_or_default();
        let mut labels = image.labels.clone();
        labels.extend(own);
        config.labels = Some(labels);
    }
    merge_command(config, image);
    // An empty object in the request is no volume at all, and is shown as `null`.
    config.volumes = config.volumes.take().filter(|volumes| !volumes.is_empty());
    for path in image.volumes.keys() {
        config.volumes.get_or_insert_default().insert(path.clone(), Empty);
    }
    if config.shell.is_none() && !image.shell.is_empty() {
        config.shell = Some(image.shell.clone());
    }
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    if let Some(probe) = &image.healthcheck {
        merge_health(config.healthcheck.get_or_insert_default(), probe);
    }
    config.on_build = None;
}

/// The request's variables come first, then those of the image that it does not set.
fn merge_env(config: &mut ContainerConfig, image: &[String]) {
    if image.is_empty() {
        return;
    }
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<String> = config.env.items().iter().map(|variable| name(variable)).collect();
    let env = config.env.get_or_insert_default();
    env.extend(image.iter().filter(|variable| !own.contains(&name(variable))).cloned());
}

/// An entry point in the request drops the image's command.
fn merge_command(config: &mut ContainerConfig, image: &ImageDefaults) {
    if config.entrypoint.items().is_empty() {
        if config.cmd.items().is_empty() {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    // One empty word clears the image's entry point.
    if config.entrypoint.items() == [""] {
        config.entrypoint = None;
    }
}

fn merge_health(own: &mut HealthConfig, image: &gantry_oci::Healthcheck) {
    if own.test.is_empty() {
        own.test.clone_from(&image.test);
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if *own == 0 {
            *own = image;
        }
    }
}

/// Program and arguments; `None` when there is neither entry point nor command.
pub(super) fn command(config: &ContainerConfig) -> Option<(String, Vec<String>)> {
    let mut words = config.entrypoint.items().iter().chain(config.cmd.items()).cloned();
    let path = words.next()?;
    Some((path, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(ToString::to_string).collect())
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            env: vec!["A=1".into(), "B=2".into()],
            cmd: words(&["serve"]),
            entrypoint: words(&["/init"]),
            labels: [("a".to_owned(), "image".to_owned()), ("b".into(), "image".into())].into(),
            ..ImageDefaults::default()
        }
    }

    #[test]
    fn commands_are_merged_as_docker_does() {
        for (entrypoint, cmd, want) in [
            (None, None, Some(&["/init", "serve"][..])),
            (None, words(&["x"]), Some(&["/init", "x"])),
            (words(&["/own"]), None, Some(&["/own"])),
            (words(&["/own"]), words(&["x"]), Some(&["/own", "x"])),
            (words(&[""]), words(&["x"]), Some(&["x"])),
            (words(&[""]), None, None),
            (words(&[]), None, Some(&["serve"])),
        ] {
            let mut config = ContainerConfig {
                entrypoint: entrypoint.clone(),
                cmd: cmd.clone(),
                ..Default::default()
            };
            image_defaults(&mut config, &image());
            let got = command(&config).map(|(path, args)| [vec![path], args].concat());
            let want = want.and_then(words);
            assert_eq!(got, want, "{entrypoint:?} {cmd:?}");
        }
    }

    #[test]
    fn requests_win_over_images() {
        let mut config = ContainerConfig {
            env: words(&["B=3", "C=4"]),
            labels: Some([("a".to_owned(), "own".to_owned())].into()),
            ..ContainerConfig::default()
        };
        image_defaults(&mut config, &image());
        assert_eq!(config.env, words(&["B=3", "C=4", "A=1"]));
        let labels = config.labels.unwrap();
        assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("own", "image"));
    }
}
