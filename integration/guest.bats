# The guest's kernel and the machine, as husk.toml chooses them.
load helpers

options() {
    husk_only
    printf '%s\n' "$@" >"$T/husk.toml"
    GLOBAL=(--config "$T/husk.toml")
}

@test "Debian's kernel: a container, an exec, a volume" {
    options "kernel = \"$BUILD/guest/vmlinux-debian\"" "initrd = \"$BUILD/guest/initrd-debian.cpio\""
    new_bundle
    mkdir "$T/volume"
    edit --arg v "$T/volume" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["rbind", "rw"]}]'
    shell 'echo from the guest >/volume/file; uname -r; sleep 1000'
    running
    wait_output "$ID" cloud-amd64
    is "the file on the host" "$(cat "$T/volume/file")" "from the guest"
    ok husk exec "$ID" cat /volume/file
    is "output of exec" "$out" "from the guest"
    ok husk delete --force "$ID"
    nothing_left
}

@test "machine = microvm: the same container on the smaller machine" {
    options 'machine = "microvm"'
    new_bundle
    # q35's south bridge is at 1f.0
    shell 'test -e /sys/bus/pci/devices/0000:00:1f.0 && echo q35 || echo microvm'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" microvm
    nothing_left
}

@test "vcpus and memory: the options without limits, the container's limits with them" {
    options 'vcpus = 2' 'memory = 300'
    new_bundle
    shell 'grep -c ^processor /proc/cpuinfo; awk "/MemTotal/ {print int(\$2 / 1024)}" /proc/meminfo'
    ok husk run --bundle "$BUNDLE" "$ID"
    is "CPUs" "$(sed -n 1p <<<"$out")" 2
    local total
    total=$(sed -n 2p <<<"$out")
    ((total > 200 && total <= 300)) || fail "MemTotal with memory = 300" "$total"
    edit '.linux.resources.memory.limit = 419430400'
    ok husk run --bundle "$BUNDLE" "$ID"
    total=$(sed -n 2p <<<"$out")
    ((total > 400 && total < 520)) || fail "MemTotal with a limit of 400 MiB and the overhead" "$total"
    nothing_left
}

@test "accel = tcg is what runs, accel = kvm without KVM is an error that says so" {
    options 'accel = "tcg"'
    new_bundle
    shell 'exit 0'
    ok husk run --bundle "$BUNDLE" "$ID"
    grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && return 0
    options 'accel = "kvm"'
    try husk run --bundle "$BUNDLE" "$ID"
    is "exit code" "$status" 1
    like "error" "$err" 'kvm|KVM'
    nothing_left
}

# The MiB that the VM's RAM has on the host.
ram_mib() {
    local pid fd
    pid=$(part qemu-system "$ID")
    for fd in "/proc/$pid/fd/"*; do
        [[ $(readlink "$fd") == /memfd:* ]] && echo $(($(stat -L -c '%b * %B / 1048576' "$fd")))
    done | sort -n | tail -1
}
ram_below() { (($(ram_mib) < $1)); }

@test "memory that a container frees goes back to the host" {
    vm_only
    new_bundle
    shell 'dd if=/dev/zero of=/tmp/big bs=1M count=200 2>/dev/null; sleep 1000'
    edit '.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
    running
    ram_full() { (($(ram_mib) > 200)); }
    until_ok "the memory to be full" ram_full
    ok husk exec "$ID" rm /tmp/big
    until_ok "the memory to be back" ram_below 120
    ok husk delete --force "$ID"
    nothing_left
}
