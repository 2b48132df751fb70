use std::time::Duration;

use gantry_rig::leaks::Left;

#[test]
fn containers_of_every_kind_leave_nothing() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let scripts = [
        "docker run --rm busybox true",
        "docker run --rm -p 80 -p 81/udp -m 64m --cpus 1 busybox true",
        "docker run --rm --network none --read-only --tmpfs /t busybox true",
        "docker run --rm -v /data busybox true",
        "docker run --rm busybox no-such-program; true",
        "docker run --rm -v /proc/self/nosuch/x:/x busybox true; true",
        "docker run -d --name leak-a busybox sleep 100; docker exec leak-a true; docker rm -f leak-a",
        "docker run -d --name leak-b busybox sleep 100; docker pause leak-b; docker rm -f leak-b",
        "docker run -d --restart always --name leak-c busybox false; sleep 1; docker rm -f leak-c",
        "docker create --name leak-d busybox; docker cp /etc/passwd leak-d:/tmp; docker rm leak-d",
        "docker run --runtime runc --rm busybox true",
        "docker run --runtime crun --rm busybox true; true",
    ];
    for script in scripts {
        let _ = client.shell(script);
    }
    let gone = Left::default();
    client.eventually("nothing is left", Duration::from_secs(10), |_| Left::of(&daemon) == gone);
    assert_eq!(client.docker(&["ps", "-aq"]).ok(), "");
    assert_eq!(client.docker(&["volume", "ls", "-q"]).ok(), "");
}
