# Unix sockets of the host that are mounted into a container: it connects to them as to any other.
load helpers

setup_file() {
    common_setup_file
    cp "$BUILD/tools/dial" "$FILE_DIR/rootfs/bin/dial"
}

setup() {
    new_folder
    chmod 755 "$T"  # for users other than root
    SERVERS=()
}

teardown() {
    end_servers
    common_teardown
}

end_servers() {
    local pid
    for pid in ${SERVERS[@]+"${SERVERS[@]}"}; do end "$pid"; done
}

# end PID: a server and what it has started.
end() {
    local pid
    for pid in $(descendants "$1") "$1"; do kill -9 "$pid" 2>/dev/null || true; done
    wait "$1" 2>/dev/null || true
}

# serve NAME COMMAND...: a server whose socket is $T/NAME.sock. SERVER is its pid.
serve() {
    local name=$1
    shift
    "$@" </dev/null >"$T/$name.log" 2>&1 3>&- 4>&- &
    SERVER=$!
    SERVERS+=("$SERVER")
    until_ok "the server $name" test -S "$T/$name.sock"
}
# answer NAME ADDRESS: for each connection what socat's address does.
answer() { serve "$1" socat "UNIX-LISTEN:$T/$1.sock,fork,backlog=128" "$2"; }
# who NAME: tells each connection whose it is.
who() { serve "$1" "$BUILD/tools/dial" who "$T/$1.sock"; }

# sockets NAME...: each is a mount of the bundle at /NAME.
sockets() {
    local name
    for name; do
        edit --arg s "$T/$name.sock" --arg d "/$name" \
            '.mounts += [{destination: $d, type: "bind", source: $s, options: ["rbind", "rprivate"]}]'
    done
}

# In a container: fd 9 is a pipe whose writer says nothing.
OPEN_INPUT='mkfifo /tmp/in; sleep 1000 >/tmp/in & exec 9</tmp/in; '

has_children() { [[ -n $(children "$1") ]]; }
no_children() { ! has_children "$1"; }

@test "bytes both ways, ends of file one by one, many connections at a time" {
    answer echo EXEC:cat
    answer count "SYSTEM:wc -c"
    answer short "SYSTEM:echo bye"
    answer yes EXEC:yes
    local yes=$SERVER
    sleeper
    sockets echo count short yes
    edit '.root.readonly = true | .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
    mkdir -p "$BUNDLE/rootfs/tmp"
    running
    head -c 1000000 /dev/urandom >"$T/data"
    is "1 MB there and back" "$(husk exec "$ID" dial unix /echo <"$T/data" | sha256sum)" "$(sha256sum <"$T/data")"
    is "an answer after the end of what was asked" "$(husk exec "$ID" dial unix /count <"$T/data")" 1000000
    ok husk exec "$ID" sh -c "$OPEN_INPUT"'dial unix /short <&9; kill $!'
    is "an answer before it" "$out" bye
    # More than are carried at a time.
    ok husk exec "$ID" sh -c 'for i in $(seq 80); do (echo $i | dial unix /echo >/tmp/n$i) & done; wait; cat /tmp/n* | sort -n | md5sum'
    is "80 at a time" "$out" "$(seq 80 | md5sum)"
    # Who writes is told that nobody reads any more.
    is "a part of much" "$(husk exec "$ID" sh -c 'dial unix /yes </dev/null | head -c 300000 | wc -c')" 300000
    until_ok "the writer's end" no_children "$yes"
    # A server that goes takes its connections along.
    mkfifo "$T/in"
    husk exec "$ID" dial unix /echo <"$T/in" >"$T/out" 2>&1 3>&- &
    local client=$!
    exec 8>"$T/in"
    echo first >&8
    until_ok "the echo" grep -q first "$T/out"
    end "${SERVERS[0]}"
    status=0
    wait "$client" || status=$?
    is "the client's exit code" "$status" 0
    exec 8>&-
    ok husk delete --force "$ID"
    end_servers
    nothing_left
}

@test "whose a connection is, and who may have one" {
    who any && chmod 666 "$T/any.sock"
    who closed && chmod 600 "$T/closed.sock"
    who own && chown 1000 "$T/own.sock" && chmod 600 "$T/own.sock"
    who group && chown 0:2002 "$T/group.sock" && chmod 660 "$T/group.sock"
    new_bundle
    sockets any closed own group
    edit '.process.user = {uid: 1000, gid: 1001, additionalGids: [2002]}'
    shell 'stat -c "%u %g %a %F" /own /group; for s in any closed own group; do echo "$s: $(dial unix /$s </dev/null 2>&1)"; done'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "owners, modes, answers" "$out" "1000 0 600 socket
0 2002 660 socket
any: 1000 1001 2002
closed: dial: /closed: Permission denied
own: 1000 1001 2002
group: 1000 1001 2002"
    edit '.process.user = {uid: 0, gid: 0}'
    docker_caps
    shell 'for s in any closed; do dial unix /$s </dev/null; done'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "root's" "$out" $'0 0\n0 0'
    end_servers
    nothing_left
}

@test "in a user namespace root is nobody special to a socket, either" {
    who closed && chmod 600 "$T/closed.sock"
    who own && chown 100000:100000 "$T/own.sock" && chmod 600 "$T/own.sock"
    new_bundle
    chown -R 100000:100000 "$BUNDLE/rootfs"
    sockets closed own
    edit '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
    docker_caps
    shell 'for s in closed own; do dial unix /$s </dev/null 2>&1; done; stat -c "%u %a" /own'
    try husk run --bundle "$BUNDLE" "$ID"
    is "answers" "$out" $'dial: /closed: Permission denied\n100000 100000\n0 600'
    end_servers
    nothing_left
}

@test "nobody listens: an error or an end at once, and one warning" {
    answer dead EXEC:cat
    end "$SERVER"
    sleeper
    sockets dead
    GLOBAL+=(--log "$T/log")
    running
    try husk exec "$ID" sh -c "$OPEN_INPUT"'for i in 1 2 3; do dial unix /dead <&9; done; kill $!'
    is "output" "$out" ''
    if has_vm; then
        is "warnings" "$(grep -c '/dead is refused: connect: Connection refused' "$T/log")" 1
    else
        like "error" "$err" 'Connection refused'
    fi
    ok husk delete --force "$ID"
    nothing_left
}

@test "what cannot be connected to is seen as a file: datagram sockets (a warning), sockets in a folder" {
    vm_only
    serve datagrams socat -u "UNIX-RECV:$T/datagrams.sock" STDOUT
    mkdir "$T/folder"
    serve folder/inside socat "UNIX-LISTEN:$T/folder/inside.sock,fork" EXEC:cat
    new_bundle
    sockets datagrams
    edit --arg s "$T/folder" '.mounts += [{destination: "/folder", type: "bind", source: $s, options: ["rbind"]}]'
    shell 'test -S /datagrams && test -S /folder/inside.sock && echo both; dial unix /folder/inside.sock'
    try husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" both
    like "warning" "$err" '/datagrams: a datagram socket of the host cannot be reached from a VM'
    like "error" "$err" 'dial: /folder/inside.sock: Connection refused'
    end_servers
    nothing_left
}

@test "kill -9 of husk-sandbox ends the connections" {
    vm_only
    answer echo EXEC:cat
    sleeper
    sockets echo
    program sh -c 'sleep 1000 | dial unix /echo'
    running
    until_ok "the connection" has_children "$SERVER"
    kill -9 "$(part husk-sandbox "$ID")"
    until_ok "its end" no_children "$SERVER"
    end "$SERVER"
    ok husk delete --force "$ID"
    nothing_left
}
