//! Clients as they come from their registries.

/// Docker's SDK for Python, from Debian: the calls that its users make most.
const PYTHON: &str = r#"
import docker, io, tarfile
c = docker.from_env()
assert c.ping() and c.version()["ApiVersion"]
assert c.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
try:
    c.containers.run("busybox", "sh -c 'echo bad >&2; exit 3'", remove=True)
    raise SystemExit("no error")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3 and b"bad" in error.stderr, error
box = c.containers.run("busybox", "sleep 1000", detach=True, name="py", labels={"k": "v"}, environment=["A=b"], mem_limit="64m", ports={"80/tcp": None})
box.reload()
assert box.status == "running" and box.labels["k"] == "v" and box.ports["80/tcp"][0]["HostPort"]
assert box.exec_run("echo $A").exit_code == 0
result = box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
assert result.exit_code == 4 and result.output == (b"out\n", b"err\n"), result
data = io.BytesIO()
with tarfile.open(fileobj=data, mode="w") as tar:
    info = tarfile.TarInfo("f"); info.size = 4; tar.addfile(info, io.BytesIO(b"data"))
assert box.put_archive("/tmp", data.getvalue())
stream, stat = box.get_archive("/tmp/f")
assert stat["size"] == 4 and tarfile.open(fileobj=io.BytesIO(b"".join(stream))).extractfile("f").read() == b"data"
assert box.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
assert "sleep" in str(box.top())
box.pause(); box.reload(); assert box.status == "paused"; box.unpause()
sock = c.api.exec_start(c.api.exec_create(box.id, "cat", stdin=True)["Id"], socket=True)
sock._sock.sendall(b"through\n"); sock._sock.shutdown(1)
seen = b""
while (chunk := sock._sock.recv(4096)): seen += chunk
assert b"through\n" in seen, seen
image = box.commit("pycommit", "v1"); assert "pycommit:v1" in image.tags
assert [i for i in c.images.list() if "pycommit:v1" in i.tags]
box.restart(timeout=0); box.reload(); assert box.status == "running"
events = c.events(since=0, until=1 << 40 and int(__import__("time").time()), decode=True, filters={"container": "py"})
assert "start" in [e["Action"] for e in events]
box.stop(timeout=0); assert box.wait()["StatusCode"] == 137
box.rename("py2"); box.remove(v=True)
assert c.containers.list(all=True) == []
saved = b"".join(image.save(named=True)); c.images.remove("pycommit:v1"); assert c.images.load(saved)[0].id
c.images.remove("pycommit:v1"); c.containers.prune(); c.images.prune(); c.volumes.prune(); usage = c.df(); assert "ImageUsage" in usage or "Images" in usage, usage
print("python: all calls answered")
"#;

#[test]
fn dockers_sdk_for_python() {
    let daemon = crate::gantry();
    let python = std::path::Path::new("/usr/bin/python3");
    let ran = daemon.client().run(python, &["-c", PYTHON], None);
    assert_eq!(ran.ok(), "python: all calls answered");
}
