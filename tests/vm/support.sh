# Words that the scripts share. A script begins with `. /tests/support.sh`, and fails at the first
# command that does.

set -eu

SCRATCH=/scratch
CGROUPS=/sys/fs/cgroup

fail() {
    echo "FAILED: $*"
    exit 1
}

# same WHAT GOT WANT
same() {
    [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"
}

# has WHAT TEXT PATTERN: the text has a line that matches.
has() {
    printf '%s\n' "$2" | grep -qE -- "$3" || fail "$1: no '$3' in: $2"
}

# lacks WHAT TEXT PATTERN
lacks() {
    if printf '%s\n' "$2" | grep -qE -- "$3"; then
        fail "$1: '$3' in: $2"
    fi
}

# eventually WHAT COMMAND...: waits until the command succeeds.
eventually() {
    what=$1
    shift
    for _ in $(seq 150); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    fail "$what: not within 15 seconds"
}

# refuses WHAT COMMAND...
refuses() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        fail "$what: was not refused"
    fi
}

# field FILE NAME: a number of a flat keyed file, as memory.events.
field() {
    awk -v name="$2" '$1 == name { print $2 }' "$1"
}

# The runtime under test.
oci() {
    case $RUNTIME in
        crun) crun --root /run/crun --cgroup-manager cgroupfs "$@" ;;
        oci) gantry oci --root /run/oci "$@" ;;
        *) fail "no such runtime: $RUNTIME" ;;
    esac
}

# The arguments as a list in JSON.
json_list() {
    list=
    for word in "$@"; do
        # A line's end becomes \n, but the last one.
        word=$(printf '%s' "$word" | sed 's/["\\]/\\&/g' | awk '{ printf "%s%s", sep, $0; sep = "\\n" }')
        list="$list,\"$word\""
    done
    printf '[%s]' "${list#,}"
}

# bundle NAME RESOURCES COMMAND...: writes a bundle whose group is vm/NAME. $NAMESPACES adds to its
# namespaces, $CAPABILITIES to its capabilities; $SHARED is seen inside as /var.
NAMESPACES='{"type":"pid"},'
CAPABILITIES=
SHARED=$SCRATCH/shared
bundle() {
    name=$1 resources=$2
    shift 2
    mkdir -p "$SCRATCH/$name" "$SHARED"
    capabilities="[$CAPABILITIES\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_KILL\",\"CAP_MKNOD\"]"
    cat >"$SCRATCH/$name/config.json" <<END
{
  "ociVersion": "1.0.2",
  "root": { "path": "/rootfs", "readonly": true },
  "hostname": "inside",
  "process": {
    "user": { "uid": 0, "gid": 0 },
    "args": $(json_list "$@"),
    "env": ["PATH=/bin"],
    "cwd": "/",
    "capabilities": {
      "bounding": $capabilities, "effective": $capabilities, "permitted": $capabilities
    },
    "noNewPrivileges": true
  },
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
      "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    { "destination": "/sys", "type": "sysfs", "source": "sysfs",
      "options": ["nosuid", "noexec", "nodev", "ro"] },
    { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
      "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
    { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"] },
    { "destination": "/var", "type": "bind", "source": "$SHARED", "options": ["rbind", "rw"] }
  ],
  "linux": {
    "cgroupsPath": "/vm/$name",
    "namespaces": [ $NAMESPACES
      { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" },
      { "type": "cgroup" } ],
    "resources": $resources
  }
}
END
}

# run NAME: runs the bundle to its end. $OUT is what it printed, $STATUS its exit code.
run() {
    STATUS=0
    oci run -b "$SCRATCH/$1" "$1" >"$SCRATCH/$1.out" 2>&1 </dev/null || STATUS=$?
    OUT=$(cat "$SCRATCH/$1.out")
}

# launch NAME: runs the bundle in the background. $PID is the init's.
launch() {
    oci run -d --pid-file "$SCRATCH/$1.pid" -b "$SCRATCH/$1" "$1" \
        >"$SCRATCH/$1.out" 2>&1 </dev/null || fail "run: $(cat "$SCRATCH/$1.out")"
    PID=$(cat "$SCRATCH/$1.pid")
}

# gone NAME: its group is no more.
gone() {
    [ ! -e "$CGROUPS/vm/$1" ] || fail "the group of $1 is still there"
}

# The engine, with roots of its own and the arguments as its options. Its control groups are below /sys/fs/cgroup/gantry.
DOCKER_HOST=unix://$SCRATCH/sock
export DOCKER_HOST
daemon_start() {
    echo '{}' >"$SCRATCH/daemon.json"
    gantry daemon --data-root "$SCRATCH/data" --exec-root "$SCRATCH/exec" -H "$DOCKER_HOST" \
        --pidfile "$SCRATCH/daemon.pid" --config-file "$SCRATCH/daemon.json" \
        "$@" >>"$SCRATCH/daemon.log" 2>&1 </dev/null &
    DAEMON=$!
    eventually "the daemon answers" gantry version
}

daemon_kill() {
    kill -9 "$DAEMON"
    wait "$DAEMON" 2>/dev/null || true
}

# Imports the busybox image.
busybox_image() {
    gantry import --change 'CMD ["sh"]' --change 'ENV PATH=/bin' /tests/busybox.tar busybox >/dev/null
}

# group NAME: the directory of a running container's group.
group() {
    pid=$(gantry inspect --format '{{.State.Pid}}' "$1")
    echo "$CGROUPS$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"
}

# Groups of containers, which are called by their ids.
no_groups() {
    ! find $CGROUPS/gantry -type d 2>/dev/null | grep -qE '/[0-9a-f]{64}$'
}

# fetch URL: busybox's own time limit (wget -T) ends in a segmentation fault in Debian 12.
fetch() {
    timeout 10 wget -q -O - "$1"
}

no_shims() {
    # shellcheck disable=SC2012
    ! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q shim
}

# Removes all containers, stops the daemon, and looks for what is left.
daemon_end() {
    names=$(gantry ps -aq)
    # shellcheck disable=SC2086
    [ -z "$names" ] || gantry rm -f $names >/dev/null
    eventually "no control group is left" no_groups
    kill "$DAEMON"
    wait "$DAEMON" || fail "the daemon ended with $?"
    eventually "no shim is left" no_shims
    left=$(awk -v root="$SCRATCH/" 'index($2, root) == 1 { print $2 }' /proc/mounts)
    same "mounts left" "$left" ""
}
