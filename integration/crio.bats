# CRI-O as a runtime meets it: a real conmon with CRI-O's arguments and environment, pinned namespaces and no pause container, and
# the runtime's commands that CRI-O itself runs. Who outlives whom in a pod is in pods.bats.
load helpers

CONMON=$(command -v conmon || true)

setup() {
    [[ -n $CONMON ]] || skip "no conmon"
    new_folder
    PINNED=()
    local type
    mkdir -m 1777 "$T/shm"
    mkdir "$T"/{exits,attach,logs,persist}
    for type in net ipc uts; do pin $type; done
    echo >"$T/byte"
    mkfifo "$T/sync"
}
teardown() {
    local file id
    exec 7>&- 8>&-
    for id in $(ls "$ROOT" 2>/dev/null); do husk delete --force "$id"; done
    # conmon ends with its container.
    nothing_left >/dev/null 2>&1 || true
    for file in "${PINNED[@]}"; do umount "$file"; done
    # The pod's parent group is the kubelet's to remove.
    tagged_cgroups "$TAG" | grep "/ht$TAG\$" | while read -r folder; do rmdir "$folder"; done
    common_teardown
}

# bundle NAME [JQ]: of the pod's container $ID-NAME.
bundle() {
    local type
    rm -rf "$T/$1"
    sleeper "$1"
    crio container "pod$TAG"
    annotate io.kubernetes.cri-o.ContainerName "$1"
    for type in ipc uts; do namespace $type "$T/ns-$type"; done
    namespace network "$T/ns-net"
    shm "$T/shm"
    edit --arg path "/ht$TAG/crio-$ID-$1" '.linux.cgroupsPath = $path | '"${2:-.}"
}
# conmon ARGUMENT...: as CRI-O calls it, with two variables and no others. Sets told: what it answers first.
conmon() {
    exec 7<>"$T/sync"
    # In $T, since it writes a file `oom` where it stands.
    ok env -C "$T" -i _OCI_SYNCPIPE=3 _OCI_STARTPIPE=4 "$CONMON" -r "$HUSK" --socket-dir-path "$T/attach" --log-level error --runtime-arg "--root=$ROOT" \
        "${RUNTIME_ARGS[@]}" "$@" </dev/null 3>"$T/sync" 4<"$T/byte" 7>&-
    told=
    read -r -t "$LIMIT" told <&7 || fail "conmon did not answer" "$CONTEXT"
}
RUNTIME_ARGS=()
for flag in "${GLOBAL[@]}"; do RUNTIME_ARGS+=(--runtime-arg "$flag"); done

# conmon_create NAME OPTION...; container NAME OPTION...: the same, and what CRI-O does next.
conmon_create() {
    local name=$1 id=$ID-$1
    shift
    mkdir -p "$T/persist/$id"
    conmon -b "$T/$name" -c "$id" -n "k8s_$name" -u "$id" -p "$T/$name/pidfile" -P "$T/$name/conmon-pidfile" -l "$T/logs/$name" \
        --exit-dir "$T/exits" --persist-dir "$T/persist/$id" "$@"
}
container() {
    conmon_create "$@"
    local id=$ID-$1 pid
    pid=$(jq .pid <<<"$told")
    is "pid in the file" "$(cat "$T/$1/pidfile")" "$pid"
    is "state" "$(state_field "$id" status) $(state_field "$id" pid)" "created $pid"
    ok husk start "$id"
    is "state" "$(state_field "$id" status)" running
}
# exec_sync NAME OPTION... -- WORD...: sets code, and out to the log that CRI-O reads the output from.
exec_sync() {
    local id=$ID-$1 options=()
    shift
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    jq -n --argjson process "$(jq .process "$BUNDLE/config.json")" '$process | .args = $ARGS.positional' --args -- "$@" >"$T/process"
    : >"$T/exec-log" >"$T/exec-pid"
    conmon -c "$id" -n exec -p "$T/exec-pid" -e -l "$T/exec-log" --exec-process-spec "$T/process" "${options[@]}"
    code=$(jq .exit_code <<<"$told")
    out=$(lines <"$T/exec-log")
}
# Of a log in the CRI's format.
lines() { sed -nE 's/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+) (stdout|stderr) [FP] //p'; }
ended() { [[ -e $T/exits/$ID-$1 ]]; }
exit_file() { until_ok "the exit file of $1" ended "$1" && cat "$T/exits/$ID-$1"; }
gone() { [[ ! -e /proc/$1/stat ]]; }

@test "a pod of two containers without a pause container: create, start, exec, stop, logs, exit files" {
    bundle one
    shell 'echo "out of one"; echo "err of one" >&2; echo shared >/dev/shm/file; trap "echo bye; exit 3" TERM; while :; do sleep 0.1; done'
    container one
    bundle two
    container two
    until_ok "the log" grep -q 'err of one' "$T/logs/one"
    is "stdout of one" "$(grep ' stdout F ' "$T/logs/one" | lines)" 'out of one'
    is "stderr of one" "$(grep ' stderr F ' "$T/logs/one" | lines)" 'err of one'
    ! has_vm || is "VMs" "$(find "$ROOT/.vm" -mindepth 1 -maxdepth 1 | wc -l)" 1
    exec_sync two -- sh -c 'cat /dev/shm/file; echo err >&2; exit 7'
    is "exit code and output" "$code $out" $'7 shared\nerr'
    # As CRI-O streams: the runtime itself, in the foreground.
    jq '.args = ["wc", "-c"]' "$T/process" >"$T/process.wc"
    is "stdin, counted" "$(printf 12345 | husk exec --process "$T/process.wc" "$ID-two")" 5
    # CRI-O is restarted: it asks for the states, and conmon has the rest.
    is "states" "$(state_field "$ID-one" status) $(state_field "$ID-two" status)" 'running running'
    local pid
    pid=$(cat "$T/one/pidfile")
    ok husk kill "$ID-one" 15
    is "exit code of one" "$(exit_file one)" 3
    until_ok "its pid to be gone" gone "$pid"
    is "state" "$(state_field "$ID-one" status)" stopped
    is "log" "$(grep -c ' stdout F bye' "$T/logs/one")" 1
    ok husk delete --force "$ID-one"
    exec_sync two -- true
    is "exit code" "$code" 0
    ok husk kill "$ID-two" KILL
    is "exit code of two" "$(exit_file two)" 137
    ok husk delete --force "$ID-two"
    ! has_vm || until_ok "the VM's end" eval '[[ -z $(ls "$ROOT/.vm" 2>/dev/null) ]]'
}

@test "attach: stdin to a container; a terminal and its size" {
    bundle one
    shell 'while read -r line; do echo "got $line"; done; echo end'
    container one -i
    exec 8> >(socat - "UNIX-CONNECT:$T/attach/$ID-one/attach,type=5" >"$T/attached" 3>&- 7>&-)
    echo first >&8
    until_ok "an answer" grep -q 'got first' "$T/logs/one"
    until_ok "the answer, attached" grep -qa 'got first' "$T/attached"
    exec 8>&-
    is "exit code" "$(exit_file one)" 0
    is "log" "$(lines <"$T/logs/one")" $'got first\nend'
    ok husk delete --force "$ID-one"
    bundle two '.process.terminal = true'
    shell 'tty; while read -r line; do stty size; done'
    container two -t
    # What is typed is echoed, so not before the first line has come.
    until_ok "the terminal's name" grep -q '/dev/pts/0' "$T/logs/two"
    # The control file: what, rows, columns.
    echo '1 33 99' >"$T/two/ctl"
    exec 8> >(socat - "UNIX-CONNECT:$T/attach/$ID-two/attach,type=5" >"$T/attached" 3>&- 7>&-)
    until_ok "the size" eval 'echo >&8; grep -q "33 99" "$T/logs/two"'
    like "log" "$(lines <"$T/logs/two" | tr -d '\r')" '^/dev/pts/0'
}

@test "a create that fails, an exec past its time, a container out of memory: what conmon tells CRI-O" {
    bundle one
    program no-such-program
    conmon_create one
    is "pid" "$(jq .pid <<<"$told")" -1
    like "message" "$(jq -r .message <<<"$told")" 'no-such-program.*executable file not found'
    bundle one '.linux.resources.memory.limit = 33554432'
    container one
    exec_sync one -T 1 -- sleep 2222
    is "exit code" "$code" -1
    no_sleep() { exec_sync one -- ps && [[ $out != *'sleep 2222'* ]]; }
    until_ok "the exec's end inside" no_sleep
    ok husk update --resources - "$ID-one" <<<'{"memory": {"limit": 16777216}}'
    exec_sync one -- tail /dev/zero
    is "exit code" "$code" 137
    until_ok "the file that tells of it" test -e "$T/persist/$ID-one/oom"
}
