# config.json, member by member, and what cannot be honoured: what the commands' own tests (cli.bats, commands.bats) have not shown already.
# husk_only: runc 1.1 knows version 1.0 of the spec, and its libseccomp and flags are older.
load helpers

# refused REGEX: it is not made, the error is one line, nothing is left.
refused() {
    try husk run --bundle "$BUNDLE" "$ID" </dev/null
    is "exit code" "$status" 1
    if is_husk; then
        like "error" "$err" "$1"
        is "lines of the error" "$(grep -vc 'level=warning' <<<"$err")" 1
    fi
    nothing_left
}
# mount_options PATH: of the mount there, from mountinfo in $out; mount_super PATH: its file system's.
mount_options() { awk -v p="$1" '$5 == p {print $6}' <<<"$out" | tail -1; }
mount_super() { awk -v p="$1" '$5 == p {print $NF}' <<<"$out" | tail -1; }
mount_tags() { awk -v p="$1" '$5 == p {for (i = 7; $i != "-"; ++i) printf "%s ", $i}' <<<"$out" | sed 's/:[0-9]*//g; s/ $//'; }

@test "process: scheduler and I/O priority, also for exec; CPU affinity is for exec alone" {
    husk_only
    sleeper
    edit '.process.scheduler = {policy: "SCHED_BATCH", nice: 5} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 3}
        | .process.execCPUAffinity = {initial: "0", final: "0"}'
    running
    ok husk exec "$ID" sh -c 'for p in 1 $$; do cut -d" " -f19,40,41 /proc/$p/stat; ionice -p $p; done
        for p in 1 $$; do sed -n "s/Cpus_allowed_list:\s*/cpus /p" /proc/$p/status; done; cat /sys/devices/system/cpu/online'
    is "nice value, priority, policy" "$(sed -n '1p;3p' <<<"$out")" $'5 0 3\n5 0 3'
    is "I/O priority" "$(sed -n '2p;4p' <<<"$out")" $'best-effort: prio 3\nbest-effort: prio 3'
    is "CPUs of the first process" "$(sed -n 5p <<<"$out")" "cpus $(sed -n 7p <<<"$out")"
    is "CPUs of the other" "$(sed -n 6p <<<"$out")" "cpus 0"
    ok husk delete --force "$ID"
    # What a fork would lose: the process itself has it, its child has not.
    edit 'del(.process.execCPUAffinity) | .process.ioPriority = {class: "IOPRIO_CLASS_IDLE", priority: 0}
        | .process.scheduler = {policy: "SCHED_FIFO", priority: 7, flags: ["SCHED_FLAG_RESET_ON_FORK"]}'
    # Where real time is shared out among v1's groups, this one needs its share.
    [[ ! -e /sys/fs/cgroup/cpu/cpu.rt_runtime_us ]] ||
        edit --arg id "/$ID" '.linux.cgroupsPath = $id | .linux.resources.cpu = {realtimePeriod: 1000000, realtimeRuntime: 10000}'
    shell 'read -r all </proc/$$/stat; set -- $all; echo "${40} ${41}"; cut -d" " -f40,41 /proc/self/stat; ionice -p $$'
    run_it
    is "priority and policy" "$out" $'7 1\n0 0\nidle'
    edit '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 1000000, deadline: 5000000, period: 10000000}'
    shell 'read -r all </proc/$$/stat; set -- $all; echo "${41}"'
    run_it
    is "policy" "$out" 6
    nothing_left
}

@test "process: every resource limit" {
    new_bundle
    # In /proc's order.
    # Address space for a sanitizer's shadow. None above the test's own: a host's root may be without CAP_SYS_RESOURCE.
    local priorities='{"soft": 0, "hard": 0}'
    ! has_vm || priorities='{"soft": 5, "hard": 6}'
    edit --argjson priorities "$priorities" '.process.rlimits = (["CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
        "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"] | to_entries | map({type: "RLIMIT_\(.value)"}
        + if [.value] | inside(["NICE", "RTPRIO"]) then $priorities
          elif [.value] | inside(["NPROC", "NOFILE", "MEMLOCK", "SIGPENDING", "MSGQUEUE"]) then {soft: (500 + .key), hard: (600 + .key)}
          elif [.value] | inside(["DATA", "AS"]) then {soft: (1125899906842624 + .key), hard: (2251799813685248 + .key)}
          else {soft: (100000000 + .key), hard: (200000000 + .key)} end))'
    shell 'sed 1d /proc/self/limits | grep -o "  [0-9][0-9]* *[0-9][0-9]*" | sed "s/  */ /g; s/^ //"'
    run_it
    is "limits" "$out" "$(jq -r '.process.rlimits[] | "\(.soft) \(.hard)"' "$BUNDLE/config.json")"
}

all_mapped() {
    chmod 755 "$T"
    chown -R 100000:100000 "$BUNDLE/rootfs"
}

@test "namespaces: all eight, new, and joined by path" {
    husk_only
    sleeper
    all_mapped
    edit '.hostname = "first" | .domainname = "example" | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = .linux.uidMappings | .linux.timeOffsets = {monotonic: {secs: 1000000, nanosecs: 5}, boottime: {secs: 2000000}}
        | .linux.namespaces = (["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"] | map({type: .}))'
    running "$ID" --pid-file "$T/pid"
    local look='for n in pid net ipc uts user cgroup time; do readlink /proc/$$/ns/$n; done; hostname; cat /proc/sys/kernel/domainname
        [ $(cut -d. -f1 /proc/uptime) -gt 2000000 ] && echo later'
    ok husk exec "$ID" sh -c "$look"
    local first=$out
    is "names and clock" "$(tail -n +8 <<<"$first" | tr '\n' ' ')" 'first example later '
    ok husk exec "$ID" sh -c 'cut -d: -f3 /proc/1/cgroup | sort -u'
    is "cgroup" "$out" /
    has_vm || is "namespaces that are the host's" "$(comm -12 <(sort <<<"$first") <(readlink /proc/self/ns/* | sort))" ""

    new_bundle second
    all_mapped
    edit --arg pid "$(cat "$T/pid")" 'del(.hostname) | .linux.namespaces = ([{type: "mount"}]
        + (["pid", "ipc", "uts", "user", "cgroup", "time"] | map({type: ., path: "/proc/\($pid)/ns/\(.)"})) + [{type: "network", path: "/proc/\($pid)/ns/net"}])'
    shell "$look"
    ok husk run --bundle "$BUNDLE" "$ID-2" </dev/null
    is "the other's" "$out" "$first"
    ok husk delete --force "$ID"
    nothing_left
}

@test "namespaces: a path that is none of its type, or nobody's" {
    new_bundle
    edit --arg p "$T/bundle/config.json" '.linux.namespaces |= map(if .type == "uts" then .path = $p else . end) | del(.hostname)'
    refused 'uts namespace'
    edit --arg p /proc/$$/ns/net '.linux.namespaces |= map(if .type == "uts" then .path = $p else . end)'
    refused 'uts namespace'
    has_vm || return 0
    local type
    for type in cgroup time; do
        edit --arg t "$type" --arg pid $$ '.linux.namespaces |= map(del(.path) | select(.type != $t)) + [{type: $t, path: "/proc/\($pid)/ns/\($t)"}]'
        refused "$type namespace /proc/$$/ns/$type: it is not that of a running husk container"
    done
}

@test "mounts: every option that is a flag, and its opposite" {
    husk_only
    new_bundle
    mkdir -p "$T/tree/sub"
    cp /bin/busybox "$T/tree/busybox"
    mount -t tmpfs tmpfs "$T/tree/sub"
    cp /bin/busybox "$T/tree/sub/busybox"
    ln -s busybox "$T/tree/sub/echo"
    edit --arg tree "$T/tree" 'def m(d; o): {destination: d, type: "tmpfs", source: "tmpfs", options: o};
        def b(d; o): {destination: d, type: "bind", source: $tree, options: o};
        .mounts += [
        m("/m/all"; ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow", "size=64k", "mode=711"]),
        m("/m/super"; ["sync", "dirsync", "lazytime", "strictatime", "mand", "iversion", "silent"]),
        m("/m/none"; ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow", "sync", "lazytime", "mand", "iversion", "silent",
            "rw", "suid", "dev", "exec", "atime", "diratime", "symfollow", "async", "nolazytime", "nomand", "noiversion", "loud",
            "strictatime", "nostrictatime", "relatime", "norelatime", "defaults"]),
        m("/m/shared"; ["shared"]), m("/m/rshared"; ["rshared"]), m("/m/slave"; ["shared", "slave"]), m("/m/rslave"; ["rslave"]),
        m("/m/private"; ["shared", "private"]), m("/m/rprivate"; ["rprivate"]),
        m("/m/unbindable"; ["unbindable"]), m("/m/runbindable"; ["runbindable"]),
        b("/b/all"; ["bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"]),
        b("/b/none"; ["bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow",
            "rw", "suid", "dev", "exec", "atime", "diratime", "symfollow"]),
        b("/b/rall"; ["rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow"]),
        b("/b/rnone"; ["rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow",
            "rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rsymfollow", "rrelatime"]),
        b("/b/rstrict"; ["rbind", "rnoatime", "rstrictatime"]), b("/b/rnostrict"; ["rbind", "rstrictatime", "rnostrictatime", "rnorelatime"]),
        m("/m/remount"; ["size=64k"]), m("/m/remount"; ["remount", "size=128k", "noexec"])]'
    shell 'cat /proc/self/mountinfo
        for d in /b/rall /b/rall/sub; do touch $d/x 2>/dev/null && echo "wrote $d"; $d/busybox true 2>/dev/null && echo "executed $d"; done
        /b/rall/sub/echo followed 2>/dev/null; cat /b/rall/sub/echo >/dev/null 2>&1 && echo "followed"
        touch /b/rnone/sub/x && /b/rnone/sub/echo as ever'
    run_it
    umount "$T/tree/sub"
    is "all flags" "$(mount_options /m/all)" ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow
    like "size and mode" "$(mount_super /m/all)" 'size=64k,mode=711'
    is "strictatime" "$(mount_options /m/super)" rw
    like "flags of the file system" "$(mount_super /m/super)" '^rw,sync,dirsync,.*lazytime|^rw,sync,dirsync,lazytime'
    is "undone" "$(mount_options /m/none)" rw,relatime
    unlike "undone" "$(mount_super /m/none)" 'sync|lazytime'
    local o
    for o in shared rshared; do is "$o" "$(mount_tags /m/$o)" shared; done
    for o in slave rslave private rprivate; do is "$o" "$(mount_tags /m/$o)" ''; done
    for o in unbindable runbindable; do is "$o" "$(mount_tags /m/$o)" unbindable; done
    for o in all rall; do is "bind, $o" "$(mount_options /b/$o)" ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow; done
    for o in none rnone rnostrict; do is "bind, $o" "$(mount_options /b/$o)" rw,relatime; done
    is "bind, rstrict" "$(mount_options /b/rstrict)" rw
    like "remount" "$(mount_super /m/remount)" 'size=128k'
    is "remount" "$(mount_options /m/remount)" rw,noexec,relatime
    is "what went through" "$(grep -E '^(wrote|executed|followed|as ever)' <<<"$out")" 'as ever'
    nothing_left
}

@test "mounts: each type of file system" {
    new_bundle
    docker_caps
    mkdir -p "$T"/{low,up,work} "$BUNDLE/rootfs/copied/in"
    echo lower >"$T/low/file"
    echo 'of the image' >"$BUNDLE/rootfs/copied/in/file"
    chown 1000:1001 "$BUNDLE/rootfs/copied/in/file"
    chmod 2750 "$BUNDLE/rootfs/copied"
    edit --arg t "$T" '.mounts += [
        {destination: "/copied", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "nosuid"]},
        {destination: "/o", type: "overlay", source: "overlay", options: ["lowerdir=\($t)/low", "upperdir=\($t)/up", "workdir=\($t)/work"]},
        {destination: "/proc2", type: "proc", source: "proc"}, {destination: "/sys2", type: "sysfs", source: "sysfs", options: ["ro"]},
        {destination: "/cgroup2", type: "cgroup2", source: "cgroup"}, {destination: "relative/dest", type: "tmpfs", source: "x"}]'
    shell 'cat /proc/self/mountinfo; echo "copied $(cat /copied/in/file) $(stat -c "%u %g" /copied/in/file) $(stat -c %a /copied)"; echo x >/copied/in/file
        echo "overlay $(cat /o/file)"; echo upper >/o/file; stat -c "ptmx %a" /dev/pts/ptmx; cat /proc2/self/comm; ls -d /sys2/kernel; ls /cgroup2/cgroup.procs'
    run_it
    local type
    for type in /copied:tmpfs /dev/mqueue:mqueue /dev/pts:devpts /proc2:proc /sys2:sysfs /cgroup2:cgroup2 /relative/dest:tmpfs; do
        is "type of ${type%:*}" "$(awk -v p="${type%:*}" '$5 == p {print $(NF - 2)}' <<<"$out")" "${type#*:}"
    done
    is "the rest" "$(grep -vE '^[0-9]+ [0-9]+ [0-9]+:' <<<"$out")" 'copied of the image 1000 1001 2750
overlay lower
ptmx 666
cat
/sys2/kernel
/cgroup2/cgroup.procs'
    is "the image's file" "$(cat "$BUNDLE/rootfs/copied/in/file")" 'of the image'
    is "the layers" "$(cat "$T/low/file" "$T/up/file")" $'lower\nupper'
    edit '.mounts = .mounts[:-6] + [{destination: "/x", type: "nonsense", source: "x"}]'
    refused 'mounting /x: .*No such device'
    edit '.mounts[-1] = {destination: "/x", type: "tmpfs", source: "x", options: ["no-option-of-tmpfs=1"]}'
    refused 'mounting /x: .*no-option-of-tmpfs'
}

@test "mounts: idmapped, by mappings of their own and by the user namespace's" {
    husk_only
    new_bundle
    mkdir -m 777 "$T/volume"
    echo owner >"$T/volume/file"
    edit --arg t "$T" '.process.user = {uid: 5001, gid: 5001} | .mounts += [{destination: "/v", type: "bind", source: "\($t)/volume",
        options: ["bind", "idmap"], uidMappings: [{containerID: 0, hostID: 5000, size: 10}], gidMappings: [{containerID: 0, hostID: 5000, size: 10}]}]'
    shell 'stat -c "%u %g" /v/file; touch /v/made; stat -c "%u %g" /v/made'
    run_it
    is "owners inside" "$out" $'5000 5000\n5001 5001'
    is "owner outside" "$(stat -c '%u %g' "$T/volume/made")" '1 1'
    edit 'del(.mounts[-1].uidMappings, .mounts[-1].gidMappings)'
    refused 'mounting /v: idmap needs uidMappings'

    all_mapped
    edit '.process.user = {uid: 0, gid: 0} | .mounts[-1].options = ["rbind", "ridmap"] | .linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
    shell 'stat -c "%u %g" /v/file; touch /v/root; stat -c "%u %g" /v/root'
    run_it
    is "owners inside" "$out" $'0 0\n0 0'
    is "owner outside" "$(stat -c '%u %g' "$T/volume/root")" '0 0'
    nothing_left
}

@test "mounts: a user namespace's sources are opened with the runtime's rights" {
    new_bundle
    all_mapped
    mkdir -p "$T/private/in" "$T/private/shown"
    chmod 700 "$T/private"
    echo readable >"$T/private/in/file"
    edit --arg t "$T" '.mounts += [{destination: "/v", type: "bind", source: "\($t)/private/in", options: ["rbind", "ro"]},
        {destination: "/f", type: "bind", source: "\($t)/private/in/file", options: ["bind"]}] | .linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
    shell 'cat /v/file /f; touch /v/x 2>/dev/null || echo read-only; grep " /v .*shared:" /proc/self/mountinfo; true'
    run_it
    is "output" "$out" $'readable\nreadable\nread-only'
    nothing_left
}

@test "rootfsPropagation" {
    husk_only
    new_bundle
    shell 'cat /proc/self/mountinfo'
    local row
    for row in :private shared:shared rshared:shared slave:private private:private unbindable:unbindable; do
        edit --arg p "${row%:*}" '.linux.rootfsPropagation = $p'
        run_it
        local tags
        tags=$(mount_tags / | sed 's/master//; s/ //')
        is "rootfsPropagation ${row%:*}" "${tags:-private}" "${row#*:}"
    done
}

hook() { edit --arg kind "$1" --arg code "$2" --argjson more "${3:-{\}}" '.hooks[$kind] += [{path: "/bin/sh", args: ["sh", "-c", $code]} + $more]'; }

@test "hooks: arguments, environment, timeout" {
    new_bundle
    edit --arg t "$T" '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "echo \"$0 $1 $A\" >\($t)/hook; /usr/bin/env | sort >>\($t)/hook", "zero", "one two"],
        env: ["A=b c"], timeout: 60}, {path: "/usr/bin/env"}]
        | .hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "echo \"$0 $1 $A\" >/hook; env | sort >>/hook", "zero", "one two"], env: ["A=b c"]}]'
    run_it
    local file
    for file in "$T/hook" "$BUNDLE/rootfs/hook"; do
        is "arguments" "$(head -1 "$file")" 'zero one two b c'
        is "environment" "$(sed 1d "$file" | grep -vE '^(_|PWD|OLDPWD|SHLVL|PATH)=')" 'A=b c' # those are the shell's own
    done
    is_husk || return 0 # runc 1.1 leaves the cgroup
    edit 'del(.hooks)'
    hook createRuntime 'sleep 1000' '{"timeout": 1}'
    refused 'createRuntime hook .*(timeout|no end after) '
    edit 'del(.hooks)'
    hook startContainer 'sleep 1000' '{"timeout": 1}'
    refused 'hook .*(timeout|no end after) '
}

@test "hooks: what one leaves running, and talking, is not waited for" {
    new_bundle
    hook startContainer '(while :; do echo more; done) & sleep 0.3'
    run_it
}

@test "hooks: failing ones" {
    husk_only
    new_bundle
    local kind
    for kind in prestart createRuntime createContainer; do
        edit 'del(.hooks)'
        hook "$kind" 'echo the reason >&2; exit 3'
        hook "$kind" "echo second >>$T/second"
        hook poststop "echo after $kind >>$T/poststop"
        refused "$kind hook.*#0.*exit status 3.*the reason"
    done
    is "the hooks behind them" "$(cat "$T/second" 2>&1 | grep -c second$)" 0
    is "poststop hooks" "$(cat "$T/poststop")" $'after prestart\nafter createRuntime\nafter createContainer'
    edit 'del(.hooks)'
    hook startContainer 'echo the reason; exit 3'
    hook poststop "echo after start >>$T/poststop"
    create
    try husk start "$ID"
    is "exit code of start" "$status" 1
    like "error" "$err" 'hook.*exit status 3.*the reason'
    wait_status "$ID" stopped
    ok husk delete "$ID"
    is "poststop hooks" "$(tail -1 "$T/poststop")" 'after start'
    # These come too late to fail anything.
    edit 'del(.hooks)'
    program sleep 1000
    hook poststart 'exit 4'
    hook poststart "echo second >>$T/second"
    hook poststop 'exit 5'
    hook poststop "echo third >>$T/second"
    running
    like "warning" "$err" 'level=warning.*poststart hook.*exit status 4'
    is "status" "$(state_field "$ID" status)" running
    ok husk delete --force "$ID"
    like "warning" "$err" 'level=warning.*poststop hook.*exit status 5'
    is "the hooks behind them" "$(cat "$T/second")" $'second\nthird'
    nothing_left
}

@test "devices without rules, or resources: the default ones, as with rules" {
    husk_only
    new_bundle
    docker_caps
    shell 'mknod /tmp/kmsg c 1 11; mknod /tmp/full c 1 7; cat /tmp/kmsg; (: </tmp/full) && echo full'
    local change
    for change in 'del(.linux.resources.devices)' 'del(.linux.resources)'; do
        edit "$change"
        run_it
        is "$change: output" "$out" full
        like "$change: error" "$err" "can't open '/tmp/kmsg': Operation not permitted"
        rm "$BUNDLE/rootfs/tmp/"*
    done
}

@test "a bundle behind a symlink, in a folder with a space; without pivot_root, and with shared mounts" {
    mkdir "$T/shared"
    mount -t tmpfs -o size=20m tmpfs "$T/shared"
    mount --make-shared "$T/shared"
    new_bundle "shared/a bundle"
    ln -s "shared/a bundle" "$T/link"
    shell 'ls -d /proc/self /sys/kernel'
    local propagation
    for propagation in private shared; do
        edit --arg p "$propagation" '.linux.rootfsPropagation = $p'
        ok husk run --bundle "$T/link" "$ID" </dev/null
        is "with pivot_root, $propagation" "$out" $'/proc/self\n/sys/kernel'
    done
    ok husk run --no-pivot --bundle "$T/link" "$ID" </dev/null
    is "without" "$out" $'/proc/self\n/sys/kernel'
    umount "$T/shared"
    nothing_left
}

@test "devices of every type; personality; masked and read-only paths" {
    husk_only
    new_bundle
    mkdir "$BUNDLE/rootfs/secret"
    echo secret >"$BUNDLE/rootfs/secret/file"
    edit '.linux.devices = [{path: "/dev/sub/zero", type: "c", major: 1, minor: 5, fileMode: 416, uid: 1000, gid: 1001},
        {path: "/dev/disk", type: "b", major: 7, minor: 200, fileMode: 384}, {path: "/dev/fifo", type: "p"}, {path: "/dev/unbuffered", type: "u", major: 1, minor: 3}]
        | .linux.personality = {domain: "LINUX32"} | .linux.maskedPaths = ["/secret", "/etc/passwd", "/not/there"] | .linux.readonlyPaths = ["/home", "/etc/group", "/nor/this"]'
    # In a VM a disk has to be there (devices.bats).
    if has_vm; then edit 'del(.linux.devices[1])'; fi
    shell 'stat -c "%F %a %u %g %t:%T" /dev/sub/zero /dev/disk /dev/fifo /dev/unbuffered 2>/dev/null; uname -m; ls /secret | wc -l; wc -c </etc/passwd
        touch /home/x 2>/dev/null; echo x 2>/dev/null >>/etc/group; ls /home; grep -c x: /etc/group'
    run_it
    is "output" "$(grep -v '^block special file 600 0 0 7:c8$' <<<"$out")" 'character special file 640 1000 1001 1:5
fifo 666 0 0 0:0
character special file 666 0 0 1:3
i686
0
0
3'
    has_vm || like "disk" "$out" $'\nblock special file 600 0 0 7:c8\n'
    edit '.linux.devices = [{path: "/etc/group", type: "c", major: 1, minor: 5}]'
    refused '/etc/group: .*another file is there'
}

# in_cgroup FILE...: prints them, as the container sees its cgroup, one line each.
cgroup_lines() {
    local code='cd /sys/fs/cgroup; '
    for file in "$@"; do code+="echo $file=\$(cat $file 2>/dev/null || cat */$file 2>/dev/null); "; done
    shell "$code"
}

@test "resources: memory, CPU, processes, huge pages, network, RDMA" {
    husk_only
    new_bundle
    edit '.linux.resources = {memory: {limit: 67108864, reservation: 33554432, swap: 100663296, swappiness: 10, disableOOMKiller: false, kernel: 1000, useHierarchy: true},
        cpu: {shares: 512, quota: 50000, period: 100000, burst: 10000}, pids: {limit: 50},
        hugepageLimits: [{pageSize: "2MB", limit: 4194304}], network: {classID: 1048577, priorities: [{name: "lo", priority: 3}]}, rdma: {mlx5_1: {hcaHandles: 3}}}'
    cgroup_lines memory.{max,low,swap.max} cpu.{weight,max,max.burst} pids.max hugetlb.2MB.max \
        memory.{limit_in_bytes,soft_limit_in_bytes,memsw.limit_in_bytes,swappiness} cpu.{shares,cfs_quota_us,cfs_burst_us}
    run_it
    is "pids" "$(value pids.max)" 50
    if has_vm; then
        is "memory" "$(value memory.max) $(value memory.low) $(value memory.swap.max)" '67108864 33554432 33554432'
        is "CPU" "$(value cpu.weight) $(value cpu.max) $(value cpu.max.burst)" '20 50000 100000 10000'
        is "huge pages" "$(value hugetlb.2MB.max)" 4194304
        like "warning" "$err" 'cgroup v2 has no swappiness, it is not set'
        like "warning" "$err" 'net_prio: no such cgroup controller'
    elif [[ -e /sys/fs/cgroup/memory ]]; then
        is "memory" "$(value memory.limit_in_bytes) $(value memory.soft_limit_in_bytes) $(value memory.swappiness)" '67108864 33554432 10'
        is "memory and swap" "$(value memory.memsw.limit_in_bytes)" 100663296
        is "CPU" "$(value cpu.shares) $(value cpu.cfs_quota_us) $(value cpu.cfs_burst_us)" '512 50000 10000'
    fi
    like "warning" "$err" 'memory.kernel: no longer supported'
    like "warning" "$err" 'memory.useHierarchy: always on'
    [[ $(cat /proc/cgroups) == *rdma* ]] || like "warning" "$err" 'rdma: no such cgroup controller, rdma.max is not set'
    [[ -e /sys/fs/cgroup/net_cls ]] || like "warning" "$err" 'net_cls: no such cgroup controller, net_cls.classid is not set'
    is "each warning once" "$(grep -o 'msg=.*' <<<"$err" | sort | uniq -d)" ""
}

@test "resources: unified, idle, checkBeforeUpdate, block I/O" {
    husk_only
    new_bundle
    edit '.linux.resources = {cpu: {idle: 1, shares: 512}, unified: {"memory.high": "50331648", "pids.max": "77"}}'
    cgroup_lines cpu.idle memory.high pids.max
    if has_vm || [[ $(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null) == *memory* ]]; then
        run_it
        is "idle, unified" "$(value cpu.idle) $(value memory.high) $(value pids.max)" '1 50331648 77'
    else
        refused 'linux.resources.unified.*(not available|needs cgroup v2)'
        edit 'del(.linux.resources.unified)'
        run_it
        is "idle" "$(value cpu.idle)" 1
    fi
    edit '.linux.resources = {unified: {"no.such.file": "1"}}'
    refused 'linux.resources.unified.*no.such.file|linux.resources.unified.*needs cgroup v2'
    # The host's disks: its own cgroup has the limits, in a VM, too.
    local disk
    disk=$(lsblk -dnro MAJ:MIN 2>/dev/null | head -1)
    [[ -n $disk && -e /sys/fs/cgroup/blkio ]] || return 0
    edit --argjson major "${disk%:*}" --argjson minor "${disk#*:}" '.linux.resources = {blockIO: {weight: 300,
        throttleReadBpsDevice: [{major: $major, minor: $minor, rate: 10485760}], throttleWriteIOPSDevice: [{major: $major, minor: $minor, rate: 1000}]}}'
    program sleep 1000
    running
    local cgroup
    cgroup=/sys/fs/cgroup/blkio$(sed -n 's/.*:blkio://p' "/proc/$(state_field "$ID" pid)/cgroup")
    is "bytes" "$(cat "$cgroup/blkio.throttle.read_bps_device")" "$disk 10485760"
    is "operations" "$(cat "$cgroup/blkio.throttle.write_iops_device")" "$disk 1000"
    [[ -e $cgroup/blkio.weight || -e $cgroup/blkio.bfq.weight ]] || like "warning" "$(cat "$T/$ID.err")" 'blkio.weight here, it is not set'
    ok husk delete --force "$ID"
    nothing_left
}

@test "seccomp: every operator and action" {
    husk_only
    new_bundle
    docker_caps
    edit 'def r(n; o; e): {names: [n], action: "SCMP_ACT_ERRNO", errnoRet: e, args: [o]};
        .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], syscalls: [
        r("chmod"; {index: 1, value: 64, op: "SCMP_CMP_LT"}; 61), r("chmod"; {index: 1, value: 384, op: "SCMP_CMP_EQ"}; 62),
        r("chmod"; {index: 1, value: 3071, op: "SCMP_CMP_GT"}; 63), r("chmod"; {index: 1, value: 512, valueTwo: 512, op: "SCMP_CMP_MASKED_EQ"}; 64),
        r("ftruncate"; {index: 1, value: 100, op: "SCMP_CMP_LE"}; 65), r("ftruncate"; {index: 1, value: 8589934592, op: "SCMP_CMP_GE"}; 66),
        r("kill"; {index: 1, value: 0, op: "SCMP_CMP_NE"}; 67),
        {names: ["sethostname"], action: "SCMP_ACT_ERRNO"}, {names: ["syncfs", "sync"], action: "SCMP_ACT_TRACE", errnoRet: 5},
        {names: ["mkdir"], action: "SCMP_ACT_LOG"}, {names: ["chroot"], action: "SCMP_ACT_KILL_PROCESS"}, {names: ["mknod", "mknodat"], action: "SCMP_ACT_KILL_THREAD"},
        {names: ["link", "linkat"], action: "SCMP_ACT_TRAP"}, {names: ["symlink", "symlinkat"], action: "SCMP_ACT_KILL"}, {names: ["no_such_call"], action: "SCMP_ACT_KILL"}]}'
    shell 'cd /tmp; touch f; say() { echo "$1: $(shift; "$@" 2>&1 | sed "s/.*: //")"; }; code() { n=$1; shift; ("$@") >/dev/null 2>&1; echo "$n: $?"; }
        say LT chmod 0077 f; say EQ chmod 0600 f; say GT chmod 6001 f; say MASKED chmod 1000 f; say none chmod 0644 f
        say LE truncate -s 100 f; say GE truncate -s 8589934592 f; say none truncate -s 101 f; say NE kill -USR1 $$; say none kill -0 $$
        say ERRNO hostname x; code LOG mkdir d; code KILL_PROCESS chroot / true; code KILL_THREAD mknod p p; code TRAP ln f g; code KILL ln -s f h
        code TRACE sync'
    run_it
    is "output" "$out" 'LT: No data available
EQ: Timer expired
GT: Out of streams resources
MASKED: Machine is not on the network
none: 
LE: Package not installed
GE: Object is remote
none: 
NE: Link has been severed
none: 
ERRNO: Operation not permitted
LOG: 0
KILL_PROCESS: 159
KILL_THREAD: 159
TRAP: 159
KILL: 159
TRACE: 0'
    edit '.linux.seccomp.syscalls[7].errnoRet = 5 | .linux.seccomp.syscalls[9].errnoRet = 5'
    refused 'syscalls\[9\].errnoRet: only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE'
}

@test "seccomp: default errno, all architectures and flags that features names; listeners" {
    husk_only
    new_bundle
    docker_caps
    ok husk features
    printf '%s' "$out" >"$T/features"
    # Every call of the kernel's but one is allowed.
    sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/\1/p' /usr/include/x86_64-linux-gnu/asm/unistd_64.h | grep -vE '^mkdir(at)?$' | jq -R . | jq -s . >"$T/calls"
    # A filter is of one byte order.
    local big='["SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X",
        "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_M68K", "SCMP_ARCH_SHEB"]'
    edit --slurpfile f "$T/features" --slurpfile calls "$T/calls" --argjson big "$big" '.linux.seccomp = {defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 28,
        architectures: ($f[0].linux.seccomp.archs - $big), flags: $f[0].linux.seccomp.supportedFlags, syscalls: [{names: $calls[0], action: "SCMP_ACT_ALLOW"}]}'
    shell 'mkdir /tmp/x; sed -n "s/^Seccomp:\s*//p" /proc/self/status'
    run_it
    like "error" "$err" 'No space left on device'
    is "mode" "$out" 2
    # A rule's own default is EPERM all the same.
    edit '.linux.seccomp.syscalls += [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]'
    run_it
    like "error" "$err" 'Operation not permitted'
    # Nor need every call be one of each architecture.
    edit --slurpfile f "$T/features" '.linux.seccomp = {defaultAction: "SCMP_ACT_LOG", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64"],
        syscalls: ($f[0].linux.seccomp.actions - ["SCMP_ACT_NOTIFY"] | map({names: ["acct"], action: .}))}'
    run_it
    edit '.linux.seccomp.architectures = ["SCMP_ARCH_S390X"]'
    refused 'SCMP_ARCH_S390X: Numerical argument out of domain'
    edit '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/run/no-such-agent", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
    if has_vm; then refused 'SCMP_ACT_NOTIFY is not supported: no listener can see a guest'; else refused 'seccomp agent.*No such file'; fi
}

@test "versions, unknown members, what is ignored with a warning" {
    husk_only
    new_bundle
    edit '.ociVersion = "1.0.0" | .unknown = {a: 1} | .process.unknown = [] | .linux.unknown = null | .linux.resources.unknown = "x" | .root.unknown = 1
        | .mounts[0].unknown = true | .solaris = {} | .vm = {hypervisor: {path: "/x"}}'
    run_it
    is "warnings" "$err" ""
    edit '.ociVersion = "1.2.9"'
    run_it
    is "warnings" "$err" ""
    edit '.ociVersion = "1.99.0" | .linux.netDevices = {eth9: {name: "x"}}'
    run_it
    like "warning" "$err" 'level=warning.*1.99.0.* is newer than 1\.[0-9]+\.[0-9]+; what it added is ignored'
    local version
    for version in 2.0.0 0.9.0 1.2 1.2.0.0 v1.2.0; do
        edit --arg v "$version" '.ociVersion = $v'
        refused 'ociVersion: .*'"$version"
    done
    edit '.ociVersion = "1.2.0" | .process.apparmorProfile = "none" | .process.selinuxLabel = "a:b:c:s0" | .linux.mountLabel = "a:b:c:s0" | .linux.intelRdt = {closID: "x"}
        | .process.capabilities.bounding += ["CAP_FUTURE"]'
    run_it
    local what
    for what in process.apparmorProfile process.selinuxLabel linux.mountLabel linux.intelRdt 'process.capabilities.bounding: unknown capability'; do
        is "warnings about $what" "$(grep -c "level=warning.*$what" <<<"$err")" 1
    done
}
