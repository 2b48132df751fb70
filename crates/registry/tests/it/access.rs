//! Users, rights, tokens.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    fixture::{begin, finish, image, push, push_blob, push_image},
    http::At,
    process::Running,
};

/// A registry with users `ann`, `bob` and `eve`, whose passwords are their names reversed.
struct Guarded {
    running: Running,
    _root: TempDir,
}

impl Guarded {
    fn new(auth: &str) -> Self {
        let root = TempDir::new().expect("a directory");
        let users: String = ["ann", "bob", "eve"]
            .map(|user| format!("{user}:{}\n", bcrypt::hash(reversed(user), 4).expect("a hash")))
            .concat();
        let htpasswd = root.path().join("htpasswd");
        fs::write(&htpasswd, users).expect("written");
        let config = root.path().join("config.toml");
        let text = format!("[auth]\nhtpasswd = {:?}\n{auth}", htpasswd.display().to_string());
        fs::write(&config, text).expect("written");
        let config = config.display().to_string();
        let running = Running::ours(&root.path().join("data"), &["--config", &config]);
        Self { running, _root: root }
    }

    fn nobody(&self) -> At {
        self.running.at.clone()
    }

    fn user(&self, user: &str) -> At {
        self.with(&basic(user, &reversed(user)))
    }

    fn with(&self, authorization: &str) -> At {
        At { authorization: Some(authorization.to_owned()), ..self.running.at.clone() }
    }

    /// A token for scopes, as a client gets it.
    fn token(&self, at: &At, scopes: &[&str]) -> Value {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        at.get(&format!("/token?service=gantry-registry{scopes}")).expect(200).json()
    }

    fn bearer(&self, at: &At, scopes: &[&str]) -> At {
        let token = self.token(at, scopes)["token"].as_str().expect("a token").to_owned();
        self.with(&format!("Bearer {token}"))
    }
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

const RIGHTS: &str = r#"
anonymous-pull = "open/**"
[[auth.rights]]
user = "ann"
actions = ["pull", "push", "delete"]
[[auth.rights]]
user = "*"
repository = "shared/**"
actions = ["pull"]
[[auth.rights]]
user = "bob"
repository = "bob/*"
actions = ["pull", "push"]
"#;

#[test]
fn passwords_alone_let_users_do_everything() {
    let guarded = Guarded::new("");
    let refused = guarded.nobody().get("/v2/").expect(401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Gantry registry\""));
    assert_eq!(refused.header("docker-distribution-api-version"), Some("registry/2.0"));
    assert_eq!(refused.code(), "UNAUTHORIZED");
    for wrong in [
        basic("ann", "wrong"),
        basic("nobody", "ydobon"),
        basic("", ""),
        "Basic !".to_owned(),
        "Basic".to_owned(),
        "Bearer x.y.z".to_owned(),
        "Digest x".to_owned(),
    ] {
        assert_eq!(guarded.with(&wrong).get("/v2/").status, 401, "{wrong}");
    }
    let ann = guarded.user("ann");
    ann.get("/v2/").expect(200);
    push_image(&ann, "any/thing", "v1", 1);
    guarded.user("eve").get("/v2/any/thing/manifests/v1").expect(200);
    for (method, path) in [
        ("GET", "/v2/any/thing/manifests/v1"),
        ("HEAD", "/v2/any/thing/manifests/v1"),
        ("GET", "/v2/any/thing/tags/list"),
        ("GET", "/v2/_catalog"),
        ("POST", "/v2/any/thing/blobs/uploads/"),
        ("DELETE", "/v2/any/thing/manifests/v1"),
    ] {
        assert_eq!(guarded.nobody().send(method, path, &[], None).status, 401, "{method} {path}");
    }
}

#[test]
fn rights_are_by_repository() {
    let guarded = Guarded::new(RIGHTS);
    let (ann, bob, eve) = (guarded.user("ann"), guarded.user("bob"), guarded.user("eve"));
    for name in ["shared/x", "open/x", "secret/x"] {
        push_image(&ann, name, "v1", 1);
    }
    let manifest = |name: &str| format!("/v2/{name}/manifests/v1");
    bob.get(&manifest("shared/x")).expect(200);
    eve.get(&manifest("open/x")).expect(200);
    guarded.nobody().get(&manifest("open/x")).expect(200);
    for (at, name, status) in [
        (&bob, "secret/x", 403),
        (&guarded.nobody(), "secret/x", 401),
        (&guarded.nobody(), "shared/x", 401),
    ] {
        assert_eq!(at.get(&manifest(name)).status, status, "{name}");
    }
    let denied = bob.post("/v2/shared/x/blobs/uploads/").expect(403);
    assert_eq!(denied.code(), "DENIED");
    push_image(&bob, "bob/y", "v1", 2);
    bob.delete(&manifest("bob/y")).expect(403);
    eve.get(&manifest("bob/y")).expect(403);
    // Lists show what may be pulled.
    let list = |at: &At| at.get("/v2/_catalog").expect(200).json()["repositories"].clone();
    assert_eq!(list(&ann), json!(["bob/y", "open/x", "secret/x", "shared/x"]));
    assert_eq!(list(&bob), json!(["bob/y", "open/x", "shared/x"]));
    assert_eq!(list(&eve), json!(["open/x", "shared/x"]));
}

#[test]
fn a_mount_needs_the_right_to_pull() {
    let guarded = Guarded::new(RIGHTS);
    let (ann, bob) = (guarded.user("ann"), guarded.user("bob"));
    let secret = push_blob(&ann, "secret/x", b"secret data");
    let shared = push_blob(&ann, "shared/x", b"shared data");
    for (digest, from, status) in [
        (&secret, "&from=secret/x", 202),
        (&secret, "", 202),
        (&shared, "&from=shared/x", 201),
        (&shared, "", 201),
    ] {
        let path = format!("/v2/bob/y/blobs/uploads/?mount={digest}{from}");
        assert_eq!(bob.post(&path).status, status, "{from}");
    }
    bob.get(&format!("/v2/bob/y/blobs/{secret}")).expect(404);
    bob.get(&format!("/v2/bob/y/blobs/{shared}")).expect(200);
    // A digest without its data gets nothing either.
    finish(&bob, &begin(&bob, "bob/y"), b"other data", &secret).expect(400);
    bob.get(&format!("/v2/bob/y/blobs/{secret}")).expect(404);
}

#[test]
fn tokens_are_got_and_used() {
    let guarded = Guarded::new(RIGHTS);
    let challenge = guarded.nobody().post("/v2/bob/y/blobs/uploads/").expect(401);
    let text = challenge.header("www-authenticate").expect("a challenge").to_owned();
    let realm = format!("Bearer realm=\"http://{}/token\"", guarded.running.at.address);
    assert!(text.starts_with(&realm), "{text}");
    assert!(text.contains("scope=\"repository:bob/y:pull,push\""), "{text}");
    let bob = guarded.bearer(&guarded.user("bob"), &["repository:bob/y:pull,push"]);
    push_image(&bob, "bob/y", "v1", 1);
    // It is for one repository and for no more than was asked.
    bob.get("/v2/shared/x/tags/list").expect(401);
    let reads = guarded.bearer(&guarded.user("bob"), &["repository:bob/y:pull"]);
    reads.get("/v2/bob/y/manifests/v1").expect(200);
    let refused = reads.post("/v2/bob/y/blobs/uploads/").expect(401);
    let text = refused.header("www-authenticate").expect("a challenge").to_owned();
    assert!(text.contains("insufficient_scope"), "{text}");
    // What is not allowed is not in it.
    let token =
        guarded.token(&guarded.user("bob"), &["repository:bob/y:*", "repository:secret/x:pull"]);
    assert_eq!(token["scope"], json!("repository:bob/y:pull,push"));
    assert!(token["expires_in"].is_u64() && token["issued_at"].is_string(), "{token}");
    guarded.with(&basic("bob", "wrong")).get("/token?scope=repository:bob/y:pull").expect(401);
}

#[test]
fn tokens_for_anybody_are_for_open_repositories() {
    let guarded = Guarded::new(RIGHTS);
    push_image(&guarded.user("ann"), "open/x", "v1", 1);
    let anybody = guarded.bearer(&guarded.nobody(), &["repository:open/x:pull,push"]);
    anybody.get("/v2/").expect(200);
    anybody.get("/v2/open/x/manifests/v1").expect(200);
    anybody.post("/v2/open/x/blobs/uploads/").expect(401);
    guarded.nobody().get("/token?scope=repository:secret/x:pull").expect(401);
}

#[test]
fn tokens_are_got_by_oauth() {
    let guarded = Guarded::new(RIGHTS);
    let at = guarded.nobody();
    let ask = |form: &str| at.post_form("/token", form);
    let scope = "scope=repository:bob/y:pull,push&service=gantry-registry&client_id=test";
    let form = format!("grant_type=password&username=bob&password=bob&{scope}");
    let first = ask(&format!("{form}&access_type=offline")).expect(200).json();
    let refresh = first["refresh_token"].as_str().expect("a refresh token").to_owned();
    let second = ask(&format!("grant_type=refresh_token&refresh_token={refresh}&{scope}"));
    let second = second.expect(200).json();
    let access = second["access_token"].as_str().expect("a token");
    push_image(&guarded.with(&format!("Bearer {access}")), "bob/y", "v1", 1);
    // Neither kind of token does for the other.
    guarded.with(&format!("Bearer {refresh}")).get("/v2/").expect(401);
    ask(&format!("grant_type=refresh_token&refresh_token={access}&{scope}")).expect(401);
    ask(&form.replace("password=bob", "password=wrong")).expect(401);
    ask("grant_type=other").expect(400);
}

#[test]
fn a_password_that_is_changed_is_no_password() {
    let guarded = Guarded::new("");
    let ann = guarded.user("ann");
    ann.get("/v2/").expect(200);
    let path = guarded._root.path().join("htpasswd");
    fs::write(&path, format!("ann:{}\n", bcrypt::hash("new", 4).expect("a hash")))
        .expect("written");
    // It is looked at once a second.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    ann.get("/v2/").expect(401);
    guarded.with(&basic("ann", "new")).get("/v2/").expect(200);
}

#[test]
fn nothing_of_a_repository_is_told_to_others() {
    let guarded = Guarded::new(RIGHTS);
    let document = push_image(&guarded.user("ann"), "secret/x", "v1", 1);
    let eve = guarded.user("eve");
    // Whether it is there or not, the answer is the same.
    for name in ["secret/x", "secret/nothing"] {
        for path in [
            format!("/v2/{name}/manifests/v1"),
            format!("/v2/{name}/blobs/{}", Digest::of(b"x")),
            format!("/v2/{name}/tags/list"),
            format!("/v2/{name}/referrers/{}", document.digest()),
        ] {
            let answer = eve.get(&path).expect(403);
            assert_eq!(answer.code(), "DENIED", "{path}");
        }
        assert_eq!(eve.get(&format!("/?repository={name}")).status, 404);
    }
    let page = eve.get("/").expect(200);
    assert!(!String::from_utf8_lossy(&page.body).contains("secret"));
    push(&eve, "secret/x", "v2", &image(b"{}", &[])).expect(403);
}
