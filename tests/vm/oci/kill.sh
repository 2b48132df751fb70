# All of a container's processes end with it, also where no PID namespace sees to that.
. /tests/support.sh

# State, or nothing for a process that is gone.
state() {
    sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true
}

bundle plain '{}' sh -c 'sleep 1000 & sleep 1000 & wait'
launch plain
eventually "three processes" sh -c "[ \$(wc -l <$CGROUPS/vm/plain/cgroup.procs) = 3 ]"
pids=$(cat $CGROUPS/vm/plain/cgroup.procs)
oci kill plain KILL
for pid in $pids; do
    eventually "$pid ends" sh -c "! kill -0 $pid || grep -q '^State:.Z' /proc/$pid/status"
done
eventually "stopped" sh -c ". /tests/support.sh; oci state plain | grep -q stopped"
oci delete plain
gone plain

NAMESPACES=
bundle shared '{}' sh -c 'sleep 1000 & sleep 1000 & wait'
launch shared
eventually "three processes" sh -c "[ \$(wc -l <$CGROUPS/vm/shared/cgroup.procs) = 3 ]"
pids=$(cat $CGROUPS/vm/shared/cgroup.procs)
oci delete --force shared
for pid in $pids; do
    case $(state "$pid") in
        '' | Z) ;;
        *) fail "process $pid of the container lives on" ;;
    esac
done
gone shared
