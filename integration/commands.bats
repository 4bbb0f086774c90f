# The commands' flags, one by one, where cli.bats shows the commands themselves.
# husk_only: runc 1.1's libseccomp and flags are older.
load helpers

@test "features: the spec's schema, and true" {
    husk_only
    ok husk features
    printf '%s' "$out" >"$T/features"
    is "members" "$(jq -r 'keys | join(" ")' <<<"$out")" 'annotations hooks linux mountOptions ociVersionMax ociVersionMin potentiallyUnsafeConfigAnnotations'
    is "of linux" "$(jq -r '.linux | keys | join(" ")' <<<"$out")" 'apparmor capabilities cgroup intelRdt mountExtensions namespaces seccomp selinux'
    is "of cgroup" "$(jq -c '.linux.cgroup' <<<"$out")" '{"v1":true,"v2":true,"systemd":true,"systemdUser":true,"rdma":true}'
    is "of seccomp" "$(jq -r '.linux.seccomp | keys | join(" ")' <<<"$out")" 'actions archs enabled knownFlags operators supportedFlags'
    is "types" "$(jq -r '[.hooks, .mountOptions, .potentiallyUnsafeConfigAnnotations, .linux.namespaces, .linux.capabilities,
        (.linux.seccomp | .actions, .operators, .archs, .knownFlags, .supportedFlags)] | map(type == "array" and all(.[]; type == "string")) | all' <<<"$out")" true
    is "annotations" "$(jq -r '.annotations | all(.[]; type == "string")' <<<"$out")" true
    is "what it does not apply" "$(jq -r '.linux | [.apparmor.enabled, .selinux.enabled, .intelRdt.enabled, .mountExtensions.idmap.enabled] | @csv' <<<"$out")" false,false,false,true
    is "namespaces" "$(jq -r '.linux.namespaces | sort | join(" ")' <<<"$out")" 'cgroup ipc mount network pid time user uts'
    # Every option is none of the file system's, both versions are accepted, and so is every capability.
    new_bundle
    edit --slurpfile f "$T/features" '.mounts += ($f[0].mountOptions - ["bind", "rbind", "idmap", "ridmap", "remount", "unbindable", "runbindable"]
        | map({destination: "/m/\(.)", type: "tmpfs", source: "tmpfs", options: [.]})) | .process.capabilities |= map_values($f[0].linux.capabilities)
        | .ociVersion = $f[0].ociVersionMin'
    run_it
    unlike "warnings" "$err" 'unknown'
    edit --slurpfile f "$T/features" '.ociVersion = $f[0].ociVersionMax'
    run_it
}

@test "update: every flag, and --resources from a file and stdin" {
    husk_only
    sleeper
    running
    ok husk update --memory 100M --memory-reservation 50M --memory-swap 150M --pids-limit 33 --cpu-quota 40000 --cpu-period 80000 --cpu-share 256 "$ID"
    ok husk update --cpu-burst 5000 "$ID"
    local read_all='cd /sys/fs/cgroup; for f in memory.max memory.low memory.swap.max pids.max cpu.max cpu.max.burst cpu.weight cpu.idle; do cat $f; done'
    v1() { cat "/sys/fs/cgroup/$1$(sed -n "s/^[0-9]*:$1:/\//p" "/proc/$(state_field "$ID" pid)/cgroup")/$1.$2"; }
    if has_vm; then
        ok husk exec "$ID" sh -c "$read_all"
        is "limits" "$(tr '\n' ' ' <<<"$out")" '104857600 52428800 52428800 33 40000 80000 5000 10 0 '
    else
        is "limits" "$(v1 memory limit_in_bytes) $(v1 memory soft_limit_in_bytes) $(v1 pids max) $(v1 cpu cfs_quota_us) $(v1 cpu cfs_period_us) $(v1 cpu cfs_burst_us) $(v1 cpu shares)" \
            '104857600 52428800 33 40000 80000 5000 256'
    fi
    echo '{"memory": {"limit": 83886080}, "pids": {"limit": 44}, "cpu": {"quota": 30000, "period": 60000}}' >"$T/resources"
    ok husk update --resources "$T/resources" "$ID"
    ok husk update --resources - --pids-limit 99 "$ID" < <(echo '{"cpu": {"shares": 1024}}')
    if has_vm; then
        ok husk exec "$ID" sh -c "$read_all"
        is "limits" "$(tr '\n' ' ' <<<"$out")" '83886080 52428800 52428800 44 30000 60000 5000 39 0 '
    else
        is "limits" "$(v1 memory limit_in_bytes) $(v1 pids max) $(v1 cpu cfs_quota_us) $(v1 cpu shares)" '83886080 44 30000 1024'
    fi
    ok husk update --cpu-idle 1 "$ID"
    ok husk update --cpu-idle 0 --cpuset-cpus 0 --cpuset-mems 0 --memory-swap -1 --pids-limit -1 "$ID"
    ok husk update --kernel-memory 1M "$ID"
    like "warning" "$err" 'memory.kernel: no longer supported'
    local bad
    for bad in '--cpu-idle 2' '--cpu-period 5' '--memory many' '--blkio-weight 5' '--pids-limit x' '--cpuset-cpus a-b' '--no-such-flag 1' '--resources /no/such/file'; do
        try husk update $bad "$ID"
        is "exit code of $bad" "$status" 1
        is "lines of the error of $bad" "$(wc -l <<<"$err")" 1
    done
    ok husk exec "$ID" dd if=/dev/zero of=/dev/shm/file bs=1M count=2
    try husk update --resources - "$ID" < <(echo '{"memory": {"limit": 1048576, "checkBeforeUpdate": true}}')
    like "checkBeforeUpdate" "$err" 'memory limit 1048576 is below the [0-9]+ bytes in use'
    if has_vm; then
        try husk update --memory 4096 "$ID"
        like "too little for anything" "$err" 'memory.limit: 4096 bytes are less than a process takes'
    fi
    try husk update --l3-cache-schema L3:0=f "$ID"
    is "exit code" "$status" 1
    like "error" "$err" "Intel RDT$(has_vm && echo '.* VM')"
    has_vm || unlike "error" "$err" 'VM'
    if has_vm; then
        ok husk update --cpu-rt-period 1000000 --cpu-rt-runtime 500000 --kernel-memory-tcp 1M "$ID"
        like "warning" "$err" 'no realtime limits'
        like "warning" "$err" 'no limit of kernelTCP'
    fi
    ok husk delete --force "$ID"
    nothing_left
}

@test "update: a limit of 0 stays as it is, -1 is none" {
    sleeper
    edit '.linux.resources.pids = {limit: 50}'
    running
    pids_limit() {
        ok husk events --stats "$ID"
        jq '.data.pids.limit // 0' <<<"$out"
    }
    ok husk update --pids-limit 0 "$ID"
    is "limit" "$(pids_limit)" 50
    ok husk update --resources - "$ID" < <(echo '{"pids": {"limit": 0}}')
    is "limit" "$(pids_limit)" 50
    ok husk update --pids-limit 60 "$ID"
    is "limit" "$(pids_limit)" 60
    ok husk update --pids-limit -1 "$ID"
    is "limit" "$(pids_limit)" 0
    ok husk delete --force "$ID"
    nothing_left
}

@test "events: --stats, --interval" {
    sleeper
    edit '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids = {limit: 50}'
    running
    ok husk events --stats "$ID"
    is "one line" "$(wc -l <<<"$out")" 1
    is "type and id" "$(jq -r '"\(.type) \(.id)"' <<<"$out")" "stats $ID"
    is "members" "$(jq -r '.data | [has("cpu", "memory", "pids", "blkio", "hugetlb")] | all' <<<"$out" 2>/dev/null ||
        jq -r '.data | [has("cpu"), has("memory"), has("pids"), has("blkio"), has("hugetlb")] | all' <<<"$out")" true
    is "limits" "$(jq -r '.data | "\(.memory.usage.limit) \(.pids.limit)"' <<<"$out")" '67108864 50'
    is "used" "$(jq -r '.data | [.cpu.usage.total > 0, .memory.usage.usage > 0, .pids.current > 0] | all' <<<"$out")" true
    local bad
    for bad in 0s -1s 5 x 1y 1s2 ''; do
        try husk events --interval "$bad" "$ID"
        is "exit code with «$bad»" "$status" 1
        like "error with «$bad»" "$err" 'interval'
    done
    husk events --interval 0m0.2s50ms "$ID" >"$T/events" 3>&- &
    local events=$!
    until_ok "three lines" eval '[[ $(grep -c "\"type\":\"stats\"" "$T/events") -ge 3 ]]'
    ok husk delete --force "$ID"
    wait "$events"
    is "nothing but events" "$(jq -r .type "$T/events" | sort -u)" stats
    nothing_left
}

@test "kill: names, numbers and real-time signals" {
    husk_only
    new_bundle
    shell 'for s in 1 2 10 12 15 34 35 37 64; do trap "echo got $s." $s; done; echo ready; while :; do sleep 0.05; done'
    running
    wait_output "$ID" ready
    local row
    for row in HUP:1 SIGINT:2 usr1:10 SigUsr2:12 15:15 RTMIN:34 SIGRTMIN+1:35 rtmin+3:37 RTMAX:64; do
        ok husk kill "$ID" "${row%:*}"
        wait_output "$ID" "got ${row#*:}\."
    done
    local bad
    for bad in 65 -1 SIGNOTHING RTMIN+31 RTMAX-31 '9 '; do
        try husk kill "$ID" "$bad"
        is "exit code of «$bad»" "$status" 1
    done
    ok husk kill "$ID" 0
    is "status" "$(state_field "$ID" status)" running
    ok husk kill "$ID" RTMAX-2 # its default is to end it, but not of a pid namespace's first
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    ok husk delete "$ID"
}

@test "list: all fields; spec --rootless" {
    sleeper
    edit '.annotations = {"org.example": "x"}'
    running "$ID" --pid-file "$T/pid"
    ok husk list --format json
    is "members" "$(jq -r '.[0] | keys | join(" ")' <<<"$out")" 'annotations bundle created id ociVersion owner pid rootfs status'
    is "values" "$(jq -r '.[0] | "\(.id) \(.pid) \(.status) \(.bundle) \(.rootfs) \(.owner) \(.annotations["org.example"])"' <<<"$out")" \
        "$ID $(cat "$T/pid") running $BUNDLE $BUNDLE/rootfs root x"
    try husk list --format yaml
    is "another format" "$status" 1
    ok husk delete --force "$ID"
    ok husk list --format json
    like "none" "$out" '^(\[\]|null)$'

    mkdir "$T/rootless"
    ok husk spec --rootless --bundle "$T/rootless"
    is "rootless" "$(jq -rc '[.linux.namespaces[].type] | contains(["user"])' "$T/rootless/config.json")" true
    is "mappings" "$(jq -rc '.linux | [.uidMappings, .gidMappings]' "$T/rootless/config.json")" '[[{"containerID":0,"hostID":0,"size":1}],[{"containerID":0,"hostID":0,"size":1}]]'
    cp -a "$FILE_DIR/rootfs" "$T/rootless/rootfs"
    BUNDLE=$T/rootless
    edit '.process.terminal = false | .process.args = ["cat", "/proc/self/uid_map"]'
    run_it
    is "map" "$(tr -s ' ' <<<"$out")" ' 0 0 1'
}

@test "exec: a large environment, by flags and from a file" {
    sleeper
    running
    local long count='echo ${#A} ${#B}'
    long=$(head -c 100000 /dev/zero | tr '\0' x)
    is "lengths" "$(husk exec --env "A=$long" --env "B=$long" "$ID" sh -c "$count" </dev/null)" '100000 100000'
    jq -n --arg long "$long" --arg count "$count" '{cwd: "/", args: ["/bin/sh", "-c", $count], env: ([range(10) | "E\(.)=\($long)"] + ["A=\($long)"])}' >"$T/process"
    ok husk exec --process "$T/process" "$ID"
    is "lengths" "$out" '100000 0'
    ok husk delete --force "$ID"
}

# with_fds COMMAND...: of husk, which has 3 and 4 open; LISTEN_FDS=$FDS is meant for it.
with_fds() {
    (exec 3<"$T/socket" 4<"$T/other"
        exec sh -c 'export LISTEN_FDS=$FDS LISTEN_PID=$$; exec "$@"' sh "$HUSK" "${GLOBAL[@]}" --root "$ROOT" "$@") </dev/null
}

@test "LISTEN_FDS, --preserve-fds" {
    sleeper
    echo 'from the socket' >"$T/socket"
    echo 'from the other' >"$T/other"
    running
    shell 'echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4'
    export FDS=1
    if has_vm; then
        local words
        for words in "run --bundle $BUNDLE $ID-2" "exec $ID true"; do
            try with_fds $words
            is "exit code of $words" "$status" "$([[ $words == run* ]] && echo 1 || echo 255)"
            like "error of $words" "$err" "LISTEN_FDS: the host's fds cannot be passed into a VM"
            is "lines of the error" "$(wc -l <<<"$err")" 1
        done
        FDS=0 try with_fds exec --preserve-fds 1 "$ID" true
        like "error" "$err" "preserve-fds.*: the host's fds cannot be passed into a VM"
    else
        try with_fds run --preserve-fds 1 --bundle "$BUNDLE" "$ID-2"
        is "output" "$out" $'1 1\nfrom the socket\nfrom the other'
        FDS=0 try with_fds exec --preserve-fds 2 "$ID" sh -c 'cat <&3; cat <&4; ls /proc/self/fd | tr "\n" " "'
        is "output of exec" "$out" $'from the socket\nfrom the other\n0 1 2 3 4 5 '
        # runc's exec knows no LISTEN_FDS.
        try with_fds exec --preserve-fds 1 "$ID" sh -c 'echo $LISTEN_FDS; cat <&3; cat <&4'
        ! is_husk || is "output of exec" "$out" $'1\nfrom the socket\nfrom the other'
    fi
    try husk exec --preserve-fds 1 "$ID" true
    ! is_husk || is "an fd that is not open" "$status" 255
    ok husk delete --force "$ID"
    nothing_left
}

@test "NOTIFY_SOCKET" {
    new_bundle
    local program=$BUILD/tools/sd_notify
    if [[ ! -x $program ]]; then
        program=$FILE_DIR/sd_notify
        [[ -x $program ]] || g++ -std=c++20 -O1 -static -o "$program" "$REPO/integration/tools/sd_notify.cc"
    fi
    cp "$program" "$BUNDLE/rootfs/bin/sd_notify"
    shell 'sd_notify STATUS=up 2>&1; sleep 0.2; sd_notify READY=1; exec sleep 1000'
    socat -u "UNIX-RECV:$T/manager.sock" "CREATE:$T/notified" 3>&- &
    local manager=$!
    until_ok "the manager's socket" test -S "$T/manager.sock"
    export NOTIFY_SOCKET=$T/manager.sock
    running "$ID" --pid-file "$T/pid"
    if has_vm; then
        is "warnings" "$(grep -c 'level=warning.*NOTIFY_SOCKET: a container in a VM cannot reach' "$T/$ID.err")" 1
    else
        until_ok "the manager to be told" test -s "$T/notified"
        is "what it was told" "$(cat "$T/notified")" "READY=1"$'\n'"MAINPID=$(cat "$T/pid")"
    fi
    ok husk delete --force "$ID"
    if ! has_vm; then
        : >"$T/notified"
        husk run --bundle "$BUNDLE" "$ID" </dev/null >"$T/$ID.out" 2>&1 &
        until_ok "the manager to be told" grep -q '^READY=1$' "$T/notified"
        ok husk delete --force "$ID"
        wait $! || true
    fi
    kill "$manager"
    wait "$manager" || true
    nothing_left
}
