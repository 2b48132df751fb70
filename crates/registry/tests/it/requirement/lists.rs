//! end-8 and the catalog.

use serde_json::{Value, json};

use super::requirements;
use crate::{
    fixture::{push, push_blob, push_image},
    http::At,
};

requirements! {
    end_8a_tags;
    end_8a_unknown;
    end_8b_pages, not the reference: "2.8 has no pages of tags";
    end_8b_invalid_length, not the reference: "2.8 has no pages of tags";
    catalog;
    catalog_pages;
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    items.iter().map(|item| item.as_str().expect("text").to_owned()).collect()
}

/// The path of the next page.
fn next(link: &str) -> String {
    let (target, rest) = link.strip_prefix('<').and_then(|text| text.split_once('>')).expect(link);
    assert!(rest.contains("rel=\"next\""), "{link}");
    target.to_owned()
}

/// All pages, by following links.
fn follow(at: &At, first: &str, list: &str) -> Vec<Vec<String>> {
    let (mut pages, mut path) = (Vec::new(), first.to_owned());
    loop {
        let answer = at.get(&path).expect(200);
        pages.push(strings(&answer.json()[list]));
        match answer.header("link") {
            Some(link) => path = next(link),
            None => return pages,
        }
        assert!(pages.len() < 100, "pages without end");
    }
}

fn end_8a_tags(at: &At) {
    let document = push_image(at, "a/b", "v2", 1);
    for tag in ["v10", "V1", "latest", "v2"] {
        push(at, "a/b", tag, &document).expect(201);
    }
    let answer = at.get("/v2/a/b/tags/list").expect(200);
    assert_eq!(answer.json()["name"], json!("a/b"));
    let mut tags = strings(&answer.json()["tags"]);
    tags.sort();
    assert_eq!(tags, ["V1", "latest", "v10", "v2"]);
}

fn end_8a_unknown(at: &At) {
    assert_eq!(at.get("/v2/nobody/tags/list").expect(404).code(), "NAME_UNKNOWN");
}

fn end_8b_pages(at: &At) {
    let document = push_image(at, "a", "t1", 1);
    for number in 2..=5 {
        push(at, "a", &format!("t{number}"), &document).expect(201);
    }
    let pages = follow(at, "/v2/a/tags/list?n=2", "tags");
    assert_eq!(pages, [vec!["t1", "t2"], vec!["t3", "t4"], vec!["t5"]]);
    let tags = |path: &str| strings(&at.get(path).expect(200).json()["tags"]);
    assert_eq!(tags("/v2/a/tags/list?n=1&last=t3"), ["t4"]);
    assert_eq!(tags("/v2/a/tags/list?last=t3"), ["t4", "t5"]);
    assert_eq!(tags("/v2/a/tags/list?last=t25"), ["t3", "t4", "t5"]);
    assert_eq!(tags("/v2/a/tags/list?last=z"), Vec::<String>::new());
    let nothing = at.get("/v2/a/tags/list?n=0").expect(200);
    assert_eq!(nothing.json()["tags"], json!([]));
    assert_eq!(nothing.header("link"), None);
    let all = at.get("/v2/a/tags/list?n=5").expect(200);
    assert_eq!(all.header("link"), None);
}

fn end_8b_invalid_length(at: &At) {
    push_image(at, "a", "t1", 1);
    for wrong in ["-1", "x", "1.5"] {
        at.get(&format!("/v2/a/tags/list?n={wrong}")).expect(400);
    }
}

fn catalog(at: &At) {
    for name in ["b", "a/x", "a"] {
        push_image(at, name, "v1", 1);
    }
    let mut names = strings(&at.get("/v2/_catalog").expect(200).json()["repositories"]);
    names.sort();
    assert_eq!(names, ["a", "a/x", "b"]);
}

fn catalog_pages(at: &At) {
    for name in ["r1", "r2", "r3", "r4", "r5"] {
        push_blob(at, name, b"data");
        push_image(at, name, "v1", 1);
    }
    let pages = follow(at, "/v2/_catalog?n=2", "repositories").concat();
    assert_eq!(pages, ["r1", "r2", "r3", "r4", "r5"]);
    let answer = at.get("/v2/_catalog?n=2&last=r2").expect(200);
    assert_eq!(strings(&answer.json()["repositories"]), ["r3", "r4"]);
}
