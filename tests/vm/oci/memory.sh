# What eats more than memory.max is killed; the rest of the container lives.
. /tests/support.sh

bundle memory '{ "memory": { "limit": 33554432, "swap": 33554432 } }' \
    sh -c 'tail /dev/zero; echo "tail $?"; cat /sys/fs/cgroup/memory.events'
run memory
has "the hog" "$OUT" '^tail 137$'
has "the group" "$OUT" '^oom_kill [1-9]'
same "the shell lives" "$STATUS" 0

# As the container's init, it takes the container with it.
bundle memory-init '{ "memory": { "limit": 33554432, "swap": 33554432 } }' tail /dev/zero
run memory-init
same "exit code" "$STATUS" 137
gone memory-init
