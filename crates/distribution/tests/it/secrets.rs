//! Credentials: who gets them, and who does not.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use gantry_distribution::{At, Credentials, DistributionError, Memory, Secret};
use gantry_fault::{Fault, Kind};

use crate::{
    bed::{PASSWORD, basic, blob, client, data, name, text},
    liar::{Liar, Say, Seen},
};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;
/// `alice:pa55word`.
const BASIC: &str = "Basic YWxpY2U6cGE1NXdvcmQ=";

fn tag() -> At {
    At::Tag("v1".to_owned())
}

fn identity() -> Credentials {
    Credentials::Identity { username: "alice".to_owned(), token: Secret::new("r3fresh".to_owned()) }
}

/// A registry that wants a token from `realm`, which is given its own address.
fn wanting(realm: impl Fn(&str) -> String + Send + Sync + 'static, good: &'static str) -> Liar {
    let place = Arc::<Mutex<String>>::default();
    let own = Arc::clone(&place);
    let liar = Liar::rude(move |seen| {
        if seen.target.starts_with("/token") {
            return token(seen);
        }
        if seen.header("authorization") == good {
            return Say::new(200, MANIFEST);
        }
        let realm = realm(&own.lock().unwrap());
        let challenge = format!(
            "Bearer realm=\"{realm}\",service=\"the registry\",scope=\"repository:library/app:pull\""
        );
        Say::new(401, "").with("www-authenticate", challenge)
    });
    *place.lock().unwrap() = liar.name();
    liar
}

fn token(seen: &Seen) -> Say {
    let who = match (seen.method.as_str(), seen.header("authorization")) {
        ("POST", _) if String::from_utf8_lossy(&seen.body).contains("refresh_token=r3fresh") => {
            "alice"
        }
        ("GET", BASIC) => "alice",
        ("GET", "") => "nobody",
        _ => return Say::new(401, r#"{"details":"incorrect username or password"}"#),
    };
    Say::new(200, format!(r#"{{"token":"for-{who}","expires_in":300,"refresh_token":"keep"}}"#))
}

#[tokio::test]
async fn tokens() {
    for (credentials, good, method) in [
        (Credentials::Anonymous, "Bearer for-nobody", "GET"),
        (basic(), "Bearer for-alice", "GET"),
        (identity(), "Bearer for-alice", "POST"),
    ] {
        let liar = wanting(|own| format!("http://{own}/token"), good);
        let repository = client().repository(&name(&liar.name()), &credentials).await.unwrap();
        repository.manifest(&tag()).await.unwrap();
        repository.manifest(&tag()).await.unwrap();
        let seen = liar.seen();
        let asked: Vec<&Seen> =
            seen.iter().filter(|seen| seen.target.starts_with("/token")).collect();
        assert_eq!(asked.len(), 1, "one token is enough");
        assert_eq!(asked[0].method, method);
        let words = format!("{}{}", asked[0].target, String::from_utf8_lossy(&asked[0].body));
        assert!(words.contains("service=the+registry"), "{words}");
        assert!(words.contains("scope=repository%3Alibrary%2Fapp%3Apull"), "{words}");
        // Once without, once with, and then at once with it.
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}

#[tokio::test]
async fn many_askers_share_a_token() {
    let liar = wanting(|own| format!("http://{own}/token"), "Bearer for-alice");
    let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
    let ask = || {
        let repository = repository.clone();
        tokio::spawn(async move { repository.manifest(&tag()).await.map(drop) })
    };
    for asked in (0..8).map(|_| ask()).collect::<Vec<_>>() {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(liar.seen().iter().filter(|seen| seen.target.starts_with("/token")).count(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_made_anew() {
    let made = AtomicUsize::new(0);
    let used = Mutex::new(Vec::new());
    let place = Arc::<Mutex<String>>::default();
    let own = Arc::clone(&place);
    let liar = Liar::new(move |seen| {
        if seen.target.starts_with("/token") {
            let number = made.fetch_add(1, Ordering::SeqCst);
            return Say::new(200, format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#));
        }
        // Each token is good for one request.
        let said = seen.header("authorization").to_owned();
        let mut used = used.lock().unwrap();
        if said.starts_with("Bearer") && !used.contains(&said) {
            used.push(said);
            return Say::new(200, MANIFEST);
        }
        let realm = format!("Bearer realm=\"http://{}/token\"", own.lock().unwrap());
        Say::new(401, "").with("www-authenticate", realm)
    });
    *place.lock().unwrap() = liar.name();
    let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
    for _ in 0..3 {
        repository.manifest(&tag()).await.unwrap();
    }
}

#[tokio::test]
async fn a_realm_elsewhere_gets_no_password() {
    let elsewhere = Liar::new(token);
    let port = elsewhere.address.port();
    for (credentials, ok) in [(basic(), false), (identity(), false), (Credentials::Anonymous, true)]
    {
        // Both are this machine, but another name: nobody can know that.
        let liar = wanting(move |_| format!("http://localhost:{port}/token"), "Bearer for-nobody");
        let repository = client().repository(&name(&liar.name()), &credentials).await.unwrap();
        let found = repository.manifest(&tag()).await;
        assert_eq!(found.is_ok(), ok, "{credentials:?}");
        if let Err(error) = found {
            assert!(matches!(error, DistributionError::Realm { .. }), "{error}");
            let want = format!("sends for tokens to http://localhost:{port}/token");
            assert!(text(&error).contains(&want), "{error}");
        }
    }
    // Only the one without credentials was asked for.
    assert_eq!(elsewhere.seen().len(), 1);
}

#[tokio::test]
async fn passwords() {
    let liar = Liar::new(|seen| match seen.header("authorization") {
        BASIC => Say::new(200, MANIFEST),
        _ => Say::new(
            401,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        )
        .with("www-authenticate", "Basic realm=\"r\""),
    });
    let of = async |credentials: Credentials| {
        let repository = client().repository(&name(&liar.name()), &credentials).await.unwrap();
        repository.manifest(&tag()).await
    };
    of(basic()).await.unwrap();
    let error = of(Credentials::Anonymous).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(text(&error).ends_with("/manifests/v1\": no basic auth credentials"), "{error}");
    let password = Secret::new("wrong-5ecret".to_owned());
    let wrong = Credentials::Basic { username: "alice".to_owned(), password };
    let error = of(wrong).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(text(&error), "unauthorized: authentication required");
    assert!(!format!("{error:?}").contains("5ecret"));
}

#[tokio::test]
async fn a_right_that_is_missing_reads_as_in_docker() {
    let place = Arc::<Mutex<String>>::default();
    let own = Arc::clone(&place);
    let liar = Liar::new(move |seen| {
        if seen.target.starts_with("/token") {
            return token(seen);
        }
        let own = own.lock().unwrap();
        Say::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
            .with(
                "www-authenticate",
                format!("Bearer realm=\"http://{own}/token\",error=\"insufficient_scope\""),
            )
    });
    *place.lock().unwrap() = liar.name();
    let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
    let error = repository.manifest(&tag()).await.unwrap_err();
    let want = format!(
        "pull access denied for {}/library/app, repository does not exist or may require 'docker login': \
         denied: requested access to the resource is denied",
        liar.name()
    );
    assert_eq!((text(&error), error.kind()), (want, Kind::NotFound));
}

#[tokio::test]
async fn redirects_take_no_credentials_along() {
    let good = data(1000, 1);
    let own = good.clone();
    let storage = Liar::new(move |seen| Say::part(seen, &own));
    let to = format!("http://{}/bucket?X-Signature=s1gned", storage.name());
    let liar = Liar::new(move |seen| match seen.header("authorization") {
        BASIC => Say::new(307, "").with("location", &to),
        _ => Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""),
    });
    let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
    assert_eq!(repository.blob(&blob(&good), Memory::default()).await.unwrap().0, good);
    assert_eq!(storage.seen()[0].header("authorization"), "");

    // The storage's challenge is none of ours, and its signature is in no error.
    let greedy = Liar::new(|_| Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""));
    let to = format!("http://{}/bucket?X-Signature=s1gned", greedy.name());
    let liar = Liar::new(move |seen| match seen.header("authorization") {
        BASIC => Say::new(307, "").with("location", &to),
        _ => Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""),
    });
    let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
    let error = repository.blob(&blob(&good), Memory::default()).await.unwrap_err();
    assert!(!format!("{error:?} {}", text(&error)).contains("s1gned"), "{error:?}");
    assert!(greedy.seen().iter().all(|seen| seen.header("authorization").is_empty()));
}

#[tokio::test]
async fn an_upload_elsewhere_gets_no_credentials() {
    // In one request, and in chunks that are taken until the end is to be confirmed.
    for length in [100, 5 << 20] {
        let storage = Liar::new(|seen| match seen.method.as_str() {
            "PATCH" => Say::new(202, "").with("location", "/upload"),
            _ => Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""),
        });
        let to = format!("http://{}/upload", storage.name());
        let liar =
            Liar::new(move |seen| match (seen.method.as_str(), seen.header("authorization")) {
                (_, "") => Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""),
                ("HEAD", _) => Say::new(404, ""),
                _ => Say::new(202, "").with("location", &to),
            });
        let repository = client().repository(&name(&liar.name()), &basic()).await.unwrap();
        let good = data(length, 2);
        let source = bytes::Bytes::from(good.clone());
        let error = repository.push_blob(source, Some(&blob(&good)), &[]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
        assert!(storage.seen().iter().any(|seen| seen.method == "PUT"));
        assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_empty()));
    }
}

#[tokio::test]
async fn logins() {
    let liar = wanting(|own| format!("http://{own}/token"), "Bearer for-alice");
    let login = client().login(&liar.name(), &basic()).await.unwrap();
    assert_eq!(login.identity_token.unwrap().expose(), "keep");
    assert!(liar.seen().iter().any(|seen| seen.target.contains("offline_token=true")));
    let url = format!("http://{}/v2/", liar.name());
    client().login(&url, &identity()).await.unwrap();
    let password = Secret::new("wrong-5ecret".to_owned());
    let wrong = Credentials::Basic { username: "alice".to_owned(), password };
    let error = client().login(&liar.name(), &wrong).await.unwrap_err();
    let want = format!("Get \"{url}\": unauthorized: incorrect username or password");
    assert_eq!((text(&error), error.kind()), (want, Kind::Unauthorized));

    let open = Liar::rude(|_| Say::new(200, "{}"));
    client().login(&open.name(), &basic()).await.unwrap();
    assert!(open.seen().iter().all(|seen| seen.header("authorization").is_empty()));
    let locked = Liar::rude(|_| Say::new(401, "").with("www-authenticate", "Basic realm=\"r\""));
    let error = client().login(&locked.name(), &basic()).await.unwrap_err();
    let want = format!(
        "login attempt to http://{}/v2/ failed with status: 401 Unauthorized",
        locked.name()
    );
    assert_eq!(text(&error), want);
    assert!(!format!("{:?}", client().login(&locked.name(), &basic()).await).contains(PASSWORD));
    let none = Liar::rude(|_| Say::new(404, ""));
    assert!(
        text(&client().login(&none.name(), &basic()).await.unwrap_err()).contains("404 Not Found")
    );
}
