//! `COPY`, `ADD` and `WORKDIR`, as Docker's do it.

use std::sync::Arc;

use gantry_archive::{EntryKind, Header, TarWriter};
use gantry_build::graph::{Copy, InlineFile, MakeDirectory, Mode, Op, Owner, VertexId};
use gantry_image::Image;

use crate::{
    bed::{Bed, Planner, on_host, request},
    client::TestClient,
};

fn owner(user: &str, group: &str) -> Option<Owner> {
    Some(Owner { user: user.to_owned(), group: group.to_owned() })
}

/// Copies of the context's `sources` onto a base with some links.
async fn copied(
    bed: &Bed,
    client: &Arc<TestClient>,
    sources: &[&str],
    destination: &str,
    change: impl FnOnce(&mut Copy),
) -> Result<Vec<String>, String> {
    let mut planner = Planner::default();
    let base = planner.base(bed);
    let context = planner.context();
    let made = planner.run(base, "mkdir /real /full; ln -s /real /linked; echo old > /full/a; ln -s /full/a /tofile; chmod 711 /real");
    let target = planner.copy_with(made, context, sources, destination, change);
    match bed.build(client, request(), planner.plan(target)).await {
        Ok(built) => {
            let image = bed.images.resolve(&built.image).unwrap();
            let known = ["linked", "real d 711", "full d 755 ", "tofile l"];
            let news = bed.new_files(&image).into_iter();
            let shown = |file: &String| !known.iter().any(|known| file.starts_with(known));
            Ok(news.filter(shown).collect())
        }
        Err(failed) => Err(failed.failure.message.clone()),
    }
}

fn context() -> Arc<TestClient> {
    let client = TestClient::with(&[
        ("src/a", "A"),
        ("src/sub/b", "B"),
        ("one.txt", "1"),
        ("two.txt", "2"),
        ("z.md", "3"),
    ]);
    client.put_mode("tool", "#!", 0o750);
    client.link("src/l", "a");
    client
}

#[test]
fn where_things_go() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = context();
        let full = "full/a f 644 0:0 old\n";
        for (sources, destination, want) in [
            (&["/one.txt"][..], "/x", &[full, "x f 644 0:0 1"][..]),
            (&["/one.txt"], "/x/", &[full, "x d 755 0:0 ", "x/one.txt f 644 0:0 1"]),
            (&["/one.txt"], "/full", &[full, "full/one.txt f 644 0:0 1"]),
            (&["/one.txt"], "/full/a", &["full/a f 644 0:0 1"]),
            (&["/one.txt"], "/linked/", &[full, "real/one.txt f 644 0:0 1"]),
            (&["/one.txt"], "/linked/x", &[full, "real/x f 644 0:0 1"]),
            (&["/one.txt"], "/tofile", &["full/a f 644 0:0 1"]),
            (&["/one.txt"], "/lib/x", &[full, "usr/lib/x f 644 0:0 1"]),
            (&["/one.txt"], "/../../x", &[full, "x f 644 0:0 1"]),
            (
                &["/*.txt"],
                "/x/",
                &[full, "x d 755 0:0 ", "x/one.txt f 644 0:0 1", "x/two.txt f 644 0:0 2"],
            ),
            (
                &["/one.txt", "/z.md"],
                "/x/",
                &[full, "x d 755 0:0 ", "x/one.txt f 644 0:0 1", "x/z.md f 644 0:0 3"],
            ),
            (&["/no*"], "/x/", &[full]),
            (&["/tool"], "/x", &[full, "x f 750 0:0 #!"]),
            (
                &["/src"],
                "/x",
                &[
                    full,
                    "x d 755 0:0 ",
                    "x/a f 644 0:0 A",
                    "x/l l 777 0:0 -> a",
                    "x/sub d 755 0:0 ",
                    "x/sub/b f 644 0:0 B",
                ],
            ),
            (&["/src/sub"], "/full", &[full, "full/b f 644 0:0 B"]),
            (&["/src/l"], "/x", &[full, "x f 644 0:0 A"]),
        ] {
            let got = copied(&bed, &client, sources, destination, |_| ()).await;
            assert_eq!(
                got.as_deref(),
                Ok(want.map_strings().as_slice()),
                "{sources:?} {destination}"
            );
        }
        for (sources, destination, want) in [
            ("/nothing", "/x", "\"/nothing\": not found"),
            ("/one.txt/x", "/x", "\"/one.txt/x\": not found"),
            ("/src", "/full/a", "cannot copy to non-directory: /full/a"),
            ("/one.txt", "/full/a/", "cannot copy to non-directory: /full/a"),
            ("/src/[", "/x", "syntax error in pattern"),
        ] {
            let got = copied(&bed, &client, &[sources], destination, |_| ()).await.unwrap_err();
            assert!(got.ends_with(want), "{sources} {destination}: {got}");
        }
        client.put("full/sub", "a file");
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let made = planner.run(base, "mkdir -p /x/sub");
        let target = planner.copy(made, context, "/full", "/x");
        let failure = bed.failure(&client, request(), planner.plan(target)).await;
        assert_eq!(failure.message, "cannot replace to directory /x/sub with file");
    });
}

trait MapStrings {
    fn map_strings(&self) -> Vec<String>;
}

impl MapStrings for &[&str] {
    fn map_strings(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn owners_and_modes() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = context();
        let full = "full/a f 644 0:0 old\n".to_owned();
        let tree = |owner: &str, directory: &str, file: &str| {
            [
                full.clone(),
                format!("x d 755 {owner} "),
                format!("x/a f {file} {owner} A"),
                format!("x/l l 777 {owner} -> a"),
                format!("x/sub d {directory} {owner} "),
                format!("x/sub/b f {file} {owner} B"),
            ]
        };
        let octal = |mode| Some(Mode::Octal(mode));
        let symbolic = |text: &str| Some(Mode::Symbolic(text.to_owned()));
        for (owner, mode, want) in [
            (owner("web", ""), None, tree("33:34", "755", "644")),
            (owner("web", "www"), None, tree("33:80", "755", "644")),
            (owner("55", ""), None, tree("55:55", "755", "644")),
            (owner("5", "6"), None, tree("5:6", "755", "644")),
            (None, octal(0o640), tree("0:0", "640", "640")),
            (None, octal(0o4755), tree("0:0", "4755", "4755")),
            (None, symbolic("go-r,u+X"), tree("0:0", "711", "600")),
            (owner("web", ""), octal(0o700), tree("33:34", "700", "700")),
        ] {
            let got = copied(&bed, &client, &["/src"], "/x/", |copy| {
                copy.owner = owner.clone();
                copy.mode = mode.clone();
            });
            assert_eq!(got.await.unwrap(), want, "{owner:?} {mode:?}");
        }
        let got = copied(&bed, &client, &["/src"], "/x", |copy| copy.owner = owner("nosuch", ""));
        assert_eq!(
            got.await.unwrap_err(),
            "unable to find user nosuch: no matching entries in passwd file"
        );
        // What comes of a stage keeps its owner.
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let stage = planner
            .copy_with(base, context, &["/src"], "/s/", |copy| copy.owner = owner("web", ""));
        let target = planner.copy(base, stage, "/s/sub/b", "/b");
        let image = bed.image(&client, request(), planner.plan(target)).await;
        assert_eq!(bed.new_files(&image), ["b f 644 33:34 B"]);
    });
}

#[test]
fn parents_and_exclusions() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[
            ("a/x/1.txt", "1"),
            ("a/x/2.md", "2"),
            ("a/y/deep/3.txt", "3"),
            ("b/4.txt", "4"),
        ]);
        type Change = fn(&mut Copy);
        let cases: [(&[&str], Change, &[&str]); 7] = [
            (&["/a/x/1.txt"], |copy| copy.parents = true, &["o", "o/a", "o/a/x", "o/a/x/1.txt"]),
            (
                &["/*/*/*.txt", "/b"],
                |copy| copy.parents = true,
                &["o", "o/a", "o/a/x", "o/a/x/1.txt", "o/b", "o/b/4.txt"],
            ),
            (
                &["/**/*.txt"],
                |copy| copy.parents = true,
                &[
                    "o",
                    "o/a",
                    "o/a/x",
                    "o/a/x/1.txt",
                    "o/a/y",
                    "o/a/y/deep",
                    "o/a/y/deep/3.txt",
                    "o/b",
                    "o/b/4.txt",
                ],
            ),
            (
                &["/a/x/1.txt"],
                |copy| {
                    copy.parents = true;
                    copy.items[0].pivot = Some("/a".to_owned());
                },
                &["o", "o/x", "o/x/1.txt"],
            ),
            (
                &["/a"],
                |copy| copy.exclude = vec!["**/*.txt".to_owned()],
                &["o", "o/x", "o/x/2.md", "o/y", "o/y/deep"],
            ),
            (
                &["/a"],
                |copy| copy.exclude = vec!["x".to_owned(), "!x/2.md".to_owned()],
                &["o", "o/x", "o/x/2.md", "o/y", "o/y/deep", "o/y/deep/3.txt"],
            ),
            (&["/a/x/*"], |copy| copy.exclude = vec!["*.md".to_owned()], &["o", "o/1.txt"]),
        ];
        for (sources, change, want) in cases {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy_with(base, context, sources, "/o/", change);
            let image = bed.image(&client, request(), planner.plan(target)).await;
            let names: Vec<String> = bed
                .new_files(&image)
                .iter()
                .map(|file| file.split(' ').next().unwrap().to_owned())
                .collect();
            assert_eq!(names, want, "{sources:?}");
        }
    });
}

#[test]
fn links_between_files_stay() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let stage = planner.run(base, "mkdir /d; echo x > /d/a; ln /d/a /d/b; chmod 4711 /d/a");
        let target = planner.copy(base, stage, "/d", "/e");
        let image = bed.image(&client, request(), planner.plan(target)).await;
        assert_eq!(
            bed.new_files(&image),
            ["e d 755 0:0 ", "e/a f 4711 0:0 x\n", "e/b h 4711 0:0 -> e/a"]
        );
    });
}

#[test]
fn linked_copies_are_laid_upon_any_base() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("a", "1")]);
        let build = async |command: &str| -> Arc<Image> {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let lower = planner.run(base, command);
            let upper =
                planner.copy_with(lower, context, &["/a"], "/deep/x/", |copy| copy.base = None);
            let target = planner.add("merge", Op::Merge { lower, upper });
            bed.image(&client, request(), planner.plan(target)).await
        };
        let first = build("echo 1 > /one").await;
        let second = build("echo 2 > /two").await;
        assert_eq!(first.layers.last(), second.layers.last(), "its layer depends on no base");
        assert!(bed.new_files(&second).contains(&"deep/x/a f 644 0:0 1".to_owned()));
        assert!(!second.config.history.last().unwrap().empty_layer);
    });
}

#[test]
fn archives_are_unpacked_where_that_is_asked_for() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let mut tar = TarWriter::new(Vec::new());
        tar.data(&Header { uid: 5, gid: 6, ..Header::file(b"lib/from-tar", 0) }, b"tar").unwrap();
        let link = Header { kind: EntryKind::Symlink, link: b"/etc", ..Header::file(b"escape", 0) };
        tar.data(&link, b"").unwrap();
        tar.data(&Header::file(b"escape/inside", 0), b"in the image").unwrap();
        let tar = String::from_utf8(tar.finish().unwrap()).unwrap();
        let client = TestClient::with(&[("a.tar", &tar), ("plain", "no tar")]);
        let build = async |unpack: bool, owner: Option<Owner>| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy_with(base, context, &["/a.tar", "/plain"], "/", |copy| {
                copy.items.iter_mut().for_each(|item| item.unpack = unpack);
                copy.owner = owner;
            });
            let image = bed.image(&client, request(), planner.plan(target)).await;
            (image.clone(), bed.new_files(&image))
        };
        let (image, files) = build(true, None).await;
        assert_eq!(
            files,
            [
                "escape l 777 0:0 -> /etc",
                "etc/inside f 644 0:0 in the image",
                "plain f 644 0:0 no tar",
                "usr/lib/from-tar f 644 5:6 tar",
            ]
        );
        // The directories on the way have kept their times, so that it is the same anywhere.
        let again = {
            let dir = dir.join("other");
            std::fs::create_dir(&dir).unwrap();
            let bed = Bed::open(&dir);
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let context = planner.context();
            let target = planner.copy_with(base, context, &["/a.tar", "/plain"], "/", |copy| {
                copy.items.iter_mut().for_each(|item| item.unpack = true);
            });
            bed.image(&client, request(), planner.plan(target)).await
        };
        assert_eq!(image.layers.last(), again.layers.last());
        let (_, files) = build(true, owner("web", "")).await;
        assert!(files.contains(&"usr/lib/from-tar f 644 33:34 tar".to_owned()), "{files:?}");
        let (_, files) = build(false, None).await;
        assert!(files.iter().any(|file| file.starts_with("a.tar f 644 0:0")), "{files:?}");
    });
}

#[test]
fn files_of_the_text_and_working_directories() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let file = InlineFile { name: "EOF".into(), content: "text\n".into(), mode: 0o644 };
        let inline = planner.add("inline", Op::Inline(vec![file]));
        let written = planner.copy(base, inline, "/EOF", "/etc/written");
        let directory = |base, path: &str, owner| {
            Op::MakeDirectory(MakeDirectory {
                base,
                path: path.to_owned(),
                owner,
                mode: 0o755,
                epoch_s: Some(5),
            })
        };
        let made = planner.add("WORKDIR /a/b", directory(written, "/a/b", owner("web", "")));
        let there = planner.add("WORKDIR /usr/lib", directory(made, "/usr/lib", None));
        let linked = planner.add("WORKDIR /lib/x", directory(there, "/lib/x", None));
        let image = bed.image(&client, request(), planner.plan(linked)).await;
        assert_eq!(
            bed.new_files(&image),
            [
                "a d 755 33:34 ",
                "a/b d 755 33:34 ",
                "etc/written f 644 0:0 text\n",
                "usr/lib/x d 755 0:0 ",
            ]
        );
        let empty: Vec<bool> = image.config.history.iter().map(|entry| entry.empty_layer).collect();
        assert_eq!(empty, [false, false, true, false], "what is there already makes no layer");
        assert_eq!(image.layers.len(), bed.base().layers.len() + 3);
    });
}

#[test]
fn a_base_keeps_its_directories_as_they_are() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::with(&[("a", "1")]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let context = planner.context();
        let made = planner.run(base, "mkdir -m 1777 /sticky; mkdir -m 700 /sticky/own");
        let target = planner.copy(made, context, "/a", "/sticky/own/a");
        let image = bed.image(&client, request(), planner.plan(target)).await;
        assert_eq!(
            bed.new_files(&image),
            ["sticky d 1777 0:0 ", "sticky/own d 700 0:0 ", "sticky/own/a f 644 0:0 1"]
        );
        let _ = VertexId(0);
    });
}
