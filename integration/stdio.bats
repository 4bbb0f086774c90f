# The standard streams of containers: pipes, sockets, files, terminals, none at all; in the foreground, detached, over a console
# socket. What calls husk is tools/call, which says what came through.
load helpers

setup_file() {
    common_setup_file
    if [[ ! -x $BUILD/tools/call ]]; then
        mkdir -p "$BUILD/tools"
        g++ -std=c++20 -O2 -o "$BUILD/tools/call" "$REPO/integration/tools/call.cc"
    fi
}

# call [OPTION WORD]... COMMAND...: the runtime's COMMAND, called so. Its report is in $out: `value KEY`.
call() {
    local options=()
    while [[ $1 == -? ]]; do
        options+=("$1" "$2")
        shift 2
    done
    ok timeout --foreground -k 5 "$LIMIT" "$BUILD/tools/call" "${options[@]}" "${RUNTIME[@]}" "$@" 3>&- 4>&-
    is "steps that were not done" "$(value steps_left)" 0
}
# reported KEY WANTED...
reported() {
    while (($# > 1)); do
        is "$1" "$(value "$1")" "$2"
        shift 2
    done
}
same_sum() { is "sum of what came through $2" "$(value "$2_sum")" "$(value "$1_sum")"; }

setup() {
    new_folder
    RUNTIME=("$HUSK" "${GLOBAL[@]}" --root "$ROOT")
    RUN=(run --bundle "$T/bundle" "$ID")
    DETACHED=(run --detach --pid-file "$T/pid" --bundle "$T/bundle" "$ID")
}
# A step that has the shell call the runtime.
runtime_step() { printf 'sh:%s' "$(printf '%q ' "${RUNTIME[@]}" "$@")"; }

@test "100 MB through pipes, in the foreground" {
    new_bundle
    program cat
    call -0 pattern:100000000 -1 pipe -2 pipe "${RUN[@]}"
    reported exit 0 in 100000000 out 100000000 err 0 out_end eof
    same_sum in out
    nothing_left
}

@test "100 MB through files, detached: complete when the end is seen" {
    new_bundle
    program sh -c 'cat; echo end >&2; exit 3'
    head -c 100000000 /dev/urandom >"$T/data"
    echo before >"$T/err"
    call -0 "file:$T/data" -1 "file:$T/copy" -2 "append:$T/err" -p "$T/pid" "${DETACHED[@]}"
    reported exit 0
    cmp "$T/data" "$T/copy"
    is "the file that is appended to" "$(cat "$T/err")" $'before\nend'
    ok husk delete --force "$ID"
}

@test "exec: 30 MB through a socket that is stdin and stdout, 30 MB of stderr, 5 MB of a terminal" {
    sleeper
    running
    call -0 socket-pattern:30000000 -1 0 -2 pipe exec "$ID" sh -c 'cat; echo end >&2; exit 4'
    reported exit 4 in 30000000 back 30000000 err_text 'end\n'
    same_sum in back
    call -0 pattern:30000000 -1 socket -2 socket exec "$ID" sh -c 'cat >&2; echo end'
    reported exit 0 err 30000000 out_text 'end\n'
    same_sum in err
    call -t 24x80 exec --tty "$ID" sh -c 'stty -opost; head -c 5000000 /dev/zero | tr "\0" x'
    reported exit 0 tty 5000000 terminal restored
    # Detached, and there at once when its end is seen.
    call -0 pattern:3000000 -1 pipe -2 pipe -p "$T/pid" exec --detach --pid-file "$T/pid" "$ID" sh -c 'cat; echo end >&2'
    reported exit 0 out 3000000 err_text 'end\n'
    same_sum in out
    ok husk delete --force "$ID"
}

@test "each stream closes early by itself" {
    new_bundle
    # stdout's reader goes, then stderr's writer reads on from stdin.
    shell 'yes; echo "yes: $?" >&2; cat >&2'
    call -0 open -1 pipe -2 pipe -s 'expect:y' -s close:1 -s 'expect:yes: 141' -s 'type:line\n' -s expect:line -s close:0 "${RUN[@]}"
    reported exit 0 err_text 'yes: 141\nline\n'
    shell 'yes >&2; echo "yes: $?"; cat'
    call -0 open -1 pipe -2 pipe -s 'expect:y' -s close:2 -s 'expect:yes: 141' -s 'type:line\n' -s expect:line -s close:0 "${RUN[@]}"
    reported exit 0 out_text 'yes: 141\nline\n'
    # A reader who was never there, and one who goes while nothing is written.
    shell 'yes; echo "yes: $?" >&2; exit 5'
    call -1 gone -2 pipe "${RUN[@]}"
    reported exit 5 err_text 'yes: 141\n'
    # SIGPIPE, and that is the container's end.
    shell 'yes; exit $?'
    call -1 socket -s 'expect:y' -s close:1 "${RUN[@]}"
    reported exit 141
    nothing_left
}

@test "stdin that nobody reads any more: its writer is told" {
    new_bundle
    shell 'head -c 10 >/dev/null; exec <&-; echo closed; while [ ! -e /go ]; do sleep 0.05; done; echo end; exit 6'
    call -0 pattern:100000000 -1 pipe -2 pipe -p "$T/pid" -s expect:closed -s ended:0 -s "sh:touch $BUNDLE/rootfs/go" "${DETACHED[@]}"
    reported exit 0 in_end epipe out_text 'closed\nend\n'
    ok husk delete --force "$ID"
}

@test "no stdin, stdout and stderr at all" {
    new_bundle
    shell 'cat; echo out; echo err >&2; ls -l /proc/self/fd >/file; exit 3'
    call -0 closed -1 closed -2 closed "${RUN[@]}"
    reported exit 3
    like "the process's own" "$(cat "$BUNDLE/rootfs/file")" ' 0 -> .* 1 -> .* 2 -> '
    rm "$BUNDLE/rootfs/file"
    shell 'cat; echo out; exit 4'
    call -0 closed -1 pipe -2 closed "${RUN[@]}"
    reported exit 4 out_text 'out\n'
    shell 'cat >&2; exit 5'
    call -0 text:through -1 closed -2 socket "${RUN[@]}"
    reported exit 5 err_text through
    nothing_left
}

@test "stdout and stderr that are the same keep their order" {
    new_bundle
    shell 'for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done; exit 7'
    local wanted='o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\no6\ne6\no7\ne7\no8\ne8\no9\ne9\n'
    call -1 pipe -2 1 -p "$T/pid" "${DETACHED[@]}"
    reported exit 0 out_text "$wanted"
    ok husk delete --force "$ID"
    call -0 socket -1 0 -2 0 -p "$T/pid" "${DETACHED[@]}"
    reported exit 0 back_text "$wanted"
    ok husk delete --force "$ID"
    call -1 "append:$T/file" -2 1 -p "$T/pid" "${DETACHED[@]}"
    is "the file" "$(cat "$T/file")" "$(printf "$wanted")"
    ok husk delete --force "$ID"
    is_husk || return 0 # runc's foreground has pipes of its own
    call -1 pipe -2 1 "${RUN[@]}"
    reported exit 7 out_text "$wanted"
    call -t 24x80 -0 null "${RUN[@]}"
    reported exit 7 tty_text "${wanted//'\n'/'\r\n'}"
    nothing_left
}

@test "a reader who does not read holds up its own stream only, and little is kept for it" {
    new_bundle
    shell 'head -c 50000000 /dev/zero & for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; echo $i >&2; done; wait; echo all >&2'
    local memory=(-s expect:9)
    has_vm && memory+=(-s "sh:grep VmHWM /proc/\$(pgrep -f '^([^ ]*/)?husk-sandbox $ID\$')/status >$T/memory")
    call -0 open -1 pipe -2 pipe -s stop:1 "${memory[@]}" -s go:1 -s expect:all "${RUN[@]}"
    reported exit 0 out 50000000 err_text '1\n2\n3\n4\n5\n6\n7\n8\n9\nall\n'
    # KiB; without a bound it would have been 50 MB more.
    has_vm && { (($(tr -dc 0-9 <"$T/memory") < 60000)) || fail "$(cat "$T/memory")"; }
    # The other way round, and with the process gone before its output is read: all of it, then its end.
    shell 'head -c 50000 /dev/zero >&2; echo all; exit 8'
    call -1 pipe -2 pipe -s stop:2 -s expect:all -s go:2 "${RUN[@]}"
    reported exit 8 err 50000
    nothing_left
}

@test "husk-sandbox stands still for a while: what was written meanwhile comes whole, in order, and the process goes on" {
    vm_only
    local sandbox
    new_bundle
    shell 'i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); echo line $i; done'
    running
    wait_output "$ID" 'line 100$'
    sandbox=$(part husk-sandbox "$ID")
    kill -STOP "$sandbox"
    sleep 3 # by then the port is full, too: the process waits
    kill -CONT "$sandbox"
    wait_status "$ID" stopped
    seq -f 'line %.0f' 60000 | cmp - "$T/$ID.out"
    ok husk delete "$ID"
    nothing_left
}

@test "a reader who does not read at all: the process waits, and can be killed" {
    new_bundle
    shell 'echo ready >&2; yes'
    call -1 pipe -2 pipe -p "$T/pid" -s stop:1 -s expect:ready -s exited: -s "$(runtime_step kill "$ID" KILL)" "${DETACHED[@]}"
    reported exit 0
    has_status "$ID" stopped
    ok husk delete "$ID"
    is_husk || return 0 # runc's foreground waits for its reader
    call -1 pipe -2 pipe -s stop:1 -s expect:ready -s "$(runtime_step kill "$ID" KILL)" "${RUN[@]}"
    reported exit 137
    nothing_left
}

@test "input that is not read keeps nobody from anything" {
    new_bundle
    shell 'echo ready; while [ ! -e /go ]; do sleep 0.05; done; head -c 1000000 | wc -c; exit 2'
    call -0 pattern:20000000 -1 pipe -2 pipe -s expect:ready -s "sh:touch $BUNDLE/rootfs/go" "${RUN[@]}"
    reported exit 2 out_text 'ready\n1000000\n'
    nothing_left
}

@test "a terminal in the foreground: its size from the first moment, changes, keys, restored" {
    new_bundle
    edit '.process.terminal = true'
    shell 'stty size; trap "stty size; exit 7" WINCH; echo ready; while :; do sleep 0.1; done'
    call -t 33x77 -s expect:ready -s size:44x88 "${RUN[@]}"
    reported exit 7 tty_text '33 77\r\nready\r\n44 88\r\n' terminal restored
    # The caller's size, whatever the config says; with none of the caller's, the config's.
    edit '.process.consoleSize = {"height": 21, "width": 61}'
    shell 'trap "echo int; exit 9" INT; stty size; read -r x; echo "got $x"; while :; do sleep 0.1; done'
    call -t 35x79 -s 'expect:79' -s 'type:key\r' -s 'expect:got key' -s 'type:\x03' -s expect:int "${RUN[@]}"
    reported exit 9 terminal restored
    like "the beginning" "$(value tty_text)" '^35 79\\r\\n'
    # It is restored, too, when the container is killed and when there is nothing to run.
    call -t 35x79 -s 'expect:79' -s "$(runtime_step kill "$ID" KILL)" "${RUN[@]}"
    reported exit 137 terminal restored
    program /no/such/program
    call -t 35x79 "${RUN[@]}"
    reported exit 1 terminal restored
    nothing_left
}

@test "a terminal's output is whole at its end, also for a slow reader and through a pipe" {
    new_bundle
    edit '.process.terminal = true'
    shell 'stty -opost; head -c 500000 /dev/zero | tr "\0" x; exit 5'
    call -t 24x80 -s stop:t -s go:t "${RUN[@]}"
    reported exit 5 tty 500000 terminal restored
    call -t 24x80 -1 pipe "${RUN[@]}"
    reported exit 5 out 500000
    nothing_left
}

@test "a terminal over a console socket: the config's size, or the receiver's before the start; hang-up" {
    new_bundle
    edit '.process.terminal = true | .process.consoleSize = {"height": 21, "width": 61}'
    shell 'stty size; trap "stty size; exit 7" WINCH; echo ready; while :; do sleep 0.1; done'
    call -c "$T/tty.sock" -p "$T/pid" -s expect:ready -s size:23x63 run --detach --console-socket "$T/tty.sock" \
        --pid-file "$T/pid" --bundle "$BUNDLE" "$ID"
    reported exit 0 tty_text '21 61\r\nready\r\n23 63\r\n'
    ok husk delete --force "$ID"
    shell 'stty size; trap "echo hup >/hup; exit" HUP; echo ready; while :; do sleep 0.1; done'
    call -c "$T/tty.sock" -p "$T/pid" -s exited: -s size:30x70 -s size:40x90 -s "$(runtime_step start "$ID")" \
        -s expect:ready -s close:t create --console-socket "$T/tty.sock" --pid-file "$T/pid" --bundle "$BUNDLE" "$ID"
    reported exit 0 tty_text '40 90\r\nready\r\n'
    is "what it did when the terminal hung up" "$(cat "$BUNDLE/rootfs/hup")" hup
    ok husk delete --force "$ID"
}

@test "exec on a terminal: its size from the first moment, changes, hang-up" {
    sleeper
    running
    local watch='stty size; trap "stty size; exit 7" WINCH; echo ready; while :; do sleep 0.1; done'
    call -t 33x77 -s expect:ready -s size:44x88 exec --tty "$ID" sh -c "$watch"
    reported exit 7 tty_text '33 77\r\nready\r\n44 88\r\n' terminal restored
    echo '{"terminal": true, "consoleSize": {"height": 21, "width": 61}, "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "stty size; trap \"echo hup >/hup; exit\" HUP; echo ready; while :; do sleep 0.1; done"]}' >"$T/process.json"
    call -c "$T/tty.sock" -p "$T/pid" -s expect:ready -s close:t exec --process "$T/process.json" --detach \
        --console-socket "$T/tty.sock" --pid-file "$T/pid" "$ID"
    reported exit 0 tty_text '21 61\r\nready\r\n'
    is "what it did when the terminal hung up" "$(cat "$BUNDLE/rootfs/hup")" hup
    ok husk delete --force "$ID"
}

@test "run and exec in the foreground hand signals on" {
    new_bundle
    local script='trap "echo usr1" USR1; trap "echo hup" HUP; trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
    shell "$script"
    call -1 pipe -s expect:ready -s signal:10 -s expect:usr1 -s signal:1 -s expect:hup -s signal:15 "${RUN[@]}"
    reported exit 9
    sleeper other
    running
    call -1 pipe -s expect:ready -s signal:10 -s expect:usr1 -s signal:1 -s expect:hup -s signal:15 exec "$ID" sh -c "$script"
    reported exit 9
    ok husk delete --force "$ID"
}

@test "exec in a paused container: refused, or ready when it is resumed" {
    sleeper
    running
    ok husk pause "$ID"
    try husk exec "$ID" true
    is "exit code" "$status" 255
    like "error" "$err" 'paused'
    husk exec --ignore-paused "$ID" echo resumed </dev/null >"$T/$ID.out" 2>"$T/$ID.err" &
    local exec=$!
    until_ok "a process of exec's" eval '[[ -n $(descendants "$exec") ]]'
    ok husk resume "$ID"
    status=0
    wait "$exec" || status=$?
    is "exit code" "$status" 0
    is "output" "$(cat "$T/$ID.out")" resumed
    ok husk delete --force "$ID"
}
