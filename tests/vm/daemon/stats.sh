# The API's statistics come from cgroup v2's files.
. /tests/support.sh

# number NAME: the first value of a key in the answer.
number() {
    sed 's/[{,]/\n/g' "$SCRATCH/stats" | sed -n "s/^\"$1\": *\([0-9]*\).*/\1/p" | head -n 1
}

# Nothing in the machine speaks HTTP on a unix socket.
daemon_start -H tcp://127.0.0.1:2375 --insecure-tcp
busybox_image
gantry run -d --name busy -m 64m --pids-limit 30 busybox sh -c 'while true; do :; done' >/dev/null
sleep 2
fetch 'http://127.0.0.1:2375/v1.43/containers/busy/stats?stream=false' >"$SCRATCH/stats"
for key in usage total_usage online_cpus; do
    [ "$(number $key)" -gt 0 ] || fail "$key is $(number $key): $(cat "$SCRATCH/stats")"
done
limit=$(sed 's/.*"memory_stats"//' "$SCRATCH/stats" | grep -o '"limit": *[0-9]*' | head -n 1)
has "memory limit" "$limit" ': *67108864$'
has "pids" "$(cat "$SCRATCH/stats")" '"pids_stats": *\{"current": *[1-9]'
has "version 2 has no per-CPU usage, but file counts" "$(cat "$SCRATCH/stats")" '"inactive_file"'
out=$(gantry stats --no-stream --format '{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' busy)
has "stats" "$out" '^[1-9][0-9]*\.[0-9]+% .*/ 64MiB 1$'
daemon_end
