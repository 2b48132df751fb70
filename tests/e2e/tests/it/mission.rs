//! The Dockerfiles that Docker's own pages taught people with, unchanged. Their base images cannot
//! be had any more; stand-ins of the same names are built here, of Debian's parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_rig::daemon::gantry_binary;
use gantry_rig::{Client, Daemon, Net, Ran};

use crate::debian::import_debian;

/// Builds that install packages or compile a standard library take their time.
const PATIENCE: Duration = Duration::from_secs(900);

const COWSAY: &str = r#"FROM ubuntu:trusty
MAINTAINER docker <docker@example.invalid>
RUN apt-get update && apt-get install -y cowsay
ENV PATH $PATH:/usr/games
CMD ["cowsay", "Docker is awesome"]
"#;

const APP_GO: &str = r#"package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	fmt.Println(strings.ToUpper("counted"), len(os.Args))
}
"#;

const DOCKERFILE_BUILD: &str = r#"FROM golang:1.7.3
WORKDIR /go/src/github.com/alexellis/href-counter/
COPY app.go .
RUN CGO_ENABLED=0 GOOS=linux go build -a -installsuffix cgo -o app .
"#;

const DOCKERFILE_APP: &str = r#"FROM alpine:latest
RUN apk --no-cache add ca-certificates
WORKDIR /srv/
COPY app .
CMD ["./app"]
"#;

const BUILD_SH: &str = r#"#!/bin/sh
echo Building alexellis2/href-counter:build
docker build --build-arg https_proxy=$https_proxy --build-arg http_proxy=$http_proxy \
    -t alexellis2/href-counter:build . -f Dockerfile.build
docker create --name extract alexellis2/href-counter:build
docker cp extract:/go/src/github.com/alexellis/href-counter/app ./app
docker rm -f extract
echo Building alexellis2/href-counter:latest
docker build --no-cache -t alexellis2/href-counter:latest .
rm ./app
"#;

const MULTI_STAGE: &str = r#"FROM golang:1.7.3 as builder
WORKDIR /go/src/github.com/alexellis/href-counter/
COPY app.go .
RUN CGO_ENABLED=0 GOOS=linux go build -a -installsuffix cgo -o app .

FROM alpine:latest
RUN apk --no-cache add ca-certificates
WORKDIR /srv/
COPY --from=builder /go/src/github.com/alexellis/href-counter/app .
CMD ["./app"]
"#;

const MAKE_APP: &str = r#"FROM ubuntu:15.04
COPY . /app
RUN make /app
CMD python /app/app.py
"#;

/// What the stand-ins are made of, on top of Debian.
const STAND_INS: [(&str, &str); 4] = [
    ("ubuntu:trusty", "FROM debian\n"),
    (
        "ubuntu:15.04",
        "FROM debian\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make python-is-python3 >/dev/null 2>&1\n",
    ),
    (
        "golang:1.7.3",
        "FROM debian\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends golang-go >/dev/null 2>&1\nENV GOPATH=/go GO111MODULE=off\nWORKDIR /go\n",
    ),
    (
        "alpine:latest",
        "FROM debian\nRUN printf '#!/bin/sh\\nshift 2\\napt-get update -qq && exec apt-get install -y -qq --no-install-recommends \"$@\"\\n' > /sbin/apk && chmod 755 /sbin/apk\n",
    ),
];

struct Bench {
    daemon: Daemon,
    client: Client,
    directory: PathBuf,
}

/// A daemon that reaches Debian's mirror, with the stand-ins that are wanted.
fn bench(stand_ins: &[&str]) -> Bench {
    let daemon = crate::gantry_with(Net::Host, &[]);
    let client = daemon.client().patient(PATIENCE);
    import_debian(&client);
    let directory = daemon.root.join("mission");
    fs::create_dir_all(&directory).unwrap();
    let bench = Bench { daemon, client, directory };
    for (name, text) in STAND_INS.iter().filter(|(name, _)| stand_ins.contains(name)) {
        let ran = bench.gantry(&["build", "-t", name, "-"], Some(text));
        let _ = ran.ok();
    }
    bench
}

impl Bench {
    fn file(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    fn gantry(&self, args: &[&str], stdin: Option<&str>) -> Ran {
        let program = gantry_binary().unwrap();
        self.client.run(&program, args, stdin.map(str::as_bytes))
    }

    fn build(&self, args: &[&str]) -> Ran {
        let directory = self.directory.to_str().unwrap();
        self.gantry(&[&["build"], args, &[directory]].concat(), None)
    }

    fn run(&self, image: &str) -> String {
        self.client.docker(&["run", "--rm", image]).ok().to_owned()
    }
}

#[test]
fn cowsay() {
    let bench = bench(&["ubuntu:trusty"]);
    bench.file("Dockerfile", COWSAY);
    let _ = bench.build(&["-t", "cowsay"]).ok();
    assert!(bench.run("cowsay").contains("< Docker is awesome >"));
    let image = bench.client.inspect("cowsay");
    assert_eq!(image["Author"], "docker <docker@example.invalid>");
    assert_eq!(image["Config"]["Cmd"], serde_json::json!(["cowsay", "Docker is awesome"]));
    let env = image["Config"]["Env"].to_string();
    assert!(env.contains(":/usr/games\""), "{env}");
    // The docker CLI's classic builder finds the same image, all of it in the cache.
    let script =
        format!("DOCKER_BUILDKIT=0 docker build -q -t again {}", bench.directory.display());
    let again = bench.client.shell(&script);
    assert_eq!(again.ok(), image["Id"].as_str().unwrap());
    drop(bench.daemon);
}

#[test]
fn two_steps_with_a_container_in_between() {
    let bench = bench(&["golang:1.7.3", "alpine:latest"]);
    bench.file("app.go", APP_GO);
    bench.file("Dockerfile.build", DOCKERFILE_BUILD);
    bench.file("Dockerfile", DOCKERFILE_APP);
    let script =
        format!("cd {} && export DOCKER_BUILDKIT=0\n{BUILD_SH}", bench.directory.display());
    let ran = bench.client.shell(&script);
    assert!(ran.ok().contains("Successfully tagged alexellis2/href-counter:latest"), "{ran:?}");
    assert_eq!(bench.run("alexellis2/href-counter:latest"), "COUNTED 1");
    assert!(!Path::new(&bench.directory.join("app")).exists());
}

#[test]
fn one_file_with_two_stages() {
    let bench = bench(&["golang:1.7.3", "alpine:latest"]);
    bench.file("app.go", APP_GO);
    bench.file("Dockerfile", MULTI_STAGE);
    let _ = bench.build(&["-t", "href-counter:latest"]).ok();
    assert_eq!(bench.run("href-counter:latest"), "COUNTED 1");
    // By number it is the same.
    bench.file("Dockerfile.number", &MULTI_STAGE.replace("--from=builder", "--from=0"));
    let number = bench.directory.join("Dockerfile.number");
    let _ = bench.build(&["-t", "by-number", "-f", number.to_str().unwrap()]).ok();
    assert_eq!(bench.run("by-number"), "COUNTED 1");
    // The first stage alone has the toolchain and the program.
    let _ = bench.build(&["--target", "builder", "-t", "href-counter:builder"]).ok();
    let version = ["run", "--rm", "href-counter:builder", "go", "version"];
    assert!(bench.client.docker(&version).ok().starts_with("go version"));
    let size = |image: &str| bench.client.inspect(image)["Size"].as_i64().unwrap();
    assert!(size("href-counter:latest") < size("href-counter:builder"));
}

#[test]
fn make_app() {
    let bench = bench(&["ubuntu:15.04"]);
    bench.file("Dockerfile", MAKE_APP);
    bench.file("app.py", "print('made by', __file__)\n");
    bench.file("Makefile", "/app:\n\t@echo making\n");
    let _ = bench.build(&["-t", "app"]).ok();
    assert_eq!(bench.run("app"), "made by /app/app.py");
}
