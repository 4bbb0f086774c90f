# console, network, files: bytes a second through husk's streams, cards and shares, each beside the same device in a bare QEMU. The files
# are on tmpfs: the disk is neither's matter.

STREAM=256 SENT=128 BIG=64 SMALL=500  # MiB, MiB, MiB, files

# what is got of the bare device's median, at least 0.8 of it
against_bare() {
    local name=$1 unit=$2 got=$3 bare=$4
    row "$name" "$unit" "$(median "$got")" bare="$(median "$bare")" "${@:5}" least="$(times "$(median "$bare")" 0.8)" why='0.8 x bare QEMU'
}

prepare_throughput() {
    [[ ! -d $T/stream ]] || return 0
    new_bundle stream '.ociVersion = "1.0.2"'
    cp "$BUILD/tools/throughput" "$BUNDLE/rootfs/bin"
}

# --- stdout ------------------------------------------------------------------------------------------------------------------
# bare_port CHARDEV: the bare VM writes to a port.
bare_port() {
    bare_run "throughput write $STREAM >/dev/vport\$(cd /sys/class/virtio-ports && echo * | sed 's/vport//')" \
        -device virtio-serial-pci,max_ports=2 -chardev "$1,id=port" -device virtserialport,chardev=port,name=bench
}
bare_console() {
    rm -f "$T/port"
    "$BUILD/tools/throughput" accept "$T/port" >"$T/rate" &
    local reader=$!
    until_ok 'the port' test -S "$T/port"
    bare_port "socket,path=$T/port"
    wait "$reader"
    sample stdout.bare "$(cat "$T/rate")"
}
# A container of runc's with the host's root file system: for its QEMU.
in_docker() {
    local kvm=()
    [[ $ACCEL == tcg ]] || kvm=(--device /dev/kvm)
    docker run --rm --log-driver none --network none "${kvm[@]}" -v /:/host bench chroot /host "$@"
}
# streamed NAME COMMAND...: the rate of its stdout.
streamed() {
    local name=$1 rate
    shift
    rate=$("$@" </dev/null | "$BUILD/tools/throughput" read) || die "$name failed"
    sample "$name" "$rate"
}
one_console() {
    bare_console
    BY=in_docker streamed stdout.bare-docker bare_port file,path=/dev/stdout
    streamed stdout.husk husk run --bundle "$T/stream" "$ID"
    streamed stdout.docker docker run --rm --runtime husk --log-driver none bench throughput write $STREAM
    streamed stdout.docker-runc docker run --rm --log-driver none bench throughput write $STREAM
}
section_console() {
    prepare_throughput
    BUNDLE=$T/stream program throughput write $STREAM
    D=$T
    dockerd_up
    tar -C "$T/stream/rootfs" -c . | docker import - bench >/dev/null
    in_turns one_console
    dockerd_down
    header "stdout, $STREAM MiB (bare: a virtio-serial port; for \`docker run\` that QEMU is a container of runc's, and its port goes to stdout)"
    against_bare 'husk run' MB/s stdout.husk stdout.bare
    against_bare 'docker run' MB/s stdout.docker stdout.bare-docker runc="$(median stdout.docker-runc)"
}

# --- network -----------------------------------------------------------------------------------------------------------------
# The island is the host: a veth to the container's namespace, and a tap for the bare VM.
prepare_network() {
    touch "$T/netns"
    inside unshare --net="$T/netns" true
    inside sh -c "ip link add bench type veth peer name eth0 && ip link set eth0 netns '$T/netns' && ip address add 10.99.0.1/24 dev bench && ip link set bench up
        nsenter --net='$T/netns' sh -c 'ip address add 10.99.0.2/24 dev eth0 && ip link set eth0 up'
        ip tuntap add tap0 mode tap && ip address add 10.99.1.1/24 dev tap0 && ip link set tap0 up"
}
husk_inside() { inside timeout -k 5 "$LIMIT" "$HUSK" --root "$ROOT" "$@"; }
# The rate that the server on the island has seen since; sending returns before all has arrived.
served() { (($(wc -l <"$T/served") > $1)); }
sent() {
    local name=$1 before
    shift
    before=$(wc -l <"$T/served")
    "$@" </dev/null >"$T/out" 2>"$T/err" || die "$name: $(tail -1 "$T/err")"
    CONTEXT=$(tail -3 "$T/out" "$T/err" "$T/console" 2>/dev/null) until_ok "the rate of $name" served "$before" || exit 1
    sample "$name" "$(tail -1 "$T/served")"
}
bare_network() {
    WHERE=inside bare_run "ip link set eth0 up; ip address add 10.99.1.2/24 dev eth0; throughput send 10.99.1.1 $SENT" \
        -netdev tap,id=net,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=net,romfile=
}
one_network() {
    sent net.bare bare_network
    sent net.husk husk_inside run --bundle "$T/stream" "$ID"
    sent net.runc inside "$RUNC" --root "$T/root-runc" run --bundle "$T/stream" "$ID"
}
section_network() {
    prepare_throughput
    BUNDLE=$T/stream edit --arg netns "$T/netns" '(.linux.namespaces[] | select(.type == "network")).path = $netns'
    BUNDLE=$T/stream program throughput send 10.99.0.1 $SENT
    prepare_network
    inside "$BUILD/tools/throughput" serve >"$T/served" 2>"$T/err" &
    local server=$!
    in_turns one_network
    kill "$(children $server)" "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    inside umount "$T/netns"
    BUNDLE=$T/stream edit 'del(.linux.namespaces[] | select(.type == "network").path)'
    header "network to the host, $SENT MiB over TCP (bare: virtio-net on a tap)"
    against_bare 'a container to its host' MB/s net.husk net.bare runc="$(median net.runc)"
}

# --- files -------------------------------------------------------------------------------------------------------------------
# The work of a round, in the guest's shell: PREFIX.WORK NUMBER a line.
files_work() {
    local prefix=$1 folder=$2 work
    for work in "big-write $folder $BIG" "big-read $folder $BIG" "small $folder $SMALL"; do
        echo "echo BENCH $prefix.${work%% *} \$(throughput $work)"
    done
}
take_samples() {
    local name value
    while read -r _ name value; do sample "$name" "$value"; done < <(tr -d '\r' <"$1" | grep -a '^BENCH [a-z]')
}
# virtiofsd as vm/share/share.cc starts it.
bare_files() {
    rm -f "$T/fs"
    in_group /usr/lib/qemu/virtiofsd --socket-path="$T/fs" -f --thread-pool-size=0 -o "source=$SHM/bare,cache=auto" \
        -o sandbox=namespace,xattr,no_writeback,no_posix_lock,no_flock,announce_submounts,log_level=warn </dev/null >"$T/err" 2>&1 &
    local share=$!
    until_ok virtiofsd test -S "$T/fs"
    bare_run "mount -t virtiofs bench /share"$'\n'"$(files_work bare /share)" \
        -chardev socket,id=fs,path="$T/fs" -device vhost-user-fs-pci,chardev=fs,tag=bench
    wait "$share"
    take_samples "$T/console"
}
one_files() {
    bare_files
    husk run --bundle "$SHM/files" "$ID" </dev/null >"$T/files.out" 2>"$T/err" || die "files: $(tail -1 "$T/err")"
    take_samples "$T/files.out"
}
section_files() {
    local place unit
    prepare_throughput
    SHM=$(mktemp -d /dev/shm/husk-bench-XXXXXX)
    mkdir "$SHM"/{bare,volume}
    cp -a "$T/stream" "$SHM/files"
    BUNDLE=$SHM/files shell "$(files_work root /home; files_work volume /volume)"
    BUNDLE=$SHM/files edit --arg v "$SHM/volume" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["rbind", "rw"]}]'
    in_turns one_files
    rm -rf "$SHM"
    header "files through virtiofs, $BIG MiB; $SMALL of 4 KiB (bare: virtiofsd and a bare QEMU)"
    for place in root volume; do
        against_bare "$place: a big file written" MB/s "$place.big-write" bare.big-write
        against_bare "$place: a big file read" MB/s "$place.big-read" bare.big-read
        against_bare "$place: small files" /s "$place.small" bare.small
    done
}
