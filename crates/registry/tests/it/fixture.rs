//! Blobs, manifests, and the short ways to push them.

use gantry_oci::{Algorithm, Digest, Hasher, image::media};
use serde_json::{Value, json};

use crate::http::{Answer, At};

/// The media type of bytes.
pub(crate) const BYTES: &str = "application/octet-stream";

pub(crate) fn sha512(data: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(data);
    hasher.finish()
}

/// Bytes that are the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A manifest's or index's bytes and type.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
}

impl Document {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    fn of(value: &Value, media_type: &'static str) -> Self {
        Self { bytes: serde_json::to_vec_pretty(value).expect("JSON"), media_type }
    }
}

pub(crate) fn descriptor(media_type: &str, data: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(data), "size": data.len() })
}

/// The value of an image manifest over these blobs.
pub(crate) fn image_value(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> =
        layers.iter().map(|layer| descriptor(media::LAYER_GZIP, layer)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": descriptor(media::CONFIG, config),
        "layers": layers,
    })
}

pub(crate) fn image(config: &[u8], layers: &[&[u8]]) -> Document {
    Document::of(&image_value(config, layers), media::MANIFEST)
}

/// An artifact that belongs to `subject`.
pub(crate) fn artifact(config: &[u8], subject: &Document, kind: &str, note: &str) -> Document {
    let mut value = image_value(config, &[]);
    value["artifactType"] = json!(kind);
    value["annotations"] = json!({ "note": note });
    value["subject"] = descriptor(subject.media_type, &subject.bytes);
    Document::of(&value, media::MANIFEST)
}

pub(crate) fn index(manifests: &[&Document]) -> Document {
    let manifests: Vec<Value> =
        manifests.iter().map(|one| descriptor(one.media_type, &one.bytes)).collect();
    let value = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": manifests });
    Document::of(&value, media::INDEX)
}

/// Pushes a blob in two requests.
pub(crate) fn push_blob(at: &At, name: &str, data: &[u8]) -> Digest {
    let digest = Digest::of(data);
    finish(at, &begin(at, name), data, &digest).expect(201);
    digest
}

/// Begins an upload; returns its path.
pub(crate) fn begin(at: &At, name: &str) -> String {
    at.post(&format!("/v2/{name}/blobs/uploads/")).expect(202).location()
}

/// Sends the rest of an upload and its digest.
pub(crate) fn finish(at: &At, location: &str, data: &[u8], digest: &Digest) -> Answer {
    at.put(&with(location, &format!("digest={digest}")), BYTES, data)
}

/// A path with one more parameter.
pub(crate) fn with(path: &str, parameter: &str) -> String {
    format!("{path}{}{parameter}", if path.contains('?') { '&' } else { '?' })
}

pub(crate) fn push(at: &At, name: &str, reference: &str, document: &Document) -> Answer {
    at.put(&format!("/v2/{name}/manifests/{reference}"), document.media_type, &document.bytes)
}

/// Pushes an image of one layer with a tag.
pub(crate) fn push_image(at: &At, name: &str, tag: &str, seed: u64) -> Document {
    let (config, layer) = (format!("{{\"seed\":{seed}}}").into_bytes(), noise(seed, 1000));
    push_blob(at, name, &config);
    push_blob(at, name, &layer);
    let document = image(&config, &[&layer]);
    push(at, name, tag, &document).expect(201);
    document
}
