# --trace: one timeline of a start from all of husk's programs, in Chrome's trace event format.
load helpers

setup() {
    new_folder
    husk_only
    GLOBAL+=(--trace "$T/trace")
}

# The whole file as an array: its closing bracket is left out, which the format allows.
trace() { (sed '$ s/,$//' "$T/trace" && echo ']') | jq "$@"; }
# The spans, in the order of their beginnings: PROGRAM/NAME.
spans() { trace -r '[.[] | select(.ph == "X")] | sort_by(.ts)[] | "\(.cat)/\(.name)"'; }
# in_order SPAN...: each is there, and begins after the one before.
in_order() {
    local span at last=0
    spans >"$T/spans"
    for span in "$@"; do
        at=$(grep -nxF "$span" "$T/spans" | head -1 | cut -d: -f1)
        [[ -n $at ]] || fail "no span $span" "$(cat "$T/spans")"
        ((at > last)) || fail "$span is too early" "$(cat "$T/spans")"
        last=$at
    done
}
all_named() {
    is "spans of nameless processes and threads" "$(trace -c '(map(select(.ph == "M")) | map({pid, tid, name})) as $names
        | [.[] | select(.ph == "X") | {pid, tid} as $of
        | select(["process_name", "thread_name"] | all(. as $n | $names | any(. == $of + {name: $n})) | not)]')" '[]'
    is "spans that end before they begin" "$(trace -c '[.[] | select(.ph == "X" and .dur < 0)]')" '[]'
}

@test "run: the phases of all four programs, in order" {
    vm_only
    new_bundle
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out$err" ""
    all_named
    # Of each program by its own clock, and across the border where much time lies between.
    in_order husk/arguments husk/run 'husk/load bundle' 'husk/create container' husk/mounts 'husk/start container' husk/delete
    in_order husk-sandbox/virtiofsd 'husk-sandbox/start QEMU' husk-sandbox/hello 'husk-sandbox/mount share' husk-sandbox/create \
        husk-sandbox/start 'husk-sandbox/end QEMU'
    in_order husk-agent/Hello husk-agent/MountShare husk-agent/CreateContainer husk-init/request husk-init/namespaces husk-init/mounts \
        husk-init/root husk-init/user husk-agent/StartContainer husk-init/start husk-init/exec
    in_order 'husk/load bundle' husk-sandbox/virtiofsd husk-agent/CreateContainer husk-init/exec husk/delete
    nothing_left
}

@test "a VM that boots: its kernel's and its agent's start, too" {
    vm_only
    echo 'template = false' >"$T/husk.toml"
    GLOBAL+=(--config "$T/husk.toml")
    new_bundle
    ok husk run --bundle "$BUNDLE" "$ID"
    in_order 'husk-sandbox/start QEMU' husk-agent/kernel husk-agent/boot husk-agent/Hello husk-init/request husk-init/clone husk-init/mounts husk-init/exec
    nothing_left
}

@test "later commands append, with the guest's part" {
    vm_only
    sleeper
    running
    ok husk exec "$ID" true
    all_named
    in_order husk/create husk/start husk-init/exec husk/exec husk-sandbox/exec
    is "execs by husk-init" "$(spans | grep -c '^husk-init/exec$')" 2
    is "first line" "$(head -1 "$T/trace")" '['
    is "brackets" "$(grep -c '^\[' "$T/trace")" 1
    ok husk delete --force "$ID"
    nothing_left
}

@test "two starts at once in one file" {
    new_bundle
    local i pids=()
    for i in 1 2; do
        husk run --bundle "$BUNDLE" "$ID-$i" </dev/null >/dev/null 2>"$T/err-$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    all_named
    is "runs" "$(spans | grep -c '^husk/run$')" 2
    is "processes that were executed" "$(trace '[.[] | select(.ph == "X" and .name == "exec") | .pid] | unique | length')" 2
    nothing_left
}

@test "without a VM: husk and husk-init" {
    GLOBAL+=(--vm=none)
    new_bundle
    ok husk run --bundle "$BUNDLE" "$ID"
    in_order husk/run husk-init/request husk-init/mounts husk-init/exec husk/delete
    all_named
    nothing_left
}

@test "a file that cannot be written: one line that says so" {
    new_bundle
    GLOBAL=(--trace "$T/none/trace")
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" "--trace: open $T/none/trace: No such file or directory"
    nothing_left
}
