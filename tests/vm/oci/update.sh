# Limits change while the container runs.
. /tests/support.sh

bundle update '{ "memory": { "limit": 67108864 }, "pids": { "limit": 20 } }' sleep 1000
launch update
group=$CGROUPS/vm/update
oci update --memory 100663296 --pids-limit 30 --cpu-quota 20000 --cpu-period 50000 update
same "memory" "$(cat $group/memory.max)" 100663296
same "pids" "$(cat $group/pids.max)" 30
same "cpu" "$(cat $group/cpu.max)" "20000 50000"

echo '{ "memory": { "limit": 50331648 }, "cpu": { "shares": 2 } }' >"$SCRATCH/new.json"
oci update -r "$SCRATCH/new.json" update
same "memory" "$(cat $group/memory.max)" 50331648
same "weight" "$(cat $group/cpu.weight)" 1
same "pids stay" "$(cat $group/pids.max)" 30
oci delete --force update
gone update
