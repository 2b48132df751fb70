//! Wrong requests get Docker's status and words, and break nothing.

#[test]
fn wrong_requests_get_dockers_status_and_words() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client.docker(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]);
    let _ = client.docker(&["create", "--name", "made", "busybox", "true"]);
    let image = r#"{"Image":"busybox"}"#;
    let cases: &[(&str, &str, Option<&str>, u16, &str)] = &[
        ("GET", "/nowhere", None, 404, "page not found"),
        ("GET", "/v1.10/version", None, 400, "too old"),
        ("GET", "/v9.99/version", None, 400, "too new"),
        ("GET", "/containers/nosuch/json", None, 404, "No such container: nosuch"),
        ("POST", "/containers/runs/start", None, 304, ""),
        ("POST", "/containers/made/stop", None, 304, ""),
        ("POST", "/containers/made/kill", None, 409, "is not running"),
        ("DELETE", "/containers/runs", None, 409, "container is running"),
        (
            "POST",
            "/containers/create?name=runs",
            Some(image),
            409,
            "is already in use by container",
        ),
        ("POST", "/containers/create?name=a%20b", Some(image), 400, "Invalid container name"),
        ("POST", "/containers/create", Some(r#"{"Image":"nosuch"}"#), 404, "No such image: nosuch"),
        ("POST", "/containers/create", Some("{"), 400, ""),
        ("POST", "/containers/create", Some(r#"{"Image":5}"#), 400, ""),
        (
            "POST",
            "/containers/create",
            Some(r#"{"Image":"busybox","HostConfig":{"Memory":1}}"#),
            400,
            "Minimum memory limit",
        ),
        ("POST", "/containers/runs/wait?condition=nosuch", None, 400, "invalid condition"),
        ("GET", "/containers/runs/logs", None, 400, "you must choose at least one stream"),
        ("GET", "/containers/json?filters=nonsense", None, 400, ""),
        (
            "GET",
            "/containers/json?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D",
            None,
            400,
            "invalid filter",
        ),
        ("POST", "/containers/runs/exec", Some(r#"{"Cmd":[]}"#), 400, "No exec command specified"),
        ("POST", "/containers/made/exec", Some(r#"{"Cmd":["true"]}"#), 409, "is not running"),
        ("POST", "/exec/nosuch/start", Some("{}"), 404, "No such exec instance"),
        ("GET", "/images/nosuch/json", None, 404, "No such image: nosuch"),
        ("POST", "/build", None, 500, "Cannot locate specified Dockerfile: Dockerfile"),
        ("POST", "/build?version=2", None, 501, "not implemented"),
        ("GET", "/services", None, 503, "swarm manager"),
    ];
    for (method, path, body, status, words) in cases {
        let (got, text) = client.http(method, path, *body).unwrap();
        assert_eq!(got, *status, "{method} {path}: {text}");
        assert!(text.contains(words), "{method} {path}: {text}");
    }
    assert!(client.ping());
    assert_eq!(client.inspect("runs")["State"]["Status"], "running");
}

#[test]
fn every_endpoint_of_the_inventory_answers_by_name() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/api/tests/engine-api.tsv");
    let table =
        std::fs::read_to_string(table).expect("the table of endpoints is in the repository");
    for line in table.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split('\t');
        let (method, path) = (fields.next().unwrap(), fields.next().unwrap());
        if ["/events", "/session", "/grpc"].contains(&path)
            || path.contains("stats")
            || method == "HEAD"
        {
            continue;
        }
        let path =
            path.replace("{id}", "nosuch").replace("{name}", "nosuch").replace("{checkpoint}", "x");
        let answer = client.http(method, &path, Some("{}"));
        let (status, text) = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(!text.contains("page not found"), "{method} {path}: {text}");
        assert_ne!(status, 500, "{method} {path}: {text}");
        if status == 501 {
            assert!(text.contains("not implemented"), "{method} {path}: {text}");
        }
    }
}
