# Many at once, and kill -9 at any moment: everything succeeds that can, and nothing is left. How many: CROWD, ROUNDS, EXECS.
load helpers

CROWD=${CROWD:-16}
ROUNDS=${ROUNDS:-12}
EXECS=${EXECS:-30}

# Mounts of this test in any mount namespace, and sandboxes' folders that somebody still holds.
mounts_anywhere() { grep -lsF "$T/" /proc/[0-9]*/mountinfo || true; }
nothing_left_anywhere() {
    nothing_left
    until_ok "mounts in other namespaces to be gone" eval '[[ -z $(mounts_anywhere) ]]'
}

@test "sixteen creates at once: all succeed, nothing is left" {
    sleeper
    local i pids=() failed=
    for ((i = 0; i < CROWD; ++i)); do
        husk create --bundle "$BUNDLE" --pid-file "$T/pid.$i" "$ID-$i" </dev/null >"$T/out.$i" 2>&1 &
        pids+=($!)
    done
    for ((i = 0; i < CROWD; ++i)); do
        wait "${pids[i]}" || failed+="create $i: exit $?: $(cat "$T/out.$i")"$'\n'
    done
    is "creates that failed" "$failed" ""
    is "containers" "$(husk list -q | wc -l)" "$CROWD"
    pids=()
    for ((i = 0; i < CROWD; ++i)); do
        alive "$(cat "$T/pid.$i")"
        { husk start "$ID-$i" && [[ $i -ne 3 || $(husk exec "$ID-$i" echo hello) == hello ]]; } >"$T/out.$i" 2>&1 &
        pids+=($!)
    done
    for ((i = 0; i < CROWD; ++i)); do
        wait "${pids[i]}" || failed+="start $i: exit $?: $(cat "$T/out.$i")"$'\n'
    done
    is "starts that failed" "$failed" ""
    pids=()
    for ((i = 0; i < CROWD; ++i)); do
        husk delete --force "$ID-$i" >"$T/out.$i" 2>&1 &
        pids+=($!)
    done
    for ((i = 0; i < CROWD; ++i)); do
        wait "${pids[i]}" || failed+="delete $i: exit $?: $(cat "$T/out.$i")"$'\n'
    done
    is "deletes that failed" "$failed" ""
    nothing_left_anywhere
}

# The pids of this test, by what they are.
pids_of() {
    local pid
    for pid in $(tagged_pids "$TAG"); do
        case $(cat "/proc/$pid/comm" 2>/dev/null) in $1*) echo "$pid" ;; esac
    done
}

@test "kill -9 of any process at any time: delete --force leaves nothing" {
    vm_only
    sleeper
    local round victim pid life
    local names=(husk husk-sandbox husk-shim qemu-system virtiofsd)
    RANDOM=${SEED:-$$}
    for ((round = 0; round < ROUNDS; ++round)); do
        victim=${names[round % ${#names[@]}]}
        (
            husk create --bundle "$BUNDLE" "$ID" && husk start "$ID" && husk exec "$ID" true && husk delete --force "$ID"
        ) </dev/null >"$T/out" 2>&1 &
        life=$!
        sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
        # "husk" alone: the command that runs now.
        for pid in $(pids_of "$victim"); do
            [[ $victim != husk || $(cat "/proc/$pid/comm" 2>/dev/null) == husk ]] || continue
            kill -9 "$pid" 2>/dev/null || true
        done
        wait "$life" || true
        CONTEXT="round $round: $victim; $(cat "$T/out")"
        ok husk delete --force "$ID"
        nothing_left_anywhere
    done
    # The id can be had again.
    running
    ok husk delete --force "$ID"
    nothing_left
}

# What a sandbox holds: fds, threads.
held() { echo "$(find "/proc/$1/fd" -mindepth 1 | wc -l) fds, $(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l) threads"; }
holds_no_more() {
    local fds threads
    read -r fds _ threads _ < <(held "$1")
    [[ $fds -le $2 && $threads -le $3 ]]
}

@test "exec storms: husk-sandbox holds no more after them" {
    vm_only
    sleeper
    running
    local sandbox i pids=() failed= fds threads
    sandbox=$(part husk-sandbox "$ID")
    for i in 1 2 3; do ok husk exec "$ID" true; done
    sleep 1
    read -r fds _ threads _ < <(held "$sandbox")
    for ((i = 0; i < EXECS; ++i)); do
        husk exec "$ID" sh -c "echo $i; exit $i" </dev/null >"$T/out.$i" 2>"$T/err.$i" &
        pids+=($!)
    done
    for ((i = 0; i < EXECS; ++i)); do
        status=0
        wait "${pids[i]}" || status=$?
        [[ $status -eq $i && $(cat "$T/out.$i") == "$i" ]] || failed+="exec $i: exit $status, «$(cat "$T/out.$i" "$T/err.$i")»"$'\n'
    done
    is "execs at once that failed" "$failed" ""
    for ((i = 0; i < EXECS; ++i)); do
        ok husk exec "$ID" echo "$i"
        is "output" "$out" "$i"
    done
    CONTEXT="before: $fds fds, $threads threads; now: $(held "$sandbox")" \
        until_ok "husk-sandbox to hold no more" holds_no_more "$sandbox" "$fds" "$((threads + 4))"
    is "shims" "$(husk ps --format json "$ID" | jq length)" 1
    ok husk delete --force "$ID"
    nothing_left
}

@test "twenty-five runs in a row under load: none hangs, none fails" {
    new_bundle
    program sh -c 'echo hello; exit 7'
    local i load=()
    for i in 1 2; do
        sh -c 'while :; do :; done' &
        load+=($!)
    done 3>&-
    for ((i = 0; i < 25; ++i)); do
        try husk run --bundle "$BUNDLE" "$ID-$i" </dev/null
        [[ $status -eq 7 && $out == hello ]] || break
    done
    kill "${load[@]}"
    is "exit code of run $i" "$status" 7
    is "output of run $i" "$out" hello
    nothing_left_anywhere
}

@test "open files: husk-sandbox may have all that are allowed, what it starts as many as ever; while there are none requests wait" {
    vm_only
    GLOBAL+=(--log "$T/log")
    soft_limit() { awk '/^Max open files/ {print $4}' "/proc/$1/limits"; }
    sleeper
    (ulimit -Sn 300 && running)
    local sandbox
    sandbox=$(part husk-sandbox "$ID")
    is "limit of husk-sandbox" "$(soft_limit "$sandbox")" "$(ulimit -Hn)"
    is "limit of QEMU" "$(soft_limit "$(part qemu-system "$ID")")" 300
    is "limit of husk-shim" "$(soft_limit "$(part husk-shim "$ID")")" 300
    # All that are open stay so. Not fewer than it polls: that is an error, too.
    prlimit --pid "$sandbox" --nofile=12:
    husk state "$ID" >"$T/state" 3>&- &
    local asking=$!
    until_ok "the warning" grep -q 'control connections wait: .*Too many open files' "$T/log"
    prlimit --pid "$sandbox" --nofile=1000:
    wait "$asking"
    is "status" "$(jq -r .status "$T/state")" running
    is "warnings" "$(grep -c 'control connections wait' "$T/log")" 1
    ok husk delete --force "$ID"
    nothing_left
}
