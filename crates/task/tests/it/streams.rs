//! Output, input, terminals, execs, signals.

use std::time::Duration;

use gantry_oci::runtime::ConsoleSize;
use gantry_task::{RunError, StartKind, StdioConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::{Bed, client, exec, exit, possible, read_all, runtimes, unframe};

macro_rules! each_runtime {
    ($($(#[$meta:meta])* $name:ident => $body:ident;)*) => {$(
        $(#[$meta])*
        #[tokio::test]
        async fn $name() {
            if !possible() {
                return;
            }
            for runtime in runtimes() {
                eprintln!("with {runtime:?}");
                $body(Bed::new(&runtime)).await;
            }
        }
    )*};
}
pub(crate) use each_runtime;

each_runtime! {
    output_is_attached_and_logged => output;
    input_ends_with_its_client => input;
    a_terminal_has_a_size => terminal;
    execs_have_streams_of_their_own => execs;
    a_background_process_does_not_hold_an_exec => background;
    signals_end_processes => signals;
    failures_name_the_step => failures;
    a_client_that_does_not_read_makes_the_container_wait => stuck;
    a_slow_client_gets_all_after_the_end => slow;
    no_line_is_lost => many_lines;
    logs_rotate_and_are_compressed_beside_the_container => rotation;
    a_user_may_open_its_streams_again => reopen;
}

async fn output(bed: Bed) {
    let mut request = bed.request("out", "echo one; echo two >&2; exit 3");
    let (near, mut stream) = client(false);
    request.attachments.push(near);
    let task = bed.run(request).await;
    assert_eq!(unframe(&read_all(&mut stream).await), ("one\n".to_owned(), "two\n".to_owned()));
    let end = exit(task.exit()).await;
    assert_eq!((end.code, end.signal), (3, None));
    let mut lines = bed.lines("out");
    lines.sort();
    assert_eq!(lines, ["one\n", "two\n"]);
    assert!(bed.task_directory("out").join("exit.json").exists());
    task.delete().await.expect("delete");
    assert!(bed.tasks.leftovers().expect("list").is_empty());
}

async fn slow(bed: Bed) {
    // More than a socket holds, less than a client may leave unread.
    let mut request = bed.request("slow", "dd if=/dev/zero bs=1000 count=900 2>/dev/null");
    let (near, mut stream) = client(false);
    request.attachments.push(near);
    let task = bed.run(request).await;
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");
    assert_eq!(unframe(&read_all(&mut stream).await).0.len(), 900_000);
}

async fn input(bed: Bed) {
    let mut request = bed.request("in", "cat; echo end");
    request.stdio = StdioConfig { open_stdin: true, stdin_once: true, ..StdioConfig::default() };
    let (near, mut stream) = client(true);
    request.attachments.push(near);
    // Before the task exists.
    stream.write_all(b"early ").await.expect("write");
    let task = bed.run(request).await;
    stream.write_all(b"late\n").await.expect("write");
    stream.shutdown().await.expect("half-close");
    assert_eq!(unframe(&read_all(&mut stream).await).0, "early late\nend\n");
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");

    let mut request = bed.request("keep", "head -n 2");
    request.stdio = StdioConfig { open_stdin: true, ..StdioConfig::default() };
    let task = bed.run(request).await;
    for line in ["first\n", "second\n"] {
        let (near, mut stream) = client(true);
        task.attach(near).await.expect("attach");
        stream.write_all(line.as_bytes()).await.expect("write");
        stream.shutdown().await.expect("half-close");
        if line == "second\n" {
            assert!(unframe(&read_all(&mut stream).await).0.ends_with("second\n"));
        }
    }
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");
}

async fn terminal(bed: Bed) {
    let mut request = bed.request("tty", "stty size; read x; stty size; echo \"got $x\"");
    let console_size = Some(ConsoleSize { height: 33, width: 77 });
    request.stdio = StdioConfig { tty: true, open_stdin: true, stdin_once: true, console_size };
    let (near, mut stream) = client(true);
    request.attachments.push(near);
    let task = bed.run(request).await;
    let mut first = [0; 7];
    stream.read_exact(&mut first).await.expect("size");
    assert_eq!(&first, b"33 77\r\n");
    task.resize(44, 88).await.expect("resize");
    stream.write_all(b"line\n").await.expect("write");
    let rest = String::from_utf8(read_all(&mut stream).await).expect("text");
    assert!(rest.contains("44 88\r\n") && rest.ends_with("got line\r\n"), "{rest:?}");
    assert_eq!(exit(task.exit()).await.code, 0);
    assert_eq!(bed.lines("tty").last().map(String::as_str), Some("got line\r\n"));
    task.delete().await.expect("delete");
}

async fn execs(bed: Bed) {
    let task = bed.run(bed.request("exec", "sleep 100")).await;
    let (near, mut stream) = client(true);
    let running =
        task.exec(exec("e1", "cat; echo err >&2; exit 5", vec![near])).await.expect("exec");
    stream.write_all(b"hi\n").await.expect("write");
    stream.shutdown().await.expect("half-close");
    assert_eq!(unframe(&read_all(&mut stream).await), ("hi\n".to_owned(), "err\n".to_owned()));
    assert_eq!(exit(running.exit).await.code, 5);

    let (near, mut stream) = client(true);
    let mut request = exec("e2", "sleep 0.3; stty size; read x", vec![near]);
    // crun gives an exec's terminal its size no sooner than the shim can.
    request.stdio.tty = true;
    request.stdio.console_size = Some(ConsoleSize { height: 10, width: 20 });
    let running = task.exec(request).await.expect("exec");
    let mut size = [0; 7];
    stream.read_exact(&mut size).await.expect("size");
    assert_eq!(&size, b"10 20\r\n");
    task.resize_exec("e2", 11, 22).await.expect("resize");
    task.kill_exec("e2", 9).await.expect("kill");
    assert_eq!(exit(running.exit).await.code, 137);

    let mut missing = exec("e3", "", Vec::new());
    missing.process.args = vec!["/nope".to_owned()];
    let error = task.exec(missing).await.expect_err("no such program");
    let kind = match &error {
        gantry_task::ExecError::Start { kind, .. } => *kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind, StartKind::NotFound, "{error}");
    task.kill(9, false).await.expect("kill");
    assert_eq!(exit(task.exit()).await.code, 137);
    task.exec(exec("e4", "true", Vec::new())).await.expect_err("ended");
    task.delete().await.expect("delete");
}

async fn background(bed: Bed) {
    let task = bed.run(bed.request("bg", "sleep 100")).await;
    let (near, mut stream) = client(true);
    let begin = std::time::Instant::now();
    let running = task.exec(exec("e", "echo started; sleep 50 &", vec![near])).await.expect("exec");
    assert_eq!(exit(running.exit).await.code, 0);
    assert_eq!(unframe(&read_all(&mut stream).await).0, "started\n");
    assert!(begin.elapsed() < Duration::from_secs(10), "held for {:?}", begin.elapsed());
    task.kill(9, true).await.expect("kill");
    assert_eq!(exit(task.exit()).await.code, 137);
    task.delete().await.expect("delete");
}

async fn signals(bed: Bed) {
    let task = bed
        .run(bed.request("sig", "trap 'exit 7' TERM; echo up; while :; do sleep 1 & wait; done"))
        .await;
    while bed.lines("sig").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    task.kill(15, false).await.expect("kill");
    assert_eq!(exit(task.exit()).await.code, 7);
    task.kill(15, false).await.expect_err("ended");
    task.delete().await.expect("delete");
    let task = bed.run(bed.request("sig2", "kill -TERM $$; sleep 1; exit 9")).await;
    // The first process of a pid namespace is spared by signals that it does not handle.
    assert_eq!(exit(task.exit()).await.code, 9);
    task.delete().await.expect("delete");
}

async fn failures(bed: Bed) {
    for (name, program, cwd, want) in
        [("nf", "nope", "/", StartKind::NotFound), ("ne", "/etc", "/", StartKind::NotExecutable)]
    {
        let mut request = bed.request(name, "");
        let process = request.spec.process.as_mut().expect("process");
        process.args = vec![program.to_owned()];
        process.cwd = cwd.to_owned();
        match bed.tasks.run(request).await {
            Err(RunError::Start { kind, message }) => assert_eq!(kind, want, "{name}: {message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut request = bed.request("rt", "true");
    request.runtime = Some("unheard-of".to_owned());
    assert!(matches!(bed.tasks.run(request).await, Err(RunError::UnknownRuntime(_))));
    assert!(bed.tasks.leftovers().expect("list").is_empty());
}

async fn stuck(bed: Bed) {
    let mut request = bed.request("stuck", "head -c 8000000 /dev/zero; echo done >&2");
    request.spec.mounts[1].options.push("exec".to_owned());
    request.log = gantry_logs::LogConfig::None;
    let (near, mut stream) = client(false);
    request.attachments.push(near);
    let task = bed.run(request).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(task.exit().borrow().is_none(), "the container did not wait");
    let (out, err) = unframe(&read_all(&mut stream).await);
    assert_eq!((out.len(), err.as_str()), (8_000_000, "done\n"));
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");

    let mut request = bed.request("gone", "head -c 8000000 /dev/zero");
    let (near, stream) = client(false);
    request.log = gantry_logs::LogConfig::None;
    request.attachments.push(near);
    let task = bed.run(request).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");
}

async fn many_lines(bed: Bed) {
    let task = bed.run(bed.request("many", "seq 1 200000")).await;
    assert_eq!(exit(task.exit()).await.code, 0);
    let lines = bed.lines("many");
    assert_eq!(lines.len(), 200_000);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line.trim_end().parse::<usize>().ok(), Some(number + 1));
    }
    task.delete().await.expect("delete");
}

async fn rotation(bed: Bed) {
    for driver in ["json-file", "local"] {
        let options = [("max-size", "200k"), ("max-file", "200"), ("compress", "true")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let path = bed.directory.path().join(format!("{driver}.log"));
        let log = gantry_logs::LogConfig::from_docker(driver, &options).expect("options").at(path);
        let mut request = bed.request(driver, "seq 1 50000");
        request.log = log.clone();
        let task = bed.run(request).await;
        assert_eq!(exit(task.exit()).await.code, 0);
        task.delete().await.expect("delete");
        let query = gantry_logs::Query::default();
        let mut reader = gantry_logs::Reader::open(&log, query).expect("log");
        let mut count = 0;
        while let Some(entry) = reader.next().expect("line") {
            count += 1;
            assert_eq!(entry.line, format!("{count}\n").as_bytes(), "{driver}");
        }
        assert_eq!(count, 50_000, "{driver}");
        let names = std::fs::read_dir(bed.directory.path()).expect("list");
        let compressed = names.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(driver) && name.contains(".gz")
        });
        assert!(compressed, "{driver}: nothing was compressed");
    }
}

async fn reopen(bed: Bed) {
    let mut request = bed.request("user", "echo out > /proc/self/fd/1; id -u");
    let process = request.spec.process.as_mut().expect("process");
    (process.user.uid, process.user.gid) = (1000, 1000);
    process.capabilities = Some(gantry_oci::runtime::Capabilities::default());
    let (near, mut stream) = client(false);
    request.attachments.push(near);
    let task = bed.run(request).await;
    let (out, err) = unframe(&read_all(&mut stream).await);
    assert_eq!((out.as_str(), err.as_str()), ("out\n1000\n", ""));
    assert_eq!(exit(task.exit()).await.code, 0);
    task.delete().await.expect("delete");
}
