# The built-in image from start to removal.
. /tests/support.sh

daemon_start
out=$(gantry run --rm -m 64m --network none hello-gantry)
has "page" "$out" '64'
out=$(gantry run --rm hello-gantry)
has "page" "$out" 'namespace'
eventually "no control group is left" no_groups
has "info" "$(gantry info --format '{{.CgroupVersion}} {{.CgroupDriver}}')" '^2 cgroupfs$'
daemon_end
