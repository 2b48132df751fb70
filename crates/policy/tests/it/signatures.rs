//! Signatures that count and signatures that do not.

use gantry_oci::Digest;
use gantry_policy::{Evidence, Signature, Subject};

use crate::{denied, image, signer::Signer};

const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

fn demanding(keys: &[&Signer], identity: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{:?}", key.data())).collect();
    let keys = keys.join(",");
    format!(
        r#"{{"default":[{{"type":"sigstoreSigned","keyDatas":[{keys}],
            "signedIdentity":{{"type":"{identity}"}}}}]}}"#
    )
}

fn evidence(signatures: Vec<Signature>) -> Evidence {
    Evidence { digests: vec![one(), index()], signatures, unusable: Vec::new() }
}

fn one() -> Digest {
    Digest::of(b"manifest")
}

fn index() -> Digest {
    Digest::of(b"index")
}

#[test]
fn every_kind_of_key_signs() {
    let wrong = Signer::new();
    for (at, signer) in Signer::all().iter().enumerate() {
        let json = demanding(&[&wrong, signer], "matchExact");
        for digest in [one(), index()] {
            let found = evidence(vec![signer.simple(&digest, "r.io/a:1")]);
            assert_eq!(denied(&json, image("r.io/a:1"), &found), None, "key {at}");
        }
        let others = demanding(&[&wrong], "matchExact");
        let found = evidence(vec![signer.simple(&one(), "r.io/a:1")]);
        let words = denied(&others, image("r.io/a:1"), &found).unwrap();
        assert!(words.ends_with("it is signed, but by another key"), "key {at}: {words}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let signer = Signer::new();
    let json = demanding(&[&signer], "matchExact");
    let Signature::Simple { payload, signature } = signer.simple(&one(), "r.io/a:1") else {
        unreachable!("it is simple")
    };
    let mut changed = payload.clone();
    changed.push(b' ');
    let other = Digest::of(b"other");
    let simple = |payload: &[u8], signature: &str| Signature::Simple {
        payload: payload.to_vec(),
        signature: signature.to_owned(),
    };
    let signed = |payload: &str| {
        let signature = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            signer.sign(payload.as_bytes()),
        );
        simple(payload.as_bytes(), &signature)
    };
    for (signatures, words) in [
        (vec![], "it must be signed, and has no signature"),
        (vec![simple(&changed, &signature)], "by another key"),
        (vec![simple(&payload, "!")], "it is not base64"),
        (vec![simple(&payload, "")], "by another key"),
        (vec![signed("{}")], "missing field"),
        (vec![signer.simple(&other, "r.io/a:1")], "for another image, sha256:"),
        (vec![signer.simple(&one(), "r.io/b:1")], "for another name: r.io/b:1"),
        (vec![signer.simple(&one(), "r.io/a")], "for another name: r.io/a"),
        (
            vec![Signer::new().simple(&one(), "r.io/a:1"), signer.simple(&one(), "x")],
            "by another key; the signature is for another name: x",
        ),
    ] {
        let told = denied(&json, image("r.io/a:1"), &evidence(signatures.clone())).unwrap();
        assert!(told.contains(words), "{words}: {told}");
        // One that is right is enough.
        let mut with = signatures;
        with.push(simple(&payload, &signature));
        assert_eq!(denied(&json, image("r.io/a:1"), &evidence(with)), None, "{words}");
    }
    let unread = Evidence { unusable: vec!["gone".to_owned()], ..evidence(Vec::new()) };
    let told = denied(&json, image("r.io/a:1"), &unread).unwrap();
    assert!(told.ends_with("a signature cannot be used: gone"), "{told}");
    let lies = Evidence { unusable: vec!["x".repeat(1 << 20)], ..evidence(Vec::new()) };
    assert!(denied(&json, image("r.io/a:1"), &lies).unwrap().len() < 600);
    let told = denied(&json, Subject::DockerArchive, &Evidence::default()).unwrap();
    assert!(told.starts_with("image in a docker-archive is denied"), "{told}");
}

#[test]
fn bundles_sign_by_digest() {
    let signer = Signer::new();
    let exact = demanding(&[&signer], "matchExact");
    let digest = demanding(&[&signer], "matchDigest");
    let (one, other) = (one(), Digest::of(b"other"));
    for (json, bundle, words) in [
        (&digest, signer.bundle(&[(&one, "")], SIGN), ""),
        (&digest, signer.bundle(&[(&other, ""), (&one, "x")], SIGN), ""),
        (&exact, signer.bundle(&[(&one, "r.io/a:1")], SIGN), ""),
        (&exact, signer.bundle(&[(&one, "r.io/b:1")], SIGN), "another name: r.io/b:1"),
        (&exact, signer.bundle(&[(&one, "")], SIGN), "names no image"),
        (&digest, signer.bundle(&[(&other, "")], SIGN), "for another image"),
        (&digest, signer.bundle(&[], SIGN), "about nothing"),
        (&digest, signer.bundle(&[(&one, "")], "https://slsa.dev/provenance/v1"), "provenance"),
        (&digest, Signer::new().bundle(&[(&one, "")], SIGN), "by another key"),
        (&digest, Signature::Bundle(b"{}".to_vec()), "missing field `mediaType`"),
        (
            &digest,
            Signature::Bundle(
                br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
                     "messageSignature":{}}"#
                    .to_vec(),
            ),
            "without a DSSE envelope are not implemented",
        ),
        (&digest, Signature::Bundle(br#"{"mediaType":"x"}"#.to_vec()), "\"x\" are not implemented"),
    ] {
        let told = denied(json, image("r.io/a:1"), &evidence(vec![bundle])).unwrap_or_default();
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{words}: {told}");
    }
}

#[test]
fn a_bundle_is_what_its_signature_is_over() {
    let signer = Signer::new();
    let json = demanding(&[&signer], "matchDigest");
    let Signature::Bundle(bytes) = signer.bundle(&[(&one(), "")], SIGN) else {
        unreachable!("it is a bundle")
    };
    let Signature::Bundle(other) = Signer::new().bundle(&[(&index(), "")], SIGN) else {
        unreachable!("it is a bundle")
    };
    let mut mixed: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
    mixed["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"].clone();
    let mixed = Signature::Bundle(mixed.to_string().into_bytes());
    let told = denied(&json, image("r.io/a:1"), &evidence(vec![mixed])).unwrap();
    assert!(told.ends_with("by another key"), "{told}");
}
