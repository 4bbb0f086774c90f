# What a container sees inside, and what bounds it: identity, mounts, files of the root, limits, namespaces.
load helpers

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

@test "many processes that are killed at once where memory was short: the host's limit of the VM is what it was" {
    vm_only
    sleeper
    edit '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
    running
    limits() { tagged_cgroups "$TAG" | sort | while read -r folder; do cat "$folder/memory.limit_in_bytes" "$folder/memory.max" || true; done 2>/dev/null; }
    local before i pids=()
    before=$(limits)
    like "limit" "$before" '[0-9]{8}'
    try husk exec "$ID" sh -c 'head -c 100m /dev/zero | tail'
    for i in {1..12}; do
        husk exec "$ID" sleep 1000 </dev/null >"$T/exec-$i" 2>&1 3>&- &
        pids+=($!)
    done
    until_ok "the processes" eval '[[ $("$HUSK" --root "$ROOT" "${GLOBAL[@]}" ps "$ID" | grep -c "sleep 1000") == 13 ]]'
    ok husk exec "$ID" sh -c 'kill -9 $(pidof sleep | tr " " "\n" | grep -vx 1)'
    wait "${pids[@]}" || true
    is "limits" "$(limits)" "$before"
    ok husk delete --force "$ID"
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
