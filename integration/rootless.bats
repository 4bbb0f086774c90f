# An ordinary user: rootless Podman, and husk by itself. He exists on the test's island only, where his name, his subuids and two
# device nodes that he may open are mounted over the host's.
load helpers

as_user() {
    (cd / && exec nsenter -t "$ISLAND" -n -m -- setpriv --reuid "$USER_ID" --regid "$USER_ID" --init-groups env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        HOME="$D/home" USER=tester XDG_RUNTIME_DIR="$RUNTIME_DIR" timeout --foreground -k 5 "$LIMIT" "$@" 3>&- 4>&-)
}
podman() {
    as_user podman --root "$D/home/r" --runroot "$RUNTIME_DIR/rr" --tmpdir "$RUNTIME_DIR/tmp" --storage-driver vfs --runtime "$D/build/bin/husk" \
        --cgroup-manager cgroupfs --events-backend file "$@"
}
prun() { podman run --name "$NAME" "$@"; }
husk() { as_user "$D/build/bin/husk" ${GLOBAL[@]+"${GLOBAL[@]}"} "$@"; }
there() { echo "/proc/$ISLAND/root$1"; }

# What makes a user: on the island, so that the machine's own files stay as they are.
make_user() {
    local file
    mkdir -p "$D"/{etc,dev,home,build}
    chmod 755 "$D"
    chown "$USER_ID:$USER_ID" "$D/home"
    cp /etc/passwd /etc/group "$D/etc/"
    echo "tester:x:$USER_ID:$USER_ID::$D/home:/bin/sh" >>"$D/etc/passwd"
    echo "tester:x:$USER_ID:" >>"$D/etc/group"
    echo 'tester:100000:65536' | tee "$D/etc/subuid" >"$D/etc/subgid"
    mknod -m 666 "$D/dev/tun" c 10 200
    mknod -m 666 "$D/dev/fuse" c 10 229
    inside sh -ec '
        for file in passwd group subuid subgid; do mount --bind "$1/etc/$file" "/etc/$file"; done
        mount --bind "$1/dev/tun" /dev/net/tun
        mount --bind "$1/dev/fuse" /dev/fuse
        mount --bind "$2" "$1/build"
        mount --make-rshared /
        mkdir -p -m 700 "$3" && chown "$4:$4" "$3"' - "$D" "$BUILD" "$RUNTIME_DIR" "$USER_ID"
}

setup_file() {
    is_husk || skip "only husk does this"
    command -v podman slirp4netns newuidmap >/dev/null || skip "no podman, slirp4netns or uidmap"
    [[ -e /etc/subuid && -e /etc/subgid ]] || skip "no /etc/subuid"
    common_setup_file
    island_up
    # One for each run of this file: two do not meet.
    export D=$T USER_ID=$((30000 + BASHPID % 30000))
    export RUNTIME_DIR=/run/user/$USER_ID
    make_user
    ! has_vm || tar -C "$FILE_DIR/rootfs" -c . | podman import - busybox >/dev/null
}

teardown_file() {
    [[ -n ${D:-} ]] || return 0
    podman rm -fa -t 0 >/dev/null 2>&1 || true
    common_teardown_file
    local pid
    # Podman's own: it keeps the user's namespaces.
    for pid in $(pgrep -u "$USER_ID"); do
        case $(cat "/proc/$pid/comm" 2>/dev/null) in catatonit | podman*) kill "$pid" ;; esac
    done
    island_down
}

setup() {
    T=$(mktemp -d "$D/t-XXXX")
    chmod 755 "$T"
    NAME=c${T##*-}
    ROOT=
}
teardown() {
    ! has_vm || podman rm -f -t 0 -i "$NAME" "${NAME}b" >/dev/null 2>&1 || true
    husk delete --force "$NAME" >/dev/null 2>&1 || true
    until_ok "everything of the user's to be gone" eval '[[ -z $(processes) ]]'
    is "state left" "$(ls -A "$(there "$RUNTIME_DIR/husk")" 2>/dev/null | grep -vE "^(templates|\.vm)$")" ""
    rm -rf "$T"
}
processes() { pgrep -u "$USER_ID" -a | grep -E ' ?[^ ]*(qemu|husk|virtiofsd|conmon)'; }
field() { podman inspect -f "{{$2}}" "$1"; }

# a bundle as `husk spec --rootless` makes it; sets BUNDLE.
user_bundle() {
    BUNDLE=$T/bundle
    mkdir "$BUNDLE"
    cp -a "$FILE_DIR/rootfs" "$BUNDLE/rootfs"
    chown -R "$USER_ID:$USER_ID" "$BUNDLE"
    husk spec --rootless --bundle "$BUNDLE"
    edit '.process.terminal = false | .root.readonly = false'
    chown "$USER_ID:$USER_ID" "$BUNDLE/config.json"
}

@test "rootless podman run: a kernel of its own, ids, volumes, the exit code" {
    vm_only
    mkdir "$T/volume"
    chown "$USER_ID:$USER_ID" "$T/volume"
    try prun --rm -v "$T/volume:/volume" busybox sh -c 'uname -r; id; echo x >/volume/file; chown 1000:1001 /volume/file; exit 7'
    is "exit code" "$status" 7
    unlike "kernel" "$(head -1 <<<"$out")" "^$(uname -r)\$"
    is "ids" "$(sed -n 2p <<<"$out")" 'uid=0(root) gid=0(root)'
    is "owner on the host" "$(stat -c '%u %g' "$T/volume/file")" '100999 101000'
    # The saved VM is the user's own.
    is "templates" "$(stat -c '%u %a' "$(there "$RUNTIME_DIR/husk/templates")")" "$USER_ID 700"
    ok prun --rm --userns keep-id busybox id -u
    is "keep-id" "$out" "$USER_ID"
}

@test "rootless podman run -d: exec, the network of slirp4netns, a port, logs, stop, rm" {
    vm_only
    ok prun -d -p 18080:80 busybox \
        sh -c 'echo served >/www/index.html; httpd -p 80 -h /www; echo ready; sleep 1000'
    ok podman exec "$NAME" sh -c 'ip -o -4 addr show tap0; ip route'
    like "network" "$out" $'10.0.2.100/24.*\ndefault via 10.0.2.2 dev tap0'
    until_ok "the page" inside wget -q -O "$T/page" http://127.0.0.1:18080/
    is "page" "$(cat "$T/page")" served
    is "logs" "$(podman logs "$NAME")" ready
    is "stdin of exec" "$(podman exec -i "$NAME" wc -c <<<1234)" 5
    ok podman run --rm --name "${NAME}b" --network "container:$NAME" busybox wget -q -O - http://127.0.0.1/
    is "a second one in its VM" "$out" served
    ok podman stop -t 0 "$NAME"
    is "exit code" "$(field "$NAME" .State.ExitCode)" 137
    ok podman rm "$NAME"
}

@test "rootless podman: devices, --privileged, a pod" {
    vm_only
    ok prun --rm --device /dev/fuse busybox sh -c 'exec 5<>/dev/fuse && echo open'
    is "fuse" "$out" open
    ok prun --rm --privileged busybox sh -c 'mount -t tmpfs none /tmp && echo mounted; ls /dev/kmsg'
    is "privileged" "$out" $'mounted\n/dev/kmsg'
    ok podman pod create --name "p$NAME" --infra-image busybox --infra-command 'sleep 1000'
    ok podman run --rm --pod "p$NAME" --name "$NAME" busybox hostname
    is "its pod's name" "$out" "p$NAME"
    ok podman pod rm -f -t 0 "p$NAME"
}

@test "husk run as an ordinary user: husk spec --rootless, exec, kill, delete" {
    user_bundle
    edit '.process.args = ["sh", "-c", "id -u; id -g; stat -c %u:%g /bin; echo x >/home/file; exit 3"]'
    try husk run --bundle "$BUNDLE" "$NAME"
    is "exit code" "$status" 3
    is "output" "$out" $'0\n0\n0:0'
    is "owner on the host" "$(stat -c '%u %g' "$BUNDLE/rootfs/home/file")" "$USER_ID $USER_ID"
    edit '.process.args = ["sleep", "1000"]'
    ok husk create --bundle "$BUNDLE" "$NAME" </dev/null
    ok husk start "$NAME"
    is "its folder" "$(stat -c '%u %a' "$(there "$RUNTIME_DIR/husk/$NAME")")" "$USER_ID 700"
    is "exec" "$(husk exec "$NAME" sh -c 'id -u; ps | grep -c "[s]leep 1000"')" $'0\n1'
    is "status" "$(husk state "$NAME" | jq -r .status)" running
    try husk exec "$NAME" sh -c 'exit 9'
    is "exit code of exec" "$status" 9
    ok husk kill "$NAME" KILL
    until_ok "its end" eval '[[ $(husk state "$NAME" | jq -r .status) == stopped ]]'
    ok husk delete "$NAME"
}

@test "what an ordinary user lacks: the error says it" {
    vm_only
    user_bundle
    edit 'del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces |= map(select(.type != "user"))'
    try husk run --bundle "$BUNDLE" "$NAME"
    is "exit code" "$status" 1
    like "without a user namespace" "$err" 'without root: the config has to have a user namespace'
    rm "$BUNDLE/config.json"
    husk spec --rootless --bundle "$BUNDLE"
    edit ".process.terminal = false | .linux.uidMappings = [{containerID: 0, hostID: $USER_ID, size: 1}, {containerID: 1, hostID: 300000, size: 9}]"
    try husk run --bundle "$BUNDLE" "$NAME"
    like "ids that are not the user's" "$err" "newuidmap refused the config's mappings: see /etc/subuid"
    inside chmod 600 /dev/net/tun
    try prun --rm --network slirp4netns busybox true
    inside chmod 666 /dev/net/tun
    like "no tun device" "$err" '/dev/net/tun.*Permission denied'
}
