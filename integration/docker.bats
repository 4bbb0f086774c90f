# Docker: a daemon of the test's own, in a network and a mount namespace of its own, with husk as its runtime.
load helpers
load dockerd

# --live-restore: its containers run on while it is down.
start_dockerd() { dockerd_up --live-restore --add-runtime "user=$D/user" --default-runtime husk; }

setup_file() {
    have_docker || skip "no docker.io"
    common_setup_file
    island_up
    export D=$T
    husk_with "$D/user" 'host_network = "user"'
    start_dockerd
    import_image busybox
}

teardown_file() {
    [[ -n ${D:-} ]] || return 0
    remove_containers
    dockerd_down
    common_teardown_file
    island_down
}

setup() {
    T=$(mktemp -d "$D/t-XXXX")
    NAME=c${T##*-}
}

teardown() {
    local id=
    docker inspect -f '{{.Id}}' "$NAME" >"$T/id" 2>/dev/null && id=$(cat "$T/id")
    [[ -z ${NEIGHBOR:-} ]] || neighbor_down
    docker rm -f "$NAME" "${NAME}b" >/dev/null 2>&1 || true
    [[ -z $id ]] || nothing_left "$id" || { tail -5 "$D/dockerd.log" >&2; return 1; }
    # No container of this file runs any more, so no VM either.
    is "VMs left" "$(island_vms)" ""
    remove_disks
    rm -rf "$T"
}

field() { docker inspect -f "{{$2}}" "$1"; }
logged() { [[ $(docker logs "$NAME" 2>&1) == *"$1"* ]]; }

@test "docker run: output, exit codes" {
    ok docker run --rm --name "$NAME" busybox sh -c 'echo out; echo err >&2; uname -r'
    is "stdout" "$(head -1 <<<"$out")" out
    is "stderr" "$err" err
    ! is_husk || [[ $(sed -n 2p <<<"$out") != "$(uname -r)" ]]
    try docker run --rm --name "$NAME" busybox sh -c 'exit 42'
    is "exit code" "$status" 42
    try docker run --rm --name "$NAME" busybox sh -c 'kill -9 $$; sleep 1; exit 3'
    like "exit code" "$status" '^(3|137)$'
    try docker run --name "$NAME" busybox no-such-program
    is "exit code of a missing program" "$status" 127
    like "error" "$err" 'executable file not found'
    ok docker rm "$NAME"
    try docker run --name "$NAME" busybox /etc/passwd
    is "exit code of what is no program" "$status" 126
    like "error" "$err" 'permission denied'
}

@test "docker run -d, logs, wait, inspect, top, rm" {
    ok docker run -d --name "$NAME" busybox sh -c 'echo hello; echo error >&2; while [ ! -e /go ]; do sleep 0.1; done; exit 5'
    until_ok "the log" logged hello
    is "running" "$(field "$NAME" .State.Running)" true
    alive "$(field "$NAME" .State.Pid)"
    try docker rm "$NAME"
    is "exit code of rm of a running one" "$status" 1
    ok docker exec -d "$NAME" touch /go  # which may end with the container
    ok docker wait "$NAME"
    is "exit code" "$out" 5
    ok docker logs "$NAME"
    is "stdout" "$out" hello
    is "stderr" "$err" error
    is "status" "$(field "$NAME" .State.Status)" exited
    # Started again.
    docker cp "$NAME:/go" "$T/go"
    ok docker start "$NAME"
    ok docker wait "$NAME"
    ok docker rm "$NAME"
}

@test "docker run -i: stdin, byte by byte" {
    is "a small one" "$(printf 'one\ntwo' | docker run --rm -i --name "$NAME" busybox wc -c)" 7
    head -c 3000000 /dev/urandom >"$T/data"
    is "a big one, there and back" "$(docker run --rm -i --name "$NAME" busybox cat <"$T/data" | sha256sum)" "$(sha256sum <"$T/data")"
}

on_docker_terminal() { DOCKER_CONFIG=$D/config on_terminal "$DOCKER" -H "unix://$D/s" "$@"; }

@test "docker run -it and exec -it" {
    try on_docker_terminal run --rm -it --name "$NAME" busybox sh -c 'test -t 0 && test -t 1 && echo "a terminal $TERM"; exit 6'
    is "exit code" "$status" 6
    like "output" "$out" 'a terminal xterm'
    ok docker run -d --name "$NAME" busybox sleep 1000
    try on_docker_terminal exec -it "$NAME" sh -c 'tty; exit 7'
    is "exit code" "$status" 7
    like "output" "$out" '/dev/pts/[0-9]'
}

@test "docker exec" {
    ok docker run -d --name "$NAME" -e FROM=run busybox sleep 1000
    ok docker exec -e X=y -w /tmp -u 1000:1001 "$NAME" sh -c 'echo $FROM $X $(pwd) $(id -u) $(id -g)'
    is "output" "$out" 'run y /tmp 1000 1001'
    try docker exec "$NAME" sh -c 'exit 9'
    is "exit code" "$status" 9
    is "stdin" "$(printf 12345 | docker exec -i "$NAME" wc -c)" 5
    try docker exec "$NAME" no-such-program
    like "exit code" "$status" '^(126|127)$'
    ok docker exec -d "$NAME" sh -c 'echo x >/made; sleep 1000'
    until_ok "a detached exec" docker exec "$NAME" test -s /made
    ok docker exec "$NAME" ps
    like "processes" "$out" 'sleep 1000'
    ok docker top "$NAME"
    like "top" "$out" 'PID'
}

@test "docker stop and kill" {
    ok docker run -d --name "$NAME" busybox sh -c 'trap "echo bye; exit 4" TERM; echo ready; while :; do sleep 0.1; done'
    until_ok "it to be ready" logged ready
    ok docker stop -t "$LIMIT" "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 4
    like "output" "$(docker logs "$NAME")" bye
    ok docker rm "$NAME"
    ok docker run -d --name "$NAME" busybox sleep 1000
    ok docker stop -t 1 "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 137
    ok docker start "$NAME"
    ok docker kill "$NAME"
    ok docker wait "$NAME"
    is "exit code" "$out" 137
    ok docker start "$NAME"
    ok docker rm -f "$NAME"
}

@test "docker pause and unpause" {
    ok docker run -d --name "$NAME" busybox sh -c 'while :; do echo x >>/count; sleep 0.05; done'
    ok docker pause "$NAME"
    is "paused" "$(field "$NAME" .State.Paused)" true
    try docker exec "$NAME" true
    is "exit code of exec" "$status" 1
    ok docker unpause "$NAME"
    is "paused" "$(field "$NAME" .State.Paused)" false
    ok docker exec "$NAME" test -s /count
}

@test "docker run -v, -e, -w, -u, --hostname, --tmpfs, --read-only, --mount of a volume" {
    mkdir "$T/rw" "$T/ro"
    echo host >"$T/rw/in"
    chmod 777 "$T/rw"
    ok docker run --rm --name "$NAME" -v "$T/rw:/rw" -v "$T/ro:/ro:ro" -e KEY='a value' -w /rw -u 1000:1001 --hostname guest \
        --tmpfs /scratch --read-only busybox \
        sh -c 'cat in; echo inside >out; echo x 2>/dev/null >/ro/x || echo read-only; echo "$KEY $(pwd) $(id -u):$(id -g) $(hostname)"
            echo x 2>/dev/null >/x || echo root read-only; grep -c " /scratch tmpfs" /proc/mounts'
    is "output" "$out" $'host\nread-only\na value /rw 1000:1001 guest\nroot read-only\n1'
    is "what it wrote" "$(cat "$T/rw/out") $(stat -c %u "$T/rw/out")" 'inside 1000'
    ok docker run --rm --name "$NAME" -v "vol$NAME:/data" busybox sh -c 'echo kept >/data/file'
    ok docker run --rm --name "$NAME" -v "vol$NAME:/data" busybox cat /data/file
    is "a named volume" "$out" kept
    ok docker volume rm "vol$NAME"
}

@test "docker run --memory and --cpus, seen from inside" {
    ok docker run --rm --name "$NAME" --memory 128m --cpus 0.5 --pids-limit 100 busybox sh -c 'cd /sys/fs/cgroup
        cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us
        cat pids.max 2>/dev/null || cat pids/pids.max'
    is "memory" "$(sed -n 1p <<<"$out")" 134217728
    like "cpu" "$(sed -n 2p <<<"$out")" '^50000( 100000)?$'
    is "pids" "$(sed -n 3p <<<"$out")" 100
}

@test "docker run: process, user, limits, security" {
    cat >"$T/seccomp.json" <<END
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}
END
    ok docker run --rm --name "$NAME" --init --user worker --group-add 77 --ulimit nofile=100:200 --oom-score-adj 500 --cpuset-cpus 0 \
        --cap-drop ALL --security-opt no-new-privileges --security-opt "seccomp=$T/seccomp.json" --sysctl net.ipv4.ip_forward=1 \
        --shm-size 10m --uts host --dns 192.0.2.1 --add-host there:192.0.2.2 --tmpfs /t:size=1m,mode=1777 --domainname '' busybox sh -c '
            cat /proc/1/comm; id -u; id -G; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; nproc
            sed -n "s/^\(CapBnd\|NoNewPrivs\):.//p" /proc/self/status; touch /t/x; chmod 700 /t/x 2>/dev/null || echo no chmod
            cat /proc/sys/net/ipv4/ip_forward; df -k /dev/shm | sed -n "s/^shm *\([0-9]*\).*/\1/p"; hostname; cat /etc/resolv.conf; grep -o 192.0.2.2 /etc/hosts'
    is "output" "$out" "docker-init
1000
1001 77 2002
100
200
500
1
0000000000000000
1
no chmod
1
10240
$(hostname)
nameserver 192.0.2.1
192.0.2.2"
}

@test "docker run --device-read-bps and its like: on the host, for the VM" {
    local device
    device=$(lsblk -ndo PATH | head -1)
    [[ -b $device ]] || skip "no block device"
    ok docker run -d --name "$NAME" --device-read-bps "$device:1mb" --device-write-iops "$device:100" busybox sleep 1000
    ok sh -c "cat /sys/fs/cgroup/blkio/ht$TAG/$(field "$NAME" .Id)/blkio.throttle.read_bps_device 2>/dev/null || cat /sys/fs/cgroup/ht$TAG/$(field "$NAME" .Id)/io.max"
    like "limit" "$out" ' (rbps=)?1048576'
}

@test "docker run that is out of memory: OOMKilled" {
    try docker run --name "$NAME" --memory 16m busybox sh -c 'exec tail /dev/zero'
    is "exit code" "$status" 137
    until_ok "OOMKilled" eval '[[ $(field "$NAME" .State.OOMKilled) == true ]]'
}

@test "docker's restart policy, health check, stop signal" {
    ok docker run -d --name "$NAME" --restart on-failure:2 busybox sh -c 'exit 3'
    until_ok "two restarts" eval '[[ $(field "$NAME" .RestartCount)$(field "$NAME" .State.Status) == 2exited ]]'
    is "exit code" "$(field "$NAME" .State.ExitCode)" 3
    ok docker rm "$NAME"
    ok docker run -d --name "$NAME" --health-cmd 'test -e /healthy' --health-interval 1s --health-retries 1 --stop-signal USR1 busybox \
        sh -c 'trap "exit 12" USR1; while :; do sleep 0.1; done'
    until_ok "unhealthy" eval '[[ $(field "$NAME" .State.Health.Status) == unhealthy ]]'
    ok docker exec "$NAME" touch /healthy
    until_ok "healthy" eval '[[ $(field "$NAME" .State.Health.Status) == healthy ]]'
    ok docker stop -t "$LIMIT" "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 12
}

@test "docker stats, update, cp, diff, commit, export, restart" {
    ok docker run -d --name "$NAME" --memory 64m busybox sh -c 'touch /new; sleep 1000'
    until_ok "it to run" docker exec "$NAME" test -e /new
    ok docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' "$NAME"
    like "stats" "$out" "^$NAME [1-9][0-9]* [0-9.]+MiB / [0-9]+MiB"
    ok docker update --memory 128m --memory-swap 128m --cpus 0.7 --pids-limit 33 "$NAME"
    ok docker exec "$NAME" sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max 2>/dev/null || cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max'
    like "limits" "$out" $'^134217728\n70000( 100000)?\n33$'
    echo copied >"$T/file"
    ok docker cp "$T/file" "$NAME:/home/file"
    ok docker exec "$NAME" cat /home/file
    is "what was copied" "$out" copied
    ok docker diff "$NAME"
    like "diff" "$out" 'A /new'
    ok sh -c "DOCKER_CONFIG=$D/config $DOCKER -H unix://$D/s export $NAME | tar -t new home/file"
    ok docker commit "$NAME" "committed${NAME,,}"
    ok docker run --rm --name "${NAME}b" "committed${NAME,,}" ls /new
    ok docker rmi "committed${NAME,,}"
    ok docker restart -t 0 "$NAME"
    ok docker exec "$NAME" cat /home/file
}

@test "docker run --mount: propagation" {
    inside sh -c "mkdir $T/shared && mount --bind $T/shared $T/shared && mount --make-shared $T/shared"
    ok docker run -d --name "$NAME" --mount "type=bind,src=$T/shared,dst=/m,bind-propagation=rslave" busybox sleep 1000
    inside sh -c "mkdir $T/shared/sub && mount -t tmpfs tmpfs $T/shared/sub && echo later >$T/shared/sub/file"
    until_ok "the mount made later" docker exec "$NAME" cat /m/sub/file
    if has_vm; then
        try docker run --rm --name "${NAME}b" --mount "type=bind,src=$T/shared,dst=/m,bind-propagation=rshared" busybox true
        is "exit code" "$status" 125
        like "error" "$err" 'propagation rshared'
    fi
    ok docker rm -f "$NAME"
    inside umount -R "$T/shared"
}

@test "docker's bridge: the address, the gateway, another container, a published port" {
    ok docker run -d --name "$NAME" -p 127.0.0.1:8099:80 busybox sh -c 'echo "served from $(hostname)" >/www/index.html; exec httpd -f -p 80 -h /www'
    local address gateway
    address=$(field "$NAME" .NetworkSettings.IPAddress)
    gateway=$(field "$NAME" .NetworkSettings.Gateway)
    ok docker exec "$NAME" ip -o -4 addr show dev eth0
    like "eth0" "$out" " $address/16 "
    ok docker exec "$NAME" cat /sys/class/net/eth0/address
    is "hardware address" "$out" "$(field "$NAME" .NetworkSettings.MacAddress)"
    ok docker exec "$NAME" ip route
    like "default route" "$out" "default via $gateway dev eth0"
    ok docker exec "$NAME" ping -c 1 -w 10 "$gateway"
    # From the host of the bridge, through the published port, and from another container.
    until_ok "the server" inside wget -q -O "$T/page" "http://$address/"
    is "page" "$(cat "$T/page")" "served from $(field "$NAME" .Config.Hostname)"
    ok inside wget -q -O - http://127.0.0.1:8099/
    is "page through the port" "$out" "served from $(field "$NAME" .Config.Hostname)"
    ok docker run --rm --name "${NAME}b" busybox sh -c "ping -c 1 -w 10 $address >/dev/null && wget -q -O - http://$address/"
    is "page from a container" "$out" "served from $(field "$NAME" .Config.Hostname)"
    # The bridge has no port left of it afterwards.
    ok docker rm -f "$NAME"
    is "interfaces left" "$(inside ip -o link | grep -cE 'veth|tap')" 0
}

@test "docker network connect and disconnect, while it runs" {
    ok docker network create --subnet 10.213.0.0/24 "net$NAME"
    ok docker run -d --name "${NAME}b" --network "net$NAME" --ip 10.213.0.9 busybox sh -c 'echo served >/www/index.html; exec httpd -f -p 80 -h /www'
    ok docker run -d --name "$NAME" busybox sleep 1000
    try docker exec "$NAME" ping -c 1 -w 2 10.213.0.9
    [[ $status -ne 0 ]]
    has() { docker exec "$NAME" ip -4 addr | grep -qF " $1"; }
    has_not() { ! has "$1"; }
    local round
    for round in 1 2; do
        ok docker network connect --ip 10.213.0.7 "net$NAME" "$NAME"
        until_ok "the second address" has 10.213.0.7
        ok docker exec "$NAME" ping -c 1 -w 10 10.213.0.9
        ok docker exec "$NAME" wget -q -O - http://10.213.0.9/
        is "page over the second network" "$out" served
        ok docker exec "${NAME}b" ping -c 1 -w 10 10.213.0.7
        # The first one is what it was.
        ok docker exec "$NAME" ping -c 1 -w 10 "$(field "$NAME" .NetworkSettings.Networks.bridge.Gateway)"
        ok docker network disconnect "net$NAME" "$NAME"
        until_ok "its end" has_not 10.213.0.7
    done
    ok docker exec "$NAME" sh -c 'ip -o link | grep -c link/ether'
    is "cards" "$out" 1
    # The default route goes with its network, and comes with another one.
    ok docker network disconnect bridge "$NAME"
    until_ok "the end of the first" has_not 172.17.
    ok docker network connect --ip 10.213.0.7 "net$NAME" "$NAME"
    until_ok "the only address" has 10.213.0.7
    ok docker exec "$NAME" ip route
    like "default route" "$out" 'default via 10.213.0.1 '
    ok docker exec "$NAME" ping -c 1 -w 10 10.213.0.9
    ok docker rm -f "$NAME" "${NAME}b"
    ok docker network rm "net$NAME"
    is "interfaces left" "$(inside ip -o link | grep -cE 'veth|tap')" 0
}

@test "docker run --network none: nothing but lo" {
    ok docker run --rm --name "$NAME" --network none busybox sh -c 'ip -o link | grep -c "link/ether"; ip -o addr show dev lo; ip route'
    is "cards" "$(head -1 <<<"$out")" 0
    like "lo" "$out" '127.0.0.1/8'
    unlike "routes" "$out" 'default'
}

@test "docker run with bad input: an error, nothing left" {
    try docker run --rm --name "$NAME" -w /etc/passwd busybox true
    [[ $status -ne 0 ]]
    try docker run --rm --name "$NAME" -u no-such-user busybox true
    [[ $status -ne 0 ]]
    like "error" "$err" 'no-such-user'
    is "containers" "$(docker ps -aq)" ""
}

@test "docker run --ipc container:X: shared memory and a network of its own; --network container:X outlives X" {
    ok docker run -d --name "$NAME" --ipc shareable busybox sh -c 'echo first >/dev/shm/file; exec sleep 1000'
    ok docker run --rm --name "${NAME}b" --ipc "container:$NAME" busybox \
        sh -c 'cat /dev/shm/file; echo second >/dev/shm/other; ip -o -4 addr show dev eth0; ping -c 1 -w 10 172.17.0.1 >/dev/null && echo reached'
    like "output" "$out" '^first'
    like "output" "$out" 'reached$'
    unlike "its address" "$out" " $(field "$NAME" .NetworkSettings.IPAddress)/"
    ok docker exec "$NAME" cat /dev/shm/other
    is "what the other left" "$out" second
    ok docker run -d --name "${NAME}b" --network "container:$NAME" --pid "container:$NAME" busybox sleep 2000
    ok docker exec "${NAME}b" ps
    like "processes" "$out" 'sleep 1000'
    ok docker rm -f "${NAME}b"
    ok docker run -d --name "${NAME}b" --network "container:$NAME" busybox sleep 2000
    ok docker stop -t 0 "$NAME"
    ok docker rm "$NAME"
    ok docker exec "${NAME}b" true
    ok docker rm -f "${NAME}b"
}

@test "docker's networks: IPv6, --ip, --ip6, --mac-address, a port for the neighbors, two networks" {
    ok docker network create --ipv6 --subnet 10.214.0.0/24 --subnet fd14::/64 "net$NAME"
    ok docker run -d --name "$NAME" --network "net$NAME" --ip 10.214.0.9 --ip6 fd14::9 --mac-address 02:14:00:00:00:09 --add-host there:192.0.2.2 --hostname front \
        -p 8098:80 busybox sh -c 'echo "served by $(hostname)" >/www/index.html; exec httpd -f -p 80 -h /www'
    ok docker exec "$NAME" sh -c 'ip -o addr show dev eth0; ip -6 route; cat /sys/class/net/eth0/address; grep -c 192.0.2.2 /etc/hosts'
    like "addresses" "$out" ' 10.214.0.9/24 .* fd14::9/64 .*default via fd14::1 .*02:14:00:00:00:09.1$'
    until_ok "the server" inside timeout 2 busybox wget -q -O /dev/null 'http://[fd14::9]/'
    ok docker run --rm --name "${NAME}b" --network "net$NAME" busybox \
        sh -c 'ping -6 -c 1 -w 20 fd14::9 >/dev/null && wget -q -O - http://[fd14::9]/ && wget -q -O - http://10.214.0.9/; ip -o link | grep -c link/ether'
    is "pages from a container, and its cards" "$out" $'served by front\nserved by front\n1'
    # On the default bridge there is no IPv6, and so none in the guest.
    ok docker run --rm --name "${NAME}b" busybox ip -6 -o addr show dev eth0
    is "IPv6 on the default bridge" "$out" ""
    neighbor_up
    try at_neighbor busybox wget -q -O - http://10.99.0.1:8098/
    neighbor_down
    is "page for a neighbor, through the port" "$out" 'served by front'
    ok docker rm -f "$NAME"
    ok docker network rm "net$NAME"
}

@test "docker run --network host: refused, or by host_network = \"user\" with the host's addresses" {
    if has_vm; then
        try docker run --rm --name "$NAME" --network host busybox true
        is "exit code" "$status" 125
        like "error" "$err" "the host's network namespace cannot be shared with a container in a VM \\(.* host_network = "
    fi
    neighbor_up
    echo "nameserver 10.99.0.2" >"$T/resolv.conf"
    inside mount --bind "$T/resolv.conf" /etc/resolv.conf
    inside socat TCP-LISTEN:98,bind=127.0.0.1,fork,reuseaddr SYSTEM:'echo at home' 3>&- 4>&- &
    local home host=127.0.0.1
    ! has_vm || host=10.0.2.2
    until_ok "the server" inside socat -u TCP:127.0.0.1:98 STDOUT
    home=$(inside sh -c 'ss -Hltnp sport = :98' | grep -o 'pid=[0-9]*' | tr -d 'pid=')
    ok docker run -d --runtime user --name "$NAME" --network host busybox sleep 1000
    ok docker exec "$NAME" sh -c "nc 10.99.0.2 99; nc $host 98; nc name.test 99; ping -c 1 -w 20 10.99.0.2 | grep -c 'bytes from'"
    like "output" "$out" $'^caller 10.99.0.1\nat home\ncaller 10.99.0.1\n1$'
    # Another one of its VM, in the same network.
    ok docker run --rm --runtime user --name "${NAME}b" --network "container:$NAME" busybox nc 10.99.0.2 99
    is "output of the other" "$out" 'caller 10.99.0.1'
    if has_vm; then
        is "the host's interfaces" "$(inside sh -c 'ip -o link | grep -c husk; tc qdisc show | grep -c ingress')" $'0\n0'
        ok docker run --rm --runtime user --name "${NAME}b" --network host --dns 10.0.2.3 busybox nc name.test 99
        is "by the host's resolver" "$out" 'caller 10.99.0.1'
    fi
    ok docker rm -f "$NAME"
    kill "$home"
    neighbor_down
    inside umount /etc/resolv.conf
}

@test "dockerd is killed and started again: containers run on; what they did meanwhile is known; --restart always" {
    mkdir "$T/v"
    ok docker run -d --name "$NAME" -v "$T/v:/v" busybox sh -c 'while [ ! -e /v/go ]; do sleep 0.1; done; exit 5'
    ok docker run -d --name "${NAME}b" --restart always busybox sh -c 'echo start >>/starts; while [ ! -e /end ]; do sleep 0.1; done; rm /end'
    local dockerd containerd shim other
    dockerd=$(cat "$D/pid") containerd=$(cat "$D/x/containerd/containerd.pid")
    shim=$(field "$NAME" .State.Pid) other=$(field "${NAME}b" .State.Pid)
    kill -9 "$dockerd"
    until_ok "dockerd's end" dead "$dockerd"
    until_ok "its containerd's end" dead "$containerd"
    rm -f "$D/pid" "$D/x/containerd/containerd.pid" # a zombie's would be taken for a living one's
    alive "$shim"
    alive "$other"
    touch "$T/v/go"
    until_ok "the container's end" dead "$shim"
    start_dockerd
    is "status and exit code" "$(field "$NAME" .State.Status) $(field "$NAME" .State.ExitCode)" 'exited 5'
    is "the other" "$(field "${NAME}b" .State.Running) $(field "${NAME}b" .State.Pid)" "true $other"
    ok docker exec "${NAME}b" cat /starts
    is "starts" "$out" start
    ok docker exec -d "${NAME}b" touch /end  # which may end with the container
    restarted() { [[ $(docker exec "${NAME}b" cat /starts | wc -l) == 2 ]]; }
    until_ok "a restart" restarted
    ok docker restart -t 0 "${NAME}b"
    ok docker exec "${NAME}b" cat /starts
    is "starts" "$(wc -l <<<"$out")" 3
    ok docker start "$NAME"
    ok docker stop -t 1 "$NAME" "${NAME}b"
    is "exit code" "$(field "${NAME}b" .State.ExitCode)" 137
}

@test "a group of containers as compose makes them: a network, a volume, one that waits for another's health; one is made anew" {
    ok docker network create --subnet 10.216.0.0/24 --label group "net$NAME"
    ok docker volume create "vol$NAME"
    ok docker run -d --name "${NAME}b" --network "net$NAME" --ip 10.216.0.9 --network-alias db -v "vol$NAME:/www" --health-cmd 'wget -q -O /dev/null http://127.0.0.1/' \
        --health-interval 1s busybox sh -c 'test -e /www/index.html || echo "a row" >/www/index.html; exec httpd -f -p 80 -h /www'
    until_ok "its health" eval '[[ $(field "${NAME}b" .State.Health.Status) == healthy ]]'
    ok docker run -d --name "$NAME" --network "net$NAME" --add-host db:10.216.0.9 -p 127.0.0.1:8097:80 busybox sh -c 'mkdir -p /www/cgi-bin
        printf "#!/bin/sh\necho; echo from db: \$(wget -q -O - http://db/)\n" >/www/cgi-bin/page; chmod +x /www/cgi-bin/page; exec httpd -f -p 80 -h /www'
    page() { inside busybox wget -q -O - http://127.0.0.1:8097/cgi-bin/page; }
    until_ok "the page" page
    is "page" "$(page)" 'from db: a row'
    ok docker rm -f "${NAME}b"
    ok docker run -d --name "${NAME}b" --network "net$NAME" --ip 10.216.0.9 --network-alias db -v "vol$NAME:/www" busybox httpd -f -p 80 -h /www
    until_ok "the page, by the new one" eval '[[ $(page) == "from db: a row" ]]'
    ok docker stop -t 0 "$NAME" "${NAME}b"
    ok docker rm "$NAME" "${NAME}b"
    ok docker network rm "net$NAME"
    ok docker volume rm "vol$NAME"
}

@test "twenty docker run --rm at once: every exit code is right" {
    local i pids=()
    for i in {1..20}; do
        (s=0; docker run --rm --name "$NAME-$i" busybox sh -c "echo $i; exit $i" >"$T/$i.out" 2>"$T/$i.err" || s=$?; echo $s >"$T/$i.status") &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in {1..20}; do is "exit code and output of $i ($(cat "$T/$i.err"))" "$(cat "$T/$i.status" "$T/$i.out")" "$i"$'\n'"$i"; done
    is "containers" "$(docker ps -aq)" ""
}

@test "docker run --device and --privileged: a disk, the guest's own devices" {
    losetup -f >/dev/null 2>&1 || skip "no loop devices"
    new_disk one
    local before one=$DISK
    before=$(sum "$one")
    ok docker run --rm --name "$NAME" --device "$one:/dev/disk" --device "$one:/dev/same:r" --device /dev/fuse --device /dev/net/tun --cap-add NET_ADMIN busybox \
        sh -c 'sha256sum </dev/disk; echo written >/dev/disk; head -c 8 /dev/same; ls /dev/fuse; tunctl -t tap7'
    is "output" "$out" "$before  -"$'\nwritten\n/dev/fuse\ntap7'
    is "on the host" "$(head -c 8 "$one")" written
    try docker run --rm --name "$NAME" --device "$one:/dev/disk:r" busybox sh -c 'head -c 8 /dev/disk; echo again >/dev/disk'
    is "read-only" "$out $status" "written 1"
    # Every capability, but none of the host's disks.
    ok docker run --rm --name "$NAME" --privileged busybox sh -c "ls /dev/fuse /dev/net/tun; ls $one || mount -t tmpfs none /tmp && echo mounted"
    ! is_husk || is "privileged" "$out" $'/dev/fuse\n/dev/net/tun\nmounted'
    ! is_husk || [[ ! -e /sys/dev/char/10:234 ]] || {
        try docker run --rm --name "$NAME" --device /dev/btrfs-control busybox true
        like "what the guest does not have" "$err" "--device /dev/btrfs-control: the guest's kernel has no /dev/btrfs-control"
    }
    remove_disks
    until_ok "the device to be free" eval "! losetup '$one'"
}
