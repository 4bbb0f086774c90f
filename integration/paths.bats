# What a hostile image or container does with paths: none leads out of the root, and nothing of the runtime is in reach. Each test
# names the hole of runc or crun that it is about.
load helpers

setup() {
    new_folder
    mkdir "$T/outside" && echo secret >"$T/outside/secret"
    # As a symlink's target: to where it lies on the host, and up from wherever the link is.
    UP=/../../../../../../../../..$T/outside
}
teardown() {
    ((${#swappers[@]} == 0)) || { kill "${swappers[@]}"; wait "${swappers[@]}" || true; }
    common_teardown
}
swappers=()
untouched() { is "what is outside" "$(cd "$T/outside" && grep -r . .)" ./secret:secret; }

# refused WHAT REGEX: run fails, in one line, and leaves nothing.
refused() {
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code ($1)" "$status" 1
    like "$1" "$err" "$2"
    is "lines of the error ($1)" "$(grep -c . <<<"$err")" 1
    nothing_left
    untouched
}

@test "symlinks of the image stay below the root: mounts, devices, the working directory" {
    local readonly
    mkdir -p "$T/volume" && echo volume >"$T/volume/file"
    for readonly in false true; do
        new_bundle "bundle-$readonly"
        ln -s "$T/outside" "$BUNDLE/rootfs/absolute"
        ln -s "$UP" "$BUNDLE/rootfs/up"
        ln -s ../../../absolute/dangling "$BUNDLE/rootfs/etc/resolv.conf"
        edit --arg v "$T/volume" --argjson r "$readonly" '.root.readonly = $r | .process.cwd = "/absolute" | .mounts += [
            {destination: "/absolute/a", type: "bind", source: $v, options: ["bind"]},
            {destination: "/up/../up/b", type: "tmpfs", source: "tmpfs"},
            {destination: "/etc/resolv.conf", type: "bind", source: ($v + "/file"), options: ["bind"]}]
          | .linux.devices = [{path: "/up/b/null", type: "c", major: 1, minor: 3, fileMode: 438, uid: 0, gid: 0}]'
        shell 'pwd -P; cat /absolute/a/file /etc/resolv.conf; ls -l /up/b/null | cut -c1-10'
        ok husk run --bundle "$BUNDLE" "$ID"
        is "output" "$out" "$T/outside"$'\nvolume\nvolume\ncrw-rw-rw-'
        untouched
    done
}

@test "a /proc or /sys that is a symlink, or is covered (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561)" {
    new_bundle
    rmdir "$BUNDLE/rootfs/proc"
    mkdir "$BUNDLE/rootfs/evil"
    ln -s evil "$BUNDLE/rootfs/proc"
    refused "/proc is a symlink" 'mounting /proc: .*symlink'
    rm "$BUNDLE/rootfs/proc" && mkdir "$BUNDLE/rootfs/proc" && rmdir "$BUNDLE/rootfs/sys"
    ln -s "$UP" "$BUNDLE/rootfs/sys"
    refused "/sys is a symlink" 'mounting /sys: '
    rm "$BUNDLE/rootfs/sys" && mkdir "$BUNDLE/rootfs/sys"

    local destination
    ln -s /proc/self "$BUNDLE/rootfs/self"
    cp "$BUNDLE/config.json" "$T/plain.json"
    for destination in /proc /proc/../proc /proc/self/task /self/task /proc/sys/kernel; do
        cp "$T/plain.json" "$BUNDLE/config.json"
        edit --arg d "$destination" '.mounts += [{destination: $d, type: "tmpfs", source: "tmpfs"}]'
        refused "$destination" 'mounting .*cannot be mounted because it is (not of type proc|inside /proc)'
    done
    # What lxcfs does.
    cp "$T/plain.json" "$BUNDLE/config.json"
    echo 'up for ever' >"$T/uptime"
    edit --arg s "$T/uptime" '.mounts += [{destination: "/proc/uptime", type: "bind", source: $s, options: ["bind", "ro"]}]'
    program cat /proc/uptime
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" 'up for ever'
}

@test "a path that changes while it is walked (CVE-2021-30465)" {
    local i runs=4
    has_vm || runs=20
    new_bundle
    mkdir -p "$T/volume/a" "$BUNDLE/rootfs/a"
    ln -s "$UP" "$T/volume/link"
    ln -s "$UP" "$BUNDLE/rootfs/link"
    edit --arg v "$T/volume" '.mounts += [{destination: "/v", type: "bind", source: $v, options: ["rbind"]},
        {destination: "/v/a/b", type: "tmpfs", source: "tmpfs"}, {destination: "/a/b/c", type: "tmpfs", source: "tmpfs"}]'
    "$BUILD/tools/swap" "$T/volume/a" "$T/volume/link" 3>&- &
    swappers+=($!)
    "$BUILD/tools/swap" "$BUNDLE/rootfs/a" "$BUNDLE/rootfs/link" 3>&- &
    swappers+=($!)
    for ((i = 0; i < runs; ++i)); do
        edit --argjson r "$((i % 2))" '.root.readonly = ($r == 1)'
        try husk run --bundle "$BUNDLE" "$ID"
        ((status == 0)) || like "error of run $i" "$err" 'mounting /(v/)?a/b'
        untouched
    done
    is "mounts outside" "$(grep -c "$T/outside" /proc/self/mountinfo)" 0
}

@test "the working directory is not a way out (CVE-2024-21626)" {
    local n
    new_bundle
    ln -s /proc/self/fd/8 "$BUNDLE/rootfs/link"
    for n in 3 7 9; do
        edit --arg d "/proc/self/fd/$n" '.process.cwd = $d'
        refused "cwd: fd $n" 'cwd|/proc/self/fd'
    done
    edit '.process.cwd = "/link"'
    refused "cwd: a symlink" 'cwd|link|/proc/self/fd'
    edit '.process.cwd = "/"'
    program sleep 1000
    running
    for n in /proc/self/fd/{3..20} /link; do
        try husk exec --cwd "$n" "$ID" ls
        is "exit code ($n)" "$status" 255
        unlike "$n" "$out" secret
    done
    ok husk exec "$ID" true
}

@test "no open file of the runtime is left to a process, or to be found by one (CVE-2016-9962, CVE-2024-21626)" {
    new_bundle
    # What others of the container have open meanwhile, as far as it is a file.
    shell 'ls /proc/self/fd >/tmp/init
        while :; do for f in /proc/[0-9]*/fd/*; do case $f in /proc/$$/*) continue;; esac
            l=$(readlink $f) && case $l in /proc/*|/dev/*|pipe:*|socket:*|anon_inode:*|/bin/*|/tmp/found) ;; *) echo "$f $l";; esac
        done >>/tmp/found 2>/dev/null; done'
    running
    until_ok "its first look" test -s "$BUNDLE/rootfs/tmp/init"
    local i
    like "open files of init" "$(tr '\n' ' ' <"$BUNDLE/rootfs/tmp/init")" '^0 1 2 (3 )?$'
    for i in 1 2 3; do
        ok husk exec "$ID" ls /proc/self/fd
        is "open files of exec" "$out" $'0\n1\n2\n3'
    done
    # Its own output is the test's, where no VM is between.
    unlike "what was found" "$(grep -v " $T/std\(out\|err\)$" "$BUNDLE/rootfs/tmp/found")" "$T|/root|husk"
}

@test "the runtime's own program cannot be written to (CVE-2019-5736)" {
    local programs before
    programs=$(readlink -f "$(dirname "$HUSK")")
    before=$(sha256sum "$programs"/husk*)
    new_bundle
    program /proc/self/exe init
    try husk run --bundle "$BUNDLE" "$ID"
    ((status != 0)) || fail "it ran"
    printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/evil"
    chmod 755 "$BUNDLE/rootfs/bin/evil"
    shell 'while :; do for p in /proc/[0-9]*; do
        case $(readlink $p/exe) in "" | /bin/busybox) ;; *) echo "$(readlink $p/exe)" >>/tmp/seen; (echo x >$p/exe) 2>/dev/null && echo written >>/tmp/written;; esac
        done; done'
    running
    local i
    for i in {1..5}; do
        try husk exec "$ID" /bin/evil
        try husk exec "$ID" true
    done
    [[ ! -e $BUNDLE/rootfs/tmp/written ]] || fail "written: $(cat "$BUNDLE/rootfs/tmp/seen")"
    is "the programs" "$(sha256sum "$programs"/husk*)" "$before"
}

@test "masked and read-only paths that are symlinks (CVE-2025-31133)" {
    new_bundle
    ln -s "$UP/secret" "$BUNDLE/rootfs/secret"
    ln -s "$T/outside" "$BUNDLE/rootfs/outside"
    ln -s /etc/passwd "$BUNDLE/rootfs/passwd"
    ln -s /etc "$BUNDLE/rootfs/config"
    # A null device of the image's is not what masks.
    rm -f "$BUNDLE/rootfs/dev/null" && echo fooled >"$BUNDLE/rootfs/dev/null"
    edit '.linux.maskedPaths = ["/secret", "/outside", "/passwd", "/no/such/path"] | .linux.readonlyPaths = ["/config", "/no/such/path"]'
    shell 'wc -c </etc/passwd; touch /etc/new 2>/dev/null || echo read-only; touch /tmp/new && echo writable'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" $'0\nread-only\nwritable'
    untouched
}

@test "exec --user: numbers that are none, or too large" {
    sleeper
    running
    local user
    for user in 4294967296 -1 99999999999999999999 0x10 1e3 1:2:3 1: 1:-1 1:4294967296 "1 " " 1" +1 1.5 nobody root:; do
        try husk exec --user="$user" "$ID" id -u
        is "exit code of --user='$user' ($out)" "$status" 255
        is "lines of its error" "$(grep -c . <<<"$err")" 1
    done
    ok husk exec --user=1000:4294967294 "$ID" id
    like "id" "$out" 'uid=1000\(worker\) gid=4294967294'
    ok husk exec --user=1000 "$ID" id -g
}

@test "/etc/passwd and /etc/group as something else: no hang, no way out, HOME is /" {
    sleeper
    running
    local kind
    mkdir "$BUNDLE/rootfs/$T" -p
    echo "worker:x:1000:1000::/stolen:/bin/sh" >"$T/outside/passwd"
    for kind in 'mkfifo P' 'mkdir P' "ln -s $UP/passwd P" 'dd if=/dev/zero of=P bs=1 count=1 seek=4G' '(head -c 100000 /dev/urandom; printf "\n:::::\nworker:x:1000\n1000\n") >P' true; do
        ok husk exec "$ID" sh -c "rm -rf /etc/passwd; ${kind//P//etc/passwd}"
        ok husk exec --user=1000 "$ID" sh -c 'echo "$HOME"'
        is "HOME ($kind)" "$out" /
    done
}

@test "tmpcopyup copies links as links" {
    new_bundle
    mkdir "$BUNDLE/rootfs/data"
    ln -s "$UP/secret" "$BUNDLE/rootfs/data/up"
    ln -s "$T/outside" "$BUNDLE/rootfs/data/folder"
    echo file >"$BUNDLE/rootfs/data/file"
    edit '.mounts += [{destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}]'
    shell 'cd /data; cat file; readlink up; readlink folder; ls | wc -l; grep -c " /data tmpfs " /proc/mounts'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" "file"$'\n'"$UP/secret"$'\n'"$T/outside"$'\n3\n1'
    untouched
}

@test "the inheritable capabilities of a process stay empty (CVE-2022-24769, CVE-2022-29162)" {
    new_bundle
    docker_caps
    program sh -c 'grep CapInh /proc/self/status; sleep 1000'
    running
    wait_output "$ID" CapInh
    like "init" "$(cat "$T/$ID.out")" $'CapInh:\t0+$'
    ok husk exec --cap CAP_NET_ADMIN "$ID" grep CapInh /proc/self/status
    like "exec" "$out" $'CapInh:\t0+$'
}
