//! `manifest`: what a registry holds under a name, and lists that are put together here.
//!
//! ```text
//! remote  asks and writes to registries       local   lists under way, in the configuration's
//! push    a list goes to its registry                 directory: manifests/LIST/MANIFEST
//! ```

mod local;
mod push;
mod remote;

use base64::Engine as _;
use gantry_oci::{Descriptor, Index, Platform, Reference, image::media};
use serde_json::{Value, json};

use crate::app::{Call, Failure, Outcome, for_each};
use crate::format;
use crate::output::out;
use local::{Entry, Lists};
pub(crate) use push::push;
use remote::Remote;

/// Platforms that images may be for, as `os/architecture`.
const PLATFORMS: &[&str] = &[
    "aix/ppc64",
    "darwin/386",
    "darwin/amd64",
    "darwin/arm",
    "darwin/arm64",
    "dragonfly/amd64",
    "freebsd/386",
    "freebsd/amd64",
    "freebsd/arm",
    "freebsd/arm64",
    "linux/386",
    "linux/amd64",
    "linux/arm",
    "linux/arm64",
    "linux/loong64",
    "linux/mips",
    "linux/mips64",
    "linux/mips64le",
    "linux/mipsle",
    "linux/ppc64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "netbsd/386",
    "netbsd/amd64",
    "netbsd/arm",
    "openbsd/386",
    "openbsd/amd64",
    "openbsd/arm",
    "openbsd/arm64",
    "plan9/386",
    "plan9/amd64",
    "solaris/amd64",
    "wasip1/wasm",
    "windows/386",
    "windows/amd64",
    "windows/arm",
    "windows/arm64",
];

fn named(text: &str) -> Result<Reference, Failure> {
    let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
    Ok(reference.or_latest())
}

/// `manifest inspect`.
pub(crate) async fn inspect(call: &Call<'_>) -> Outcome {
    let lists = Lists::of(&call.app.config);
    let verbose = call.flags.is_on("verbose");
    if let [list, manifest] = call.args.as_slice() {
        let (list, manifest) = (named(list)?, named(manifest)?);
        let entry = lists.entry(&list, &manifest)?;
        return print(&entry.show(verbose));
    }
    let name = named(&call.args[0])?;
    let entries = lists.entries(&name)?;
    if !entries.is_empty() {
        return print(&shown_list(&entries, verbose)?);
    }
    let remote = Remote::of(call, &name).await?;
    let document = remote.document(&name).await?;
    if !verbose {
        let value: Value =
            serde_json::from_slice(&document.bytes).map_err(|error| error.to_string())?;
        return print(&value);
    }
    if !media::is_index(&document.descriptor.media_type) {
        return print(&remote.entry(&name, document).await?.show(true));
    }
    let index: Index =
        serde_json::from_slice(&document.bytes).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for one in index.manifests {
        let inner = name.with_digest(one.digest.clone());
        let document = remote.document(&inner).await?;
        let entry = Entry { descriptor: one, ..Entry::new(&inner, &document) };
        all.push(entry.show(true));
    }
    print(&all.into())
}

fn print(value: &Value) -> Outcome {
    out(format!("{}\n", format::indent_plain(value, "\t")))?;
    Ok(0)
}

fn shown_list(entries: &[Entry], verbose: bool) -> Result<Value, Failure> {
    if verbose {
        return Ok(entries.iter().map(|entry| entry.show(true)).collect());
    }
    serde_json::to_value(index_of(entries)).map_err(|error| error.to_string().into())
}

/// The list of these manifests: of the family that the first one is of.
fn index_of(entries: &[Entry]) -> Index {
    let oci = entries.first().is_some_and(|one| one.descriptor.media_type == media::MANIFEST);
    Index {
        schema_version: 2,
        media_type: if oci { media::INDEX } else { media::DOCKER_INDEX }.to_owned(),
        manifests: entries.iter().map(|entry| entry.descriptor.clone()).collect(),
        annotations: std::collections::BTreeMap::new(),
    }
}

/// `manifest create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let lists = Lists::of(&call.app.config);
    let list = named(&call.args[0])?;
    if lists.has(&list) && !call.flags.is_on("amend") {
        return Err("refusing to amend an existing manifest list with no --amend flag".into());
    }
    let mut entries = Vec::new();
    for name in &call.args[1..] {
        let name = named(name)?;
        if let Some(known) = lists.find(&list, &name)? {
            entries.push(known);
            continue;
        }
        let remote = Remote::of(call, &name).await?;
        let document = remote.document(&name).await?;
        if media::is_index(&document.descriptor.media_type) {
            return Err(format!("{} is a manifest list", name.canonical()).into());
        }
        entries.push(remote.entry(&name, document).await?);
    }
    for entry in &entries {
        lists.save(&list, entry)?;
    }
    out(format!("Created manifest list {}\n", list.canonical()))?;
    Ok(0)
}

/// `manifest annotate`.
pub(crate) async fn annotate(call: &Call<'_>) -> Outcome {
    let (lists, flags) = (Lists::of(&call.app.config), &call.flags);
    let (list, manifest) = (named(&call.args[0])?, named(&call.args[1])?);
    let mut entry = lists.entry(&list, &manifest)?;
    let mut platform = entry.descriptor.platform.take().unwrap_or_default();
    let set = |field: &mut String, flag: &str| {
        if !flags.text(flag).is_empty() {
            flags.text(flag).clone_into(field);
        }
    };
    set(&mut platform.os, "os");
    set(&mut platform.architecture, "arch");
    set(&mut platform.variant, "variant");
    set(&mut platform.os_version, "os-version");
    for feature in flags.strings("os-features") {
        if !platform.os_features.contains(&feature) {
            platform.os_features.push(feature);
        }
    }
    let both = format!("{}/{}", platform.os, platform.architecture);
    if !PLATFORMS.contains(&both.as_str()) {
        let words = "manifest entry for image has unsupported os/arch combination";
        return Err(format!("{words}: {both}").into());
    }
    entry.descriptor.platform = Some(platform);
    lists.save(&list, &entry)?;
    Ok(0)
}

/// `manifest rm`.
pub(crate) async fn remove(call: &Call<'_>) -> Outcome {
    let lists = Lists::of(&call.app.config);
    for_each(&call.args, async |text| {
        let list = named(text)?;
        if !lists.has(&list) {
            return Err(format!("No such manifest: {}", list.canonical()).into());
        }
        lists.remove(&list)?;
        Ok(String::new())
    })
    .await
}

impl Entry {
    /// A manifest as `inspect` prints it.
    fn show(&self, verbose: bool) -> Value {
        let document: Value = serde_json::from_slice(&self.raw).unwrap_or_default();
        if !verbose {
            return document;
        }
        let kind = match self.descriptor.media_type.as_str() {
            media::MANIFEST => "OCIManifest",
            _ => "SchemaV2Manifest",
        };
        let mut shown = json!({"Ref": self.name, "Descriptor": self.descriptor});
        shown["Raw"] = base64::engine::general_purpose::STANDARD.encode(&self.raw).into();
        shown[kind] = document;
        shown
    }
}

/// A descriptor of a list: with a platform, and nothing of where it was found.
fn listed(descriptor: &Descriptor, platform: Platform) -> Descriptor {
    let mut plain =
        Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size);
    plain.platform = Some(platform);
    plain
}
