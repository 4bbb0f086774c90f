# Kubernetes' side: containerd with its CRI plugin, on an island of its own, and a client of the CRI (tools/cri). husk is a runtime
# handler, called through containerd's own runc shim; every pod has a pause container.
load helpers

cri() { timeout --foreground -k 5 "$LIMIT" "$BUILD/tools/cri" "$D/s" "$@" 3>&- 4>&-; }
ctr() { timeout --foreground -k 5 "$LIMIT" ctr -a "$D/s" -n k8s.io "$@" 3>&- 4>&-; }

configure_containerd() {
    mkdir -p "$D/cni" "$D/logs"
    cat >"$D/config.toml" <<END
version = 2
root = "$D/data"
state = "$D/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$D/s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$D/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "husk"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.husk]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.husk.options]
        BinaryName = "$HUSK"
END
    cat >"$D/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "dataDir": "$D/ipam", "ranges": [[{"subnet": "10.88.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

start_containerd() {
    inside sh -c 'echo $$ >"$1" && exec containerd --config "$2" --log-level warn' sh "$D/pid" "$D/config.toml" </dev/null >>"$D/containerd.log" 2>&1 &
    until_ok "containerd" eval '[[ $(cri Status | jq "[.status.conditions[].status] | all") == true ]]' || {
        tail -5 "$D/containerd.log" >&2
        return 1
    }
}
stop_containerd() {
    kill "$(cat "$D/pid")"
    until_ok "containerd to end" dead "$(cat "$D/pid")"
    rm "$D/pid"
}

# import_image NAME COMMAND: an image of the file's rootfs.
import_image() {
    local folder=$D/image-$1
    mkdir -p "$folder"
    tar -C "$FILE_DIR/rootfs" -cf "$folder/layer.tar" .
    jq -n --arg sum "sha256:$(sha256sum <"$folder/layer.tar" | cut -d' ' -f1)" --argjson command "$2" '{architecture: "amd64", os: "linux",
        config: {Cmd: $command, Env: ["PATH=/bin"]}, rootfs: {type: "layers", diff_ids: [$sum]}}' >"$folder/config.json"
    jq -n --arg tag "localhost/$1:1" '[{Config: "config.json", RepoTags: [$tag], Layers: ["layer.tar"]}]' >"$folder/manifest.json"
    tar -C "$folder" -c . | ctr images import - >/dev/null
    # Of which the plugin hears later.
    until_ok "the image $1" eval "[[ \$(ctr images ls name==localhost/$1:1) == *io.cri-containerd.image=managed* ]]"
    rm -rf "$folder"
}

setup_file() {
    command -v containerd >/dev/null || skip "no containerd"
    common_setup_file
    island_up
    export D=$T
    configure_containerd
    start_containerd
    import_image pause '["sleep", "1000000"]'
    import_image busybox '["sh"]'
}

teardown_file() {
    [[ -n ${D:-} ]] || return 0
    stop_containerd
    common_teardown_file
    island_down
}

setup() {
    T=$(mktemp -d "$D/t-XXXX")
    NAME=c${T##*-}
    PODS=()
}

teardown() {
    local pod
    [[ -n ${BATS_TEST_COMPLETED:-} ]] || { grep -H . "$D/logs/"*"$NAME.log"; tail -3 "$D/containerd.log"; } >&2
    for pod in "${PODS[@]}"; do cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}" >/dev/null 2>&1 || true; done
    for pod in "${PODS[@]}"; do nothing_left "$pod" || { tail -5 "$D/containerd.log" >&2; return 1; }; done
    is "VMs left" "$(island_vms)" ""
    is "interfaces left" "$(inside ip -o link | grep -cE 'veth|tap')" 0
    rm -rf "$T"
}

# pod [JQ]: runs a pod, JQ changes its config. Sets POD and POD_CONFIG.
pod() {
    POD_CONFIG=$(jq -nc --arg name "$NAME" --arg logs "$D/logs" --arg parent "/ht$TAG" '{metadata: {name: $name, uid: $name, namespace: "default"},
        hostname: "pod", log_directory: $logs, linux: {cgroup_parent: $parent, security_context: {namespace_options: {pid: "CONTAINER"}}}} | '"${1:-.}")
    ok cri RunPodSandbox "$(jq -nc --argjson c "$POD_CONFIG" '{config: $c, runtime_handler: "husk"}')"
    POD=$(jq -r .pod_sandbox_id <<<"$out")
    PODS+=("$POD")
}
# container NAME JQ WORD...: made in POD, and started. Its id is in ID; its log is $D/logs/NAME-$NAME.log.
container() {
    local name=$1 change=$2
    shift 2
    ok cri CreateContainer "$(jq -nc --arg pod "$POD" --argjson pod_config "$POD_CONFIG" --arg name "$name" --arg log "$name-$NAME.log" \
        '{pod_sandbox_id: $pod, sandbox_config: $pod_config, config: ({metadata: {name: $name}, image: {image: "localhost/busybox:1"},
            command: $ARGS.positional, log_path: $log, linux: {security_context: {namespace_options: {pid: "CONTAINER"}}}} | '"$change"')}' --args -- "$@")"
    ID=$(jq -r .container_id <<<"$out")
    ok cri StartContainer "{\"container_id\": \"$ID\"}"
}
# exec_sync ID WORD...: its exit code in code, its output in out and err.
exec_sync() {
    local id=$1
    shift
    ok cri ExecSync "$(jq -nc --arg id "$id" '{container_id: $id, cmd: $ARGS.positional, timeout: 60}' --args -- "$@")"
    code=$(jq .exit_code <<<"$out")
    err=$(jq -r '.stderr | @base64d' <<<"$out")
    out=$(jq -r '.stdout | @base64d' <<<"$out")
}
call() { ok cri "$1" "{\"container_id\": \"$2\"}"; }
container_status() { cri ContainerStatus "{\"container_id\": \"$1\"}" | jq -r ".status.$2"; }
has_state() { [[ $(container_status "$1" state) == "CONTAINER_$2" ]]; }
log() { sed 's/^[^ ]* [^ ]* [FP] //' "$D/logs/$1-$NAME.log"; }

@test "a pod with two containers: one VM, their network, ipc and hostname shared; each with its own processes and end" {
    pod
    container one . sh -c 'echo "out of one"; echo "err of one" >&2; echo shared >/dev/shm/file; exec httpd -f -p 80 -h /www'
    local one=$ID ip
    container two . sh -c 'trap "echo bye; exit 4" TERM; echo ready; while :; do sleep 0.1; done'
    local two=$ID
    exec_sync "$one" cat /proc/sys/kernel/random/boot_id
    local boot=$out
    exec_sync "$two" cat /proc/sys/kernel/random/boot_id
    is "boot id" "$out" "$boot"
    ! has_vm || [[ $boot != "$(cat /proc/sys/kernel/random/boot_id)" ]]
    exec_sync "$two" sh -c 'hostname; cat /dev/shm/file; wget -q -O - http://127.0.0.1/none 2>&1 | grep -o 404; ps; echo err >&2; exit 7'
    is "exit code" "$code" 7
    like "output" "$out" '^pod
shared
404
'
    unlike "processes" "$out" 'httpd'
    is "stderr" "$err" err
    is "log" "$(log one | sort)" $'err of one\nout of one'
    ip=$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$POD\"}" | jq -r .status.network.ip)
    exec_sync "$one" ip -o -4 addr show dev eth0
    like "eth0" "$out" " $ip/24 "
    ok inside busybox wget -q -O /dev/null "http://$ip/bin" || like "answer of the server" "$err" 404
    # What a port-forward of containerd's does: it enters the pod's network namespace and connects there.
    local pid
    pid=$(inside "$HUSK" ${GLOBAL[@]+"${GLOBAL[@]}"} --root /run/containerd/runc/k8s.io state "$POD" | jq .pid)
    ok nsenter -t "$pid" -n busybox wget -q -O /dev/null http://127.0.0.1/none || like "answer of the loopback" "$err" 404
    # One dies, the other lives on.
    exec_sync "$one" kill -9 1
    exec_sync "$two" true
    ok cri StopContainer "{\"container_id\": \"$one\", \"timeout\": 0}"
    until_ok "one's end" has_state "$one" EXITED
    is "exit code" "$(container_status "$one" exit_code)" 137
    ok cri StopContainer "{\"container_id\": \"$two\", \"timeout\": $LIMIT}"
    is "exit code" "$(container_status "$two" exit_code)" 4
    like "log" "$(log two)" $'ready\nbye'
    call RemoveContainer "$one"
    # A restarted container comes back into the pod.
    container one '.metadata.attempt = 1' sleep 1000
    exec_sync "$ID" cat /proc/sys/kernel/random/boot_id /dev/shm/file
    is "boot id and shared memory" "$out" "$boot"$'\nshared'
    ok cri StopPodSandbox "{\"pod_sandbox_id\": \"$POD\"}"
    has_state "$ID" EXITED
    ok cri RemovePodSandbox "{\"pod_sandbox_id\": \"$POD\"}"
    is "containers" "$(cri ListContainers | jq -c .containers)" '[]'
}

@test "limits, update and stats of a container in a pod" {
    pod '.linux.resources = {memory_limit_in_bytes: 943718400}'
    container one '.linux.resources = {memory_limit_in_bytes: 67108864, cpu_period: 100000, cpu_quota: 50000}' sleep 1000
    local read='cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us'
    exec_sync "$ID" sh -c "$read"
    like "limits" "$out" $'^67108864\n50000( 100000)?$'
    if has_vm; then
        exec_sync "$ID" sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo
        ((out > 850 * 1024)) || fail "MemTotal $out"
    fi
    ok cri UpdateContainerResources "{\"container_id\": \"$ID\", \"linux\": {\"memory_limit_in_bytes\": 134217728, \"cpu_period\": 100000, \"cpu_quota\": 80000}}"
    exec_sync "$ID" sh -c "$read"
    like "limits" "$out" $'^134217728\n80000( 100000)?$'
    call ContainerStats "$ID"
    is "whose" "$(jq -r .stats.attributes.id <<<"$out")" "$ID"
    [[ $(jq -r '.stats | (.cpu.usage_core_nano_seconds.value | tonumber > 0) and (.memory.working_set_bytes.value | tonumber > 0)' <<<"$out") == true ]]
}

@test "a terminal, a user, an environment, volumes, capabilities" {
    pod
    mkdir "$T/rw" "$T/ro"
    chmod 777 "$T/rw"
    container one '.tty = true | .stdin = true | .working_dir = "/rw" | .envs = [{key: "KEY", value: "a value"}]
        | .mounts = [{container_path: "/rw", host_path: "'"$T/rw"'"}, {container_path: "/ro", host_path: "'"$T/ro"'", readonly: true}]
        | .linux.security_context += {run_as_user: {value: 1000}, supplemental_groups: [2002], readonly_rootfs: true, capabilities: {drop_capabilities: ["ALL"]}}' \
        sh -c 'tty; echo "$KEY $(pwd) $(id -u) $(id -G)"; grep CapBnd /proc/self/status; echo x >out; echo x 2>/dev/null >/ro/x || echo read-only; test -w / || echo root read-only'
    until_ok "its end" has_state "$ID" EXITED
    like "log" "$(log one | tr -d '\r')" '^/dev/pts/0
a value /rw 1000 .*2002
CapBnd:.0000000000000000
read-only
root read-only$'
    is "what it wrote" "$(cat "$T/rw/out") $(stat -c %u "$T/rw/out")" 'x 1000'
}

@test "an exec that takes too long is ended in the guest, too; a program that is not there" {
    pod
    container one . sleep 1000
    try cri ExecSync "{\"container_id\": \"$ID\", \"cmd\": [\"sleep\", \"2222\"], \"timeout\": 1}"
    is "exit code" "$status" 1
    like "error" "$err" 'timed out|timeout|deadline'
    no_sleep() { exec_sync "$ID" ps && [[ $out != *'sleep 2222'* ]]; }
    until_ok "its end" no_sleep
    try cri ExecSync "{\"container_id\": \"$ID\", \"cmd\": [\"no-such-program\"]}"
    is "exit code" "$status" 1
    like "error" "$err" 'executable file not found'
    exec_sync "$ID" true
}

@test "containerd is restarted while a pod runs" {
    pod
    container one . sh -c 'i=0; while [ ! -e /go ]; do sleep 0.1; done; echo went on; exec sleep 1000'
    local one=$ID
    container two . sh -c 'while [ ! -e /dev/shm/end ]; do sleep 0.1; done; exit 9'
    local two=$ID
    exec_sync "$one" cat /proc/sys/kernel/random/boot_id
    local boot=$out pid
    pid=$(inside "$HUSK" ${GLOBAL[@]+"${GLOBAL[@]}"} --root /run/containerd/runc/k8s.io state "$two" | jq .pid)
    stop_containerd
    inside "$HUSK" --root /run/containerd/runc/k8s.io exec "$one" touch /go /dev/shm/end
    until_ok "two's end" dead "$pid"
    start_containerd
    is "states" "$(container_status "$one" state) $(container_status "$two" state) $(container_status "$two" exit_code)" 'CONTAINER_RUNNING CONTAINER_EXITED 9'
    exec_sync "$one" cat /proc/sys/kernel/random/boot_id
    is "boot id" "$out" "$boot"
    is "log" "$(log one)" 'went on'
    container three . sleep 1000
    exec_sync "$ID" test -e /dev/shm/end
    is "exit code" "$code" 0
}

@test "a pod whose sandbox dies: its containers end, it takes no new ones, and it is removed" {
    pod
    container one . sleep 1000
    ok inside "$HUSK" --root /run/containerd/runc/k8s.io kill "$POD" KILL
    # With runc the sandbox's network outlives it, and so do they.
    ! has_vm || until_ok "the container's end" has_state "$ID" EXITED
    until_ok "the sandbox's end" eval '[[ $(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$POD\"}" | jq -r .status.state) == SANDBOX_NOTREADY ]]'
    try cri CreateContainer "$(jq -nc --arg pod "$POD" --argjson c "$POD_CONFIG" '{pod_sandbox_id: $pod, sandbox_config: $c,
        config: {metadata: {name: "two"}, image: {image: "localhost/busybox:1"}, command: ["true"]}}')"
    if [[ $status == 0 ]]; then
        try cri StartContainer "$out"
    fi
    is "exit code" "$status" 1
}

@test "the host's network and pid namespaces are refused, and nothing is left" {
    vm_only
    local mode
    for mode in network pid; do
        POD_CONFIG=$(jq -nc --arg name "$NAME-$mode" --arg parent "/ht$TAG" '{metadata: {name: $name, uid: $name, namespace: "default"},
            linux: {cgroup_parent: $parent, security_context: {namespace_options: {pid: "CONTAINER", ipc: "POD", '$mode': "NODE"}}}}')
        try cri RunPodSandbox "$(jq -nc --argjson c "$POD_CONFIG" '{config: $c, runtime_handler: "husk"}')"
        is "exit code" "$status" 1
        like "error" "$err" "the host's $mode namespace cannot be shared with a container in a VM"
    done
}
