//! Measurements; run with `--ignored --nocapture`, and `GANTRY_SHIM_BINARY` naming a real shim.

use std::time::{Duration, Instant};

use crate::bed::{Bed, client, exit, possible, runtimes};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The sum of a process's private memory, in KiB.
fn private_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let field = |line: &str| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok();
    text.lines().filter(|line| line.starts_with("Private_")).filter_map(field).sum()
}

#[tokio::test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
async fn run_exit_delete() {
    if !possible() {
        return;
    }
    for runtime in runtimes() {
        let bed = Bed::new(&runtime);
        let (mut started, mut ended, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..60 {
            let mut request = bed.request("t", "");
            request.spec.process.as_mut().expect("process").args = vec!["/bin/true".to_owned()];
            let begin = Instant::now();
            let task = bed.run(request).await;
            started.push(begin.elapsed());
            exit(task.exit()).await;
            ended.push(begin.elapsed());
            task.delete().await.expect("delete");
            deleted.push(begin.elapsed());
        }
        let (started, ended, deleted) = (median(started), median(ended), median(deleted));
        println!("{runtime:?}: started {started:?}, ended {ended:?}, deleted {deleted:?}");
        // A single process has its program's pages for itself; several share them.
        let mut tasks = Vec::new();
        for number in 0..4 {
            tasks.push(bed.run(bed.request(&format!("m{number}"), "sleep 100")).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if std::env::var_os("GANTRY_TEST_MAPS").is_some() {
            let maps = format!("/proc/{}/smaps", tasks[0].shim_pid());
            println!("{}", std::fs::read_to_string(maps).expect("maps"));
        }
        println!("{runtime:?}: {} KiB private", private_kib(tasks[0].shim_pid()));
        for task in tasks {
            task.kill(9, false).await.expect("kill");
            exit(task.exit()).await;
            task.delete().await.expect("delete");
        }
    }
}

#[tokio::test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
async fn a_million_lines_through_the_shim() {
    if !possible() {
        return;
    }
    let bed = Bed::new("");
    let line = "x".repeat(99);
    let mut request = bed.request("m", "");
    let lines = format!("{line}\n").repeat(1000);
    let file = bed.directory.path().join("lower/etc/lines");
    std::fs::write(&file, lines).expect("file");
    let process = request.spec.process.as_mut().expect("process");
    process.args[2] = "i=0; while [ $i -lt 1000 ]; do cat /etc/lines; i=$((i+1)); done".to_owned();
    let begin = Instant::now();
    let task = bed.run(request).await;
    let pid = task.shim_pid();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let memory = private_kib(pid);
    exit(task.exit()).await;
    let took = begin.elapsed();
    task.delete().await.expect("delete");
    println!("{} lines in {took:?}, {memory} KiB private while busy", bed.lines("m").len());
}

#[tokio::test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
async fn a_gigabyte_to_a_client() {
    if !possible() {
        return;
    }
    let bed = Bed::new("");
    for log in [gantry_logs::LogConfig::None, bed.log("g")] {
        let mut request = bed.request("g", "head -c 1073741824 /dev/zero");
        request.spec.process.as_mut().expect("process").args[2] =
            "i=0; while [ $i -lt 1000 ]; do cat /etc/lines; i=$((i+1)); done".to_owned();
        let lines = format!("{}\n", "x".repeat(99)).repeat(10_000);
        std::fs::write(bed.directory.path().join("lower/etc/lines"), lines).expect("file");
        request.log = log;
        let (near, mut stream) = client(false);
        request.attachments.push(near);
        let begin = Instant::now();
        let task = bed.run(request).await;
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
        loop {
            let bytes =
                tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await.expect("read");
            if bytes == 0 {
                break;
            }
            total += bytes;
        }
        exit(task.exit()).await;
        println!("{total} bytes in {:?}", begin.elapsed());
        task.delete().await.expect("delete");
    }
}
