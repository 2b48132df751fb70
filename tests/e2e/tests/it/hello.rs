use std::path::Path;

use gantry_rig::daemon::gantry_binary;

/// README's first command, but for the daemon's place: the built-in image needs no registry.
#[test]
fn the_built_in_image_shows_what_isolates_it() {
    let daemon = crate::gantry();
    let gantry = gantry_binary().expect("gantry is built");
    let ran = daemon.client().run(&gantry, &["run", "--rm", "-m", "64m", "hello-gantry"], None);
    let page = ran.ok();
    for word in ["pid", "host", "namespace", "memory", "64"] {
        assert!(page.to_lowercase().contains(word), "{word} is not on the page:\n{page}");
    }
}

#[test]
fn called_as_docker_and_dockerd_it_is_that_program() {
    let gantry = gantry_binary().expect("gantry is built");
    let folder = std::env::temp_dir().join(format!("gantry-names-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, word) in [("docker", "docker run"), ("dockerd", "dockerd")] {
        let link = folder.join(name);
        std::os::unix::fs::symlink(&gantry, &link).unwrap();
        let args: &[&str] = if name == "docker" { &["run", "--help"] } else { &["--help"] };
        let output = std::process::Command::new(Path::new(&link)).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(word), "{name}: {text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
