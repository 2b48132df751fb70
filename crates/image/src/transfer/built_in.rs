//! Images that are made here when they are pulled.

use gantry_oci::Reference;

use super::{Events, Pull, Pulled, TransferError, Transfers, blocking};

impl Transfers {
    /// Makes what is wanted if it is built in: without a tag, or as `latest`.
    pub(super) async fn make(
        &self,
        pull: &Pull,
        events: &Events,
    ) -> Result<Option<Pulled>, TransferError> {
        let name = pull.reference.clone().or_latest();
        let Some(&(_, make)) = self.0.built_in.iter().find(|(built, _)| is(&name, built)) else {
            return Ok(None);
        };
        events.line("latest", format!("Making {}, which is built in", name.familiar_name())).await;
        let before = self.known(&name).map(|image| image.id.clone());
        let (images, wanted) = (self.0.images.clone(), name.clone());
        let id = blocking(move || make(&images, &wanted)).await??;
        self.tell_pull(&name, &id);
        let changed = before.as_ref() != Some(&id);
        let status = if changed { "Downloaded newer image for" } else { "Image is up to date for" };
        events.line("", format!("Status: {status} {}", name.familiar())).await;
        Ok(Some(Pulled { digest: id.clone(), id, changed }))
    }
}

/// Whether a name is that of a built-in image; names with a host or a digest are a registry's.
fn is(name: &Reference, built: &str) -> bool {
    name.digest().is_none() && built.parse::<Reference>().is_ok_and(|own| own.or_latest() == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_name_is_built_in() {
        let digest = gantry_oci::Digest::of(b"");
        for (name, want) in [
            ("gantry-registry", true),
            ("gantry-registry:latest", true),
            ("docker.io/library/gantry-registry", true),
            ("gantry-registry:1", false),
            ("someone/gantry-registry", false),
            ("localhost:5000/gantry-registry", false),
            (&format!("gantry-registry@{digest}"), false),
        ] {
            let reference = name.parse::<Reference>().unwrap().or_latest();
            assert_eq!(is(&reference, "gantry-registry"), want, "{name}");
        }
    }
}
