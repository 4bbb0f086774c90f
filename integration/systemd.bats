# systemd's cgroup driver with a real systemd: Debian's is pid 1 of a container in a VM, and in there husk --vm=none is called with
# --systemd-cgroup. The VM is booted once for the file.
load helpers

setup_file() {
    has_vm || skip "systemd is booted in a VM"
    [[ -x /usr/lib/systemd/systemd && -L /bin ]] || skip "no systemd"
    common_setup_file
    new_folder
    export T TAG ROOT ID
    mkdir "$T/inner"
    system_bundle
    running
    until_ok "systemd" test -e "$T/inner/booted"
}

teardown_file() {
    [[ -n ${T:-} ]] || return 0
    common_teardown
    common_teardown_file
}

setup() { :; }
# Whatever a test has left, the next one is to find nothing of.
teardown() {
    inner sh -c 'for id in $(/husk/husk --root /run/husk list -q); do /husk/husk --root /run/husk delete --force $id; done'
}

# The host's /usr with a file system of the test's own around it, and nothing for systemd to start but a target that tells us.
system_bundle() {
    local link
    BUNDLE=$T/system
    mkdir -p "$BUNDLE"/rootfs/{usr,proc,sys,dev,run,tmp,var,husk,t,root,etc/systemd/system}
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$BUNDLE/rootfs/$link"; done
    cp "$FILE_DIR"/rootfs/etc/{passwd,group} "$BUNDLE/rootfs/etc"
    md5sum <<<"$TAG" | cut -c1-32 >"$BUNDLE/rootfs/etc/machine-id"
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' 'AllowIsolate=yes' 'Wants=booted.service' \
        >"$BUNDLE/rootfs/etc/systemd/system/husk-test.target"
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' '[Service]' 'Type=oneshot' 'ExecStart=/bin/touch /t/booted' \
        >"$BUNDLE/rootfs/etc/systemd/system/booted.service"
    (cd "$BUNDLE" && "$HUSK" spec 3>&-)
    program /lib/systemd/systemd --unit=husk-test.target
    edit --arg bin "$BUILD/bin" --arg inner "$T/inner" --argjson caps "$("$HUSK" features | jq .linux.capabilities)" '
        .process.terminal = false | .process.env += ["container=husk"] | .root.readonly = false
        | .process.capabilities = (["bounding", "effective", "permitted"] | map({key: ., value: $caps}) | from_entries)
        | .mounts |= map(if .destination == "/sys/fs/cgroup" then .options = .options - ["ro"] + ["rw"] else . end)
        | .mounts += [{destination: "/usr", type: "bind", source: "/usr", options: ["bind", "ro"]},
            {destination: "/husk", type: "bind", source: $bin, options: ["bind", "ro"]},
            {destination: "/t", type: "bind", source: $inner, options: ["bind"]}]
        | .mounts += (["/run", "/tmp", "/var"] | map({destination: ., type: "tmpfs", source: "tmpfs", options: ["mode=755"]}))
        | del(.linux.maskedPaths, .linux.readonlyPaths)'
}

inner() { husk exec "$ID" "$@"; }
# husk in the guest. A container that outlives it must not hold the exec's streams.
guest() {
    inner sh -c '/husk/husk --vm=none --root /run/husk --systemd-cgroup "$@" </dev/null >/run/out 2>/run/err
        code=$?; cat /run/out; cat /run/err >&2; exit $code' husk "$@"
}
# inner_bundle NAME CGROUPSPATH JQ: a bundle that the guest sees as /t/NAME.
inner_bundle() {
    new_bundle "inner/$1" "${3:-.}"
    program sleep 1000
    edit --arg path "$2" '.linux.cgroupsPath = $path'
}
show() {
    local unit=$1
    shift
    ok inner systemctl show "$unit" "${@/#/-p}"
}
group_file() { inner cat "/sys/fs/cgroup/$1"; }
no_unit() {
    show "$1" LoadState
    is "$1" "$(value LoadState)" not-found
    try inner test -e "/sys/fs/cgroup/$2"
    is "exit code of test -e $2" "$status" 1
}

@test "create: a scope in its slice, the limits as properties and in its files; update; delete" {
    inner_bundle a hut-pod.slice:pre:a '.linux.resources += {
        memory: {limit: 67108864, reservation: 16777216}, pids: {limit: 50},
        cpu: {shares: 512, quota: 12345, period: 50000, cpus: "0"}}
        | .annotations = {"org.systemd.property.TimeoutStopSec": "uint32 7", "org.systemd.property.CollectMode": "\u0027inactive-or-failed\u0027"}'
    ok guest create --bundle /t/a a
    is "warnings" "$err" ""
    local group=hut.slice/hut-pod.slice/pre-a.scope
    show pre-a.scope ActiveState Slice ControlGroup Description Delegate DefaultDependencies MemoryMax MemoryLow TasksMax CPUWeight \
        CPUQuotaPerSecUSec CPUQuotaPeriodUSec AllowedCPUs DevicePolicy TimeoutStopUSec CollectMode CPUAccounting IOAccounting
    is ActiveState "$(value ActiveState)" active
    is Slice "$(value Slice)" hut-pod.slice
    is ControlGroup "$(value ControlGroup)" "/$group"
    is Description "$(value Description)" "husk container a"
    is Delegate "$(value Delegate)" yes
    is DefaultDependencies "$(value DefaultDependencies)" no
    is MemoryMax "$(value MemoryMax)" 67108864
    is MemoryLow "$(value MemoryLow)" 16777216
    is TasksMax "$(value TasksMax)" 50
    is CPUWeight "$(value CPUWeight)" 20
    is CPUQuotaPerSecUSec "$(value CPUQuotaPerSecUSec)" 250ms
    is CPUQuotaPeriodUSec "$(value CPUQuotaPeriodUSec)" 50ms
    is AllowedCPUs "$(value AllowedCPUs)" 0
    is DevicePolicy "$(value DevicePolicy)" strict
    is TimeoutStopUSec "$(value TimeoutStopUSec)" 7s
    is CollectMode "$(value CollectMode)" inactive-or-failed
    is CPUAccounting "$(value CPUAccounting)" yes
    is IOAccounting "$(value IOAccounting)" yes
    is memory.max "$(group_file $group/memory.max)" 67108864
    is pids.max "$(group_file $group/pids.max)" 50
    # systemd keeps whole percents, the file has what was asked for.
    is cpu.max "$(group_file $group/cpu.max)" "12345 50000"
    is cpu.weight "$(group_file $group/cpu.weight)" 20
    is cpuset.cpus "$(group_file $group/cpuset.cpus)" 0
    ok guest state a
    is "the processes in the scope" "$(group_file $group/cgroup.procs)" "$(jq .pid <<<"$out")"

    ok guest start a
    ok guest update --memory 96M --pids-limit 60 --cpu-share 1024 a
    show pre-a.scope MemoryMax TasksMax CPUWeight
    is MemoryMax "$(value MemoryMax)" 100663296
    is TasksMax "$(value TasksMax)" 60
    is CPUWeight "$(value CPUWeight)" 39
    is memory.max "$(group_file $group/memory.max)" 100663296
    is pids.max "$(group_file $group/pids.max)" 60
    # systemd has written all of the CPU controller's files again.
    is cpu.max "$(group_file $group/cpu.max)" "12500 50000"
    # What systemd knows survives what makes it write everything again.
    ok inner systemctl daemon-reload
    is "memory.max after a reload" "$(group_file $group/memory.max)" 100663296
    is "pids.max after a reload" "$(group_file $group/pids.max)" 60
    ok guest exec a sh -c 'cat /proc/self/cgroup; echo >/dev/null'

    ok guest delete --force a
    no_unit pre-a.scope "$group"
}

@test "run: the default slice and name; the unit ends with the container" {
    inner_bundle b ""
    program sh -c 'cat /proc/self/cgroup; exit 7'
    edit 'del(.linux.cgroupsPath) | .linux.namespaces |= map(select(.type != "cgroup"))'
    try guest run --bundle /t/b b
    is "exit code" "$status" 7
    like "the container's cgroup" "$out" '^0::/system.slice/husk-b.scope$'
    no_unit husk-b.scope system.slice/husk-b.scope
}

@test "a slice instead of a scope" {
    inner_bundle c hut.slice::hut-c.slice '.linux.resources.pids.limit = 40'
    ok guest create --bundle /t/c c
    show hut-c.slice ActiveState ControlGroup TasksMax
    is ActiveState "$(value ActiveState)" active
    is ControlGroup "$(value ControlGroup)" /hut.slice/hut-c.slice
    is TasksMax "$(value TasksMax)" 40
    is pids.max "$(group_file hut.slice/hut-c.slice/pids.max)" 40
    ok guest state c
    is "the processes in the slice" "$(group_file hut.slice/hut-c.slice/cgroup.procs)" "$(jq .pid <<<"$out")"
    ok guest delete --force c
    show hut-c.slice ActiveState
    is "ActiveState after delete" "$(value ActiveState)" inactive
    try inner test -e /sys/fs/cgroup/hut.slice/hut-c.slice
    is "exit code of test -e" "$status" 1
}

@test "a unit of that name is there already: refused, and it is left alone" {
    inner_bundle d hut.slice:pre:d
    ok guest create --bundle /t/d d
    ok inner systemd-run --scope --unit=pre-e.scope --slice=hut.slice sh -c 'sleep 1000 </dev/null >/dev/null 2>&1 & sleep 0.1'
    inner_bundle e other.slice:pre:e
    try guest create --bundle /t/e e
    is "exit code" "$status" 1
    like "error" "$err" 'unit pre-e.scope: StartTransientUnit: Unit pre-e.scope was already loaded'
    show pre-e.scope ActiveState
    is "the other's" "$(value ActiveState)" active
    like "the other's processes" "$(group_file hut.slice/pre-e.scope/cgroup.procs)" '^[0-9]+$'
    ok inner systemctl stop pre-e.scope
    is "containers" "$(guest list -q)" d
}

@test "creates that fail or are killed leave no unit" {
    inner_bundle f hut.slice:pre:f '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "exit 1"]}]'
    try guest create --bundle /t/f f
    is "exit code" "$status" 1
    no_unit pre-f.scope hut.slice/pre-f.scope
    inner_bundle g hut.slice:pre:g '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "kill -9 $PPID"]}]'
    try guest create --bundle /t/g g
    is "exit code of a killed create" "$status" 137
    ok guest delete --force g
    no_unit pre-g.scope hut.slice/pre-g.scope
    inner_bundle h hut.slice:pre:h '.annotations = {"org.systemd.property.NoSuchThing": "1"}'
    try guest create --bundle /t/h h
    is "exit code" "$status" 1
    like "error" "$err" 'unit pre-h.scope: StartTransientUnit: .*NoSuchThing'
    no_unit pre-h.scope hut.slice/pre-h.scope
}
