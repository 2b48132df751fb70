# The device filter: default devices work, others do not open, rules tell reading from writing.
. /tests/support.sh
# Reading the kernel's log needs it, and so the filter alone can refuse that.
CAPABILITIES='"CAP_SYSLOG",'

script='
echo data >/dev/null || echo "null does not work"
head -c 4 /dev/zero | wc -c
mknod /tmp/kmsg c 1 11 && echo made
dd if=/tmp/kmsg of=/dev/null bs=8192 count=1 2>&1 | head -n 1
(echo text >/tmp/kmsg) 2>&1'
kmsg='{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "access": "m" }'

bundle refused "{ \"devices\": [ $kmsg ] }" sh -c "$script"
run refused
lacks "null" "$OUT" 'does not work'
has "zero" "$OUT" '^4$'
has "mknod" "$OUT" '^made$'
has "reading" "$OUT" "dd: can.t open '/tmp/kmsg': Operation not permitted"
has "writing" "$OUT" "create /tmp/kmsg: Operation not permitted"

kmsg="$kmsg, { \"allow\": true, \"type\": \"c\", \"major\": 1, \"minor\": 11, \"access\": \"r\" }"
bundle read-only "{ \"devices\": [ $kmsg ] }" sh -c "$script"
run read-only
lacks "reading" "$OUT" "can.t open '/tmp/kmsg'"
has "writing" "$OUT" "create /tmp/kmsg: Operation not permitted"

# A later rule wins over an earlier one.
later='{ "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "w" }'
bundle later "{ \"devices\": [ $later ] }" sh -c "$script"
run later
lacks "reading" "$OUT" "can.t open '/tmp/kmsg'"
has "writing" "$OUT" "create /tmp/kmsg: Operation not permitted"
