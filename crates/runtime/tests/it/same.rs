//! One bundle, several runtimes: the same output and the same exit code.

use std::fs;

use serde_json::{Value, json};

use crate::house::{House, Runtime, need_root};

/// A change of the base configuration.
type Edit = fn(&mut Value);

fn shell(spec: &mut Value, script: &str) {
    spec["process"]["args"] = json!(["sh", "-c", script]);
}

fn add_mount(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

fn add_namespace(spec: &mut Value, namespace: Value) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
}

fn filter(action: Value) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [action]
    })
}

/// Cases whose output and exit code must be the same everywhere.
const CASES: &[(&str, Edit)] = &[
    ("true", |_| {}),
    ("false", |s| s["process"]["args"] = json!(["false"])),
    ("exit code", |s| shell(s, "exit 42")),
    ("killed by a signal", |s| shell(s, "kill -9 $$")),
    ("pid 1 and hostname", |s| shell(s, "echo $$; hostname")),
    ("namespaces are new", |s| {
        shell(s, "ip link | grep -c .; ls /proc | grep -c '^[0-9]'; cat /proc/net/dev | grep lo:");
    }),
    ("loopback is up", |s| shell(s, "ip -o link show lo | grep -o 'LOOPBACK,UP'")),
    ("capabilities", |s| shell(s, "grep Cap /proc/self/status")),
    ("capabilities of a user", |s| {
        s["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        shell(s, "grep Cap /proc/self/status");
    }),
    ("ambient capabilities of a user", |s| {
        s["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        let caps = json!(["CAP_NET_BIND_SERVICE", "CAP_KILL"]);
        s["process"]["capabilities"] = json!({
            "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps
        });
        shell(s, "grep Cap /proc/self/status");
    }),
    ("no capabilities at all", |s| {
        s["process"].as_object_mut().unwrap().remove("capabilities");
        shell(s, "grep Cap /proc/self/status");
    }),
    ("user and groups", |s| {
        s["process"]["user"] = json!({"uid": 1000, "gid": 50, "additionalGids": [5, 7]});
        shell(s, "id; grep Groups /proc/self/status; touch /x 2>/dev/null; echo $?");
    }),
    ("umask", |s| {
        s["process"]["user"] = json!({"uid": 0, "gid": 0, "umask": 63});
        shell(s, "umask; touch /tmp/x; stat -c %a /tmp/x; rm /tmp/x");
    }),
    ("default umask", |s| shell(s, "umask")),
    ("home of a user", |s| {
        s["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        s["process"]["env"] = json!(["PATH=/bin"]);
        shell(s, "echo $HOME");
    }),
    ("working directory", |s| {
        s["process"]["cwd"] = json!("/home/user");
        shell(s, "pwd");
    }),
    ("working directory is made", |s| {
        s["process"]["cwd"] = json!("/made/for/me");
        shell(s, "pwd; stat -c %a /made/for/me");
    }),
    ("no new privileges", |s| shell(s, "grep NoNewPrivs /proc/self/status")),
    ("new privileges", |s| {
        s["process"]["noNewPrivileges"] = json!(false);
        shell(s, "grep NoNewPrivs /proc/self/status");
    }),
    ("read-only root", |s| {
        s["root"]["readonly"] = json!(true);
        shell(s, "touch /x 2>&1; touch /dev/shm/x && echo fine");
    }),
    ("masked paths", |s| {
        shell(s, "cat /proc/keys | wc -c; ls /sys/firmware /proc/acpi | wc -l; touch /sys/firmware/x 2>&1");
    }),
    ("read-only paths", |s| shell(s, "echo x 2>&1 > /proc/sysrq-trigger; echo 1 2>&1 > /proc/sys/kernel/pid_max; echo $?")),
    ("default devices", |s| {
        shell(s, "ls -l /dev | awk '{print $1,$3,$4,$5,$6}' | grep ^c | sort; echo x > /dev/null; head -c 3 /dev/zero | wc -c");
    }),
    ("links in /dev", |s| shell(s, "for i in fd stdin stdout stderr ptmx; do readlink /dev/$i; done")),
    ("a device of our own", |s| {
        s["linux"]["devices"] = json!([{"type": "c", "path": "/dev/x/fuse", "major": 10, "minor": 229, "fileMode": 384, "uid": 7, "gid": 8}]);
        shell(s, "ls -ln /dev/x/fuse | awk '{print $1,$3,$4,$5,$6}'; cat /dev/x/fuse 2>&1");
    }),
    ("no other device", |s| {
        s["process"]["capabilities"]["bounding"].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
        for set in ["effective", "permitted"] {
            s["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
        }
        shell(s, "mknod /tmp/mem c 1 1; cat /tmp/mem 2>&1; rm -f /tmp/mem");
    }),
    ("mount options", |s| {
        add_mount(s, json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "ro", "size=1m", "mode=700"]}));
        shell(s, "grep ' /t ' /proc/mounts; stat -c %a /t");
    }),
    ("tmpfs keeps the directory's mode", |s| {
        add_mount(s, json!({"destination": "/home/user", "type": "tmpfs", "source": "tmpfs"}));
        shell(s, "stat -c %a /home/user");
    }),
    ("bind mount of a directory", |s| {
        add_mount(s, json!({"destination": "/new/place", "type": "bind", "source": "shared", "options": ["rbind", "ro"]}));
        shell(s, "cat /new/place/file; touch /new/place/x 2>&1; grep -c ' /new/place ' /proc/mounts");
    }),
    ("bind mount of a file", |s| {
        add_mount(s, json!({"destination": "/etc/new-file", "type": "none", "source": "shared/file", "options": ["bind"]}));
        shell(s, "cat /etc/new-file; echo more >> /etc/new-file && echo written");
    }),
    ("bind mount over a link", |s| {
        add_mount(s, json!({"destination": "/link/below", "type": "bind", "source": "shared", "options": ["bind"]}));
        shell(s, "cat /data/below/file");
    }),
    ("tmpcopyup", |s| {
        add_mount(s, json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
        shell(s, "head -1 /etc/passwd; stat -c %a /etc/passwd; touch /etc/x && echo writable");
    }),
    ("rlimits", |s| {
        s["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
        shell(s, "grep -E 'open files|core file' /proc/self/limits");
    }),
    ("oom score", |s| {
        s["process"]["oomScoreAdj"] = json!(300);
        shell(s, "cat /proc/self/oom_score_adj");
    }),
    ("sysctl", |s| {
        s["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"});
        shell(s, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    }),
    ("seccomp errno", |s| {
        s["linux"]["seccomp"] = filter(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}));
        shell(s, "mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status");
    }),
    ("seccomp without no-new-privileges", |s| {
        s["process"]["noNewPrivileges"] = json!(false);
        s["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        s["linux"]["seccomp"] = filter(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}));
        shell(s, "mkdir /tmp/x 2>&1; grep -E 'Seccomp:|Cap' /proc/self/status");
    }),
    ("seccomp kill", |s| {
        s["linux"]["seccomp"] = filter(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}));
        s["process"]["args"] = json!(["mkdir", "/tmp/x"]);
    }),
    ("hooks in order", |s| {
        let hook = |name: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > /dev/null; echo {name} >> hook-order")], "env": ["PATH=/bin:/usr/bin"]}]);
        s["hooks"] = json!({
            "prestart": hook("prestart"), "createRuntime": hook("createRuntime"), "poststart": hook("poststart"), "poststop": hook("poststop"),
        });
        shell(s, "sleep 0.1");
    }),
    ("hooks inside", |s| {
        s["hooks"] = json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "hostname > /tmp/start; grep -c '\"status\":\"created\"' >> /tmp/start"], "env": ["PATH=/bin"]}]});
        shell(s, "cat /tmp/start; rm /tmp/start");
    }),
    ("no hostname", |s| {
        s.as_object_mut().unwrap().remove("hostname");
        shell(s, "exit 3");
    }),
    ("pids limit", |s| {
        s["linux"]["resources"]["pids"] = json!({"limit": 3});
        shell(s, "sleep 1 & sleep 1 & sleep 1 & sleep 1; echo $?");
    }),
    ("memory limit", |s| {
        s["linux"]["resources"]["memory"] = json!({"limit": 16_777_216});
        add_mount(s, json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}));
        shell(s, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; ls /sys/fs/cgroup | sort; touch /sys/fs/cgroup/memory/x 2>&1");
    }),
    ("cgroup namespace", |s| {
        add_namespace(s, json!({"type": "cgroup"}));
        shell(s, "grep memory /proc/self/cgroup");
    }),
    ("user namespace", |s| {
        add_namespace(s, json!({"type": "user"}));
        s["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        s["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        s["linux"]["maskedPaths"] = json!([]);
        shell(s, "id -u; cat /proc/self/uid_map; stat -c %u /bin/busybox; ls -l /dev/null | awk '{print $1}'; echo > /dev/null && echo ok");
    }),
    ("environment", |s| {
        s["process"]["env"] = json!(["PATH=/bin", "HOME=/", "A=1", "B=two words"]);
        s["process"]["args"] = json!(["sh", "-c", "env | grep -E '^[AB]=' | sort"]);
    }),
    ("only three descriptors", |s| shell(s, "ls /proc/self/fd | wc -l")),
    ("signals are as by default", |s| shell(s, "grep -E 'SigBlk|SigIgn|SigCgt' /proc/1/status | head -2")),
    ("session and group", |s| shell(s, "awk '{print $5,$6}' /proc/1/stat")),
    ("host network", |s| {
        s["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "network");
        s["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/sys");
        shell(s, "cat /proc/net/dev | grep -c :");
    }),
];

#[test]
fn output_and_exit_codes_are_the_same() {
    need_root();
    let mut wrong = Vec::new();
    for (name, edit) in CASES {
        let mut wanted: Option<(Runtime, i32, String)> = None;
        let mut gantry = None;
        for runtime in Runtime::installed() {
            let house = House::new("same");
            fs::create_dir(house.path().join("shared")).unwrap();
            fs::write(house.path().join("shared/file"), "shared\n").unwrap();
            std::os::unix::fs::symlink("/data", house.rootfs().join("link")).unwrap();
            // The mapped root of the user namespace must get at the bundle.
            std::process::Command::new("chmod").arg("-R").arg("a+rX").arg(house.path()).status().unwrap();
            let mut answer = house.run(runtime, edit);
            answer.stdout.push_str(&house.said("hook-order"));
            if runtime == Runtime::Gantry {
                gantry = Some(answer);
            } else if wanted.is_none() || runtime == Runtime::Runc {
                wanted = Some((runtime, answer.code, answer.stdout));
            } else if let (Some(ours), Some((_, code, stdout))) = (&gantry, &wanted) {
                // Where the two others differ, either is right.
                if (ours.code, &ours.stdout) != (*code, stdout) {
                    wanted = Some((runtime, answer.code, answer.stdout));
                }
            }
        }
        let gantry = gantry.unwrap();
        match wanted {
            None => assert!(gantry.code >= 0, "{name}"),
            Some((runtime, code, stdout)) => {
                if (gantry.code, &gantry.stdout) != (code, &stdout) {
                    wrong.push(format!("--- {name}: {runtime:?} {code}\n{stdout}--- ours {}\n{}{}", gantry.code, gantry.stdout, gantry.stderr));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

/// Requests that fail, with words of the error that clients or users look for.
const FAILURES: &[(&str, Edit)] = &[
    ("exec: \"nope\": executable file not found in $PATH", |s| s["process"]["args"] = json!(["nope"])),
    ("exec: \"/nope\": stat /nope: no such file or directory", |s| s["process"]["args"] = json!(["/nope"])),
    ("exec: \"/etc/passwd\": permission denied", |s| s["process"]["args"] = json!(["/etc/passwd"])),
    ("exec: \"/etc\": is a directory", |s| s["process"]["args"] = json!(["/etc"])),
    ("error mounting", |s| add_mount(s, json!({"destination": "/x", "type": "bind", "source": "/not/there", "options": ["bind"]}))),
    ("no such device", |s| add_mount(s, json!({"destination": "/x", "type": "nofs", "source": "x"}))),
    ("mount option", |s| add_mount(s, json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": ["bogus=1"]}))),
    ("not a directory", |s| add_mount(s, json!({"destination": "/etc/passwd", "type": "bind", "source": "/tmp", "options": ["bind"]}))),
    ("inside /proc", |s| add_mount(s, json!({"destination": "/proc/self/attr", "type": "tmpfs", "source": "x"}))),
    ("invalid rlimit type", |s| s["process"]["rlimits"] = json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}])),
    ("error setting rlimit type", |s| s["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 9_000_000_000_u64, "hard": 9_000_000_000_u64}])),
    ("Cwd must be an absolute path", |s| s["process"]["cwd"] = json!("relative")),
    ("args must not be empty", |s| s["process"]["args"] = json!([])),
    ("chdir to cwd", |s| s["process"]["cwd"] = json!("/etc/passwd")),
    ("is not in a separate kernel namespace", |s| s["linux"]["sysctl"] = json!({"kernel.panic": "1"})),
    ("private UTS namespace", |s| s["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "uts")),
    ("duplicated ns", |s| add_namespace(s, json!({"type": "pid"}))),
    ("failed to open namespace", |s| add_namespace(s, json!({"type": "user", "path": "/nope"}))),
    ("unknown seccomp action", |s| s["linux"]["seccomp"] = json!({"defaultAction": "X"})),
    ("prestart hook #0", |s| s["hooks"] = json!({"prestart": [{"path": "/bin/false"}]})),
    ("startContainer hook #0", |s| s["hooks"] = json!({"startContainer": [{"path": "/bin/false"}]})),
    ("ran past specified timeout", |s| s["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "9"], "timeout": 1}]})),
    ("no uid or gid mappings", |s| add_namespace(s, json!({"type": "user"}))),
];

#[test]
fn failures_say_why_and_leave_nothing() {
    need_root();
    let mut wrong = Vec::new();
    for (text, edit) in FAILURES {
        let house = House::new("fail");
        house.configure(Runtime::Gantry, edit);
        let id = house.id(Runtime::Gantry);
        for command in ["run", "create"] {
            // A created process lives on: no pipe of ours may be its output.
            let answer = house.call_detached(Runtime::Gantry, &[command, &id]);
            // A hook of the start is not reached by create.
            if command == "create" && answer.code == 0 && text.starts_with("startContainer") {
                house.call(Runtime::Gantry, &["delete", "-f", &id]);
            } else if answer.code != 1 || !answer.stderr.contains(text) {
                wrong.push(format!("{command}: {text:?}: {} {}", answer.code, answer.stderr));
            }
            if !house.groups().is_empty() || !house.states().is_empty() {
                wrong.push(format!("{text:?} leaves {:?} {:?}", house.groups(), house.states()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
