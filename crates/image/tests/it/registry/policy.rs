//! What the image policy lets in, with signatures that are made here.

use std::{fs, path::Path};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gantry_distribution::{At, HostsConfig};
use gantry_fault::{Fault, Kind};
use gantry_image::transfer::{TransferLimits, Transfers};
use gantry_image::{ImageError, Import};
use gantry_oci::{Descriptor, Digest, Index, Platform, image::media};
use gantry_policy::Gate;
use serde_json::{Value, json};

use super::{
    bed::{Bed, name},
    loaded,
};
use crate::{Home, busybox_layers, docker_archive, tar};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const REFERRER: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// The key as `keyData`.
    fn data(&self) -> String {
        let der = self.0.public_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        STANDARD.encode(format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"))
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }

    /// A layer with a signature, and its bytes.
    fn simple(&self, digest: &Digest, name: &str) -> (Value, Vec<u8>) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let bytes = payload.to_string().into_bytes();
        let signature = self.sign(&bytes);
        let layer = json!({
            "mediaType": PAYLOAD,
            "digest": Digest::of(&bytes),
            "size": bytes.len(),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        });
        (layer, bytes)
    }

    fn bundle(&self, digest: &Digest) -> (Value, Vec<u8>) {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": digest.hex()}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        });
        let (kind, statement) = ("application/vnd.in-toto+json", statement.to_string());
        let signed = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        let envelope = json!({
            "payload": STANDARD.encode(&statement),
            "payloadType": kind,
            "signatures": [{"sig": self.sign(signed.as_bytes())}],
        });
        let bundle = json!({"mediaType": BUNDLE, "dsseEnvelope": envelope});
        let bytes = bundle.to_string().into_bytes();
        (json!({"mediaType": BUNDLE, "digest": Digest::of(&bytes), "size": bytes.len()}), bytes)
    }
}

/// Where a manifest with signatures is put.
enum Put<'a> {
    /// In cosign's tag.
    Tag,
    /// As a referrer of a type.
    Referrer(&'a str),
}

/// Puts layers into the repository of `tag` as signatures of a digest.
fn put(bed: &Bed, tag: &str, digest: &Digest, how: &Put<'_>, layers: &[(Value, Vec<u8>)]) {
    let repository = bed.repository(tag);
    let config = b"{}".to_vec();
    for bytes in layers.iter().map(|(_, bytes)| bytes).chain([&config]) {
        bed.run(repository.push_blob(Bytes::from(bytes.clone()), None, &[])).unwrap();
    }
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::of(&config),
            "size": config.len(),
        },
        "layers": layers.iter().map(|(layer, _)| layer.clone()).collect::<Vec<_>>(),
    });
    let sig = At::Tag(format!("sha256-{}.sig", digest.hex()));
    if let Put::Referrer(kind) = how {
        manifest["artifactType"] = json!(kind);
        manifest["subject"] = json!({"mediaType": media::MANIFEST, "digest": digest, "size": 1});
    }
    let bytes = Bytes::from(manifest.to_string());
    let at = match how {
        Put::Tag => sig,
        Put::Referrer(_) => At::Digest(Digest::of(&bytes)),
    };
    bed.run(repository.push_manifest(bytes, media::MANIFEST, &at)).unwrap();
}

/// A policy that demands a signature of everything from registries.
fn demanding(dir: &Path, signer: &Signer, identity: &str) -> Gate {
    let signed = json!({
        "type": "sigstoreSigned",
        "keyData": signer.data(),
        "signedIdentity": {"type": identity},
    });
    let policy = json!({
        "default": [{"type": "insecureAcceptAnything"}],
        "transports": {"docker": {"": [signed]}},
    });
    let path = dir.join(format!("{identity}.json"));
    fs::write(&path, policy.to_string()).unwrap();
    Gate::by_file(&path, true).unwrap()
}

/// Why a pull is denied; nothing if it is not. What is denied costs no blob of the image.
fn denied(bed: &Bed, gate: &Gate, tag: &str) -> String {
    let home = Home::guarded(gate.clone());
    let before = home.counts();
    bed.proxy.asked();
    let Err(error) = bed.pull(&home, tag) else { return String::new() };
    let (asked, words) = (bed.proxy.asked(), gantry_fault::chain(&error));
    assert_eq!(error.kind(), Kind::Forbidden, "{words}");
    assert_eq!(home.counts(), before, "{words}");
    assert!(home.images.list().is_empty() && home.told().is_empty(), "{words}");
    let repository = bed.repository(tag);
    let at = At::of(&name(tag).or_latest());
    if let Ok(document) = bed.run(repository.manifest(&at))
        && let Ok(manifest) = serde_json::from_slice::<gantry_oci::Manifest>(&document.bytes)
    {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            let path = format!("/blobs/{}", blob.digest);
            assert!(!asked.iter().any(|line| line.contains(&path)), "{words}: {asked:?}");
        }
        assert!(!asked.is_empty(), "requests are seen");
    }
    words
}

/// An image at the registry: its digest.
fn pushed(bed: &Bed, tag: &str) -> Digest {
    let here = Home::new();
    loaded(&here, tag);
    bed.push(&here, tag).unwrap().digest
}

#[test]
fn signatures_are_found_in_tags_and_by_referrers() {
    let Some(bed) = Bed::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (signer, other) = (Signer::new(), Signer::new());
    let exact = demanding(dir.path(), &signer, "matchRepoDigestOrExact");
    let by_digest = demanding(dir.path(), &signer, "matchDigest");
    let at = |path: &str| format!("{}/{path}", bed.registry());
    let simple = [Put::Tag, Put::Referrer(REFERRER)];
    for (number, how) in simple.iter().enumerate() {
        let tag = at(&format!("simple{number}:1"));
        let digest = pushed(&bed, &tag);
        let words = denied(&bed, &exact, &tag);
        assert!(words.ends_with("it must be signed, and has no signature"), "{words}");
        put(&bed, &tag, &digest, how, &[other.simple(&digest, &tag)]);
        let words = denied(&bed, &exact, &tag);
        assert!(words.ends_with("it is signed, but by another key"), "{words}");
        let right = [other.simple(&digest, &tag), signer.simple(&digest, &tag)];
        put(&bed, &tag, &digest, how, &right);
        assert_eq!(denied(&bed, &exact, &tag), "");
        // By digest, whatever tag was signed.
        assert_eq!(denied(&bed, &exact, &at(&format!("simple{number}@{digest}"))), "");
        // Under another tag it is not what was signed.
        let repository = bed.repository(&tag);
        let document = bed.run(repository.manifest(&At::Tag("1".to_owned()))).unwrap();
        let two = At::Tag("2".to_owned());
        bed.run(repository.push_manifest(
            document.bytes.clone(),
            &document.descriptor.media_type,
            &two,
        ))
        .unwrap();
        let words = denied(&bed, &exact, &at(&format!("simple{number}:2")));
        assert!(words.contains(&format!("another name: {tag}")), "{words}");
    }
    let tag = at("bundle:1");
    let digest = pushed(&bed, &tag);
    put(&bed, &tag, &digest, &Put::Referrer(BUNDLE), &[signer.bundle(&digest)]);
    assert!(denied(&bed, &exact, &tag).contains("names no image"));
    assert_eq!(denied(&bed, &by_digest, &tag), "");
    // The signature of another image, put where this one's would be.
    let tag = at("moved:1");
    let stray = signer.simple(&Digest::of(b"x"), &tag);
    put(&bed, &tag, &pushed(&bed, &tag), &Put::Tag, &[stray]);
    assert!(denied(&bed, &exact, &tag).contains("a signature is for another image"));
}

#[test]
fn an_index_or_its_manifest_is_signed() {
    let Some(bed) = Bed::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::new();
    let gate = demanding(dir.path(), &signer, "matchRepository");
    for which in ["index", "manifest"] {
        let tag = format!("{}/{which}:many", bed.registry());
        let manifest = pushed(&bed, &tag);
        let repository = bed.repository(&tag);
        let at = At::Digest(manifest.clone());
        let document = bed.run(repository.manifest(&at)).unwrap();
        let platform = Some(Platform::host());
        let index = Index {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            manifests: vec![Descriptor { platform, ..document.descriptor.clone() }],
            annotations: std::collections::BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&index).unwrap();
        let digest = Digest::of(&bytes);
        let at = At::Tag("many".to_owned());
        bed.run(repository.push_manifest(bytes.into(), media::INDEX, &at)).unwrap();
        assert!(denied(&bed, &gate, &tag).contains("has no signature"), "{which}");
        let signed = if which == "index" { &digest } else { &manifest };
        put(&bed, &tag, signed, &Put::Tag, &[signer.simple(signed, &tag)]);
        assert_eq!(denied(&bed, &gate, &tag), "", "{which}");
    }
}

#[test]
fn what_is_here_is_asked_about_again() {
    let Some(bed) = Bed::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.json");
    let write = |kind: &str| {
        let text = json!({"default": [{"type": kind}]}).to_string();
        fs::write(dir.path().join("new"), text).unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
    };
    write("insecureAcceptAnything");
    let home = Home::guarded(Gate::by_file(&path, true).unwrap());
    let tag = format!("{}/a:1", bed.registry());
    pushed(&bed, &tag);
    assert!(bed.pull(&home, &tag).unwrap().changed);
    assert!(!bed.pull(&home, &tag).unwrap().changed);
    write("reject");
    let error = bed.pull(&home, &tag).unwrap_err();
    assert!(error.to_string().contains("it rejects every such image"), "{error}");
    assert!(home.images.resolve(&tag).is_ok(), "what is here stays");
}

#[test]
fn a_mirror_answers_for_the_name_that_was_given() {
    let Some(bed) = Bed::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::new();
    let gate = demanding(dir.path(), &signer, "matchExact");
    let (there, meant) = (format!("{}/team/app:1", bed.registry()), "docker.io/team/app:1");
    let digest = pushed(&bed, &there);
    let hosts = HostsConfig {
        mirrors: vec![format!("http://{}", bed.registry())],
        certs_dirs: Vec::new(),
        ..HostsConfig::default()
    };
    let pull = |signed_as: &str| {
        let layers = [signer.simple(&digest, signed_as)];
        for how in [Put::Tag, Put::Referrer(REFERRER)] {
            put(&bed, &there, &digest, &how, &layers);
        }
        let home = Home::guarded(gate.clone());
        let client = bed.client_by(hosts.clone());
        let transfers = Transfers::new(home.images.clone(), client, TransferLimits::default());
        let events = gantry_image::transfer::Events::unheard();
        bed.run(transfers.pull(&Bed::wish(meant), &events)).map(drop)
    };
    let error = pull(&there).unwrap_err().to_string();
    assert!(error.contains("image team/app:1 is denied"), "{error}");
    assert!(error.contains(&format!("another name: {there}")), "{error}");
    pull(meant).unwrap();
}

#[test]
fn a_registry_may_list_what_it_wants() {
    let Some(bed) = Bed::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::new();
    let gate = demanding(dir.path(), &signer, "matchExact");
    let tag = format!("{}/liar:1", bed.registry());
    let digest = pushed(&bed, &tag);
    let right = signer.simple(&digest, &tag);
    let with = |field: &str, value: Value| {
        let (mut layer, bytes) = signer.simple(&digest, &tag);
        layer[field] = value;
        (layer, bytes)
    };
    for (wrong, words) in [
        (with("size", json!(1_u64 << 40)), "larger than"),
        (with("size", json!(3)), "size"),
        (with("annotations", json!({})), "no annotation"),
        (with("annotations", json!({"dev.cosignproject.cosign/signature": "%"})), "base64"),
        (with("mediaType", json!("text/plain")), "has no signature"),
    ] {
        put(&bed, &tag, &digest, &Put::Tag, std::slice::from_ref(&wrong));
        let told = denied(&bed, &gate, &tag);
        assert!(told.contains(words), "{words}: {told}");
        put(&bed, &tag, &digest, &Put::Tag, &[wrong, right.clone()]);
        assert_eq!(denied(&bed, &gate, &tag), "", "{words}");
    }
    let mut many: Vec<_> = (0..64).map(|_| Signer::new().simple(&digest, &tag)).collect();
    many.push(right);
    put(&bed, &tag, &digest, &Put::Tag, &many);
    let told = denied(&bed, &gate, &tag);
    assert!(told.contains("there are more than 64"), "{told}");
}

#[test]
fn archives_have_transports_of_their_own() {
    if !crate::root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layers = busybox_layers();
    let archive = docker_archive("a:1", &layers, &layers);
    let kept = Home::new();
    kept.load(&archive).unwrap();
    let saved = kept.save(&["a:1"]);
    let oci = without_docker_table(&saved);
    for allowed in ["docker-archive", "oci-archive", "tarball", "none"] {
        let policy = json!({
            "default": [{"type": "reject"}],
            "transports": {allowed: {"": [{"type": "insecureAcceptAnything"}]}},
        });
        let path = dir.path().join("policy.json");
        fs::write(&path, policy.to_string()).unwrap();
        let home = Home::guarded(Gate::by_file(&path, true).unwrap());
        let import = || {
            let root = Box::new(std::io::Cursor::new(tar(&[("f", b"f")])));
            home.images.import(root, &Import::default()).map(drop)
        };
        for (transport, came) in [
            ("docker-archive", home.load(&archive).map(drop)),
            ("oci-archive", home.load(&oci).map(drop)),
            ("tarball", import()),
        ] {
            match came {
                Ok(()) => assert_eq!(transport, allowed),
                Err(ImageError::Denied(denied)) => {
                    assert_ne!(transport, allowed);
                    // Where neither archive may come none is looked at.
                    let known = allowed.ends_with("archive") || transport == "tarball";
                    let kind = if known { transport } else { "archive" };
                    assert!(denied.image.ends_with(&format!(" {kind}")), "{}", denied.image);
                }
                Err(error) => panic!("{transport} with {allowed}: {error}"),
            }
        }
        assert_eq!(home.images.list().len(), usize::from(allowed != "none"), "{allowed}");
        assert!(allowed != "none" || home.counts() == (0, 0));
    }
}

/// The archive without `manifest.json`, so that it is a layout of OCI alone.
fn without_docker_table(archive: &[u8]) -> Vec<u8> {
    let mut files = Vec::new();
    let mut reader = gantry_archive::Reader::new(archive);
    while let Some(entry) = reader.next().unwrap() {
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut data).unwrap();
        if entry.kind == gantry_archive::EntryKind::File && entry.display_name() != "manifest.json"
        {
            files.push((entry.display_name(), data));
        }
    }
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, data)| (&**name, data.as_slice())).collect();
    tar(&files)
}
