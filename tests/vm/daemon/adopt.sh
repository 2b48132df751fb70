# Containers outlive a killed daemon, in the same group and with the same limits.
. /tests/support.sh

daemon_start
busybox_image
gantry run -d --name lives -m 64m -p 127.0.0.1:8081:80 busybox sleep 1000 >/dev/null
gantry run -d --name ends busybox sh -c 'sleep 3; exit 42' >/dev/null
pid=$(gantry inspect --format '{{.State.Pid}}' lives)
group=$(group lives)
daemon_kill
kill -0 "$pid" || fail "the container died with the daemon"
sleep 4
daemon_start
same "pid" "$(gantry inspect --format '{{.State.Pid}} {{.State.Status}}' lives)" "$pid running"
same "group" "$(group lives)" "$group"
same "exit code" "$(gantry inspect --format '{{.State.Status}} {{.State.ExitCode}}' ends)" "exited 42"
gantry update -m 96m --memory-swap 96m lives
same "memory" "$(cat "$group/memory.max")" 100663296
same "exec" "$(gantry exec lives echo inside)" inside
gantry pause lives
same "frozen" "$(field "$group/cgroup.events" frozen)" 1
gantry unpause lives
gantry stop -t 0 lives >/dev/null
daemon_end
