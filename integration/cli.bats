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
    local command
    for command in create start run state kill delete exec list ps pause resume spec features; do
        ok "$HUSK" "$command" --help
        like "help of $command" "$out" "$command"
    done
}

@test "inside: host name, user, groups, capabilities, limits, folder, environment" {
    new_bundle
    edit '.hostname = "guest-name" | .process.cwd = "/home" | .process.env += ["KEY=a value"]
        | .process.user = {uid: 1000, gid: 1001, additionalGids: [2002, 2003], umask: 23}
        | .process.capabilities = (["bounding", "effective", "permitted", "inheritable", "ambient"]
            | map({key: ., value: ["CAP_CHOWN", "CAP_NET_RAW"]}) | from_entries)
        | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 333, hard: 444}, {type: "RLIMIT_CORE", soft: 0, hard: 0}]
        | .process.noNewPrivileges = true | .process.oomScoreAdj = 100'
    shell 'echo hostname=$(hostname); echo pid=$$; echo uid=$(id -u); echo gid=$(id -g); echo groups=$(id -G); echo umask=$(umask)
        echo cwd=$(pwd); echo key=$KEY; sed -n "s/^\(Cap[A-Z][a-z]*\|NoNewPrivs\):\s*/\1=/p" /proc/self/status
        echo soft=$(ulimit -Sn); echo hard=$(ulimit -Hn); echo oom=$(cat /proc/self/oom_score_adj)
'
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null
    is hostname "$(value hostname)" guest-name
    is pid "$(value pid)" 1
    is uid "$(value uid)" 1000
    is gid "$(value gid)" 1001
    is groups "$(value groups)" '1001 2002 2003'
    is umask "$(value umask)" 0027
    is cwd "$(value cwd)" /home
    is environment "$(value key)" 'a value'
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do is "$set" "$(value $set)" 0000000000002001; done
    is "no new privileges" "$(value NoNewPrivs)" 1
    is "soft limit" "$(value soft)" 333
    is "hard limit" "$(value hard)" 444
    is "OOM score" "$(value oom)" 100
    # What the caller has open does not reach the container; 3 is ls's own.
    program ls /proc/self/fd
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null 7</etc/passwd
    is "open files" "$out" $'0\n1\n2\n3'
}

@test "inside: mounts, masked and read-only paths, devices" {
    new_bundle
    docker_caps
    edit '.mounts += [{destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=1m", "mode=700"]}]
        | .linux.maskedPaths += ["/etc/group"] | .linux.readonlyPaths += ["/home"]
        | .linux.devices = [{path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 438, uid: 1000, gid: 1001}]
        | .linux.resources.devices += [{allow: true, type: "c", major: 1, minor: 5, access: "rwm"}]'
    shell 'echo proc=$(grep -c " /proc proc " /proc/mounts); echo sysfs=$(grep -c " /sys sysfs ro" /proc/mounts)
        echo scratch=$(stat -c %a /scratch) $(grep " /scratch " /proc/mounts | grep -o "nosuid"); echo x >/scratch/x && echo wrote=yes
        echo masked=$(cat /etc/group | wc -c); echo kcore=$(cat /proc/kcore 2>/dev/null | head -c 1 | wc -c)
        echo x 2>/dev/null >/home/x || echo home=ro; echo 1 2>/dev/null >/proc/sys/kernel/panic || echo sys=ro
        for d in null zero full random urandom tty mine; do [ -c /dev/$d ] || echo missing=$d; done
        echo mine=$(stat -c "%a %u %g" /dev/mine) $(head -c 3 /dev/mine | od -An -tx1); echo x >/dev/null && echo null=ok
        mknod /tmp/kmsg c 1 11 2>/dev/null && cat /tmp/kmsg >/dev/null 2>&1 || echo kmsg=refused
        echo pts=$(grep -c " /dev/pts devpts " /proc/mounts); echo root=$(ls -d /bin); ls -l /dev/fd /dev/stdin >/dev/null && echo links=ok'
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null
    is proc "$(value proc)" 1
    is sysfs "$(value sysfs)" 1
    is scratch "$(value scratch)" '700 nosuid'
    is "a file on tmpfs" "$(value wrote)" yes
    is "a masked file" "$(value masked)" 0
    is "/proc/kcore" "$(value kcore)" 0
    is "a read-only path" "$(value home)" ro
    is "/proc/sys" "$(value sys)" ro
    is "devices" "$(value missing)" ''
    is "a device of its own" "$(value mine)" '666 1000 1001 00 00 00'
    is "/dev/null" "$(value null)" ok
    is "a device that is not allowed" "$(value kmsg)" refused
    is "/dev/pts" "$(value pts)" 1
    is "links in /dev" "$(value links)" ok

    edit '.root.readonly = true'
    shell 'echo x >/x'
    try husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "exit code of a write to a read-only root" "$status" 1
    like "error" "$err" 'Read-only file system'
    [[ ! -e $BUNDLE/rootfs/x ]]
}

@test "inside: sysctl, seccomp, the cgroup's limits" {
    new_bundle
    edit '.linux.sysctl = {"kernel.msgmnb": "32768", "net.ipv4.ip_unprivileged_port_start": "80"}
        | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
            syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28}]}
        | .linux.resources.memory = {limit: 67108864} | .linux.resources.cpu = {quota: 50000, period: 100000}
        | .linux.resources.pids = {limit: 50}'
    shell 'cd /sys/fs/cgroup
        echo msgmnb=$(cat /proc/sys/kernel/msgmnb); echo port=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)
        echo mkdir=$(mkdir /tmp/x 2>&1); echo seccomp=$(sed -n "s/^Seccomp:\s*//p" /proc/self/status)
        echo memory=$(cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes)
        echo cpu=$(cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us))
        echo pids=$(cat pids.max 2>/dev/null || cat pids/pids.max)'
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "a sysctl" "$(value msgmnb)" 32768
    is "a sysctl of the network" "$(value port)" 80
    like "a filtered call" "$(value mkdir)" 'No space left on device'
    is "seccomp" "$(value seccomp)" 2
    is "memory" "$(value memory)" 67108864
    is "cpu" "$(value cpu)" '50000 100000'
    is "pids" "$(value pids)" 50
}

@test "inside: a process that takes more memory than the limit is killed" {
    new_bundle
    edit '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
    shell 'head -c 100m /dev/zero | tail; echo "survived $?"; exit 0'
    try husk run --bundle "$BUNDLE" "$ID" </dev/null
    unlike "output" "$out" 'survived 0'
    nothing_left
}

@test "events: the OOM killer's work is told of" {
    sleeper
    edit '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
    running
    husk events --interval 1s "$ID" >"$T/events" 3>&- &
    local events=$!
    until_ok "statistics" grep -q '"type":"stats"' "$T/events"
    try husk exec "$ID" sh -c 'head -c 100m /dev/zero | tail'
    until_ok "the event" grep -qxF '{"type":"oom","id":"'"$ID"'"}' "$T/events"
    ok husk delete --force "$ID"
    wait "$events"
    nothing_left
}

@test "bind mounts: read-only and read-write, a folder and a file, both ways" {
    new_bundle
    docker_caps
    mkdir -p "$T/volume" "$T/constant" "$BUNDLE/rootfs/volume"
    echo 'from the host' >"$T/volume/in"
    echo constant >"$T/constant/file"
    echo single >"$T/single"
    edit --arg t "$T" '.mounts += [{destination: "/volume", type: "bind", source: "\($t)/volume", options: ["rbind", "rw"]},
        {destination: "/constant", type: "bind", source: "\($t)/constant", options: ["bind", "ro"]},
        {destination: "/etc/single", type: "bind", source: "\($t)/single", options: ["bind"]}]'
    shell 'cat /volume/in /constant/file /etc/single; echo "from inside" >/volume/out; echo changed >/etc/single
        mkdir /volume/folder && ln -s target /volume/link && chown 1000:1001 /volume/out && chmod 640 /volume/out
        echo x >/constant/file; echo "exit $?"; while [ ! -e /volume/go ]; do sleep 0.1; done; cat /volume/go'
    husk run --bundle "$BUNDLE" "$ID" </dev/null >"$T/$ID.out" 2>"$T/$ID.err" &
    local runner=$!
    wait_output "$ID" exit
    echo 'written later' >"$T/volume/go.new" && mv "$T/volume/go.new" "$T/volume/go"
    wait "$runner"
    is "output" "$(cat "$T/$ID.out")" $'from the host\nconstant\nsingle\nexit 1\nwritten later'
    like "error" "$(cat "$T/$ID.err")" 'Read-only file system'
    is "what it wrote" "$(cat "$T/volume/out" "$T/single" "$T/constant/file")" $'from inside\nchanged\nconstant'
    is "owner and mode" "$(stat -c '%u %g %a' "$T/volume/out")" '1000 1001 640'
    is "a link" "$(readlink "$T/volume/link")" target
    nothing_left
}

@test "files of the root are the host's, with owners, modes, links, a fifo and a socket" {
    new_bundle
    docker_caps
    shell 'set -e; echo text >/made; chown 1000:1001 /made; chmod 4755 /made; ln /made /hard; mkfifo /fifo; mkdir -m 700 /dir
        (echo through >/fifo) & cat /fifo; dd if=/dev/zero of=/sparse bs=1 count=1 seek=1000000 2>/dev/null; mv /dir /moved
        rm /etc/group; echo more >>/made'
    ok husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "through a fifo" "$out" through
    is "a file" "$(stat -c '%u %g %a %h %s' "$BUNDLE/rootfs/made")" '1000 1001 4755 2 10'
    is "a sparse file" "$(stat -c %s "$BUNDLE/rootfs/sparse")" 1000001
    [[ -p $BUNDLE/rootfs/fifo && -d $BUNDLE/rootfs/moved && ! -e $BUNDLE/rootfs/dir && ! -e $BUNDLE/rootfs/etc/group ]]
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

@test "a user namespace of its own: root in it is nobody special outside" {
    new_bundle
    chmod 755 "$T"
    chown -R 100000:100000 "$BUNDLE/rootfs"
    edit '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
    shell 'id -u; awk "{print \$1, \$2, \$3}" /proc/self/uid_map; touch /made; ls /sys/class/net | grep lo; touch /sys/x 2>/dev/null || echo kept'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" $'0\n0 100000 65536\nlo\nkept'
    is "the file's owner on the host" "$(stat -c %u:%g "$BUNDLE/rootfs/made")" 100000:100000
    nothing_left
}

# limit_of V1FILE V2FILE: of the container's cgroup on the host.
limit_of() {
    local v1 v2 line=/proc/$(state_field "$ID" pid)/cgroup
    v1=$(sed -n "s/^[0-9]*:\([^:]*,\)*${1%%.*}\(,[^:]*\)*:\//\//p" "$line")
    v2=$(sed -n 's/^0:://p' "$line")
    cat "/sys/fs/cgroup/${1%%.*}$v1/$1" 2>/dev/null || cat "/sys/fs/cgroup$v2/$2"
}

@test "limits on the host: quota, processes and devices bound the whole VM" {
    vm_only
    sleeper
    edit '.linux.resources = {cpu: {quota: 50000, period: 100000, shares: 512}, pids: {limit: 10},
        devices: [{allow: false, access: "rwm"}, {allow: true, type: "c", major: 10, minor: 229, access: "rw"}]}'
    running
    like "quota" "$(limit_of cpu.cfs_quota_us cpu.max)" '^50000'
    is "processes: what the VM needs" "$(limit_of pids.max pids.max)" 768
    if [[ -e /sys/fs/cgroup/devices ]]; then
        like "devices" "$(limit_of devices.list devices.list)" 'c 10:229 rw'
        unlike "devices" "$(limit_of devices.list devices.list)" 'a \*:\*'
    fi
    ok husk exec "$ID" true
    ok husk update --cpu-quota 60000 --pids-limit 1000 "$ID"
    like "quota" "$(limit_of cpu.cfs_quota_us cpu.max)" '^60000'
    is "processes" "$(limit_of pids.max pids.max)" 1000
    ok husk exec "$ID" sh -c 'cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max'
    is "in the guest" "$out" $'60000 100000\n1000'
    # What would not let the VM answer at all is not taken literally.
    ok husk update --cpu-quota 1000 "$ID"
    like "quota" "$(limit_of cpu.cfs_quota_us cpu.max)" '^5000'
    ok husk delete --force "$ID"
    nothing_left
}

@test "cpuset: the host's numbers, whatever CPUs the container's kernel has" {
    local last=$(($(nproc) - 1))
    new_bundle
    edit --arg c "$last" '.linux.resources.cpu = {cpus: $c, quota: 50000, period: 100000}'
    program sleep 1000
    running
    is "the host's cgroup" "$(cat "/sys/fs/cgroup/cpuset$(sed -n 's/.*:cpuset://p' "/proc/$(state_field "$ID" pid)/cgroup")/cpuset.cpus" 2>/dev/null ||
        cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(state_field "$ID" pid)/cgroup")/cpuset.cpus")" "$last"
    ok husk update --cpuset-cpus 0 "$ID"
    ok husk exec "$ID" true
    ok husk delete --force "$ID"
    nothing_left
}
