# What a container may expect of its files, on its root file system and on a volume: integration/tools/file_checks.cc, and
# programs that live on it, dpkg and sqlite. runc is the reference; where a VM's files differ, README.md says so.
load helpers

setup() {
    new_folder
    mkdir "$T/volume"
}

# With file_checks in /bin, and a volume at /volume.
files_bundle() {
    new_bundle "$1"
    docker_caps
    cp "$BUILD/tools/file_checks" "$BUNDLE/rootfs/bin/"
    volume
}
volume() {
    edit --arg source "$T/volume" '.mounts += [{destination: "/volume", type: "bind", source: $source, options: ["rbind", "rw"]}]'
}
# What is known to differ: the kernel's FUSE has O_TMPFILE since 6.2 only.
known_failures() { ! has_vm || echo 'O_TMPFILE: open: EOPNOTSUPP'; }
check_files() {
    files_bundle bundle
    program file_checks all "$1"
    ok husk run --bundle "$BUNDLE" "$ID"
    like "the last check" "$out" 'times and syncs: ok$'
    is "failed" "$(grep -v ': ok$' <<<"$out")" "$(known_failures)"
    nothing_left
}

@test "the root file system keeps what a file system promises" { check_files /home; }

@test "a volume does, too" { check_files /volume; }

@test "a tmpfs does" {
    # The kernel's tmpfs has user.* since 6.6 only.
    known_failures() { ! has_vm || echo 'extended attributes: setxattr: EOPNOTSUPP'; }
    check_files /dev/shm
}

@test "what was written through a shared mapping is on the host at the container's end, however slow that is" {
    local file slow
    files_bundle bundle
    program file_checks map /home/mapped /volume/mapped
    running
    wait_output "$ID" written
    slow=$(part virtiofsd "$ID" || true)
    # It gets hardly to run: what is only on its way at the end is not there yet.
    [[ -z $slow ]] || while kill -STOP $slow && sleep 0.02 && kill -CONT $slow; do :; done 2>/dev/null 3>&- &
    ok husk kill "$ID" KILL
    wait_status "$ID" stopped
    ok husk delete "$ID"
    for file in "$BUNDLE/rootfs/home/mapped" "$T/volume/mapped"; do
        is "$file" "$(tr -dc m <"$file" | wc -c)" "$((48 * 4096))"
    done
    nothing_left
}

# The host's own file on the same disk is what tells (vm/guest/fuse-sync-stays-here.patch).
@test "a container's end has the host write nothing to its disk; a sync in the container does" {
    has_vm || skip "a VM's share"
    losetup -f >/dev/null 2>&1 || skip "no loop devices"
    truncate -s 64M "$T/image"
    mkfs.ext4 -q "$T/image"
    mount -o loop "$T/image" "$T/volume"
    files_bundle bundle
    shell 'echo written >/volume/inside'
    echo 'only in memory' >"$T/volume/note"
    ok husk run --bundle "$BUNDLE" "$ID"
    is "inside" "$(cat "$T/volume/inside")" written
    ! grep -q 'only in memory' "$T/image" || fail "the host's disk was synced"
    shell 'sync'
    ok husk run --bundle "$BUNDLE" "$ID"
    grep -q 'only in memory' "$T/image" || fail "the host's disk was not synced"
    umount "$T/volume"
    nothing_left
}

# Under TCG memory that held one program's code and gets another's must not run as the first (vm/guest/virtio-fs-emulated.patch).
@test "programs of the same addresses, read anew again and again: each runs as what its own file holds" {
    files_bundle bundle
    shell 'one() {
            for i in 1 2 3 4 5; do
                echo abc def ghi | sed s/b/B/ | grep -q aBc || exit
                file_checks >/dev/null 2>&1
                [ $? -eq 2 ] || exit
            done
        }
        for round in 1 2; do
            jobs=
            for i in $(seq 40); do (one) & jobs="$jobs $!"; done
            for job in $jobs; do wait "$job" || echo "round $round: exit $?"; done
        done 2>&1; echo end'
    running "$ID"
    until_ok "the end" eval 'touch "$BUNDLE"/rootfs/bin/{busybox,file_checks}; grep -q end "$T/$ID.out"'
    is "output" "$(cat "$T/$ID.out")" end
}

@test "locks between two containers on one volume" {
    local kind
    for id in "$ID-1" "$ID-2"; do
        files_bundle "$id"
        ! is_husk || edit --arg pod "pod$TAG" '.annotations += {"io.container.manager": "cri-o",
            "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": $pod}'
        program sleep 1000
        running "$id"
    done
    for kind in flock fcntl; do
        mkfifo "$T/hold-$kind"
        husk exec "$ID-1" file_checks hold $kind /volume/file <"$T/hold-$kind" >"$T/held-$kind" 2>&1 &
        local holder=$!
        exec 7>"$T/hold-$kind"
        until_ok "the $kind lock" grep -q held "$T/held-$kind"
        ok husk exec "$ID-2" file_checks try $kind /volume/file
        is "$kind, while the other container has it" "$out" busy
        exec 7>&-
        wait "$holder"
        ok husk exec "$ID-2" file_checks try $kind /volume/file
        is "$kind, when it has it no more" "$out" free
    done
    ok husk delete --force "$ID-2"
    ok husk delete --force "$ID-1"
    nothing_left
}

@test "what a container writes is on the host, and what the host writes in the container" {
    files_bundle bundle
    shell 'echo from the container >/volume/out; cat /volume/in; until [ -e /volume/late ]; do sleep 0.1; done; cat /volume/late'
    echo from the host >"$T/volume/in"
    running
    wait_output "$ID" 'from the host'
    until_ok "the container's file" grep -q 'from the container' "$T/volume/out"
    echo later >"$T/volume/new"
    mv "$T/volume/new" "$T/volume/late"
    wait_output "$ID" later
    wait_status "$ID" stopped
    ok husk delete "$ID"
    nothing_left
}

@test "what the host writes in place is what the next open reads, whatever size and times it has" {
    files_bundle bundle
    program sleep 1000
    running
    local text
    for text in AAAA BBBB CCCC; do
        printf "$text" >"$T/volume/file"
        printf "$text" >"$BUNDLE/rootfs/home/file"
        touch -d @1000000 "$T/volume/file" "$BUNDLE/rootfs/home/file"
        sleep 1.1 # for so long the guest may not ask for times that it knows
        ok husk exec "$ID" cat /volume/file /home/file
        is "content" "$out" "$text$text"
    done
    ok husk delete --force "$ID"
}

# The host's programs, read-only, in a root file system that has nothing else.
host_bundle() {
    new_bundle
    docker_caps
    rm -rf "$BUNDLE/rootfs"
    mkdir -p "$BUNDLE"/rootfs/{dev,etc,proc,root,sys,tmp,usr,var/lib,work}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$BUNDLE/rootfs/$name"; done
    edit '.mounts += [{destination: "/usr", type: "bind", source: "/usr", options: ["rbind", "ro"]}]'
    volume
    shell "set -e; export PATH=/usr/sbin:/usr/bin LC_ALL=C; $1"
}

@test "dpkg builds, installs, verifies and removes a package" {
    command -v dpkg-deb >/dev/null || skip "no dpkg here"
    local where
    for where in /work /volume; do
        rm -rf "$T/bundle" "$T/volume"/*
        host_bundle "cd $where; mkdir -p p/DEBIAN p/opt/many root/var/lib/dpkg/info root/var/lib/dpkg/updates
            : >root/var/lib/dpkg/status; : >root/var/lib/dpkg/available
            printf 'Package: many\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: files\n' >p/DEBIAN/control
            i=0; while [ \$i -lt 300 ]; do echo \$i >p/opt/many/\$i; i=\$((i + 1)); done
            ln -s 0 p/opt/many/link; ln p/opt/many/1 p/opt/many/hard
            (cd p && find opt -type f | sort | xargs md5sum >DEBIAN/md5sums)
            dpkg-deb --root-owner-group -b p many.deb >/dev/null
            dpkg --root=root --force-not-root,script-chrootless -i many.deb >/dev/null
            dpkg --root=root -V many && echo verified
            dpkg --root=root -s many | grep Status
            echo files: \$(find root/opt/many -type f | wc -l)
            dpkg --root=root --force-script-chrootless -P many >/dev/null
            [ -e root/opt ] || echo gone"
        ok husk run --bundle "$BUNDLE" "$ID"
        is "output on $where" "$out" "verified
Status: install ok installed
files: 301
gone"
    done
    nothing_left
}

@test "sqlite: two writers at once, with a journal and with a log" {
    command -v sqlite3 >/dev/null || skip "no sqlite3 here"
    local where mode
    for where in /work /volume; do
        for mode in delete wal; do
            rm -rf "$T/bundle" "$T/volume"/*
            host_bundle "cd $where; sqlite3 db 'pragma journal_mode=$mode; create table t(n integer primary key, who text);'
                writer() { i=0; while [ \$i -lt 40 ]; do echo \"insert into t(who) values('\$1');\"; i=\$((i + 1)); done |
                    sqlite3 -bail -cmd '.timeout 30000' db; }
                writer a & writer b; wait \$!
                sqlite3 db 'pragma integrity_check; select count(*) from t; select count(distinct who) from t;'"
            ok husk run --bundle "$BUNDLE" "$ID"
            is "output on $where" "$out" "$mode
ok
80
2"
        done
    done
    nothing_left
}
