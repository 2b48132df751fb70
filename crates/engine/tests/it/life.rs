//! From create to remove.

use std::time::{Duration, Instant};

use gantry_api_types::Filters;
use gantry_api_types::exec::ExecCreateBody;
use gantry_engine::{ExecStart, ListOptions, LogOptions, RemoveOptions, WaitCondition};
use gantry_fault::{Fault as _, Kind};

use crate::bed::{create, frames, host, on_host, output, run, script};

#[test]
fn a_container_runs_writes_and_goes() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let mut events = engine.events().subscribe(None, None, Filters::new()).unwrap();
        let request = script("echo out; echo err >&2; exit 3", |_| {});
        let container = create(&engine, request).await;
        let out = output(&container).await;
        let ended = container.wait(WaitCondition::NextExit);
        container.start().await.unwrap();
        assert_eq!(ended.await.status_code, 3);
        let text = out.await.unwrap();
        assert!(text.contains("out\n") && text.contains("err\n"), "{text:?}");
        let inspect = container.inspect(false);
        assert_eq!((inspect.state.status.as_str(), inspect.state.exit_code), ("exited", 3));
        let mut logs =
            container.logs(LogOptions { stdout: true, ..LogOptions::default() }).await.unwrap();
        let chunk = logs.next().await.unwrap().unwrap();
        assert_eq!(&chunk.bytes[..], b"out\n");
        let again = container.stop(None, None).await.unwrap_err();
        assert_eq!(again.kind(), Kind::NotModified);
        container.remove(RemoveOptions::default()).await.unwrap();
        assert!(engine.container(container.id()).is_err());
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "destroy") {
            let event = events.next().await.unwrap();
            if event.kind == "container" {
                seen.push(event.action.clone());
            }
        }
        assert_eq!(seen, ["create", "attach", "start", "die", "destroy"]);
        engine.shutdown().await;
        let left = std::fs::read_dir(bed.root.path().join("data/containers")).unwrap().count();
        assert_eq!(left, 0, "the container's directory is gone");
    });
}

#[test]
fn starts_that_fail_say_why() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        for (program, code, words) in [
            ("/bin/none", 127, "no such file or directory"),
            ("none", 127, "executable file not found in $PATH"),
            ("/bin/plain", 126, "permission denied"),
        ] {
            let request = script("", |body| body.config.cmd = Some(vec![program.into()]));
            let container = create(&engine, request).await;
            let error = container.start().await.unwrap_err();
            let text = gantry_fault::chain(&error);
            assert_eq!(error.kind(), Kind::InvalidArgument, "{program}: {text}");
            assert!(text.contains(words), "{program}: {text}");
            let state = container.inspect(false).state;
            assert_eq!((state.status.as_str(), state.exit_code), ("created", code), "{program}");
            assert_eq!(state.error, text);
            container.remove(RemoveOptions::default()).await.unwrap();
        }
        let user = script("true", |body| body.config.user = "nobody-here".into());
        let error = create(&engine, user).await.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to find user nobody-here: no matching entries in passwd file"
        );
        engine.shutdown().await;
    });
}

#[test]
fn stop_kill_pause_and_restart() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let trap = "trap 'exit 7' TERM; echo up; while :; do /bin/sh sleep 0.05; done";
        let request = script(trap, |_| {});
        let container = create(&engine, request).await;
        container.start().await.unwrap();
        assert_eq!(container.start().await.unwrap_err().kind(), Kind::NotModified);
        let refused = container.remove(RemoveOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict);
        container.pause().await.unwrap();
        assert_eq!(container.inspect(false).state.status, "paused");
        assert!(container.pause().await.unwrap_err().to_string().ends_with("is already paused"));
        container.unpause().await.unwrap();
        // The trap must be set before the signal comes.
        tokio::time::sleep(Duration::from_millis(300)).await;
        container.stop(None, Some(5)).await.unwrap();
        assert_eq!(container.inspect(false).state.exit_code, 7);
        let kill = container.kill(None).await.unwrap_err();
        assert_eq!(kill.kind(), Kind::Conflict);
        container.restart(None, Some(0)).await.unwrap();
        assert!(container.is_running());
        container.stop(Some("SIGUSR2"), Some(0)).await.unwrap();
        let code = container.inspect(false).state.exit_code;
        assert!(code == 137 || code == 140, "{code}");
        container.start().await.unwrap();
        container.pause().await.unwrap();
        let force = RemoveOptions { force: true, ..RemoveOptions::default() };
        container.remove(force).await.unwrap();
        engine.shutdown().await;
    });
}

#[test]
fn auto_remove_and_waits() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let request = script("exit 4", |body| host(body).auto_remove = true);
        let container = create(&engine, request).await;
        let removed = container.wait(WaitCondition::Removed);
        container.start().await.unwrap();
        assert_eq!(removed.await.status_code, 4);
        assert!(engine.container(container.id()).is_err());
        engine.shutdown().await;
        assert!(engine.parts().snapshots.containers().unwrap().is_empty());
    });
}

#[test]
fn restart_policies_count_and_give_up() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let request = script("exit 1", |body| {
            host(body).restart_policy.name = "on-failure".into();
            host(body).restart_policy.maximum_retry_count = 2;
        });
        let container = create(&engine, request).await;
        container.start().await.unwrap();
        let began = Instant::now();
        loop {
            let inspect = container.inspect(false);
            if inspect.state.status == "exited" {
                assert_eq!(inspect.restart_count, 2);
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let always = script("exit 0", |body| host(body).restart_policy.name = "always".into());
        let container = create(&engine, always).await;
        container.start().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        container.stop(None, Some(1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(container.inspect(false).state.status, "exited");
        engine.shutdown().await;
    });
}

#[test]
fn execs_run_in_the_container() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let container = create(&engine, script("exec /bin/sh sleep 100", |_| {})).await;
        let stopped = container.exec_create(ExecCreateBody::default()).await.unwrap_err();
        assert_eq!(stopped.kind(), Kind::Conflict);
        container.start().await.unwrap();
        let body = |words: &[&str]| ExecCreateBody {
            attach_stdout: true,
            attach_stderr: true,
            env: Some(vec!["EXTRA=yes".into()]),
            cmd: Some(words.iter().map(ToString::to_string).collect()),
            ..ExecCreateBody::default()
        };
        let id = container
            .exec_create(body(&["/bin/sh", "-c", "echo $EXTRA $FROM_IMAGE; exit 5"]))
            .await
            .unwrap();
        let exec = engine.exec(&id).unwrap();
        let mut stream = exec.start(ExecStart::default()).await.unwrap().stream.unwrap();
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await.unwrap();
        assert_eq!(frames(&bytes), "yes 1\n");
        let began = Instant::now();
        while exec.inspect().exit_code.is_none() && began.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(exec.inspect().exit_code, Some(5));
        let again = exec.start(ExecStart::default()).await.unwrap_err();
        assert_eq!(again.kind(), Kind::Conflict);
        let id = container.exec_create(body(&["none"])).await.unwrap();
        let exec = engine.exec(&id).unwrap();
        let missing = exec.start(ExecStart::default()).await.unwrap_err();
        assert_eq!(missing.kind(), Kind::InvalidArgument);
        assert_eq!(exec.inspect().exit_code, Some(127));
        assert!(container.is_running());
        container.kill(None).await.unwrap();
        engine.shutdown().await;
    });
}

#[test]
fn health_turns_with_the_probe() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let request = script("exec /bin/sh sleep 100", |body| {
            let health = body.config.healthcheck.get_or_insert_default();
            health.test = ["CMD", "/bin/sh", "-c", "echo looked; test -e /sick && exit 1 || true"]
                .map(str::to_owned)
                .to_vec();
            health.interval = 50_000_000;
            health.retries = 1;
        });
        let container = create(&engine, request).await;
        container.start().await.unwrap();
        let until = |wanted: &'static str| {
            let container = container.clone();
            async move {
                let began = Instant::now();
                loop {
                    let health = container.inspect(false).state.health.unwrap();
                    if health.status == wanted {
                        return health;
                    }
                    assert!(began.elapsed() < Duration::from_secs(8), "{wanted}: {health:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        assert_eq!(until("healthy").await.log.unwrap()[0].output, "looked\n");
        let sick = ExecCreateBody {
            cmd: Some(["/bin/sh", "-c", "> /sick"].map(str::to_owned).to_vec()),
            ..ExecCreateBody::default()
        };
        let id = container.exec_create(sick).await.unwrap();
        let start = ExecStart { detach: true, ..ExecStart::default() };
        engine.exec(&id).unwrap().start(start).await.unwrap();
        until("unhealthy").await;
        let rows = engine.list(ListOptions::default()).await.unwrap();
        assert!(rows[0].status.ends_with("(unhealthy)"), "{}", rows[0].status);
        container.kill(None).await.unwrap();
        engine.shutdown().await;
    });
}

#[test]
fn the_inside_is_as_asked_for() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let look = "id=$(/bin/sh id -u):$(/bin/sh id -g); echo $id $HOSTNAME $HOME $PWD; \
                    /bin/sh cat /etc/hosts /seeded/file; /bin/sh ls /work";
        let (code, text) = run(
            &engine,
            script(look, |body| {
                body.config.user = "web".into();
                body.config.hostname = "inside".into();
                body.config.working_dir = "/made/here".into();
                host(body).binds = Some(vec!["filled:/seed".into(), "filled:/seeded".into()]);
                host(body).tmpfs = [("/work".to_owned(), String::new())].into();
            }),
        )
        .await;
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with("33:33 inside /web /made/here\n"), "{text}");
        assert!(text.contains("inside") && text.contains("from the image"), "{text}");
        let (code, text) = run(
            &engine,
            script("> /x; echo $?", |body| {
                host(body).readonly_rootfs = true;
                host(body).network_mode = "none".into();
            }),
        )
        .await;
        assert!(code == 0 || text.contains("Read-only"), "{code} {text}");
        let (_, text) =
            run(&engine, script("/bin/sh ps", |body| host(body).init = Some(true))).await;
        assert!(text.contains("docker-init"), "{text}");
        engine.shutdown().await;
    });
}
