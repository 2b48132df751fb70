//! The payload of cosign's signatures: which digest, under which name.
//!
//! Source: containers-signature(5); cosign's "Signature Specification", "Simple Signing".

use gantry_oci::Digest;
use serde::Deserialize;
use serde_json::Value;

/// What the payload says that it is.
const KIND: &str = "cosign container image signature";

/// The payload. Whatever it has beside is refused: it may limit what is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    optional: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    r#type: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

/// Reads a payload: the digest of a manifest or an index, and the name of the image. Only what is
/// signed is worth reading.
pub(crate) fn read(payload: &[u8]) -> Result<(Digest, String), String> {
    let payload: Payload = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let critical = payload.critical;
    if critical.r#type != KIND {
        return Err(format!("its type is {:?}", critical.r#type));
    }
    if !is_optional(&payload.optional) {
        return Err("what stands in \"optional\" is wrong".to_owned());
    }
    Ok((critical.image.digest, critical.identity.reference))
}

/// cosign writes null where nothing is optional; the creator is a text, the time whole seconds.
fn is_optional(optional: &Value) -> bool {
    let Value::Object(map) = optional else { return optional.is_null() };
    let whole = |time: &Value| time.as_f64().is_some_and(|seconds| seconds.fract() == 0.0);
    map.get("creator").is_none_or(Value::is_string) && map.get("timestamp").is_none_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_say_exactly_what_they_must() {
        let digest = Digest::of(b"");
        let right = format!(
            r#"{{"critical":{{"type":"{KIND}","image":{{"docker-manifest-digest":"{digest}"}},
               "identity":{{"docker-reference":"r.io/a:1"}}}},"optional":null}}"#
        );
        let want = Ok((digest.clone(), "r.io/a:1".to_owned()));
        assert_eq!(read(right.as_bytes()), want);
        let with = |text: &str| right.replace(r#""optional":null"#, text);
        let optional = with(r#""optional":{"creator":"me","timestamp":1e9,"more":[1]}"#);
        assert_eq!(read(optional.as_bytes()), want);
        for wrong in [
            with(r#""optional":{"timestamp":1.5}"#),
            with(r#""optional":{"creator":1}"#),
            with(r#""optional":[]"#),
            with(r#""optional":null,"extra":1"#),
            with(r#""optional":null,"optional":null"#),
            right.replace(r#","optional":null"#, ""),
            right.replace(KIND, "atomic container signature"),
            right.replace("sha256:", "md5:"),
            right.replace(r#""identity""#, r#""identity":{"docker-reference":"x"},"identity""#),
            right.replace(r#"{"docker-reference":"r.io/a:1"}"#, "{}"),
            format!("{right}x"),
            String::new(),
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
