# An image of sixty layers: more than a mount parameter of an older kernel can name. The shim's own
# runtime, a foreign one, and the daemon's own mounts.
. /tests/support.sh

LAYERS=60
image=$SCRATCH/layers
mkdir -p "$image/tree"
cp /tests/busybox.tar "$image/0.tar"
for number in $(seq $LAYERS); do
    echo "$number" >"$image/tree/top"
    echo "$number" >"$image/tree/file$number"
    tar -C "$image/tree" -cf "$image/$number.tar" top "file$number"
    rm "$image/tree/file$number"
done
ids= files=
for number in $(seq 0 $LAYERS); do
    ids="$ids,\"sha256:$(sha256sum <"$image/$number.tar" | cut -d' ' -f1)\""
    files="$files,\"$number.tar\""
done
cat >"$image/config.json" <<END
{ "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
  "rootfs": { "type": "layers", "diff_ids": [${ids#,}] } }
END
cat >"$image/manifest.json" <<END
[{ "Config": "config.json", "RepoTags": ["layers:latest"], "Layers": [${files#,}] }]
END
rm -r "$image/tree"

daemon_start --add-runtime "other=$(command -v crun)"
tar -C "$image" -cf - . | gantry load >/dev/null
look='cat /top; ls / | grep -c ^file; echo x >/written; cat /written'
want="$LAYERS
$LAYERS
x"
same "own runtime" "$(gantry run --rm --network none layers sh -c "$look")" "$want"
same "foreign runtime" "$(gantry run --rm --network none --runtime other layers sh -c "$look")" "$want"
# Read-only, or without a running container: mounts of the daemon.
gantry create --name still --network none layers >/dev/null
same "cp" "$(gantry cp still:/file1 - | tar -xOf -)" 1
gantry cp "$image/config.json" still:/new
has "diff" "$(gantry diff still)" '^A /new$'
same "export" "$(gantry export still | tar -tf - | grep -c '^file')" $LAYERS
gantry commit still layers:more >/dev/null
gantry run --rm --network none layers:more test -s /new
daemon_end
