# --cgroupns host shows the host's groups, --cgroup-parent places the container's, exec joins it.
. /tests/support.sh

daemon_start
busybox_image
has "host" "$(gantry run --rm --cgroupns host busybox cat /proc/self/cgroup)" '^0::/gantry/.'
gantry run -d --name placed --cgroup-parent gantry/below busybox sleep 1000 >/dev/null
has "parent" "$(group placed)" '^/sys/fs/cgroup/gantry/below/.'
gantry exec -d placed sleep 2000
eventually "exec joins the group" sh -c ". /tests/support.sh; [ \$(wc -l <\$(group placed)/cgroup.procs) = 2 ]"
same "exec's view" "$(gantry exec placed cat /proc/self/cgroup)" "0::/"
gantry rm -f placed >/dev/null
eventually "no control group is left" no_groups
# A parent that was named stays, as Docker leaves it; it is empty.
rmdir $CGROUPS/gantry/below
daemon_end
