//! What a document may say, and which part of it is for an image.

use gantry_policy::{Evidence, Subject};

use crate::{denied, image, policy, signer::Signer};

const ACCEPT: &str = r#"[{"type":"insecureAcceptAnything"}]"#;
const REJECT: &str = r#"[{"type":"reject"}]"#;

/// Whether an image without a signature may come.
fn may(json: &str, subject: Subject) -> bool {
    denied(json, subject, &Evidence::default()).is_none()
}

#[test]
fn the_most_specific_scope_counts_alone() {
    let json = format!(
        r#"{{"default":{REJECT},"transports":{{
            "docker":{{
                "*.example.com":{ACCEPT},
                "no.example.com":{REJECT},
                "no.example.com/but":{ACCEPT},
                "no.example.com/but/not":{REJECT},
                "no.example.com/but/not:this":{ACCEPT},
                "docker.io/library":{ACCEPT},
                "busybox":{REJECT}
            }},
            "docker-archive":{{"":{ACCEPT}}},
            "dir":{{"/any":{REJECT}}},
            "unheard-of":{{"x":{ACCEPT}}}
        }}}}"#
    );
    for (name, want) in [
        ("some.example.com/a:1", true),
        ("very.deep.example.com:5000/a:1", true),
        ("example.com/a:1", false),
        ("no.example.com/a:1", false),
        ("no.example.com:5000/a:1", true),
        ("no.example.com/but/a:1", true),
        ("no.example.com/button/a:1", false),
        ("no.example.com/but/not:1", false),
        ("no.example.com/but/not:this", true),
        ("busybox", true),
        ("someone/busybox", false),
        ("localhost/a", false),
    ] {
        assert_eq!(may(&json, image(name)), want, "{name}");
    }
    assert!(may(&json, Subject::DockerArchive));
    assert!(!may(&json, Subject::OciArchive), "the default");
    assert!(!may(&json, Subject::Tarball));
    let of_transport =
        format!(r#"{{"default":{ACCEPT},"transports":{{"docker":{{"":{REJECT}}}}}}}"#);
    assert!(!may(&of_transport, image("a")) && may(&of_transport, Subject::Tarball));
}

#[test]
fn every_requirement_must_hold() {
    let accept = r#"{"type":"insecureAcceptAnything"}"#;
    let reject = r#"{"type":"reject"}"#;
    let signed = format!(r#"{{"type":"sigstoreSigned","keyData":"{}"}}"#, Signer::new().data());
    for (list, want, asks) in [
        (format!("[{accept}]"), true, false),
        (format!("[{accept},{accept}]"), true, false),
        (format!("[{accept},{reject}]"), false, false),
        (format!("[{accept},{signed}]"), false, true),
        (format!("[{signed},{reject}]"), false, false),
    ] {
        let json = format!(r#"{{"default":{list}}}"#);
        assert_eq!(may(&json, image("a")), want, "{list}");
        assert_eq!(policy(&json).unwrap().rule(image("a")).needs_signatures(), asks, "{list}");
    }
    let words = denied(
        r#"{"default":[{"type":"reject"}],"transports":{"docker":{"r.io/a":[{"type":"reject"}]}}}"#,
        image("r.io/a:1"),
        &Evidence::default(),
    );
    assert_eq!(
        words.as_deref(),
        Some(
            "image r.io/a:1 is denied by the image policy, docker \"r.io/a\": \
             it rejects every such image"
        )
    );
}

#[test]
fn wrong_documents_are_refused_and_say_why() {
    let key = Signer::new().data();
    let other = Signer::new();
    let signed = |fields: &str| format!(r#"{{"default":[{{"type":"sigstoreSigned",{fields}}}]}}"#);
    let with = |fields: &str| signed(&format!(r#""keyData":"{key}",{fields}"#));
    let identity = |text: &str| with(&format!(r#""signedIdentity":{text}"#));
    let scoped = |transport: &str| {
        format!(r#"{{"default":{REJECT},"transports":{{"{transport}":{{"/a":{ACCEPT}}}}}}}"#)
    };
    let two = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        other.pem() + &other.pem(),
    );
    for (json, words) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "missing field `default`"),
        (r#"{"default":[]}"#.to_owned(), "default: a list of requirements must not be empty"),
        (format!(r#"{{"default":{REJECT},"default":{REJECT}}}"#), "duplicate field"),
        (format!(r#"{{"default":{REJECT},"Default":{REJECT}}}"#), "unknown field `Default`"),
        (format!(r#"{{"default":{REJECT}}} x"#), "trailing characters"),
        (format!(r#"{{"default":{REJECT},"transports":{{"docker":{{"a":[]}}}}}}"#), "not be empty"),
        (
            format!(r#"{{"default":{REJECT},"transports":{{"a":{{"":{ACCEPT},"":{ACCEPT}}}}}}}"#),
            "\"\" is there twice",
        ),
        (scoped("tarball"), "no scope but the default"),
        (scoped("docker-archive"), "no scope but the default"),
        (scoped("oci-archive"), "no scope but the default"),
        (r#"{"default":[{"type":"accept"}]}"#.to_owned(), "unknown variant `accept`"),
        (r#"{"default":[{}]}"#.to_owned(), "missing field `type`"),
        (r#"{"default":[{"type":"reject","x":1}]}"#.to_owned(), "unknown field `x`"),
        (r#"{"default":[{"type":"reject","type":"reject"}]}"#.to_owned(), "duplicate field"),
        (
            r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}"#.to_owned(),
            "signedBy (GPG keys) is not implemented",
        ),
        (with(r#""fulcio":{}"#), "fulcio of sigstoreSigned is not implemented"),
        (with(r#""pki":{}"#), "pki of sigstoreSigned is not implemented"),
        (with(r#""rekorPublicKeyPath":"/k""#), "rekorPublicKeyPath of sigstoreSigned is not"),
        (with(r#""rekorPublicKeyDatas":[]"#), "rekorPublicKeyDatas of sigstoreSigned is not"),
        (with(r#""keyPath":"/k""#), "exactly one of keyPath"),
        (with(r#""what":1"#), "unknown field `what`"),
        (signed(r#""keyPaths":[]"#), "exactly one of keyPath"),
        (signed(r#""signedIdentity":{"type":"matchExact"}"#), "exactly one of keyPath"),
        (signed(r#""keyPath":"key.pub""#), "is not absolute"),
        (signed(r#""keyPath":"/none""#), "cannot read the key /none"),
        (signed(r#""keyData":"!""#), "the key keyData cannot be used"),
        (signed(r#""keyData":"YWJj""#), "the key keyData cannot be used"),
        (signed(&format!(r#""keyData":"{two}""#)), "the key keyData cannot be used"),
        (identity(r#"{"type":"matchAll"}"#), "unknown variant `matchAll`"),
        (identity(r#"{"type":"matchExact","x":1}"#), "unknown field `x`"),
        (identity(r#"{"type":"exactReference"}"#), "missing field `dockerReference`"),
        (identity(r#"{"type":"exactReference","dockerReference":"r.io/a"}"#), "neither a tag"),
        (identity(r#"{"type":"exactReference","dockerReference":"A:1"}"#), "is no name"),
        (identity(r#"{"type":"exactRepository","dockerRepository":"A"}"#), "is no name"),
        (identity(r#"{"type":"remapIdentity","prefix":"r.io"}"#), "missing field `signedPrefix`"),
        (
            identity(r#"{"type":"remapIdentity","prefix":"r.io/a:1","signedPrefix":"r.io"}"#),
            "prefix \"r.io/a:1\" is not valid",
        ),
    ] {
        let error = gantry_fault::chain(&policy(&json).expect_err(&json));
        assert!(error.contains(words), "{json}: {error}");
    }
}
