# pause, unpause and kill of a paused container.
. /tests/support.sh

daemon_start
busybox_image
gantry run -d --name sleeper busybox sleep 1000 >/dev/null
group=$(group sleeper)
gantry pause sleeper
same "frozen" "$(field "$group/cgroup.events" frozen)" 1
same "state" "$(gantry inspect --format '{{.State.Status}}' sleeper)" paused
gantry unpause sleeper
same "frozen" "$(field "$group/cgroup.events" frozen)" 0
gantry pause sleeper
gantry kill sleeper
eventually "it exits" sh -c "[ \$(gantry inspect --format '{{.State.Status}}' sleeper) = exited ]"
same "exit code" "$(gantry inspect --format '{{.State.ExitCode}}' sleeper)" 137
eventually "its group goes" test ! -e "$group"
daemon_end
