# Pause and resume are cgroup.freeze.
. /tests/support.sh

bundle pause '{}' sh -c 'i=0; while true; do i=$((i + 1)); echo $i >/var/count; sleep 0.05; done'
launch pause
eventually "it counts" test -s "$SHARED/count"
oci pause pause
group=$CGROUPS/vm/pause
same "cgroup.freeze" "$(cat $group/cgroup.freeze)" 1
same "cgroup.events" "$(field $group/cgroup.events frozen)" 1
has "state" "$(oci state pause)" '"status": *"paused"'
before=$(cat "$SHARED/count")
sleep 1
same "nothing runs" "$(cat "$SHARED/count")" "$before"
oci resume pause
same "cgroup.freeze" "$(cat $group/cgroup.freeze)" 0
has "state" "$(oci state pause)" '"status": *"running"'
eventually "it counts on" sh -c "[ \$(cat $SHARED/count) -gt $before ]"

# A frozen container can be killed.
oci pause pause
oci delete --force pause
gone pause
[ ! -e "/proc/$PID" ] || fail "the container's process is still there"
