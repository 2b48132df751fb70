# Device flags become rules of the filter; --privileged has none and may write its groups.
. /tests/support.sh

read='dd if=/dev/kmsg of=/dev/null bs=8192 count=1 2>&1 && echo readable'
write='(echo text >/dev/kmsg) 2>&1 && echo writable'

daemon_start
busybox_image
out=$(gantry run --rm --cap-add SYSLOG --device /dev/kmsg:/dev/kmsg:r busybox sh -c "$read; $write") || true
has "--device r" "$out" '^readable$'
lacks "--device r" "$out" '^writable$'

rule='c 1:11 w'
out=$(gantry run --rm --cap-add SYSLOG --device-cgroup-rule "$rule" busybox sh -c "
    mknod /dev/kmsg c 1 11; $read; $write")
lacks "--device-cgroup-rule w" "$out" '^readable$'
has "--device-cgroup-rule w" "$out" '^writable$'

out=$(gantry run --rm --privileged busybox sh -c "$read; $write; mkdir /sys/fs/cgroup/own && echo made")
has "privileged" "$out" '^readable$'
has "privileged" "$out" '^writable$'
has "privileged" "$out" '^made$'
daemon_end
