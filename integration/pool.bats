# VMs that wait for a container: filled, taken, dead, stuck, and drained. Each test has a folder of its own for them.
load helpers

setup() {
    new_folder
    vm_only
    options
}
teardown() {
    husk pool drain
    common_teardown
}

options() {
    printf '%s\n' "template_folder = \"$T/templates\"" "$@" >"$T/husk.toml"
    GLOBAL=(--config "$T/husk.toml")
}
waiting() { husk pool status --format json | jq -r '.[].pid'; }
how_many() { waiting | grep -c .; }
sandbox_of() { jq -r .sandbox.pid "$ROOT/$1/undo.json"; }
all_dead() {
    local pid
    for pid in "$@"; do dead "$pid" || return; done
}

@test "fill, status, drain" {
    is "in the pool" "$(husk pool status --format json)" "[]"
    ok husk pool fill 2
    local pids
    pids=$(waiting)
    is "VMs" "$(wc -l <<<"$pids")" 2
    ok husk pool status
    like "status" "$out" 'PID +VCPUS +MEMORY +POOL'
    like "status" "$out" ' 1 +512 MiB '
    ok husk pool fill 2
    is "the same VMs" "$(waiting)" "$pids"
    ok husk pool fill 1 --memory 300
    is "VMs" "$(how_many)" 3
    ok husk pool drain
    is "VMs" "$(husk pool status --format json)" "[]"
    until_ok "their end" all_dead $pids
    is "files" "$(find "$T/templates/.pool" -mindepth 1 2>&1 | grep -v 'No such file')" ""
    try husk pool fill many
    like "error" "$err" 'many.* is no number of VMs'
    try husk pool empty
    like "error" "$err" 'expected fill, keep, status or drain, got .*empty'
    nothing_left
}

@test "create takes one: its processes are in the container's cgroup, its log is husk's, and delete leaves nothing" {
    ok husk pool fill 1
    local vm child
    vm=$(waiting)
    new_bundle
    shell 'hostname; echo from the guest; sleep 1000'
    edit '.hostname = "mine"'
    create "$ID" --pid-file "$T/pid"
    is "husk-sandbox" "$(sandbox_of "$ID")" "$vm"
    is "in the pool" "$(how_many)" 0
    local group
    group=$(cat "/proc/$(cat "$T/pid")/cgroup")
    for child in "$vm" $(descendants "$vm"); do is "cgroup of $child" "$(cat "/proc/$child/cgroup")" "$group"; done
    start
    wait_output "$ID" 'from the guest'
    is "host name" "$(head -1 "$T/$ID.out")" mine
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
    until_ok "its end" all_dead "$vm"
    nothing_left
    # What it says it says to its own container's log.
    ok husk pool fill 1
    program true
    ok husk --log "$T/log" --debug run --bundle "$BUNDLE" "$ID"
    like "the log" "$(cat "$T/log")" 'taken from the pool'
}

@test "each is its own: random numbers, boot id, clock" {
    ok husk pool fill 2
    new_bundle
    shell 'cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | hexdump -C | head -1; date +%s'
    ok husk run --bundle "$BUNDLE" "$ID"
    local one=$out line
    ok husk run --bundle "$BUNDLE" "$ID"
    is "in the pool" "$(how_many)" 0
    for line in 1 2; do
        [[ $(sed -n ${line}p <<<"$one") != "$(sed -n ${line}p <<<"$out")" ]] || fail "the same twice" "$one" "$out"
    done
    local off=$(($(date +%s) - $(sed -n 3p <<<"$out")))
    ((off >= -2 && off <= LIMIT)) || fail "the guest's clock is off by $off s"
    nothing_left
}

@test "at once: each gets another one, and who gets none starts as ever" {
    local id i vms
    ok husk pool fill 3
    sleeper
    for i in 1 2 3 4 5; do
        husk create --bundle "$BUNDLE" "$ID-$i" </dev/null >"$T/$i.log" 2>&1 &
    done
    wait
    for i in 1 2 3 4 5; do ok husk start "$ID-$i"; done
    vms=$(for i in 1 2 3 4 5; do sandbox_of "$ID-$i"; done)
    is "different VMs" "$(sort -u <<<"$vms" | wc -l)" 5
    is "in the pool" "$(how_many)" 0
    for i in 1 2 3 4 5; do ok husk delete --force "$ID-$i"; done
    nothing_left
}

@test "what does not fit stays: another size, another option" {
    ok husk pool fill 1
    new_bundle
    edit '.linux.resources.memory.limit = 100000000'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "in the pool" "$(how_many)" 1
    options 'cache = "always"'
    edit 'del(.linux.resources.memory)'
    ok husk run --bundle "$BUNDLE" "$ID"
    options
    is "in the pool" "$(how_many)" 1
    ok husk run --bundle "$BUNDLE" "$ID"
    is "in the pool" "$(how_many)" 0
    nothing_left
}

@test "killed and stuck ones are passed over and removed" {
    ok husk pool fill 3
    local vms
    mapfile -t vms < <(waiting)
    kill -9 "${vms[0]}" $(part_of "${vms[1]}" qemu)
    kill -STOP "${vms[2]}"
    until_ok "the end of two" all_dead "${vms[0]}" "${vms[1]}"
    new_bundle
    shell 'echo from the guest'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" "from the guest"
    all_dead "${vms[@]}" || fail "the stuck one lives"
    is "files" "$(find "$T/templates/.pool" -mindepth 2)" ""
    ok husk pool fill 1
    kill -STOP "$(waiting)"
    ok husk pool drain
    is "VMs" "$(husk pool status --format json)" "[]"
    nothing_left
}
# part_of PID NAME: its child of that name.
part_of() {
    local pid
    for pid in $(descendants "$1"); do
        case $(tr '\0' '\n' <"/proc/$pid/cmdline" | head -1) in *"$2"*) echo "$pid" ;; esac
    done
}

@test "husk killed while it creates: the VM goes with it, delete finds the rest" {
    ok husk pool fill 1
    local vm
    vm=$(waiting)
    sleeper
    edit '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "kill -9 $PPID"]}]'
    try husk create --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 137
    until_ok "the VM's end" all_dead "$vm"
    ok husk delete --force "$ID"
    ok husk pool drain
    is "files" "$(find "$T/templates/.pool" -mindepth 2 2>/dev/null)" ""
    nothing_left
}

@test "a pod's sandbox takes one, and its containers join" {
    ok husk pool fill 2
    for role in sandbox container; do
        sleeper "$role"
        edit --arg role "$role" --arg pod "$ID-sandbox" \
            '.annotations = {"io.kubernetes.cri.container-type": $role, "io.kubernetes.cri.sandbox-id": $pod}'
        running "$ID-$role"
    done
    is "in the pool" "$(how_many)" 1
    is "VMs" "$(sandbox_of "$ID-sandbox")" "$(sandbox_of "$ID-container")"
    ok husk delete --force "$ID-container"
    ok husk delete --force "$ID-sandbox"
    ok husk pool drain
    nothing_left
}

@test "keep: another one comes for each that is taken, and they end with it" {
    has_waiting() { (($(how_many) == $1)); }
    "$HUSK" "${GLOBAL[@]}" pool keep 1 </dev/null >"$T/keep.log" 2>&1 3>&- &
    local keeper=$! vm
    until_ok "one" has_waiting 1
    vm=$(waiting)
    sleeper
    running
    is "husk-sandbox" "$(sandbox_of "$ID")" "$vm"
    until_ok "another one" has_waiting 1
    kill "$keeper"
    wait "$keeper"
    is "VMs" "$(husk pool status --format json)" "[]"
    has_status "$ID" running
    ok husk delete --force "$ID"
    nothing_left
}
