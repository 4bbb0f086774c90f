# What is different with KVM, on a host that has it: kvm/run makes one.
load ../helpers

teardown() {
    drop_network
    common_teardown
}
drop_network() {
    umount "$T/netns" 2>/dev/null || true
    ip link delete "v$TAG" 2>/dev/null || true
}

@test "a template is made and resumed under KVM" {
    vm_only
    "$HUSK" template destroy
    new_bundle
    ok husk run --bundle "$BUNDLE" "$ID"
    like "husk template status" "$("$HUSK" template status)" 'kvm'
    ok husk --log "$T/log" --debug run --bundle "$BUNDLE" "$ID"
    like "the log" "$(cat "$T/log")" 'resumed from a template'
    nothing_left
}

@test "KVM is what auto chooses: the host's CPU, kvm-clock, none of TCG's crutches" {
    vm_only
    new_bundle
    shell 'cat /proc/cmdline; cat /sys/devices/system/clocksource/clocksource0/*_clocksource; echo all; sleep 1000'
    running
    wait_output "$ID" all
    like "the clock sources" "$(cat "$T/$ID.out")" 'kvm-clock'
    local arguments
    arguments=$(tr '\0' ' ' <"/proc/$(part qemu-system "$ID")/cmdline")
    like "QEMU's arguments" "$arguments" ' -accel kvm -cpu host '
    unlike "the guest's command line" "$(head -1 "$T/$ID.out")" 'tsc|lpj|no_timer_check|mitigations'
    ok husk exec "$ID" uname -r
    unlike "the kernel" "$out" "$(uname -r)"
    ok husk delete --force "$ID"
    nothing_left
}

# How many fds QEMU has of a device. In its own mount namespace that has another path.
open_at() { find "/proc/$(part qemu-system "$ID")/fd" -lname "*$1" | grep -c .; }

@test "vhost-net carries the network, also where the container's device rules do not know of it" {
    vm_only
    [[ -e /dev/vhost-net ]] || skip "no vhost-net"
    new_bundle
    touch "$T/netns"
    unshare --net="$T/netns" true
    # The rules that the engines give: everything is denied but the usual devices.
    edit --arg netns "$T/netns" '(.linux.namespaces[] | select(.type == "network")).path = $netns
        | .linux.resources.devices = [{allow: false, access: "rwm"}]'
    ip link add "v$TAG" type veth peer name eth0 netns "$T/netns"
    ip address add 10.99.0.1/24 dev "v$TAG" && ip link set "v$TAG" up
    nsenter --net="$T/netns" sh -c 'ip address add 10.99.0.2/24 dev eth0 && ip link set eth0 up'
    shell 'head -c 1000000 /dev/zero | nc 10.99.0.1 4000; echo sent; sleep 1000'
    # Not nc: at the end of its own stdin it would end what it says, and the other nc then ends, too.
    socat -u TCP-LISTEN:4000,bind=10.99.0.1,reuseaddr "CREATE:$T/received" 3>&- &
    local receiver=$!
    running
    wait_output "$ID" sent
    is "open files" "$(open_at /dev/vhost-net)" 1
    received() { (($(stat -c %s "$T/received") == 1000000)); }
    until_ok "the bytes" received
    wait "$receiver"
    ok husk delete --force "$ID"
    drop_network
    nothing_left
}
