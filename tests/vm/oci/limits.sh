# Limits of config.json stand in the group's files, as the container sees them.
. /tests/support.sh

bundle limits '{
    "memory": { "limit": 67108864, "reservation": 33554432, "swap": 134217728 },
    "pids": { "limit": 20 },
    "cpu": { "shares": 262144, "quota": 50000, "period": 100000, "cpus": "0" }
}' sh -c 'cd /sys/fs/cgroup && for file in memory.max memory.low memory.swap.max pids.max cpu.max \
    cpu.weight cpuset.cpus.effective; do echo "$file $(cat $file)"; done'
run limits
same "exit code" "$STATUS" 0
same "limits" "$OUT" "memory.max 67108864
memory.low 33554432
memory.swap.max 67108864
pids.max 20
cpu.max 50000 100000
cpu.weight 10000
cpuset.cpus.effective 0"
gone limits

# -1 is no limit.
bundle unlimited '{ "memory": { "limit": -1 }, "pids": { "limit": -1 }, "cpu": { "quota": -1 } }' \
    sh -c 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max'
run unlimited
same "no limits" "$OUT" "max
max
max 100000"
