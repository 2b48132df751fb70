# A group below another one, as --cgroup-parent makes: controllers are handed down the whole way.
. /tests/support.sh

bundle nested '{ "memory": { "limit": 67108864 }, "pids": { "limit": 20 } }' \
    cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
sed -i 's,"/vm/nested","/vm/one/two/three",' "$SCRATCH/nested/config.json"
run nested
same "limits" "$OUT" "67108864
20"
[ ! -e $CGROUPS/vm/one/two/three ] || fail "the group is still there"
