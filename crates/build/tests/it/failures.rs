//! What is told, and kept, of what fails.

use gantry_build::graph::StepNetwork;
use gantry_build_proto::{BuildRequest, Entitlement, OutputKind, OutputSpec, Place};

use crate::{
    bed::{Bed, Planner, on_host, request},
    client::TestClient,
};

#[test]
fn a_failed_step_is_told_whole_and_can_be_looked_into() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let plan = || {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let before = planner.run(base, "echo before > /before");
            let target =
                planner.run(before, "echo half > /half; echo words; echo more >&2; exit 3");
            planner.graph.vertices[2].place =
                Some(Place { file: "Dockerfile".into(), first: 3, last: 3, ..Place::default() });
            planner.plan(target)
        };
        let kept = BuildRequest { keep_failed: true, ..request() };
        let failed = bed.build(&client, kept, plan()).await.unwrap_err();
        let failure = &failed.failure;
        assert_eq!(
            failure.message,
            "process \"/bin/sh -c echo half > /half; echo words; echo more >&2; exit 3\" did not \
             complete successfully: exit code: 3"
        );
        assert_eq!((failure.exit_code, failure.place.as_ref().unwrap().first), (3, 3));
        assert_eq!(failure.command[0], "/bin/sh");
        assert!(failure.last_output.contains("words") && failure.last_output.contains("more"));
        let image = bed.images.resolve(&failure.kept).unwrap();
        assert_eq!(bed.new_files(&image), ["before f 644 0:0 before\n", "half f 644 0:0 half\n"]);
        assert_eq!(image.config.config.as_ref().unwrap().env, ["PATH=/bin"]);
        let id = failure.kept.clone();
        drop(failed);
        let begun = std::time::Instant::now();
        while bed.images.resolve(&id).is_ok() {
            assert!(begun.elapsed().as_secs() < 5, "it stays");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // What came before it is in the cache; itself is not.
        bed.executor.take_runs();
        let failure = bed.failure(&client, request(), plan()).await;
        assert!(failure.kept.is_empty());
        assert_eq!(bed.executor.take_runs().len(), 1);
        assert!(bed.containers().is_empty());
    });
}

#[test]
fn codes_that_are_no_failures_and_commands_that_are_not_there() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let allowed =
            planner.run_with(base, "echo x > /x; exit 4", |exec| exec.allowed_exit_codes = vec![4]);
        let image = bed.image(&client, request(), planner.plan(allowed)).await;
        assert_eq!(bed.new_files(&image), ["x f 644 0:0 x\n"]);
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let missing = planner.run(base, "no-such-program");
        let failure = bed.failure(&client, request(), planner.plan(missing)).await;
        assert_eq!(failure.exit_code, 127);
        assert!(failure.hint.contains("is not in its file system"), "{failure:?}");
    });
}

#[test]
fn what_was_not_allowed_is_not_done() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        for (insecure, network, allow, want) in [
            (
                true,
                StepNetwork::Default,
                Entitlement::SecurityInsecure,
                "security.insecure is not allowed",
            ),
            (false, StepNetwork::Host, Entitlement::NetworkHost, "network.host is not allowed"),
        ] {
            let plan = || {
                let mut planner = Planner::default();
                let base = planner.base(&bed);
                let target = planner.run_with(base, "echo privileged", |exec| {
                    exec.insecure = insecure;
                    exec.network = network.clone();
                });
                planner.plan(target)
            };
            let failure = bed.failure(&client, request(), plan()).await;
            assert_eq!(failure.message, want);
            assert!(bed.executor.take_runs().is_empty());
            let allowed = BuildRequest { allow: vec![allow], ..request() };
            bed.image(&client, allowed, plan()).await;
            assert_eq!(bed.executor.take_runs().len(), 1);
        }
    });
}

#[test]
fn outputs_that_cannot_be_are_refused_before_anything_runs() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let output = |kind, name: &str, value: &str| OutputSpec {
            kind,
            attributes: [(name.to_owned(), value.to_owned())].into(),
        };
        for (spec, want) in [
            (output(OutputKind::Registry, "a", "b"), "tag is needed when pushing to registry"),
            (output(OutputKind::Image, "push", "true"), "tag is needed when pushing to registry"),
            (
                output(OutputKind::Registry, "push-by-digest", "true"),
                "push-by-digest is not implemented",
            ),
            (
                output(OutputKind::Registry, "push", "maybe"),
                "invalid value \"maybe\" of output attribute push",
            ),
            (
                output(OutputKind::Image, "push", "maybe"),
                "invalid value \"maybe\" of output attribute push",
            ),
            (
                output(OutputKind::Oci, "compression", "lzma"),
                "invalid value \"lzma\" of output attribute compression",
            ),
        ] {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target = planner.run(base, "true");
            let request = BuildRequest { outputs: vec![spec], ..request() };
            let failure = bed.failure(&client, request, planner.plan(target)).await;
            assert_eq!(failure.message, want);
        }
        assert!(bed.executor.take_runs().is_empty());
    });
}

/// A fault of ours ends the build that met it, and no other.
#[test]
fn work_that_breaks_off_is_a_failure() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let broken_client = format!(": {}", crate::client::BREAKS);
        for command in [crate::executor::BREAKS, &broken_client] {
            let client = TestClient::new();
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let below = planner.run(base, command);
            let target = planner.run(below, "true");
            let failure = bed.failure(&client, request(), planner.plan(target)).await;
            assert!(failure.message.contains("the work broke off"), "{command}: {failure:?}");
        }
        bed.image(&TestClient::new(), request(), {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let target = planner.run(base, "true");
            planner.plan(target)
        })
        .await;
    });
}
