# systemd's cgroup driver with a real systemd, in a container in a VM: in there husk --vm=none is called with --systemd-cgroup, by root, and by
# a user with a manager of his own. The VM is booted once for the file. (kvm/systemd.bats: with VMs in there.)
load helpers
load systemd

setup_file() {
    has_vm || skip "systemd is booted in a VM"
    [[ -x /usr/lib/systemd/systemd && -L /bin ]] || skip "no systemd"
    system_up
}
teardown_file() { system_down; }
setup() { :; }
teardown() { remove_inner; }

guest() { in_guest /husk/bin/husk --vm=none --root /run/husk --systemd-cgroup "$@"; }

# By user 1000, below his manager, as what Podman or `systemd-run --user` starts. BUS: what he is told of his bus.
MANAGER=user.slice/user-1000.slice/user@1000.service
by_user() {
    in_guest sh -c 'echo $$ >"/sys/fs/cgroup/$1/init.scope/cgroup.procs" && shift &&
        exec setpriv --reuid 1000 --regid 1001 --clear-groups env -i PATH=/usr/bin HOME=/home XDG_RUNTIME_DIR=/run/user/1000 "$@"' \
        - "$MANAGER" ${BUS:+"DBUS_SESSION_BUS_ADDRESS=$BUS"} "$@"
}
guest_of_user() { by_user /husk/bin/husk --vm=none --systemd-cgroup "$@"; }
# user_bundle NAME CGROUPSPATH [JQ]: as inner_bundle, of that user.
user_bundle() {
    inner_bundle "$@"
    rm "$BUNDLE/config.json"
    "$HUSK" spec --rootless --bundle "$BUNDLE"
    program sleep 1000
    edit --arg path "$2" '.process.terminal = false | .root.readonly = false | .linux.cgroupsPath = $path
        | .linux.uidMappings[0].hostID = 1000 | .linux.gidMappings[0].hostID = 1001'
    edit "${3:-.}"
    chown -R 1000:1001 "$BUNDLE"
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

# A user's container from create to delete.
user_container() {
    local group=$MANAGER/hut.slice/hut-pod.slice/pre-$1.scope AS=by_user
    ok inner systemctl start user@1000.service
    user_bundle "$1" "hut-pod.slice:pre:$1" '.linux.resources += {memory: {limit: 67108864}, pids: {limit: 50},
        cpu: {shares: 512, quota: 12345, period: 50000}}'
    ok guest_of_user create --bundle "/t/$1" "$1"
    is "warnings" "$err" ""
    show "pre-$1.scope" ActiveState Slice ControlGroup Delegate MemoryMax TasksMax CPUWeight CPUQuotaPerSecUSec
    is ActiveState "$(value ActiveState)" active
    is Slice "$(value Slice)" hut-pod.slice
    is ControlGroup "$(value ControlGroup)" "/$group"
    is Delegate "$(value Delegate)" yes
    is MemoryMax "$(value MemoryMax)" 67108864
    is TasksMax "$(value TasksMax)" 50
    is CPUWeight "$(value CPUWeight)" 20
    is CPUQuotaPerSecUSec "$(value CPUQuotaPerSecUSec)" 250ms
    is memory.max "$(group_file $group/memory.max)" 67108864
    is pids.max "$(group_file $group/pids.max)" 50
    is cpu.max "$(group_file $group/cpu.max)" "12345 50000"
    is "the cgroup's owner" "$(inner stat -c %u "/sys/fs/cgroup/$group")" 1000
    ok guest_of_user state "$1"
    is "the processes in the scope" "$(group_file $group/cgroup.procs)" "$(jq .pid <<<"$out")"

    ok guest_of_user start "$1"
    ok guest_of_user update --memory 96M --pids-limit 60 --cpu-share 1024 "$1"
    show "pre-$1.scope" MemoryMax TasksMax CPUWeight
    is "MemoryMax, TasksMax, CPUWeight" "$(value MemoryMax) $(value TasksMax) $(value CPUWeight)" "100663296 60 39"
    is memory.max "$(group_file $group/memory.max)" 100663296
    is pids.max "$(group_file $group/pids.max)" 60
    ok guest_of_user exec "$1" sh -c 'id -u; cat /proc/self/cgroup'
    is "inside" "$out" $'0\n0::/'

    ok guest_of_user delete --force "$1"
    no_unit "pre-$1.scope" "$group"
    is "his containers" "$(guest_of_user list -q)" ""
    # Root's systemd was not asked.
    AS=
    no_unit "pre-$1.scope" "hut.slice/hut-pod.slice/pre-$1.scope"
}

@test "an ordinary user: a scope of his own systemd's" {
    user_container i
    user_bundle j ""
    program sh -c 'cat /proc/self/cgroup; exit 7'
    edit 'del(.linux.cgroupsPath) | .linux.namespaces |= map(select(.type != "cgroup"))'
    try guest_of_user run --bundle /t/j j
    is "exit code" "$status" 7
    like "the container's cgroup" "$out" "^0::/$MANAGER/user.slice/husk-j.scope\$"
    # As the root of a user namespace he is as little as before: so Podman calls its runtime.
    user_bundle l "" 'del(.linux.cgroupsPath, .linux.uidMappings, .linux.gidMappings)
        | .linux.namespaces |= map(select(.type != "cgroup" and .type != "user"))'
    program sh -c 'cat /proc/self/cgroup; exit 7'
    try by_user unshare --map-root-user /husk/bin/husk --vm=none --systemd-cgroup run --bundle /t/l l
    is "exit code" "$status" 7
    like "the container's cgroup" "$out" "^0::/$MANAGER/user.slice/husk-l.scope\$"
}

@test "an ordinary user, over his bus" {
    [[ -x /usr/bin/dbus-daemon && -e /usr/lib/systemd/user/dbus.socket ]] || skip "no dbus-user-session"
    BUS=unix:path=/run/user/1000/bus user_container k
    ok by_user systemctl --user is-active dbus.service
}
