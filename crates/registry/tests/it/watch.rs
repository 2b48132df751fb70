//! What those who watch see: figures, health, the audit log, pages.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    fixture::{artifact, index, push, push_blob, push_image},
    http::At,
    process::{Running, free_port},
};

fn text(at: &At, path: &str) -> String {
    String::from_utf8(at.get(path).expect(200).body).expect("text")
}

#[test]
fn figures_count() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let at = &running.at;
    push_image(at, "a", "v1", 1);
    at.get("/v2/a/manifests/v1").expect(200);
    at.get("/v2/a/manifests/v2").expect(404);
    let text = text(at, "/metrics");
    for line in [
        "gantry_registry_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 1",
        "gantry_registry_requests_total{route=\"manifest\",method=\"GET\",status=\"404\"} 1",
        "gantry_registry_requests_total{route=\"manifest\",method=\"PUT\",status=\"201\"} 1",
        "gantry_registry_request_duration_seconds_count{route=\"manifest\"} 3",
        "gantry_registry_repositories 1",
        "gantry_registry_tags 1",
        "gantry_registry_manifests 1",
        "gantry_registry_blobs 2",
        "gantry_registry_blob_bytes 1010",
        "gantry_registry_received_bytes_total 1010",
        "gantry_registry_uploads 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in {text}");
    }
}

#[test]
fn health_tells_of_the_storage() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    assert_eq!(text(&running.at, "/debug/health"), "{}");
    fs::remove_dir_all(root.path().join("uploads")).expect("removed");
    assert!(running.at.get("/debug/health").expect(503).json()["storage"].is_string());
}

#[test]
fn those_who_watch_have_an_address_of_their_own() {
    let root = TempDir::new().expect("a directory");
    let port = free_port();
    let htpasswd = root.path().join("htpasswd");
    fs::write(&htpasswd, format!("ann:{}\n", bcrypt::hash("x", 4).expect("a hash")))
        .expect("written");
    let config = root.path().join("config.toml");
    let text_of = format!(
        "debug-listen = \"127.0.0.1:{port}\"\n[auth]\nhtpasswd = {:?}\n",
        htpasswd.display().to_string()
    );
    fs::write(&config, text_of).expect("written");
    let config = config.display().to_string();
    let running = Running::ours(&root.path().join("data"), &["--config", &config]);
    let watch = At::new(&format!("127.0.0.1:{port}"));
    assert!(text(&watch, "/metrics").contains("gantry_registry_repositories 0"));
    assert_eq!(text(&watch, "/debug/health"), "{}");
    watch.get("/v2/").expect(404);
    // Where users are asked who they are, figures are for nobody.
    running.at.get("/metrics").expect(404);
    running.at.get("/debug/health").expect(200);
    running.at.get("/").expect(401);
}

#[test]
fn the_audit_log_tells_who_did_what() {
    let root = TempDir::new().expect("a directory");
    let log = root.path().join("audit.log");
    let config = root.path().join("config.toml");
    let text = format!("[audit]\nfile = {:?}\n", log.display().to_string());
    fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let running = Running::ours(&root.path().join("data"), &["--config", &config]);
    let at = &running.at;
    let document = push_image(at, "a", "v1", 1);
    at.get("/v2/a/manifests/v1").expect(200);
    at.delete("/v2/a/manifests/v1").expect(202);
    at.delete("/v2/a/manifests/v1").expect(404);
    let text = fs::read_to_string(&log).expect("read");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line["method"] != "GET"), "reads are not noted: {text}");
    let digest = document.digest().to_string();
    let find = |method: &str, status: u16| {
        let fits = |line: &&Value| {
            line["method"] == method && line["object"] == "manifest" && line["status"] == status
        };
        lines.iter().find(fits).unwrap_or_else(|| panic!("{method} {status} in {text}"))
    };
    for (method, status) in [("PUT", 201), ("DELETE", 202)] {
        let line = find(method, status);
        assert_eq!(line["digest"], digest.as_str());
        assert_eq!((&line["repository"], &line["reference"]), (&"a".into(), &"v1".into()));
        assert!(line["time"].is_string() && line["peer"].is_string(), "{line}");
    }
    find("DELETE", 404);
}

#[test]
fn pages_show_what_is_there_and_escape_it() {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    let at = &running.at;
    let empty = at.get("/").expect(200);
    assert_eq!(empty.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        empty.header("content-security-policy").is_some_and(|p| p.contains("default-src 'none'"))
    );
    let first = push_image(at, "team/app", "v1", 1);
    let both = index(&[&first]);
    push(at, "team/app", "both", &both).expect(201);
    push_blob(at, "team/app", b"{}");
    let note = artifact(b"{}", &first, "x/y", "<script>alert(1)</script>");
    push(at, "team/app", note.digest().as_str(), &note).expect(201);
    let start = text(at, "/");
    assert!(start.contains("<a href=\"/?repository=team%2Fapp\">team/app</a>"), "{start}");
    let repository = text(at, "/?repository=team%2Fapp");
    for words in ["v1", "both", first.digest().short(), "Without a tag", note.digest().short()] {
        assert!(repository.contains(words), "{words} is not in {repository}");
    }
    let manifest = text(at, "/?repository=team/app&manifest=v1");
    for words in ["1.0 kB", note.digest().as_str(), "Configuration and layers"] {
        assert!(manifest.contains(words), "{words} is not in {manifest}");
    }
    let child = text(at, "/?repository=team/app&manifest=both");
    assert!(child.contains(first.digest().as_str()), "{child}");
    let escaped = text(at, &format!("/?repository=team/app&manifest={}", note.digest()));
    assert!(escaped.contains("&lt;script&gt;") && !escaped.contains("<script"), "{escaped}");
    at.get("/?repository=nobody").expect(404);
    at.get("/?repository=team/app&manifest=v9").expect(404);
    at.get("/?repository=%3Cb%3E").expect(404);
    at.post("/").expect(405);
}
