# Limits change while the container runs, and stay after a restart.
. /tests/support.sh

daemon_start
busybox_image
gantry run -d --name changes -m 64m busybox sleep 1000 >/dev/null
group=$(group changes)
gantry update -m 96m --memory-swap 192m --cpus 0.5 --pids-limit 40 changes
same "memory" "$(cat "$group/memory.max")" 100663296
same "swap" "$(cat "$group/memory.swap.max")" 100663296
same "cpu" "$(cat "$group/cpu.max")" "50000 100000"
same "pids" "$(cat "$group/pids.max")" 40
gantry restart -t 0 changes
group=$(group changes)
same "memory after restart" "$(cat "$group/memory.max")" 100663296
same "pids after restart" "$(cat "$group/pids.max")" 40
daemon_end
