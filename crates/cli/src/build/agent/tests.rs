//! Keys made by `ssh-keygen`, used through the agent's protocol by `ssh-keygen` and `ssh-add`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

fn available(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|found| found.status.success())
}

fn run(program: &str, args: &[&str]) {
    let ran = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(ran.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Has a key sign through an agent, and `ssh-keygen` check it.
fn signs(directory: &Path, key: &Path) {
    let agent = source(&[key.to_owned()]).expect("key");
    let AgentSource::Keys(keys) = &agent else { panic!("not a key") };
    let socket = directory.join("agent");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("socket");
    let theirs = Arc::clone(keys);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let keys = Arc::clone(&theirs);
            std::thread::spawn(move || serve(stream, &keys));
        }
    });
    let public = directory.join("public");
    let listed = Command::new("ssh-add")
        .arg("-L")
        .env(SOCKET_VARIABLE, &socket)
        .output()
        .expect("ssh-add runs");
    std::fs::write(&public, &listed.stdout).expect("public key");
    let data = directory.join("data");
    std::fs::write(&data, "what is signed").expect("data");
    let made = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", "test", "-f"])
        .arg(&public)
        .arg(&data)
        .env(SOCKET_VARIABLE, &socket)
        .output()
        .expect("ssh-keygen runs");
    assert!(made.status.success(), "{key:?}: {}", String::from_utf8_lossy(&made.stderr));
    let script = "ssh-keygen -Y check-novalidate -n test -s data.sig < data";
    let checked =
        Command::new("sh").args(["-c", script]).current_dir(directory).output().expect("runs");
    assert!(checked.status.success(), "{key:?}: {}", String::from_utf8_lossy(&checked.stderr));
    for file in [&socket, &public, &directory.join("data.sig")] {
        std::fs::remove_file(file).expect("removed");
    }
}

#[test]
fn keys_of_all_kinds_sign() {
    if !available("ssh-keygen") || !available("ssh-add") {
        eprintln!("SKIPPED keys_of_all_kinds_sign: this needs ssh-keygen and ssh-add");
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    for (kind, bits, form) in [
        ("ed25519", "", ""),
        ("rsa", "2048", ""),
        ("rsa", "3072", "PEM"),
        ("rsa", "2048", "PKCS8"),
        ("ecdsa", "256", ""),
        ("ecdsa", "384", "PEM"),
        ("ecdsa", "521", ""),
        ("ecdsa", "256", "PKCS8"),
    ] {
        let key = directory.path().join("key");
        let path = key.display().to_string();
        let mut args = vec!["-q", "-N", "", "-t", kind, "-f", &path];
        if !bits.is_empty() {
            args.extend(["-b", bits]);
        }
        if !form.is_empty() {
            args.extend(["-m", form]);
        }
        run("ssh-keygen", &args);
        signs(directory.path(), &key);
        std::fs::remove_file(&key).expect("removed");
    }
    let key = directory.path().join("locked");
    let path = key.display().to_string();
    run("ssh-keygen", &["-q", "-N", "secret", "-t", "ed25519", "-f", &path]);
    let why = source(std::slice::from_ref(&key)).expect_err("locked");
    assert!(why.contains("has a passphrase"), "{why}");
}

#[test]
fn malformed_messages_and_files_are_refused() {
    for message in [&[][..], &[1], &[REQUEST_IDENTITIES, 0], &[SIGN_REQUEST, 0, 0, 0, 9, 1]] {
        assert_eq!(answer(message, &[]), [FAILURE], "{message:?}");
    }
    assert_eq!(answer(&[REQUEST_IDENTITIES], &[]), [IDENTITIES_ANSWER, 0, 0, 0, 0]);
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("key");
    for text in [
        "",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, text).expect("file");
        assert!(source(std::slice::from_ref(&path)).is_err(), "{text}");
    }
    let why = source(&[directory.path().join("nosuch")]).expect_err("nothing there");
    assert!(why.starts_with("failed to stat"), "{why}");
}
