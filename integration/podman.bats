# Podman with its own storage, in a network and a mount namespace of its own, with husk as its runtime.
load helpers

podman() {
    CONTAINERS_CONF=$D/containers.conf timeout --foreground -k 5 "$LIMIT" nsenter -t "$ISLAND" -n -m -- podman --root "$D/r" --runroot "$D/rr" \
        --tmpdir "$D/tmp" --runtime "$HUSK" --cgroup-manager cgroupfs --events-backend file "$@" 3>&- 4>&-
}
prun() { podman run --cgroup-parent "/ht$TAG" --name "$NAME" "$@"; }

setup_file() {
    command -v podman conmon >/dev/null || skip "no podman"
    common_setup_file
    island_up
    export D=$T
    local backend=cni
    [[ -x /usr/lib/podman/netavark || -x /usr/libexec/podman/netavark ]] && backend=netavark
    mkdir -p "$D"/{tmp,net}
    # Locks in files: the default's shared memory is one for all podmans of the machine.
    cat >"$D/containers.conf" <<END
[engine]
lock_type = "file"
infra_image = "localhost/pause"
[network]
network_backend = "$backend"
network_config_dir = "$D/net"
END
    # Podman asks for a million open files, which the host may not have; a guest has its own limits.
    is_husk || printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' >>"$D/containers.conf"
    tar -C "$FILE_DIR/rootfs" -c . | podman import --change 'ENV PATH=/usr/bin:/bin' - busybox >/dev/null
    tar -C "$FILE_DIR/rootfs" -c . | podman import --change 'CMD ["sleep", "1000000"]' - pause >/dev/null
}

teardown_file() {
    [[ -n ${D:-} ]] || return 0
    podman rm -fa -t 0 >/dev/null 2>&1 || true
    common_teardown_file
    # Its own folder for conmon's cgroup, and the network's DNS.
    local pid
    for pid in $(island_pids); do
        case $(cat "/proc/$pid/comm") in aardvark-dns) kill "$pid" ;; esac
    done
    inside umount -R "$D/r/overlay" 2>/dev/null || true
    island_down
}

setup() {
    T=$(mktemp -d "$D/t-XXXX")
    NAME=c${T##*-}
}

teardown() {
    local id
    id=$(podman inspect -f '{{.Id}}' "$NAME" 2>/dev/null) || id=
    [[ -z ${NEIGHBOR:-} ]] || neighbor_down
    podman rm -f -t 0 -i "$NAME" "${NAME}b" >/dev/null 2>&1 || true
    [[ -z $id ]] || nothing_left "$id" || return 1
    until_ok "the VMs to be gone" eval '[[ -z $(island_vms) ]]'
    remove_disks
    rm -rf "$T"
}

field() { podman inspect -f "{{$2}}" "$1"; }
logged() { [[ $(podman logs "$NAME" 2>&1) == *"$1"* ]]; }

@test "podman run: output, exit codes" {
    ok prun --rm busybox sh -c 'echo out; echo err >&2; uname -r'
    is "stdout" "$(head -1 <<<"$out")" out
    like "stderr" "$err" err
    ! is_husk || [[ $(sed -n 2p <<<"$out") != "$(uname -r)" ]]
    try prun --rm busybox sh -c 'exit 42'
    is "exit code" "$status" 42
    try prun --rm busybox no-such-program
    is "exit code of a missing program" "$status" 127
    try prun --rm busybox /etc/passwd
    is "exit code of what is no program" "$status" 126
}

@test "podman run -d, logs, wait, inspect, rm" {
    ok prun -d busybox sh -c 'echo hello; echo error >&2; while [ ! -e /go ]; do sleep 0.1; done; exit 5'
    until_ok "the log" logged hello
    is "running" "$(field "$NAME" .State.Running)" true
    alive "$(field "$NAME" .State.Pid)"
    try podman rm "$NAME"
    [[ $status -ne 0 ]]
    ok podman exec -d "$NAME" touch /go  # which may end with the container
    ok podman wait "$NAME"
    is "exit code" "$out" 5
    ok podman logs "$NAME"
    is "stdout" "$out" hello
    is "stderr" "$err" error
    is "status" "$(field "$NAME" .State.Status)" exited
    ok podman start "$NAME"
    ok podman wait "$NAME"
    ok podman rm "$NAME"
}

@test "podman run -i: stdin, byte by byte" {
    is "a small one" "$(printf 'one\ntwo' | prun --rm -i busybox wc -c)" 7
    head -c 3000000 /dev/urandom >"$T/data"
    is "a big one, there and back" "$(prun --rm -i busybox cat <"$T/data" | sha256sum)" "$(sha256sum <"$T/data")"
}

on_podman_terminal() {
    CONTAINERS_CONF=$D/containers.conf on_terminal nsenter -t "$ISLAND" -n -m -- podman --root "$D/r" --runroot "$D/rr" --tmpdir "$D/tmp" \
        --runtime "$HUSK" --cgroup-manager cgroupfs --events-backend file "$@"
}

@test "podman run -it and exec -it" {
    try on_podman_terminal run --cgroup-parent "/ht$TAG" --name "$NAME" --rm -it busybox sh -c 'test -t 0 && test -t 1 && echo "a terminal $TERM"; exit 6'
    is "exit code" "$status" 6
    like "output" "$out" 'a terminal xterm'
    ok prun -d busybox sleep 1000
    try on_podman_terminal exec -it "$NAME" sh -c 'tty; exit 7'
    is "exit code" "$status" 7
    like "output" "$out" '/dev/pts/[0-9]'
}

@test "podman exec" {
    ok prun -d -e FROM=run busybox sleep 1000
    ok podman exec -e X=y -w /tmp -u 1000:1001 "$NAME" sh -c 'echo $FROM $X $(pwd) $(id -u) $(id -g)'
    is "output" "$out" 'run y /tmp 1000 1001'
    try podman exec "$NAME" sh -c 'exit 9'
    is "exit code" "$status" 9
    is "stdin" "$(printf 12345 | podman exec -i "$NAME" wc -c)" 5
    try podman exec "$NAME" no-such-program
    is "exit code of a missing program" "$status" 127
    ok podman exec -d "$NAME" sh -c 'echo x >/made; sleep 1000'
    until_ok "a detached exec" podman exec "$NAME" test -s /made
}

@test "podman stop, kill and rm -f" {
    ok prun -d busybox sh -c 'trap "echo bye; exit 4" TERM; echo ready; while :; do sleep 0.1; done'
    until_ok "it to be ready" logged ready
    ok podman stop -t "$LIMIT" "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 4
    like "output" "$(podman logs "$NAME")" bye
    ok podman rm "$NAME"
    ok prun -d busybox sleep 1000
    ok podman stop -t 1 "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 137
    ok podman start "$NAME"
    ok podman kill "$NAME"
    ok podman wait "$NAME"
    is "exit code" "$out" 137
    ok podman start "$NAME"
    ok podman rm -f -t 0 "$NAME"
}

@test "podman pause and unpause" {
    ok prun -d busybox sh -c 'while :; do echo x >>/count; sleep 0.05; done'
    ok podman pause "$NAME"
    is "status" "$(field "$NAME" .State.Status)" paused
    ok podman unpause "$NAME"
    is "status" "$(field "$NAME" .State.Status)" running
    ok podman exec "$NAME" test -s /count
}

@test "podman run -v, -e, -w, -u, --hostname, --memory, --cpus" {
    mkdir "$T/rw" "$T/ro"
    echo host >"$T/rw/in"
    chmod 777 "$T/rw"
    ok prun --rm -v "$T/rw:/rw" -v "$T/ro:/ro:ro" -e KEY='a value' -w /rw -u 1000:1001 --hostname guest \
        --memory 128m --cpus 0.5 busybox \
        sh -c 'cat in; echo inside >out; echo x 2>/dev/null >/ro/x || echo read-only; echo "$KEY $(pwd) $(id -u):$(id -g) $(hostname)"
            cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes
            cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us'
    like "output" "$out" $'^host\nread-only\na value /rw 1000:1001 guest\n134217728\n50000( 100000)?$'
    is "what it wrote" "$(cat "$T/rw/out") $(stat -c %u "$T/rw/out")" 'inside 1000'
}

@test "podman's bridge: the address, the gateway, another container" {
    ok prun -d busybox sh -c 'echo "served from $(hostname)" >/www/index.html; exec httpd -f -p 80 -h /www'
    local address gateway
    address=$(field "$NAME" .NetworkSettings.IPAddress)
    gateway=$(field "$NAME" .NetworkSettings.Gateway)
    ok podman exec "$NAME" ip -o -4 addr show dev eth0
    like "eth0" "$out" " $address/16 "
    ok podman exec "$NAME" ip route
    like "default route" "$out" "default via $gateway dev eth0"
    ok podman exec "$NAME" sh -c 'ip -o link show dev eth0'
    like "hardware address" "$out" "$(field "$NAME" .NetworkSettings.MacAddress)"
    until_ok "the server" inside wget -q -O "$T/page" "http://$address/"
    like "page" "$(cat "$T/page")" 'served from'
    ok podman run --cgroup-parent "/ht$TAG" --rm --cap-add NET_RAW --name "${NAME}b" busybox \
        sh -c "ping -c 1 -w 10 $gateway >/dev/null && ping -c 1 -w 10 $address >/dev/null && wget -q -O - http://$address/"
    like "page from a container" "$out" 'served from'
    ok podman rm -f -t 0 "$NAME"
    is "interfaces left" "$(inside ip -o link | grep -cE 'veth|tap')" 0
}

@test "podman run --network none: nothing but lo" {
    ok prun --rm --network none busybox sh -c 'ip -o link | grep -c "link/ether"; ip -o addr show dev lo; ip route'
    is "cards" "$(head -1 <<<"$out")" 0
    like "lo" "$out" '127.0.0.1/8'
    unlike "routes" "$out" 'default'
}

@test "podman run --network, --ipc and --pid container:X: one VM" {
    ok prun -d busybox sleep 1000
    ok podman run --cgroup-parent "/ht$TAG" --name "${NAME}b" --rm --network "container:$NAME" --ipc "container:$NAME" --pid "container:$NAME" busybox \
        sh -c 'ps; ip -o -4 addr show dev eth0; echo shared >/dev/shm/file; touch /dev/mqueue/queue'
    like "processes" "$out" 'sleep 1000'
    like "eth0" "$out" " $(field "$NAME" .NetworkSettings.IPAddress)/16 "
    ok podman exec "$NAME" sh -c 'cat /dev/shm/file; ls /dev/mqueue'
    is "what the other left" "$out" $'shared\nqueue'
    is "running" "$(field "$NAME" .State.Running)" true
    # -eo runs the image's own ps. Without it podman looks into /proc of the host, where the guest's processes are not.
    ok podman top "$NAME" -eo pid,args
    like "top" "$out" 'sleep 1000'
}

@test "podman's networks: IPv6, --ip, --ip6, --mac-address; --network host by host_network = \"user\"" {
    ok podman network create --ipv6 --subnet 10.215.0.0/24 --subnet fd15::/64 "net$NAME"
    ok prun -d --network "net$NAME" --ip 10.215.0.9 --ip6 fd15::9 --mac-address 02:15:00:00:00:09 busybox \
        sh -c 'echo served >/www/index.html; exec httpd -f -p 80 -h /www'
    ok podman exec "$NAME" sh -c 'ip -o addr show dev eth0; ip -6 route; cat /sys/class/net/eth0/address'
    like "addresses" "$out" ' 10.215.0.9/24 .* fd15::9/64 .*default via fd15::1 .*02:15:00:00:00:09'
    until_ok "the server" inside timeout 2 busybox wget -q -O /dev/null 'http://[fd15::9]/'
    ok podman run --rm --cgroup-parent "/ht$TAG" --name "${NAME}b" --network "net$NAME" busybox wget -q -O - 'http://[fd15::9]/'
    is "page from a container" "$out" served
    ok podman rm -f -t 0 "$NAME"
    ok podman network rm "net$NAME"
    neighbor_up
    husk_with "$T/user" 'host_network = "user"'
    try prun --rm --runtime "$T/user" --network host busybox nc 10.99.0.2 99
    neighbor_down
    is "exit code" "$status" 0
    is "who it is to a neighbor" "$out" 'caller 10.99.0.1'
    if has_vm; then
        try prun --rm --network host busybox true
        is "exit code" "$status" 126
        like "error" "$err" "the host's network namespace cannot be shared with a container in a VM"
    fi
}

@test "podman pod: its containers share a VM, the network, ipc and the hostname" {
    ok podman pod create --name "p$NAME" --cgroup-parent "/ht$TAG" --infra-image busybox --infra-command 'sleep 1000'
    local pod=$out
    ok podman run -d --pod "p$NAME" --name "$NAME" busybox sh -c 'echo "served from $(hostname)" >/www/index.html; exec httpd -f -p 80 -h /www'
    until_ok "the server" podman exec "$NAME" wget -q -O /dev/null http://127.0.0.1/
    ok podman run --rm --pod "p$NAME" --name "${NAME}b" busybox sh -c 'wget -q -O - http://127.0.0.1/; hostname; echo x >/dev/shm/file'
    is "page and hostname" "$out" "served from p$NAME"$'\n'"p$NAME"
    ok podman exec "$NAME" cat /dev/shm/file
    # A member that ends leaves the others alone.
    ok podman run -d --pod "p$NAME" --name "${NAME}b" busybox sleep 1000
    ok podman rm -f -t 0 "$NAME"
    ok podman exec "${NAME}b" true
    # Podman does not wait for its conmons before it removes their cgroup.
    ok podman pod stop -t 0 "p$NAME"
    until_ok "the pod's end" podman pod rm -f -t 0 "p$NAME"
    # Podman leaves the pod's folder in hierarchies that it does not know.
    remove_plain_cgroups
    find /sys/fs/cgroup -depth -type d -path "*/ht$TAG/$pod*" -exec rmdir {} +
}

@test "podman run --device and --privileged: a disk, the guest's own devices" {
    losetup -f >/dev/null 2>&1 || skip "no loop devices"
    new_disk one
    local before one=$DISK
    before=$(sum "$one")
    ok prun --rm --device "$one:/dev/disk" --device "$one:/dev/same:r" --device /dev/fuse --device /dev/net/tun --cap-add NET_ADMIN busybox \
        sh -c 'sha256sum </dev/disk; echo written >/dev/disk; head -c 8 /dev/same; ls /dev/fuse; tunctl -t tap7'
    is "output" "$out" "$before  -"$'\nwritten\n/dev/fuse\ntap7'
    is "on the host" "$(head -c 8 "$one")" written
    try prun --rm --device "$one:/dev/disk:r" busybox sh -c 'head -c 8 /dev/disk; echo again >/dev/disk'
    is "read-only" "$out $status" "written 1"
    # Every capability, but none of the host's disks.
    ok prun --rm --privileged busybox sh -c "ls /dev/fuse /dev/net/tun; ls $one || mount -t tmpfs none /tmp && echo mounted"
    ! is_husk || is "privileged" "$out" $'/dev/fuse\n/dev/net/tun\nmounted'
    ! is_husk || [[ ! -e /sys/dev/char/10:234 ]] || {
        try prun --rm --device /dev/btrfs-control busybox true
        like "what the guest does not have" "$err" "--device /dev/btrfs-control: the guest's kernel has no /dev/btrfs-control"
    }
    remove_disks
    until_ok "the device to be free" eval "! losetup '$one'"
}

@test "podman run -d --rm --replace, --restart, a health check, update" {
    ok prun -d --rm --replace --stop-timeout 0 busybox sleep 1000
    local first=$out
    ok prun -d --rm --replace --stop-timeout 0 --health-cmd 'test -e /healthy' busybox sleep 1000
    is "containers" "$(podman ps -aq --no-trunc)" "$(tail -1 <<<"$out")"
    unlike "the first one" "$(podman ps -aq --no-trunc)" "$first"
    try podman healthcheck run "$NAME"
    is "exit code of an unhealthy one" "$status" 1
    ok podman exec "$NAME" touch /healthy
    ok podman healthcheck run "$NAME"
    ok podman stop -t 0 "$NAME"
    until_ok "its removal" eval '! podman container exists "$NAME"'
    ok prun -d --restart on-failure:2 busybox sh -c 'echo start; exit 3'
    until_ok "two restarts" eval '[[ $(podman logs "$NAME" | wc -l) == 3 && $(field "$NAME" .State.Status) == exited ]]'
    is "exit code" "$(field "$NAME" .State.ExitCode)" 3
}

@test "podman run --uidmap" {
    ok prun --rm --uidmap 0:200000:65536 --gidmap 0:200000:65536 busybox sh -c 'id -u; cat /proc/self/uid_map; echo x >/tmp/made && stat -c %u /tmp/made'
    like "output" "$out" $'^0\n +0 +200000 +65536\n0$'
}

@test "podman generate kube, play kube" {
    ok prun -d -e KEY=value busybox sh -c 'echo "served for $KEY" >/www/index.html; exec httpd -f -p 80 -h /www'
    ok podman generate kube "$NAME"
    printf '%s\n' "$out" >"$T/kube.yaml"
    ok podman rm -f -t 0 "$NAME"
    ok podman play kube "$T/kube.yaml"
    ok podman exec "$NAME-pod-$NAME" wget -q -O - http://127.0.0.1/
    is "page" "$out" 'served for value'
    ok podman play kube --down "$T/kube.yaml"
    is "containers" "$(podman ps -aq)" ""
}

@test "podman when conmon was killed: the container runs on, takes an exec, and is removed" {
    ok prun -d busybox sh -c 'while :; do echo x; sleep 0.1; done'
    local conmon
    conmon=$(field "$NAME" .State.ConmonPid)
    kill -9 "$conmon"
    until_ok "conmon's end" dead "$conmon"
    alive "$(field "$NAME" .State.Pid)"
    ok podman exec "$NAME" true
    local id
    id=$(field "$NAME" .Id)
    ok podman rm -f -t 0 "$NAME"
    # Podman calls no delete then, whatever the runtime is: empty groups stay.
    tagged_cgroups "$id" | sort -r | while read -r folder; do rmdir "$folder"; done
    nothing_left "$id"
}

@test "podman run: options that the table in README says work, all at once" {
    mkdir -p "$T/own/sub" "$T/over"
    echo below >"$T/over/file"
    echo hidden >"$T/secret"
    printf 'FROM_FILE=a file\n' >"$T/env"
    ok podman secret create "sec$NAME" "$T/secret"
    ok prun --rm --umask 0027 --secret "sec$NAME" --mount type=image,src=busybox,dst=/image --mount type=tmpfs,dst=/scratch,tmpfs-size=1048576 \
        --mount type=devpts,dst=/dev/other --security-opt mask=/home --security-opt proc-opts=hidepid=invisible --ulimit nofile=100:200 --env-file "$T/env" \
        --group-add 77 --personality LINUX32 --shm-size 3m --sysctl kernel.msgmax=12345 --pids-limit 50 -v "$T/own:/own:U" -v "$T/over:/over:O" -v "$T/over:/noexec:ro,noexec" \
        --no-hosts --hostname guest --user 1000:1001 --cap-add NET_BIND_SERVICE --workdir /own --oom-score-adj 300 --entrypoint '["sh", "-c"]' busybox '
            umask; cat /run/secrets/*; test -x /image/bin/busybox && echo image; df -k /scratch | sed -n "s/^tmpfs *\([0-9]*\).*/\1/p"; test -e /dev/other/ptmx && echo devpts
            ls /home | wc -l; grep -c "^proc /proc .*hidepid=invisible" /proc/mounts; ulimit -n; echo $FROM_FILE; id -G; uname -m; df -k /dev/shm | tail -1 | tr -s " " | cut -d " " -f 2
            cat /proc/sys/kernel/msgmax; echo x >made && stat -c "%u %a" made; grep noexec /proc/mounts | grep -c " /noexec "; cat /over/file; hostname; cat /proc/self/oom_score_adj'
    is "output" "$out" "0027
hidden
image
1024
devpts
0
1
100
a file
1001 77
i686
3072
12345
1000 640
1
below
guest
300"
    is "owner of what it was given, and the overlay's lower folder" "$(stat -c %u "$T/own/sub") $(ls "$T/over")" '1000 file'
    ok podman secret rm "sec$NAME"
}
