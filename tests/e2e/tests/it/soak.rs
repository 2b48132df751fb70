//! Many containers: what the daemon holds afterwards is what it held before.

use std::time::Duration;

use gantry_rig::leaks::{Held, Left};

/// Longest wait for the last teardowns, and for idle threads to end.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);
/// Containers of one run of this test.
const CONTAINERS: u32 = 300;

#[test]
fn many_containers_leave_the_daemon_as_it_was() {
    let daemon = crate::gantry();
    let client = daemon.client();
    // One round first: pools and caches fill once.
    let warm = client.shell("seq 8 | xargs -P 8 -I{} docker run --rm -p 80 busybox true");
    assert_eq!(warm.code, 0, "{warm:?}");
    std::thread::sleep(Duration::from_secs(1));
    let before = Held::of(&daemon);
    for _ in 0..CONTAINERS / 100 {
        let ran = client.shell(
            "seq 100 | xargs -P 8 -I{} docker run --rm -p 80 -m 64m -v /data busybox echo {} | wc -l",
        );
        assert_eq!(ran.ok(), "100", "{}", ran.stderr);
    }
    let mut after = Held::default();
    let begin = std::time::Instant::now();
    while begin.elapsed() < SETTLE_LIMIT {
        after = Held::of(&daemon);
        if after.is_within(&before) && Left::of(&daemon).is_nothing() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(after.is_within(&before), "before {before:?}, after {after:?}");
    assert_eq!(Left::of(&daemon), Left::default());
    assert_eq!(client.docker(&["volume", "ls", "-q"]).ok(), "");
}
