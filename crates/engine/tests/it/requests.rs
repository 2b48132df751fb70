//! Requests that are refused, lists and names.

use gantry_api_types::Filters;
use gantry_engine::{ListOptions, RemoveOptions};
use gantry_fault::{Fault as _, Kind, chain};

use crate::bed::{create, host, on_host, script};

#[test]
fn bad_requests_get_dockers_words_and_leave_nothing() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let named = |name: &str| {
            let mut request = script("true", |_| {});
            request.name = Some(name.to_owned());
            request
        };
        create(&engine, named("first")).await;
        for (request, kind, words) in [
            (named("first"), Kind::Conflict, "is already in use by container"),
            (named("_x"), Kind::InvalidArgument, "Invalid container name (_x)"),
            (
                script("", |body| body.config.image = "none:1".into()),
                Kind::NotFound,
                "No such image: none:1",
            ),
            (
                script("", |body| host(body).memory = 1),
                Kind::InvalidArgument,
                "Minimum memory limit allowed is 6MB",
            ),
            (
                script("", |body| {
                    host(body).network_mode = "host".into();
                    host(body).links = Some(vec!["first:other".into()]);
                }),
                Kind::InvalidArgument,
                "host type networking can't be used with links",
            ),
            (
                script("", |body| host(body).runtime = "odd".into()),
                Kind::InvalidArgument,
                "unknown or invalid runtime name: odd",
            ),
            (
                script("", |body| host(body).log_config.kind = "odd".into()),
                Kind::InvalidArgument,
                "\"odd\" not found",
            ),
        ] {
            let error = engine.create(request).await.unwrap_err();
            let text = chain(&error);
            assert!(text.contains(words), "{text}");
            assert_eq!(error.kind(), kind, "{text}");
        }
        assert_eq!(engine.containers().len(), 1);
        assert_eq!(engine.parts().snapshots.containers().unwrap().len(), 1);
        engine.shutdown().await;
    });
}

#[test]
fn lists_names_and_prefixes() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut request = script("exit 3", |body| {
            body.config.labels = Some([("tier".to_owned(), "web".to_owned())].into());
        });
        request.name = Some("one".into());
        let one = create(&engine, request).await;
        let two = create(&engine, script("exec busybox sleep 100", |_| {})).await;
        two.start().await.unwrap();
        assert_eq!(engine.container(&one.id()[..10]).unwrap().id(), one.id());
        assert_eq!(engine.container("/one").unwrap().id(), one.id());
        for (filters, all, want) in [
            ("{}", false, 1),
            ("{}", true, 2),
            (r#"{"status":["created"]}"#, false, 1),
            (r#"{"label":["tier=web"]}"#, true, 1),
            (r#"{"name":["^/on"]}"#, true, 1),
            (r#"{"ancestor":["box:1"]}"#, true, 2),
            (r#"{"network":["bridge"]}"#, true, 2),
            (r#"{"health":["healthy"]}"#, true, 0),
        ] {
            let filters_read = Filters::parse(filters).unwrap();
            let options = ListOptions { all, filters: filters_read, ..ListOptions::default() };
            assert_eq!(engine.list(options).await.unwrap().len(), want, "{filters}");
        }
        let bad = Filters::parse(r#"{"status":["odd"]}"#).unwrap();
        let options = ListOptions { filters: bad, ..ListOptions::default() };
        let error = engine.list(options).await.unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'status=odd'");
        one.rename("uno").await.unwrap();
        assert!(engine.container("one").is_err());
        assert_eq!(engine.container("uno").unwrap().id(), one.id());
        let taken = one.rename(&two.name()).await.unwrap_err();
        assert_eq!(taken.kind(), Kind::Conflict);
        let force = RemoveOptions { force: true, ..RemoveOptions::default() };
        two.remove(force).await.unwrap();
        assert_eq!(engine.network("bridge").await.unwrap().containers.unwrap().len(), 0);
        engine.shutdown().await;
    });
}
