# Containers that start and end at once: controllers are handed down once, and every group goes.
. /tests/support.sh

daemon_start
busybox_image
for number in 1 2 3 4 5 6; do
    gantry run --rm -m 32m --pids-limit 10 busybox cat /sys/fs/cgroup/memory.max \
        >"$SCRATCH/out.$number" 2>&1 &
    runs="${runs-} $!"
done
for run in $runs; do
    wait "$run" || fail "a run ended with $?: $(cat "$SCRATCH"/out.*)"
done
same "limits" "$(cat "$SCRATCH"/out.* | sort -u)" 33554432
daemon_end
