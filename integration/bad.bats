# Bad input, creates that fail, processes of husk's that are killed: one clear line, exit code 1, nothing lost and nothing left.
load helpers

# refused REGEX WORD...: the command fails with exit code 1 (exec: 255, or CODE), one line on stderr that matches, and the same in the JSON log.
refused() {
    local regex=$1
    shift
    rm -f "$T/log.json"
    try husk --log "$T/log.json" --log-format json "$@" </dev/null
    is "exit code of $*" "$status" "${CODE:-$([[ $1 == exec ]] && echo 255 || echo 1)}"
    like "error of $*" "$err" "$regex"
    is "stdout of $*" "$out" ""
    # runc hands a hook's lines on as they are.
    ! is_husk || is "lines on stderr of $*" "$(wc -l <"$T/stderr")" 1
    local last
    last=$(grep '"level":"error"' "$T/log.json" | tail -1)
    like "message in the log of $*" "$(jq -r .msg <<<"$last")" "$regex"
    like "time in the log" "$(jq -r .time <<<"$last")" '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$'
}

create_refused() { refused "$1" create --bundle "$BUNDLE" "${2-$ID}"; }

# husk.toml of the test, from its lines.
configured() {
    printf '%s\n' "$@" >"$T/husk.toml"
    GLOBAL+=(--config "$T/husk.toml")
}

@test "a config.json that is missing, not JSON, of wrong types, without process or root" {
    mkdir "$T/bundle" && BUNDLE=$T/bundle
    create_refused 'config.json'
    refused 'no-such-folder' create --bundle "$T/no-such-folder" "$ID"
    echo '{"ociVersion": "1.0.2", ' >"$BUNDLE/config.json"
    create_refused '.'
    rm -r "$BUNDLE"
    local change
    for change in '.process.args = "sh"' '.process.user.uid = "root"' '.mounts = {}' '.linux.resources.memory.limit = "64m"' \
        '.process.terminal = "no"' '.ociVersion = 1' 'del(.process)' 'del(.root)' '.process.args = []' '.process.cwd = "relative"' \
        '.linux.namespaces += [{type: "no-such-type"}]' '.process.rlimits = [{type: "RLIMIT_NONE", soft: 1, hard: 1}]' 'del(.ociVersion)'; do
        new_bundle bundle "$change"
        # What runc lets pass, or dies of, is not ours to test.
        if is_husk; then create_refused '.'; else try husk create --bundle "$BUNDLE" "$ID" </dev/null; [[ $status -ne 0 ]] || husk delete -f "$ID"; fi
        nothing_left
        rm -r "$BUNDLE"
    done
    is "containers" "$(husk list -q)" ""
}

@test "a config.json's error names the place" {
    husk_only
    new_bundle
    edit '.process.args = "sh"'
    create_refused 'config.json.*process.args'
    edit '.process.args = ["sh"] | .linux.resources.memory.limit = "64m"'
    create_refused 'memory.limit'
}

@test "a sample of tests/spec/broken_configs.txt: its very sentence, behind the file's name" {
    husk_only
    local sentence change
    while IFS='|' read -r change sentence; do
        new_bundle bundle "$change"
        create_refused .
        is "error of $change" "${err#*config.json: }" "$sentence"
        nothing_left
        rm -r "$BUNDLE"
    done <<'END'
.process.user.uid = 4294967295|process.user.uid: 4294967295 is no id: the largest is 4294967294
.process.args[0] = "sh\u0000"|process.args[0]: the string holds a NUL byte
.mounts[0] = {destination: "/data"}|mounts[0].type: missing; only a bind mount may have none
.linux.namespaces[0] = {path: "/proc/1/ns/ipc"}|linux.namespaces[0].type: missing
.linux.namespaces[0].type = "net"|linux.namespaces[0].type: unknown namespace type "net"; expected pid, network, mount, ipc, uts, user, cgroup or time
.linux.resources.cpu = {period: 999}|linux.resources.cpu.period: 999 is not between 1000 and 1000000 microseconds
.linux.resources.unified = {"../x": "1"}|linux.resources.unified: "../x" is not the name of a cgroup file like "memory.high"
.linux.cgroupsPath = "/a/../../b"|linux.cgroupsPath: must not contain "..", got "/a/../../b"
.linux.seccomp = {defaultAction: "SCMP_ACT_NOTIFY"}|linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default: nobody could answer the first call
.hooks = {prestart: [{path: "a\nb"}]}|hooks.prestart[0].path: must be an absolute path, got "a\x0ab"
END
}

@test "a path with control characters, in one line all the same" {
    husk_only
    new_bundle bundle '.mounts += [{type: "bind", destination: "/a\nb\u001b[2J", source: "/no/such\nfolder", options: ["rbind"]}]'
    create_refused '/a\\x0ab\\x1b\[2J.*No such file'
    nothing_left
}

@test "a rootfs that is missing, or a file" {
    new_bundle
    edit '.root.path = "no-such-rootfs"'
    create_refused 'no-such-rootfs'
    nothing_left
    edit '.root.path = "config.json"'
    create_refused 'not a directory'
    nothing_left
}

@test "an id with a slash, an empty one, none" {
    new_bundle
    local id
    for id in a/b ../up . .. '' 'with space' "$(printf 'x%.0s' {1..2000})"; do
        # Of these runc takes one in its stride, or tells with more lines.
        ! is_husk && [[ $id == . || $id == .. || ${#id} -gt 1000 || -z $id ]] && continue
        create_refused '.' "$id"
    done
    [[ ! -e $T/up ]]
    husk_only
    refused 'argument' create --bundle "$BUNDLE"
    nothing_left
}

@test "husk's own folders below the root are no containers" {
    husk_only
    sleeper
    running
    for id in .vm .pool .other; do
        try husk delete --force "$id"
        is "exit code for $id" "$status" 1
        like "error for $id" "$err" "invalid id format: ..$id"
    done
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
}

@test "an id in use" {
    sleeper
    running
    create_refused 'exist'
    is "the first one" "$(state_field "$ID" status)" running
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
    nothing_left
}

@test "a cgroup that others live in is refused, and they live on" {
    husk_only
    sleeper
    running
    local group=/husk/$ID
    # The same id below another --root has the same cgroup.
    ROOT=$T/other create_refused "container's cgroup $group is not empty: [0-9]+ process"
    edit --arg group "$group" '.linux.cgroupsPath = $group'
    create_refused "container's cgroup $group is not empty" "$ID-2"
    # Whatever else is wrong.
    edit '.linux.namespaces |= map(if .type == "network" then .path = "/no/such/file" else . end)'
    create_refused . "$ID-2"
    is "the first one" "$(state_field "$ID" status)" running
    ok husk exec "$ID" true
    is "left" "$(find "$T/other" -mindepth 1 ! -name .vm)" ""
    edit '.linux.cgroupsPath = "/"'
    create_refused "the root cgroup cannot be a container's" "$ID-2"
    ok husk delete --force "$ID"
    nothing_left
}

@test "a container that does not exist" {
    local words
    for words in "state $ID" "start $ID" "kill $ID 9" "delete $ID" "exec $ID true" "pause $ID" "resume $ID" "ps $ID"; do
        if is_husk || [[ $words != exec* ]]; then refused 'does not exist' $words; fi
    done
    [[ ! -e $ROOT/$ID ]]
}

@test "a container in the wrong state, an unknown signal" {
    sleeper
    create
    refused 'not paused|paused' resume "$ID"
    refused 'signal' kill "$ID" NOSUCH
    refused 'signal' kill "$ID" 999
    is "status" "$(state_field "$ID" status)" created
    start
    refused 'running' start "$ID"
    refused 'running|not stopped' delete "$ID"
    refused 'not paused|paused' resume "$ID"
    is "status" "$(state_field "$ID" status)" running
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    refused 'stopped' start "$ID"
    refused 'not running|finished' kill "$ID" TERM
    refused 'not running|stopped' pause "$ID"
    ! is_husk || refused 'stopped|not running' exec "$ID" true
    ok husk delete "$ID"
    nothing_left
}

@test "exec: 1 for what is wrong before there is an id, 255 behind it" {
    sleeper
    running
    local words
    for words in '' -no-such-flag '-g x ID true' '--preserve-fds x ID true' --pid-file '-detach=maybe ID true'; do
        if is_husk; then
            CODE=1 refused . exec ${words/ID/$ID}
        else
            try husk exec ${words/ID/$ID}
            is "exit code of exec $words" "$status" 1
        fi
    done
    for words in ID '-u x ID true' '-p /no/such/file ID' '-no-such-flag=1 --help' "ID /no/such/program"; do
        try husk exec ${words/ID/$ID}
        is "exit code of exec $words" "$status" "$([[ $words == -no* ]] && echo 1 || echo 255)"
    done
    ok husk delete --force "$ID"
    nothing_left
}

@test "an unknown command, flag, format; a process.json that is none" {
    husk_only
    refused 'no-such-command' no-such-command
    refused 'no-such-flag' list --no-such-flag
    refused 'format' list --format yaml
    refused 'argument' state
    refused 'argument' state one two
    sleeper
    running
    refused 'no-such-file' exec --process "$T/no-such-file" "$ID"
    echo '{"args": "sh"}' >"$T/process.json"
    refused 'args' exec --process "$T/process.json" "$ID"
    refused '.' exec "$ID"
    refused 'user|uid' exec --user nobody:nogroup:more "$ID" true
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
    nothing_left
}

@test "a husk.toml with an unknown key or a bad value names the nearest good one" {
    husk_only
    new_bundle
    configured 'kernle = "/boot/vmlinux"'
    create_refused 'kernle.*kernel'
    configured 'accel = "tgc"'
    create_refused 'accel.*tcg'
    configured 'memory = 1'
    create_refused 'memory.*64'
    configured 'memory = "much"'
    create_refused 'memory'
    GLOBAL+=(--config "$T/no-such.toml")
    create_refused 'no-such.toml'
    nothing_left
}

@test "a hook that fails" {
    new_bundle
    local name
    for name in prestart createRuntime createContainer; do
        edit --arg n "$name" '.hooks = {($n): [{path: "/bin/sh", args: ["sh", "-c", "echo why it failed >&2; exit 3"]}]}'
        create_refused 'hook'
        ! is_husk || create_refused "$name hook.*why it failed"
        nothing_left
    done
    edit '.hooks = {startContainer: [{path: "/bin/sh", args: ["sh", "-c", "echo why it failed >&2; exit 3"]}]}'
    create
    try husk start "$ID"
    is "start" "$status" 1
    ! is_husk || like "its reason" "$err" 'running hook.*exit status 3.*why it failed'
    ok husk delete --force "$ID"
    edit '.hooks = {prestart: [{path: "/no/such/hook"}]}'
    create_refused '/no/such/hook'
    nothing_left
    edit '.hooks = {createRuntime: [{path: "/bin/sleep", args: ["sleep", "1000"], timeout: 1}]}'
    create_refused '[Tt]ime'
    nothing_left
}

@test "a bind mount whose source is missing" {
    new_bundle
    edit '.mounts += [{destination: "/data", type: "bind", source: "/no/such/source", options: ["bind"]}]'
    create_refused '/no/such/source'
    nothing_left
}

@test "QEMU or virtiofsd cannot start" {
    vm_only
    new_bundle
    configured 'qemu = "/bin/false"'
    create_refused 'QEMU|qemu|/bin/false'
    nothing_left
    configured 'qemu = "/no/such/qemu"'
    create_refused '/no/such/qemu'
    nothing_left
    configured 'virtiofsd = "/bin/false"'
    create_refused 'virtiofsd|/bin/false'
    nothing_left
}

@test "a guest that panics: the error or the log has its last words" {
    vm_only
    new_bundle
    configured 'kernel_params = "rdinit=/nonexistent root=/dev/nonexistent"'
    create_refused '.'
    like "the guest's last lines" "$err $(cat "$T/log.json")" 'panic|nonexistent'
    nothing_left
}

@test "a kernel that is none, an initrd that is missing" {
    vm_only
    new_bundle
    configured 'kernel = "/etc/passwd"'
    create_refused '.'
    nothing_left
    configured 'kernel = "/no/such/vmlinux"'
    create_refused '/no/such/vmlinux'
    configured 'initrd = "/no/such/initrd"'
    create_refused '/no/such/initrd'
    nothing_left
}

@test "namespaces of the host cannot be shared with a VM" {
    vm_only
    new_bundle
    edit '.linux.namespaces |= map(select(.type != "network"))'
    create_refused 'network'
    nothing_left
}

# killed NAME: a running container survives the SIGKILL of one of husk's processes as a stopped one.
killed() {
    sleeper "$1"
    running "$ID" --pid-file "$T/pid"
    ok husk exec --detach --pid-file "$T/exec.pid" "$ID" sleep 1000
    local pid pids
    pids=$(part "$1" "$ID")
    [[ -n $pids ]] || fail "no process: $1"
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    wait_status "$ID" stopped
    until_ok "the container's pid to be gone" dead "$(cat "$T/pid")"
    ok husk list
    like "list" "$out" "$ID .*stopped"
    try husk exec "$ID" true
    [[ $status -ne 0 ]]
    ok husk delete "$ID"
    nothing_left
}

@test "kill -9 of husk-sandbox" { vm_only; killed husk-sandbox; }
@test "kill -9 of husk-shim" { vm_only; killed husk-shim; }
@test "kill -9 of QEMU" { vm_only; killed qemu-system; }

@test "kill -9 of virtiofsd: a VM without its files ends" { vm_only; killed virtiofsd; }

@test "SIGTERM to husk-sandbox: stopped, or a create that fails" {
    vm_only
    sleeper
    running "$ID" --pid-file "$T/pid"
    kill -TERM "$(part husk-sandbox "$ID")"
    wait_status "$ID" stopped
    until_ok "the container's pid to be gone" dead "$(cat "$T/pid")"
    ok husk delete "$ID"
    nothing_left
    edit --arg undo "$ROOT/$ID/undo.json" '.hooks = {prestart: [{path: "/bin/sh", args: ["sh", "-c", "kill -TERM $(jq .sandbox.pid \"$0\")", $undo],
        env: ["PATH=/usr/bin:/bin"]}]}'
    create_refused 'husk-sandbox ended'
    nothing_left
}

@test "nobody reads the output: kill -9 is seen all the same, what was written can be read later" {
    new_bundle
    program yes
    mkfifo "$T/fifo"
    exec 7<>"$T/fifo"
    husk create --bundle "$BUNDLE" --pid-file "$T/pid" "$ID" </dev/null >&7 2>"$T/create.err" 7>&-
    start
    sleep 1
    is "status" "$(state_field "$ID" status)" running
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    until_ok "the container's pid to be gone" dead "$(cat "$T/pid")"
    is "what was written" "$(head -c 4 <&7)" $'y\ny'
    ok husk delete "$ID"
    exec 7>&-
    nothing_left
}

@test "nobody reads the output: delete --force" {
    new_bundle
    program yes
    mkfifo "$T/fifo"
    exec 7<>"$T/fifo"
    husk create --bundle "$BUNDLE" "$ID" </dev/null >&7 2>"$T/create.err" 7>&-
    start
    sleep 1
    ok husk delete --force "$ID"
    exec 7>&-
    nothing_left
}

# silent CLIENTS: so many connections to the control socket that say nothing.
silent() {
    local i
    for ((i = 0; i < $1; ++i)); do
        socat -u "UNIX-CONNECT:$ROOT/.vm/$ID/control.sock,type=5" - </dev/null >/dev/null 2>&1 3>&- &
        SILENT+=($!)
    done
}

@test "control clients that say nothing, or nonsense" {
    vm_only
    sleeper
    running
    local words pid
    for words in garbage '{' '[]' '{}' '{"op": 1}' '{"op": "create"}' '{"op": "no-such-op", "id": "x"}' '{"op": "kill", "id": "'"$ID"'", "signal": "x"}' \
        "$(head -c 200000 /dev/zero | tr '\0' x)"; do
        printf %s "$words" | socat -b 300000 -t 1 - "UNIX-CONNECT:$ROOT/.vm/$ID/control.sock,type=5,sndbuf=600000" >/dev/null 2>&1 || true
        is "status after ${words:0:40}" "$(state_field "$ID" status)" running
    done
    SILENT=()
    silent 140
    is "status" "$(state_field "$ID" status)" running
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
    for pid in "${SILENT[@]}"; do kill "$pid" 2>/dev/null || true; done
    nothing_left
}

@test "husk-sandbox stands still and its queue is full: list shows the others, delete --force ends it" {
    vm_only
    sleeper
    running
    running "$ID-2"
    local callers list
    kill -STOP "$(part husk-sandbox "$ID")"
    perl -MSocket -MErrno -e '$| = 1; while (1) { socket(my $s, AF_UNIX, SOCK_SEQPACKET | 04000, 0) or die;
        connect($s, sockaddr_un($ARGV[0])) or $!{EAGAIN} ? last : die; push @held, $s } print "full\n"; sleep 1000' \
        "$ROOT/.vm/$ID/control.sock" >"$T/callers" 3>&- &
    callers=$!
    until_ok "a full queue" grep full "$T/callers"
    husk list >"$T/list" 2>"$T/list.err" &
    list=$!
    ok husk delete --force "$ID"
    wait "$list"
    like "list" "$(cat "$T/list")" "$ID-2 .*running"
    kill "$callers"
    ok husk delete --force "$ID-2"
    nothing_left
}

@test "a full disk below --root: an error, and nothing left" {
    husk_only
    sleeper
    local size
    mkdir -p "$ROOT"
    for size in 0 4 8 12 16 20; do
        mount -t tmpfs -o size=20k,nr_inodes=100 tmpfs "$ROOT"
        head -c "$((20 - size))k" /dev/zero >"$ROOT/.full" || true
        try husk create --bundle "$BUNDLE" "$ID" </dev/null
        if ((size == 0)); then like "error" "$err" 'No space left'; fi
        if ((status != 0)); then
            is "lines on stderr" "$(wc -l <"$T/stderr")" 1
            is "left" "$(ls "$ROOT")" ""
        fi
        ok husk delete --force "$ID"
        is "left" "$(ls "$ROOT")" ""
        umount "$ROOT"
        nothing_left
    done
}

@test "no file more below --root, at any moment of a create: an error, and nothing left" {
    husk_only
    sleeper
    local files
    mkdir -p "$ROOT"
    status=1
    for ((files = 2; status != 0 && files < 40; ++files)); do
        mount -t tmpfs -o size=1m,nr_inodes=$files tmpfs "$ROOT"
        try husk create --bundle "$BUNDLE" "$ID" </dev/null
        if ((status != 0)); then
            like "error" "$err" 'No space left'
            is "left with $files" "$(find "$ROOT" -mindepth 1 ! -name .vm)" ""
        else
            ok husk delete --force "$ID"
        fi
        umount "$ROOT"
    done
    is "exit code with $files" "$status" 0
    nothing_left
}

@test "kill -9 of husk in the middle of a create" {
    husk_only
    sleeper
    local delay creator
    for delay in 0 0.2 0.6; do
        "$HUSK" "${GLOBAL[@]}" --root "$ROOT" create --bundle "$BUNDLE" "$ID" </dev/null >"$T/out" 2>&1 3>&- &
        creator=$!
        until_ok "the folder" test -d "$ROOT/$ID"
        sleep "$delay"
        kill -9 "$creator" 2>/dev/null || true
        wait "$creator" 2>/dev/null || true
        ok husk delete --force "$ID"
        nothing_left
    done
    # The id is free again.
    running
    ok husk delete --force "$ID"
    nothing_left
}

@test "SIGTERM to husk in the middle of a create, or to a husk run, leaves nothing" {
    husk_only
    sleeper
    "$HUSK" "${GLOBAL[@]}" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null >"$T/out" 2>&1 3>&- &
    local runner=$!
    wait_status "$ID" running
    # As runc, it hands the signal on; sleep as pid 1 does not hear it, SIGKILL it does.
    kill -TERM "$runner"
    ok husk kill "$ID" KILL
    status=0
    wait "$runner" || status=$?
    is "exit code" "$status" 137
    nothing_left
}

@test "SIGTERM to husk run while a hook of create runs: it goes on, and the process gets it" {
    new_bundle
    shell 'trap "echo got it; exit 7" TERM; while :; do usleep 10000; done'
    edit --arg t "$T" '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "touch \($t)/in; until [ -e \($t)/go ]; do sleep 0.05; done"]}]'
    "$HUSK" "${GLOBAL[@]}" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null >"$T/out" 2>&1 3>&- &
    local runner=$!
    until_ok "the hook" test -e "$T/in"
    kill -TERM "$runner"
    touch "$T/go"
    # As pid 1 the shell hears it only once it has its trap.
    until_ok "the end" eval '! kill -TERM "$runner" || dead "$runner"'
    status=0
    wait "$runner" || status=$?
    is "exit code" "$status" 7
    like "output" "$(cat "$T/out")" 'got it'
    nothing_left
}

@test "who may open forty files only can run a container" {
    new_bundle
    edit 'del(.process.rlimits)'
    shell 'echo works'
    (ulimit -n 40 && run_it && is "output" "$out" works)
}

@test "who joins the container's mount namespace, as podman cp does, is not on the host" {
    sleeper
    echo inside >"$BUNDLE/rootfs/where"
    running "$ID" --pid-file "$T/pid"
    local pid
    pid=$(cat "$T/pid")
    is "root" "$(cat "/proc/$pid/root/where")" inside
    [[ ! -e /proc/$pid/root$T ]]
    is "root of who joins" "$(nsenter -t "$pid" -m /bin/busybox cat /where)" inside
    ok husk exec -d --pid-file "$T/exec.pid" "$ID" sleep 1000
    is "root of an exec" "$(cat "/proc/$(cat "$T/exec.pid")/root/where")" inside
    ok husk delete --force "$ID"
    nothing_left
}

@test "--systemd-cgroup where systemd is not running: a line that says so, nothing left" {
    husk_only
    new_bundle
    edit '.linux.cgroupsPath = "a.slice:pre:c"'
    DBUS_SYSTEM_BUS_ADDRESS=unix:path=$T/no-bus try husk --systemd-cgroup run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" "unit pre-c.scope: systemd is not running here: unix:path=$T/no-bus: No such file or directory"
    nothing_left
}
