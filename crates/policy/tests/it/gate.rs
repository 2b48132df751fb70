//! The file that decides, while it changes.

use std::{fs, path::Path};

use gantry_policy::{Evidence, Gate};

use crate::{image, signer::Signer};

const ACCEPT: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const REJECT: &str = r#"{"default":[{"type":"reject"}]}"#;

/// What the gate says of an image without a signature: yes, no, or that it knows no policy.
fn asked(gate: &Gate) -> &'static str {
    match gate.rule(image("a")) {
        Err(_) => "broken",
        Ok(rule) if rule.judge(&Evidence::default()).is_ok() => "yes",
        Ok(_) => "no",
    }
}

fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn changes_are_seen_and_mistakes_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.json");
    assert_eq!(asked(&Gate::open()), "yes");
    assert!(Gate::by_file(&path, true).is_err(), "it must be there");
    put(&path, ACCEPT);
    let gate = Gate::by_file(&path, true).unwrap();
    assert_eq!(asked(&gate), "yes");
    put(&path, REJECT);
    assert_eq!(asked(&gate), "no");
    for mistake in ["", "{", r#"{"default":[{"type":"signedBy"}]}"#] {
        put(&path, mistake);
        assert_eq!(asked(&gate), "no", "{mistake:?}");
        assert!(Gate::by_file(&path, true).is_err(), "{mistake:?}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(asked(&gate), "no");
    put(&path, ACCEPT);
    assert_eq!(asked(&gate.clone()), "yes");
    gate.reload();
    assert_eq!(asked(&gate), "yes");
}

#[test]
fn a_file_that_need_not_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.json");
    let gate = Gate::by_file(&path, false).unwrap();
    assert_eq!(asked(&gate), "yes");
    // Whoever puts one there and mistakes himself wants no image that he has not allowed.
    put(&path, "{");
    assert_eq!(asked(&gate), "broken");
    put(&path, REJECT);
    assert_eq!(asked(&gate), "no");
    fs::remove_file(&path).unwrap();
    assert_eq!(asked(&gate), "no", "what has gone permits nothing");
    let huge = fs::File::create(&path).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert!(Gate::by_file(&path, false).is_err());
}

#[test]
fn keys_belong_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("policy.json"), dir.path().join("key.pub"));
    let (first, second) = (Signer::new(), Signer::new());
    put(&key, &first.pem());
    put(
        &path,
        &format!(
            r#"{{"default":[{{"type":"sigstoreSigned","keyPath":{:?}}}]}}"#,
            key.display().to_string()
        ),
    );
    let gate = Gate::by_file(&path, true).unwrap();
    let digest = gantry_oci::Digest::of(b"");
    let accepts = |signer: &Signer| {
        let signatures = vec![signer.simple(&digest, "docker.io/library/a:latest")];
        let evidence = Evidence { digests: vec![digest.clone()], signatures, unusable: Vec::new() };
        gate.rule(image("a")).unwrap().judge(&evidence).is_ok()
    };
    assert!(accepts(&first) && !accepts(&second));
    put(&key, &second.pem());
    assert!(accepts(&second) && !accepts(&first));
    fs::remove_file(&key).unwrap();
    assert!(accepts(&second), "the key that was known stays");
}
