# The container sees its own group as the root of a read-only cgroup2 mount.
. /tests/support.sh

bundle namespace '{}' sh -c 'echo "group $(cat /proc/self/cgroup)"
    grep " /sys/fs/cgroup " /proc/self/mountinfo
    mkdir /sys/fs/cgroup/own 2>&1
    (echo 5 >/sys/fs/cgroup/pids.max) 2>&1
    cd /sys/fs/cgroup && ls -d cgroup.procs vm 2>/dev/null'
run namespace
has "group" "$OUT" '^group 0::/$'
has "mount" "$OUT" ' / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime .*- cgroup2 '
has "mkdir" "$OUT" "directory '/sys/fs/cgroup/own': Read-only file system"
has "write" "$OUT" "pids.max: Read-only file system"
has "files" "$OUT" '^cgroup.procs$'
lacks "other groups" "$OUT" '^vm$'
gone namespace
