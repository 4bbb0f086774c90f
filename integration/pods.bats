# One VM for several containers: by annotation, as CRI-O and containerd call a runtime, and by joining namespaces. What the
# engines themselves do with it is in docker.bats and podman.bats.
load helpers

setup() {
    new_folder
    vm_only
    PINNED=()
}
teardown() {
    local file id
    for id in $(ls "$ROOT" 2>/dev/null); do husk delete --force "$id"; done
    for file in "${PINNED[@]}"; do umount "$file"; done
    common_teardown
}

containerd() {
    annotate io.kubernetes.cri.container-type "$1"
    annotate io.kubernetes.cri.sandbox-id "$2"
}
# member NAME OWNER: a bundle whose network, ipc and uts namespaces are those of the container OWNER.
member() {
    local type pid
    sleeper "$1"
    pid=$(state_field "$2" pid)
    for type in ipc uts; do namespace "$type" "/proc/$pid/ns/$type"; done
    namespace network "/proc/$pid/ns/net"
}
vms() { find "$ROOT/.vm" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
no_vm() { [[ $(vms) == 0 ]]; }
inode() { ok husk exec "$1" readlink "/proc/self/ns/$2" && echo "$out"; }

@test "CRI-O without a pause container: the first container makes the VM, the last one's end takes it away" {
    local pod=pod$TAG type
    pin net
    pin ipc
    pin uts
    for id in "$ID-1" "$ID-2"; do
        sleeper "$id"
        crio container "$pod"
        namespace network "$T/ns-net"
        for type in ipc uts; do namespace "$type" "$T/ns-$type"; done
        running "$id"
    done
    is "VMs" "$(vms)" 1
    for type in net ipc uts; do is "$type namespace" "$(inode "$ID-1" $type)" "$(inode "$ID-2" $type)"; done
    [[ $(inode "$ID-1" pid) != "$(inode "$ID-2" pid)" ]]
    ok husk exec "$ID-1" touch /dev/mqueue/queue
    ok husk exec "$ID-2" test -e /dev/mqueue/queue
    ok husk kill "$ID-1" KILL
    wait_status "$ID-1" stopped
    ok husk delete "$ID-1"
    ok husk exec "$ID-2" true
    # A restarted one finds the VM, and the pinned namespaces, as they were.
    sleeper "$ID-3"
    crio container "$pod"
    namespace network "$T/ns-net"
    namespace ipc "$T/ns-ipc"
    running "$ID-3"
    ok husk exec "$ID-3" test -e /dev/mqueue/queue
    is "VMs" "$(vms)" 1
    for id in "$ID-2" "$ID-3"; do
        ok husk kill "$id" KILL
        wait_status "$id" stopped
    done
    until_ok "the VM's end" no_vm
    # And the next first one makes a new one.
    sleeper "$ID-4"
    crio container "$pod"
    namespace network "$T/ns-net"
    running "$ID-4"
    is "VMs" "$(vms)" 1
}

@test "containerd's pause container: it makes the VM, and its end takes all" {
    mkdir -m 1777 "$T/shm"
    sleeper pause
    containerd sandbox "$ID-p"
    shm "$T/shm"
    running "$ID-p"
    for id in "$ID-1" "$ID-2"; do
        member "$id" "$ID-p"
        containerd container "$ID-p"
        shm "$T/shm"
        running "$id"
    done
    is "VMs" "$(vms)" 1
    is "ipc namespace" "$(inode "$ID-1" ipc)" "$(inode "$ID-p" ipc)"
    ok husk exec "$ID-1" sh -c 'echo shared >/dev/shm/file'
    ok husk exec "$ID-2" cat /dev/shm/file
    is "a file in /dev/shm" "$out" shared
    # A member that dies leaves the others alone.
    ok husk kill "$ID-1" KILL
    wait_status "$ID-1" stopped
    ok husk delete "$ID-1"
    ok husk exec "$ID-2" cat /dev/shm/file
    ok husk kill "$ID-p" KILL
    wait_status "$ID-p" stopped
    wait_status "$ID-2" stopped
    until_ok "the VM's end" no_vm
    ok husk delete "$ID-p"
    ok husk delete "$ID-2"
}

@test "a pod's sandbox that is deleted takes all; one whose sandbox has died is not joined" {
    sleeper pause
    containerd sandbox "$ID-p"
    running "$ID-p"
    member one "$ID-p"
    containerd container "$ID-p"
    running "$ID-1"
    member two "$ID-p"
    containerd container "$ID-p"
    ok husk delete --force "$ID-p"
    wait_status "$ID-1" stopped
    try husk create --bundle "$BUNDLE" "$ID-2"
    is "exit code" "$status" 1
    is "lines of the error" "$(wc -l <<<"$err")" 1
    ok husk delete "$ID-1"
}

@test "state, ps, exec, kill --all address the one container" {
    sleeper first
    running "$ID-1"
    member second "$ID-1"
    program sleep 2000
    running "$ID-2"
    ok husk ps "$ID-2"
    like "ps" "$out" 'sleep 2000'
    unlike "ps" "$out" 'sleep 1000'
    ok husk ps --format json "$ID-1"
    is "host pids" "$(jq -c . <<<"$out")" "[$(state_field "$ID-1" pid)]"
    ok husk exec "$ID-2" ps
    unlike "processes seen inside" "$out" 'sleep 1000'
    ok husk pause "$ID-2"
    is "status" "$(state_field "$ID-1" status) $(state_field "$ID-2" status)" 'running paused'
    ok husk resume "$ID-2"
    ok husk kill --all "$ID-2" KILL
    wait_status "$ID-2" stopped
    is "status of the other" "$(state_field "$ID-1" status)" running
    ok husk exec "$ID-1" true
}

# The memory limit of a process's cgroup, in bytes; empty where no hierarchy has one.
memory_limit_of() {
    local path
    path=$(sed -n 's/^[0-9]*:memory://p' "/proc/$1/cgroup")
    cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null && return
    cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")/memory.max" 2>/dev/null || true
}

@test "the container that made the VM ends: the others live on, in their own cgroups" {
    sleeper first
    edit '.linux.resources.memory.limit = 134217728'
    running "$ID-1"
    member second "$ID-1"
    running "$ID-2"
    local vm limit
    vm=$(part husk-sandbox "$ID-1")
    limit=$(memory_limit_of "$vm")
    ok husk kill "$ID-1" KILL
    wait_status "$ID-1" stopped
    ok husk delete "$ID-1"
    is "cgroups of the first" "$(tagged_cgroups "$ID-1")" ""
    alive "$vm"
    like "the VM's cgroup" "$(cat "/proc/$vm/cgroup")" "$ID-2"
    is "the VM's memory limit" "$(memory_limit_of "$vm")" "$limit"
    ok husk exec "$ID-2" true
    # Its id is free, for a VM of its own.
    BUNDLE=$T/first running "$ID-1"
    is "VMs" "$(vms)" 2
    ok husk delete --force "$ID-2"
    until_ok "the VM's end" dead "$vm"
    is "status" "$(state_field "$ID-1" status)" running
}

@test "the container that holds the VM and the next that would are deleted at once: the third lives" {
    local round holder=$ID-z
    sleeper z
    running "$holder"
    for round in 1 2 3; do
        member "a$round" "$holder"
        running "$ID-a$round"
        member "b$round" "$holder"
        running "$ID-b$round"
        husk delete --force "$holder" 2>"$T/err" &
        ok husk delete --force "$ID-a$round"
        wait $!
        holder=$ID-b$round
        is "status" "$(state_field "$holder" status)" running
        ok husk exec "$holder" true
    done
}

@test "a member's root and volumes: mounted after the VM's start, where nothing propagates, and very many" {
    sleeper first
    running "$ID-1"
    member second "$ID-1"
    mount -t tmpfs tmpfs "$T/second/rootfs"
    mount --make-private "$T/second/rootfs"
    cp -a "$FILE_DIR/rootfs/." "$T/second/rootfs"
    local i
    for i in {1..150}; do mkdir -p "$T/v/$i" && echo "$i" >"$T/v/$i/n"; done
    edit --arg v "$T/v" '.mounts += [range(1; 151) | {destination: "/v/\(.)", type: "bind", source: "\($v)/\(.)", options: ["rbind", (if . % 2 == 0 then "ro" else "rw" end)]}]'
    running "$ID-2"
    ok husk exec "$ID-2" sh -c 'cat /v/*/n | wc -l; echo x >/v/1/new; echo x 2>/dev/null >/v/2/new || echo read-only; grep -c " /v/" /proc/mounts'
    is "output" "$out" $'150\nread-only\n150'
    is "what it wrote" "$(cat "$T/v/1/new")" x
    ok husk delete --force "$ID-2"
    umount "$T/second/rootfs"
    ok husk exec "$ID-1" true
}

@test "ipc of another container, and a network of its own" {
    sleeper first
    running "$ID-1"
    sleeper second
    namespace ipc "/proc/$(state_field "$ID-1" pid)/ns/ipc"
    running "$ID-2"
    is "VMs" "$(vms)" 1
    is "ipc namespace" "$(inode "$ID-1" ipc)" "$(inode "$ID-2" ipc)"
    [[ $(inode "$ID-1" net) != "$(inode "$ID-2" net)" ]]
    ok husk exec "$ID-2" ip -o addr show dev lo
    like "lo" "$out" '127.0.0.1/8'
}

@test "the size of a pod's VM: the engine's for the pod, else at least the default" {
    sleeper first
    containerd sandbox "$ID-1"
    annotate io.kubernetes.cri.sandbox-memory $((900 << 20))
    running "$ID-1"
    ok husk exec "$ID-1" sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo
    ((out > 850 * 1024)) || fail "MemTotal $out"
    sleeper second
    crio container "pod$TAG"
    edit '.linux.resources.memory.limit = 33554432'
    running "$ID-2"
    ok husk exec "$ID-2" sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo
    ((out > 400 * 1024)) || fail "MemTotal $out"
}

@test "namespaces that cannot be joined: one clear error, nothing left, the others unharmed" {
    sleeper first
    running "$ID-1"
    sleeper second
    running "$ID-2"
    sleeper third
    namespace pid "/proc/$$/ns/pid"
    namespace ipc "/proc/$$/ns/ipc"
    try husk create --bundle "$BUNDLE" "$ID-3"
    is "exit code" "$status" 1
    like "error" "$err" 'is not that of a running husk container'
    is "lines of the error" "$(wc -l <<<"$err")" 1
    sleeper fourth
    namespace ipc "/proc/$(state_field "$ID-1" pid)/ns/ipc"
    namespace pid "/proc/$(state_field "$ID-2" pid)/ns/pid"
    try husk create --bundle "$BUNDLE" "$ID-3"
    is "exit code" "$status" 1
    like "error" "$err" 'different VMs'
    member fifth "$ID-1"
    edit '.process.cwd = "/etc/passwd"'
    try husk create --bundle "$BUNDLE" "$ID-3"
    is "exit code" "$status" 1
    is "status" "$(state_field "$ID-1" status) $(state_field "$ID-2" status)" 'running running'
    is "VMs" "$(vms)" 2
}
