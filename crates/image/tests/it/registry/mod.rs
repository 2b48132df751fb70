//! Images to and from Debian's registry (package docker-registry), if it is installed.

mod bed;
mod broken;
mod policy;

use gantry_distribution::{At, Credentials};
use gantry_image::transfer::{Step, TransferEvent};
use gantry_oci::{Descriptor, Digest, Index, Platform, image::media};

use crate::{Home, busybox_layers, docker_archive, gzip, root};
use bed::{Bed, name, steps};

fn loaded(home: &Home, tag: &str) {
    let layers = busybox_layers();
    home.load(&docker_archive(tag, &layers, &layers)).unwrap();
}

#[test]
fn what_was_pushed_comes_back_as_it_was() {
    let Some(bed) = Bed::start() else { return };
    let (here, there) = (Home::new(), Home::new());
    let tag = format!("{}/a/b:1", bed.registry());
    loaded(&here, &tag);
    let id = here.images.resolve(&tag).unwrap().id.clone();
    let first = bed.push(&here, &tag).unwrap();
    assert!(steps(&first.events).all(|step| !matches!(step, Step::Exists)), "{:?}", first.events);
    let sent = bed.proxy.sent();
    let second = bed.push(&here, &tag).unwrap();
    assert!(steps(&second.events).any(|step| *step == Step::Exists));
    assert_eq!(second.digest, first.digest, "compressed again to the same");
    assert!(bed.proxy.sent() - sent < 8 << 10, "only the manifest goes again");

    let pulled = bed.pull(&there, &tag).unwrap();
    assert_eq!(pulled.digest, first.digest);
    assert!(pulled.changed);
    let image = there.images.resolve(&tag).unwrap();
    assert_eq!(image.id, id);
    let by_digest = name(&tag).with_digest(first.digest.clone());
    assert_eq!(image.repo_digests, std::slice::from_ref(&by_digest));
    assert_eq!(there.images.resolve(&by_digest.canonical()).unwrap().id, id);
    there.snapshots.prepare("c", &image.lowers()).unwrap();
    let top = there.snapshots.layer_path(&image.lowers()[1]);
    assert_eq!(std::fs::read_to_string(top.join("etc/motd")).unwrap(), "hello\n");

    let again = bed.pull(&there, &tag).unwrap();
    assert!(!again.changed && steps(&again.events).next().is_none(), "{:?}", again.events);
    let there = there.reopen();
    let sent = bed.proxy.sent();
    assert_eq!(bed.push(&there, &tag).unwrap().digest, first.digest);
    assert!(bed.proxy.sent() - sent < 8 << 10, "a pull and a push send nothing new");
    let told: Vec<String> = there.told();
    assert_eq!(told, [format!("push {}", name(&tag).familiar_name())]);

    let other = format!("{}/c:2", bed.registry());
    there.images.tag(&id, &name(&other)).unwrap();
    let mounted = bed.push(&there, &other).unwrap();
    assert_eq!(mounted.digest, first.digest);
    assert!(
        steps(&mounted.events).any(|step| *step == Step::Mounted { from: "a/b".to_owned() }),
        "{:?}",
        mounted.events
    );
}

#[test]
fn only_what_is_new_comes() {
    let Some(bed) = Bed::start() else { return };
    let (here, there) = (Home::new(), Home::new());
    let tag = format!("{}/grows:1", bed.registry());
    let mut layers = busybox_layers();
    let packed = |layers: &[Vec<u8>]| layers.iter().map(|layer| gzip(layer)).collect::<Vec<_>>();
    here.load(&docker_archive(&tag, &layers, &packed(&layers))).unwrap();
    bed.push(&here, &tag).unwrap();
    bed.pull(&there, &tag).unwrap();
    layers.push(crate::tar(&[("new", b"new\n")]));
    here.load(&docker_archive(&tag, &layers, &packed(&layers))).unwrap();
    bed.push(&here, &tag).unwrap();
    let received = bed.proxy.received();
    let pulled = bed.pull(&there, &tag).unwrap();
    assert!(pulled.changed);
    assert!(bed.proxy.received() - received < 16 << 10, "the changed layer alone");
    assert_eq!(steps(&pulled.events).filter(|step| **step == Step::Known).count(), 2);
    assert_eq!(there.images.resolve(&tag).unwrap().layers.len(), 3);
}

#[test]
fn an_index_stays_what_it_is() {
    let Some(bed) = Bed::start() else { return };
    let (here, there) = (Home::new(), Home::new());
    let tag = format!("{}/many:own", bed.registry());
    loaded(&here, &tag);
    let own = bed.push(&here, &tag).unwrap();
    let repository = bed.repository(&tag);
    let document = bed.run(repository.manifest(&At::Tag("own".to_owned()))).unwrap();
    let descriptor = |architecture: &str| {
        let mut one = document.descriptor.clone();
        one.platform = Some(Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            ..Platform::default()
        });
        one
    };
    let other = bed.other_manifest(&repository, &document);
    let index = Index {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests: vec![
            Descriptor { platform: descriptor("s390x").platform, ..other },
            descriptor(&Platform::host().architecture),
        ],
        annotations: std::collections::BTreeMap::new(),
    };
    // Not as anybody's encoder would write it.
    let raw = serde_json::to_vec_pretty(&index).unwrap();
    let all = At::Tag("all".to_owned());
    bed.run(repository.push_manifest(raw.clone().into(), media::INDEX, &all)).unwrap();

    let tag = format!("{}/many:all", bed.registry());
    let pulled = bed.pull(&there, &tag).unwrap();
    assert_eq!(pulled.digest, Digest::of(&raw), "the index is what the tag means");
    let image = there.images.resolve(&tag).unwrap();
    assert_eq!(image.origins[0].manifest.digest, own.digest);
    assert_eq!(bed.push(&there, &tag).unwrap().digest, Digest::of(&raw), "and stays so");
    // Where the other platforms are not, there is no index to be pushed.
    let elsewhere = format!("{}/few:all", bed.registry());
    there.images.tag(&image.id, &name(&elsewhere)).unwrap();
    assert_eq!(bed.push(&there, &elsewhere).unwrap().digest, own.digest);
    let missing = bed.pull_platform(&there, &tag, "linux/riscv64").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no matching manifest for linux/riscv64 in the manifest list entries"
    );
}

#[test]
fn refusals_are_in_dockers_words() {
    let Some(bed) = Bed::start() else { return };
    let home = Home::new();
    let tag = format!("{}/a:1", bed.registry());
    loaded(&home, &tag);
    bed.push(&home, &tag).unwrap();
    let none = format!("{}/a:2", bed.registry());
    let error = gantry_fault::chain(&bed.pull(&home, &none).unwrap_err());
    assert!(error.starts_with(&format!("manifest for {none} not found")), "{error}");
    let error = bed.push(&home, &none).unwrap_err();
    assert_eq!(error.to_string(), format!("tag does not exist: {none}"));
    let none = format!("{}/b:1", bed.registry());
    let error = bed.push(&home, &none).unwrap_err();
    let repository = none.trim_end_matches(":1");
    assert_eq!(
        error.to_string(),
        format!("An image does not exist locally with the tag: {repository}")
    );
    let described = bed.run(bed.transfers(&home).describe(&name(&tag), &Credentials::Anonymous));
    let platforms: Vec<String> =
        described.unwrap().platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, [Platform::host().to_string()]);
    let wrong = bed.pull_platform(&Home::new(), &tag, "linux/s390x").unwrap_err();
    assert!(wrong.to_string().contains("does not match the specified platform"), "{wrong}");
}

#[test]
fn what_is_saved_has_the_manifest_that_came() {
    let Some(bed) = Bed::start() else { return };
    let (here, there, third) = (Home::new(), Home::new(), Home::new());
    let tag = format!("{}/kept:1", bed.registry());
    loaded(&here, &tag);
    let pushed = bed.push(&here, &tag).unwrap();
    bed.pull(&there, &tag).unwrap();
    third.load(&there.save(&[&tag])).unwrap();
    let sent = bed.proxy.sent();
    assert_eq!(bed.push(&third, &tag).unwrap().digest, pushed.digest);
    assert!(bed.proxy.sent() - sent < 8 << 10, "blobs are the ones that came");
}

#[test]
fn all_tags_come_at_once() {
    let Some(bed) = Bed::start() else { return };
    let (here, there) = (Home::new(), Home::new());
    let tag = |tag: &str| format!("{}/all:{tag}", bed.registry());
    loaded(&here, &tag("1"));
    let id = here.images.resolve(&tag("1")).unwrap().id.clone();
    here.images.tag(&id, &name(&tag("2"))).unwrap();
    let repository = format!("{}/all", bed.registry());
    bed.push(&here, &repository).unwrap();
    let events = bed.pull_all(&there, &repository).unwrap();
    assert_eq!(there.images.resolve(&tag("1")).unwrap().names.len(), 2);
    let last = TransferEvent::Line {
        id: String::new(),
        text: format!("Status: Downloaded newer image for {repository}"),
    };
    assert_eq!(events.last(), Some(&last));
    let _ = root();
}
