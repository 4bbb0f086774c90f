# --systemd-cgroup, and a VM: systemd is pid 1 of a container on this machine's own kernel. (systemd.bats: the same without a VM. There a
# VM would be emulated by what is emulated: it can take more than the minute and a half that husk waits for a guest.)
load ../helpers
load ../systemd
GLOBAL=(--vm=none)

setup_file() {
    [[ -c /dev/kvm ]] || skip "no KVM"
    system_up '.linux.devices = [{path: "/dev/kvm", type: "c", major: 10, minor: 232}] | .linux.resources.devices = [{allow: true, access: "rwm"}]'
}
teardown_file() { system_down; }
setup() { :; }
teardown() { remove_inner; }

guest() { in_guest /husk/bin/husk --root /run/husk --config /t/husk.toml --systemd-cgroup "$@"; }

@test "a container in a VM: the VM's processes in the scope, which bounds them; update; delete" {
    local group=hut.slice/hut-pod.slice/pre-v.scope vmm memory
    # A quota that slows nothing down.
    printf '%s\n' 'template = false' 'vcpus = 1' >"$T/inner/husk.toml"
    inner_bundle v hut-pod.slice:pre:v '.linux.resources += {memory: {limit: 134217728}, pids: {limit: 50},
        cpu: {shares: 512, quota: 300000, period: 100000}}'
    ok guest create --bundle /t/v v
    is "the processes in the scope" "$(inner sh -c "cat \$(sed 's,.*,/proc/&/comm,' /sys/fs/cgroup/$group/cgroup.procs) | sort -u" | tr '\n' ' ')" \
        "husk-sandbox husk-shim qemu-system-x86 virtiofsd "
    ok guest state v
    like "the container's in the scope" " $(group_file $group/cgroup.procs | tr '\n' ' ')" " $(jq .pid <<<"$out") "
    # What the VM has, and what QEMU and virtiofsd may take besides (vm/sandbox/limits.h).
    vmm=$(inner pgrep qemu)
    memory=$(inner sh -c "tr '\\0' '\\n' </proc/$vmm/cmdline" | sed -n '/^-m$/{n;s/M$//p}')
    show pre-v.scope Slice ControlGroup Delegate MemoryMax TasksMax CPUWeight CPUQuotaPerSecUSec
    is Slice "$(value Slice)" hut-pod.slice
    is ControlGroup "$(value ControlGroup)" "/$group"
    is Delegate "$(value Delegate)" yes
    is MemoryMax "$(value MemoryMax)" $(((memory + 192) << 20))
    is TasksMax "$(value TasksMax)" 768
    is CPUWeight "$(value CPUWeight)" 20
    is CPUQuotaPerSecUSec "$(value CPUQuotaPerSecUSec)" 3s
    is memory.max "$(group_file $group/memory.max)" $(((memory + 192) << 20))
    is cpu.max "$(group_file $group/cpu.max)" "300000 100000"

    ok guest start v
    ok guest update --memory 150M --pids-limit 1000 --cpu-quota 200000 --cpu-share 1024 v
    ok inner systemctl daemon-reload
    show pre-v.scope MemoryMax TasksMax CPUWeight CPUQuotaPerSecUSec
    is "MemoryMax, TasksMax, CPUWeight, CPUQuotaPerSecUSec" \
        "$(value MemoryMax) $(value TasksMax) $(value CPUWeight) $(value CPUQuotaPerSecUSec)" "$(((memory + 192) << 20)) 1000 39 2s"
    is "pids.max, cpu.max" "$(group_file $group/pids.max) $(group_file $group/cpu.max)" "1000 200000 100000"
    # The container's own are the guest's matter.
    ok guest events --stats v
    is "in the guest" "$(jq -c '[.data.memory.usage.limit, .data.pids.limit]' <<<"$out")" '[157286400,1000]'

    ok guest delete --force v
    no_unit pre-v.scope "$group"
    try inner pgrep qemu
    is "exit code of pgrep" "$status" 1
}
