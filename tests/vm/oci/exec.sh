# A process that joins lands in the container's group and in its cgroup namespace.
. /tests/support.sh

bundle exec '{ "pids": { "limit": 20 } }' sleep 1000
launch exec
same "inside" "$(oci exec exec cat /proc/self/cgroup)" "0::/"
same "limits" "$(oci exec exec cat /sys/fs/cgroup/pids.max)" 20
before=$(wc -l <$CGROUPS/vm/exec/cgroup.procs)
oci exec -d exec sleep 2000 >/dev/null 2>&1 </dev/null
eventually "one process more" sh -c "[ \$(wc -l <$CGROUPS/vm/exec/cgroup.procs) = $((before + 1)) ]"
other=$(grep -v "^$PID\$" $CGROUPS/vm/exec/cgroup.procs)
same "command" "$(tr '\0' ' ' <"/proc/$other/cmdline")" "sleep 2000 "
same "namespace" "$(readlink "/proc/$other/ns/cgroup")" "$(readlink "/proc/$PID/ns/cgroup")"
oci delete --force exec
[ ! -e "/proc/$other" ] || fail "the joined process is still there"
gone exec
