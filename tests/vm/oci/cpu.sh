# cpu.max holds: a loop is throttled and gets about its quota.
. /tests/support.sh

bundle cpu '{ "cpu": { "quota": 20000, "period": 100000 } }' \
    sh -c 'timeout -s KILL 3 sh -c "while true; do :; done"; cat /sys/fs/cgroup/cpu.stat'
run cpu
printf '%s\n' "$OUT" >"$SCRATCH/stat"
throttled=$(field "$SCRATCH/stat" nr_throttled)
usage=$(field "$SCRATCH/stat" usage_usec)
[ "$throttled" -ge 5 ] || fail "throttled only $throttled times: $OUT"
# A fifth of about 3 seconds, with room for a slow machine; 3 s would be without a limit.
[ "$usage" -lt 1500000 ] || fail "used $usage us: $OUT"
