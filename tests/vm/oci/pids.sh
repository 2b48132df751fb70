# pids.max stops forks, and only in this container.
. /tests/support.sh

bundle pids '{ "pids": { "limit": 6 } }' \
    sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo not reached'
run pids
has "fork" "$OUT" 'fork'
lacks "fork" "$OUT" 'not reached'
gone pids

bundle pids-enough '{ "pids": { "limit": 20 } }' \
    sh -c 'for i in 1 2 3 4 5 6 7 8 9; do true & done; wait; echo reached
           cat /sys/fs/cgroup/pids.events'
run pids-enough
has "fork" "$OUT" '^reached$'
has "events" "$OUT" '^max 0$'
