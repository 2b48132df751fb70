# Flags of run become the group's files; what exceeds them fails as Docker has it.
. /tests/support.sh

daemon_start
busybox_image
out=$(gantry run --rm -m 64m --memory-reservation 32m --cpus 1.5 --pids-limit 20 --cpuset-cpus 1 busybox sh -c '
    cat /proc/self/cgroup; cd /sys/fs/cgroup
    cat memory.max memory.swap.max memory.low cpu.max pids.max cpuset.cpus.effective')
same "limits" "$out" "0::/
67108864
67108864
33554432
150000 100000
20
1"

code=0
gantry run -m 32m --memory-swap 32m --name hog busybox tail /dev/zero || code=$?
same "exit code" "$code" 137
same "OOMKilled" "$(gantry inspect --format '{{.State.OOMKilled}}' hog)" true

out=$(gantry run --rm --pids-limit 6 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 9 & done' 2>&1) || true
has "fork" "$out" 'fork'

out=$(gantry run --rm busybox sh -c 'grep " /sys/fs/cgroup " /proc/self/mountinfo
    mkdir /sys/fs/cgroup/own 2>&1; mknod /tmp/loop b 7 0; dd if=/tmp/loop of=/dev/null count=1 2>&1') || true
has "mount" "$out" ' /sys/fs/cgroup ro,.*- cgroup2 '
has "read-only" "$out" 'Read-only file system'
has "device" "$out" 'Operation not permitted'
daemon_end
