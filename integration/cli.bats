# The command line, as an engine or a person at a shell uses it.
load helpers

@test "create, start, state, kill, delete" {
    new_bundle
    shell 'trap "exit 3" TERM; echo started; while :; do sleep 0.1; done'
    create "$ID" --pid-file "$T/pid"
    is "output of create" "$(cat "$T/$ID.out" "$T/$ID.err")" ""
    local pid
    pid=$(cat "$T/pid")
    is "lines in the pid file" "$(wc -l <"$T/pid")" 0
    alive "$pid"

    ok husk state "$ID"
    is "id" "$(jq -r .id <<<"$out")" "$ID"
    is "status" "$(jq -r .status <<<"$out")" created
    is "pid" "$(jq -r .pid <<<"$out")" "$pid"
    is "bundle" "$(jq -r .bundle <<<"$out")" "$BUNDLE"
    like "ociVersion" "$(jq -r .ociVersion <<<"$out")" '^1\.[0-9]+\.[0-9]+'
    like "created" "$(jq -r .created <<<"$out")" '^20[0-9-]+T[0-9:.]+Z$'
    is "output before start" "$(cat "$T/$ID.out")" ""

    start
    wait_output "$ID" started
    is "status" "$(state_field "$ID" status)" running
    ok husk kill "$ID"
    wait_status "$ID" stopped
    until_ok "the pid to be gone" dead "$pid"
    is "pid of a stopped one" "$(state_field "$ID" pid)" 0
    ok husk delete "$ID"
    nothing_left
    try husk state "$ID"
    is "exit code of state" "$status" 1
    like "error" "$err" 'does not exist'
}

@test "run: the exit code, and 128 + the signal" {
    new_bundle
    shell 'exit 42'
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 42
    nothing_left
    shell 'echo ready; sleep 1000'
    husk run --bundle "$BUNDLE" "$ID" </dev/null >"$T/$ID.out" 2>"$T/$ID.err" &
    local runner=$!
    wait_output "$ID" ready
    ok husk kill "$ID" KILL
    status=0
    wait "$runner" || status=$?
    is "exit code after SIGKILL" "$status" 137
    nothing_left
}

@test "run: a program that is missing, or cannot be executed, is an error that says so" {
    new_bundle
    program /no/such/program
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'no such file or directory|executable file not found'
    nothing_left
    program no-such-program
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'executable file not found'
    program /etc/passwd
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'permission denied'
    nothing_left
}

@test "stdout and stderr stay apart; stdin ends by itself" {
    new_bundle
    shell 'echo to stdout; echo to stderr >&2; n=$(wc -c); echo "read $n"; echo end >&2'
    ok husk run --bundle "$BUNDLE" "$ID" < <(printf 12345)
    is "stdout" "$out" $'to stdout\nread 5'
    is "stderr" "$err" $'to stderr\nend'
    # Closed at once.
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "stdout" "$out" $'to stdout\nread 0'
    # stdout closed by the container, which goes on.
    shell 'exec >&-; sleep 0.2; echo still here >&2; exit 9'
    try husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "exit code" "$status" 9
    is "stderr" "$err" 'still here'
}

@test "some megabytes through stdin, stdout and stderr arrive whole" {
    new_bundle
    program cat
    head -c 6000001 /dev/urandom >"$T/data"
    local sum
    sum=$(sha256sum <"$T/data")
    is "from a file" "$(husk run --bundle "$BUNDLE" "$ID" <"$T/data" | sha256sum)" "$sum"
    is "through pipes" "$(cat "$T/data" | husk run --bundle "$BUNDLE" "$ID" | cat | sha256sum)" "$sum"
    shell 'cat >&2'
    is "stderr" "$(husk run --bundle "$BUNDLE" "$ID" <"$T/data" 2>&1 >/dev/null | sha256sum)" "$sum"
}

@test "a terminal through --console-socket: size, input, output, end" {
    new_bundle
    edit '.process.terminal = true'
    shell 'tty; stty size; read -r line; echo "got $line"; read -r line; stty size; exit 4'
    console_receiver 30 100
    create "$ID" --console-socket "$T/tty.sock" --pid-file "$T/pid"
    start
    until_ok "the terminal's size" grep -qs '30 100' "$T/console"
    echo hello >&8
    until_ok "the answer" grep -qs 'got hello' "$T/console"
    like "terminal" "$(cat "$T/console")" '/dev/(pts/0|console)'
    like "echo and line ends" "$(od -An -c "$T/console" | tr -d ' \n')" 'hello\\r\\ngothello\\r\\n'
    echo >&8
    wait_status "$ID" stopped
    exec 8>&-
    until_ok "the receiver to end" dead "$RECEIVER"
    ok husk delete "$ID"
}

@test "run on a terminal of one's own" {
    new_bundle
    edit '.process.terminal = true'
    shell 'test -t 0 && test -t 1 && test -t 2 && echo "a terminal: $TERM"; exit 5'
    export -f husk
    try on_terminal "$HUSK" "${GLOBAL[@]}" --root "$ROOT" run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 5
    like "output" "$out" 'a terminal: xterm'
    nothing_left
}

@test "exec: arguments, environment, folder, user, exit codes" {
    sleeper
    edit '.process.env += ["FROM=config"]'
    running
    ok husk exec "$ID" sh -c 'echo "$@" "$FROM"; echo err >&2; pwd; id -u' sh 'a  b' c
    is "stdout" "$out" $'a  b c config\n/\n0'
    is "stderr" "$err" err
    ok husk exec --cwd /home --env A=1 --env 'B=two words' --user 1000:1001 "$ID" sh -c 'echo "$A $B $(pwd) $(id -u) $(id -g)"'
    is "stdout" "$out" '1 two words /home 1000 1001'
    ok husk exec --user 1000 --additional-gids 2002 "$ID" id -G
    like "groups" "$out" '\b2002\b'
    try husk exec "$ID" sh -c 'exit 7'
    is "exit code" "$status" 7
    try husk exec "$ID" sh -c 'kill -9 $$'
    is "exit code of a killed one" "$status" 137
    try husk exec "$ID" no-such-program
    is "exit code of what is no program's" "$status" 255
    like "error" "$err" 'executable file not found'
    ok husk exec "$ID" cat < <(printf 'through stdin')
    is "stdout" "$out" 'through stdin'
    is "a MB each way" "$(head -c 1000000 "$BUNDLE/rootfs/bin/busybox" | husk exec "$ID" cat | sha256sum)" \
        "$(head -c 1000000 "$BUNDLE/rootfs/bin/busybox" | sha256sum)"
    is "status" "$(state_field "$ID" status)" running
    ok husk delete --force "$ID"
    nothing_left
}

@test "exec: --process, --detach with --pid-file, a terminal" {
    sleeper
    running
    echo '{"args": ["sh", "-c", "echo $X $(pwd) $(id -u); exit 6"], "env": ["X=y", "PATH=/bin"], "cwd": "/tmp", "user": {"uid": 1000, "gid": 1001}}' >"$T/process.json"
    try husk exec --process "$T/process.json" "$ID"
    is "exit code" "$status" 6
    is "stdout" "$out" 'y /tmp 1000'
    # What the file leaves out is as the container's own process has it.
    echo '{"args": ["sh", "-c", "sed -n s/^CapBnd:.//p /proc/self/status"], "env": ["PATH=/bin"], "cwd": "/"}' >"$T/process.json"
    ok husk exec --process "$T/process.json" "$ID"
    is "capabilities" "$out" 0000000020000420

    : >"$T/exec.pid"  # there already, and empty, as CRI-O has it
    ok husk exec --detach --pid-file "$T/exec.pid" "$ID" sleep 777
    is "lines in the pid file" "$(wc -l <"$T/exec.pid")" 0
    alive "$(cat "$T/exec.pid")"
    ok husk exec "$ID" ps
    like "processes inside" "$out" 'sleep 777'
    # SIGKILL on the host ends the process inside.
    kill -9 "$(cat "$T/exec.pid")"
    until_ok "the process inside to end" eval '[[ $(husk exec "$ID" ps) != *"sleep 777"* ]]'
    is "status" "$(state_field "$ID" status)" running

    try on_terminal "$HUSK" --root "$ROOT" exec --tty "$ID" sh -c 'test -t 0 && test -t 1 && echo a terminal; exit 8'
    is "exit code on a terminal" "$status" 8
    like "output" "$out" 'a terminal'

    # Its error comes before the hang-up.
    try on_terminal "$HUSK" --root "$ROOT" exec --tty "$ID" no-such-program
    is "exit code of what is not there" "$status" 255
    like "error" "$out$err" 'no-such-program.*: executable file not found in .PATH'

    console_receiver 20 70
    # It starts at once: the receiver may be later.
    ok husk exec --tty --detach --console-socket "$T/tty.sock" --pid-file "$T/tty.pid" "$ID" \
        sh -c 'until [ "$(stty size)" = "20 70" ]; do usleep 10000; done; stty size; read -r x; echo "got $x"'
    until_ok "the terminal's size" grep -qs '20 70' "$T/console"
    echo input >&8
    until_ok "the answer" grep -qs 'got input' "$T/console"
    until_ok "the receiver to end" dead "$RECEIVER"
    exec 8>&-
    ok husk delete --force "$ID"
}

@test "ps of many processes with long arguments" {
    new_bundle
    shell 'for i in $(seq 60); do sleep 1000 $(printf %04000d 0) & done; until [ $(pidof sleep | wc -w) = 60 ]; do :; done; echo there; wait'
    running
    wait_output "$ID" there
    ok husk ps "$ID"
    is "rows" "$(grep -c 'sleep 1000 0000000000' <<<"$out")" 60
    ok husk delete --force "$ID"
    nothing_left
}

@test "ps and list" {
    sleeper
    running "$ID" --pid-file "$T/pid"
    ok husk ps "$ID"
    like "header" "$out" '^UID +PID +PPID'
    like "table" "$out" 'sleep 1000'
    ok husk ps --format json "$ID"
    is "the container's pid is among the host's" "$(jq --argjson pid "$(cat "$T/pid")" 'index($pid) != null' <<<"$out")" true

    new_bundle second
    create "${ID}b"
    ok husk list
    like "header" "$out" '^ID +PID +STATUS +BUNDLE +CREATED +OWNER'
    like "first" "$out" "$ID +$(cat "$T/pid") +running +$T/bundle "
    like "second" "$out" "${ID}b +[0-9]+ +created +$T/second .* root"
    ok husk list --quiet
    is "ids" "$out" "$ID"$'\n'"${ID}b"
    ok husk list --format json
    is "json" "$(jq -r '.[] | "\(.id) \(.status)"' <<<"$out")" "$ID running"$'\n'"${ID}b created"
    ok husk delete "${ID}b"
    ok husk ps "$ID" -o pid,args
    like "options of ps's own" "$out" '^ *PID COMMAND'
    local pid='[0-9]+'
    has_vm || pid=$(cat "$T/pid")
    like "table" "$(sed 1d <<<"$out")" "^ *$pid sleep 1000$"
    is "lines" "$(wc -l <<<"$out")" 2
    ok husk ps "$ID" -e -x
    like "header" "$out" '^ +PID +TTY +STAT +TIME +COMMAND'
    like "table" "$(sed 1d <<<"$out")" "^ *$pid .* S.* sleep 1000"
    try husk ps "$ID" --forest-of-birches
    is "an option that is none" "$status" 1
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    ok husk ps "$ID"
    like "nothing runs" "$out" '^UID [^0-9]*$'
    ok husk delete --force "$ID"
    ok husk list -q
    is "nothing listed" "$out" ""
    nothing_left
}

@test "exec in a cgroup below the container's" {
    sleeper
    shell 'mkdir -p /sys/fs/cgroup/sub /sys/fs/cgroup/memory/sub; exec sleep 1000'
    edit '.mounts |= map(select(.destination != "/sys/fs/cgroup"))
        | .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev"]}]'
    running
    until_ok "the group" husk exec "$ID" sh -c 'test -d /sys/fs/cgroup/sub'
    try husk exec --cgroup .. "$ID" true
    is "a group above" "$status" 255
    like "error" "$err" '\.\. is not a sub cgroup path'
    try husk exec --cgroup nowhere "$ID" true
    is "a group that is not there" "$status" 255
    like "error" "$err" 'nowhere.*No such file'
    try husk exec --cgroup whaaat:sub "$ID" true
    like "error" "$err" 'unknown controller whaaat'
    if has_vm; then
        ok husk exec --cgroup sub "$ID" cat /proc/self/cgroup
        like "in it" "$out" '^0::/sub$'
    elif [[ -d /sys/fs/cgroup/memory ]]; then
        ok husk exec --cgroup memory:sub "$ID" cat /proc/self/cgroup
        is "in it" "$(grep -c '/sub$' <<<"$out")" 1
        like "in it" "$(grep '/sub$' <<<"$out")" ':memory:'
    fi
    ok husk delete --force "$ID"
    nothing_left
}

@test "pause and resume" {
    new_bundle
    shell 'while :; do echo >>/count; sleep 0.05; done'
    running
    until_ok "it to count" test -s "$BUNDLE/rootfs/count"
    ok husk pause "$ID"
    is "status" "$(state_field "$ID" status)" paused
    local count
    count=$(wc -l <"$BUNDLE/rootfs/count")
    try husk exec "$ID" true
    [[ $status -ne 0 ]]
    like "error of exec" "$err" 'paused'
    try husk delete "$ID"
    is "exit code of delete" "$status" 1
    sleep 0.5
    is "the count, paused" "$(wc -l <"$BUNDLE/rootfs/count")" "$count"
    ok husk resume "$ID"
    is "status" "$(state_field "$ID" status)" running
    until_ok "it to count on" eval '(($(wc -l <"$BUNDLE/rootfs/count") > '"$count"'))'
    ok husk pause "$ID"
    ok husk delete --force "$ID"
    nothing_left
}

@test "kill: by name and number, and --all" {
    new_bundle
    shell 'trap "echo usr1" USR1; trap "echo hup" HUP; trap "echo term" TERM; echo ready; while :; do sleep 0.05; done'
    running
    wait_output "$ID" ready
    ok husk kill "$ID" USR1
    wait_output "$ID" usr1
    ok husk kill "$ID" SIGHUP
    wait_output "$ID" hup
    ok husk kill "$ID" 15
    wait_output "$ID" term
    ok husk kill "$ID" ''
    until_ok "SIGTERM again" eval '[[ $(grep -c term "$T/$ID.out") == 2 ]]'
    ok husk exec --detach --pid-file "$T/exec.pid" "$ID" sleep 1000
    ok husk kill --all "$ID" 9
    wait_status "$ID" stopped
    until_ok "the other process to end" dead "$(cat "$T/exec.pid")"
    try husk kill "$ID" TERM
    is "exit code of kill" "$status" 1
    like "error" "$err" 'not running|already finished|no such process'
    # Engines sweep up after the end.
    try husk kill --all "$ID" 9
    ok husk delete "$ID"
}

@test "delete: a running one is refused, --force ends it, --force of none is fine" {
    sleeper
    running "$ID" --pid-file "$T/pid"
    try husk delete "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'not stopped'
    is "status" "$(state_field "$ID" status)" running
    ok husk delete --force "$ID"
    until_ok "the pid to be gone" dead "$(cat "$T/pid")"
    nothing_left
    ok husk delete --force "$ID"
    try husk delete "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'does not exist'
    # One that was never started.
    create
    ok husk delete "$ID"
    nothing_left
}

@test "run --detach and --keep" {
    sleeper
    ok husk run --detach --bundle "$BUNDLE" --pid-file "$T/pid" "$ID" </dev/null
    is "status" "$(state_field "$ID" status)" running
    # SIGKILL on the host is the container's end.
    kill -9 "$(cat "$T/pid")"
    wait_status "$ID" stopped
    ok husk delete "$ID"
    nothing_left

    shell 'exit 3'
    try husk run --keep --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 3
    is "status" "$(state_field "$ID" status)" stopped
    ok husk delete "$ID"
    nothing_left
}

@test "a kernel of its own" {
    vm_only
    new_bundle
    shell 'cat /proc/sys/kernel/random/boot_id; uname -r'
    ok husk run --bundle "$BUNDLE" "$ID"
    like "boot id" "$(sed -n 1p <<<"$out")" '^[0-9a-f-]{36}$'
    [[ $(sed -n 1p <<<"$out") != "$(cat /proc/sys/kernel/random/boot_id)" ]]
    [[ $(sed -n 2p <<<"$out") != "$(uname -r)" ]]
}

@test "spec, features, --version, --help" {
    mkdir "$T/empty"
    ok husk spec --bundle "$T/empty"
    is "version" "$(jq -r '.ociVersion | test("^1\\.")' "$T/empty/config.json")" true
    try husk spec --bundle "$T/empty"
    is "exit code of a second spec" "$status" 1
    like "error" "$err" 'exists'
    ok husk features
    is "features" "$(jq -r '.ociVersionMax | test("^1\\.")' <<<"$out")" true
    ok "$HUSK" --version
    like "version" "$out" 'version .*spec: 1\.'
    ok "$HUSK" --help
    like "help" "$out" 'create.*start'
    local command words
    for command in create start run state kill delete exec list ps pause resume spec features; do
        ok "$HUSK" "$command" --help
        like "help of $command" "$out" "$command"
        printf '%s' "$out" >"$T/help"
        for words in "help $command" "h $command"; do
            ok "$HUSK" $words
            is "$words" "$out" "$(cat "$T/help")"
        done
    done
    ok "$HUSK" help
    like "help" "$out" 'create.*start'
    try "$HUSK" help no-such-command
    like "error" "$err" 'no-such-command'
}

@test "--debug tells what was started, with which pid" {
    sleeper
    ok husk --debug --log "$T/log" run --detach --bundle "$BUNDLE" --pid-file "$T/pid" "$ID"
    ok husk --debug --log "$T/log" exec --detach --pid-file "$T/exec.pid" "$ID" sleep 77
    like "log" "$(cat "$T/log")" 'level=debug'
    is "stderr of exec" "$err" ""
    if is_husk; then
        grep "created $ID: sleep has pid $(cat "$T/pid")\"" "$T/log"
        grep "exec in $ID: sleep has pid $(cat "$T/exec.pid")\"" "$T/log"
    fi
    ok husk --log "$T/quiet" exec "$ID" true
    unlike "log" "$(cat "$T/quiet")" 'level=debug'
    ok husk delete --force "$ID"
    nothing_left
}

@test "hooks: their order, the state on their stdin, poststop after delete" {
    new_bundle
    local name
    for name in prestart createRuntime createContainer poststart poststop; do
        edit --arg n "$name" --arg log "$T/hooks" '.hooks[$n] = [{path: "/bin/sh", args: ["sh", "-c",
            "printf \"%s \" \($n) >>\($log); cat >>\($log); echo >>\($log)"], env: ["PATH=/usr/bin:/bin"]}]'
    done
    edit '.hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "cat >/start-hook"]}] | .annotations = {"key": "value"}'
    shell 'cat /start-hook; echo; sleep 1000'
    create "$ID" --pid-file "$T/pid"
    # runc 1.1 has run poststart, too, by now.
    like "hooks of create" "$(cut -d' ' -f1 "$T/hooks" | grep . | tr '\n' ' ')" '^prestart createRuntime createContainer '
    ! is_husk || is "poststart before start" "$(grep -c '^poststart' "$T/hooks")" 0
    local line
    line=$(sed -n 's/^createRuntime //p' "$T/hooks")
    is "id" "$(jq -r .id <<<"$line")" "$ID"
    is "pid" "$(jq -r .pid <<<"$line")" "$(cat "$T/pid")"
    is "bundle" "$(jq -r .bundle <<<"$line")" "$BUNDLE"
    is "annotation" "$(jq -r .annotations.key <<<"$line")" value
    like "status" "$(jq -r .status <<<"$line")" '^creat(ing|ed)$'
    start
    wait_output "$ID" ociVersion
    is "id for startContainer" "$(head -1 "$T/$ID.out" | jq -r .id)" "$ID"
    is "hooks of start" "$(tail -1 <(grep . "$T/hooks") | cut -d' ' -f1)" poststart
    ! is_husk || is "status for poststart" "$(sed -n 's/^poststart //p' "$T/hooks" | jq -r .status)" running
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    is "no poststop before delete" "$(grep -c '^poststop' "$T/hooks")" 0
    ok husk delete "$ID"
    is "status for poststop" "$(sed -n 's/^poststop //p' "$T/hooks" | jq -r .status)" stopped
    nothing_left
}

@test "any valid id will do, also one that husk might use for a file of its own" {
    new_bundle
    edit --arg c "/$ID" '.linux.cgroupsPath = $c'
    local id
    for id in accel state.json lock 0 A_b+c-d.e "$ID$(printf 'x%.0s' {1..200})"; do
        ok husk run --bundle "$BUNDLE" "$id" </dev/null
    done
    nothing_left
}

@test "three containers at a time, each its own" {
    local i pids=()
    for i in 1 2 3; do
        new_bundle "b$i"
        shell "echo number $i; cat /proc/sys/kernel/random/boot_id; sleep 1000"
        (create "$ID-$i" && husk start "$ID-$i") &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    for i in 1 2 3; do wait_output "$ID-$i" "number $i"; wait_output "$ID-$i" '-'; done
    is "running" "$(husk list -f json | jq 'map(select(.status == "running")) | length')" 3
    ! has_vm || is "different kernels" "$(cat "$T/$ID"-[123].out | grep -c -- -)/$(cat "$T/$ID"-[123].out | grep -- - | sort -u | wc -l)" 3/3
    ok husk delete --force "$ID-2"
    is "ids" "$(husk list -q | tr '\n' ' ')" "$ID-1 $ID-3 "
    is "status" "$(state_field "$ID-1" status)" running
    ok husk delete --force "$ID-1"
    ok husk delete --force "$ID-3"
    nothing_left
}
