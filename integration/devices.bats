# Devices: disks of the host in the guest, and what the guest's kernel has itself; with a config.json, Docker and Podman.
load helpers

setup_file() {
    losetup -f >/dev/null 2>&1 || skip "no loop devices"
    common_setup_file
    head -c 4M /dev/urandom >"$FILE_DIR/data"
}

teardown() {
    common_teardown
    remove_disks
}

# give PATH TYPE NUMBERS ACCESS: in the bundle's config.
give() {
    edit ".linux.devices += [{path: \"$1\", type: \"$2\", $3, fileMode: 438, uid: 1000, gid: 1001}]
        | .linux.resources.devices += [{allow: true, type: \"$2\", $3, access: \"$4\"}]"
}
caps() { edit --arg more "$*" '.process.capabilities |= with_entries(.value += ($more | split(" ")))'; }

@test "a block device of the host: a disk in the guest, byte by byte, with the config's owner and mode" {
    new_bundle
    new_disk one
    give /dev/mine b "$NUMBERS" rwm
    cp "$FILE_DIR/data" "$BUNDLE/rootfs/data"
    shell 'stat -c "%F %a %u %g" /dev/mine; sha256sum </dev/mine; cat /data >/dev/mine; sha256sum </dev/mine'
    local before
    before=$(sum "$DISK")
    ok husk run --bundle "$BUNDLE" "$ID"
    like "node, content, what it wrote" "$out" $'^block special file 666 1000 1001\n'"$before  -"$'\n'"$(sum "$FILE_DIR/data")  -\$"
    is "on the host" "$(sum "$DISK")" "$(sum "$FILE_DIR/data")"
    # Nobody has it any more: it can be detached.
    losetup -d "$DISK"
    until_ok "the device to be free" eval "! losetup '$DISK'"
}

@test "a block device without w in its rule is read-only, and one without a rule is out of reach" {
    vm_only
    new_bundle
    new_disk one
    give /dev/one b "$NUMBERS" r
    local one=$DISK before
    new_disk two
    edit ".linux.devices += [{path: \"/dev/two\", type: \"b\", $NUMBERS}]"
    before=$(sum "$one")
    shell 'sha256sum </dev/one; dd if=/data of=/dev/one bs=4k count=1 && echo written; cat /dev/two && echo read; blockdev --getro /dev/one'
    echo x >"$BUNDLE/rootfs/data"
    try husk run --bundle "$BUNDLE" "$ID"
    is "what it could do" "$out" "$before  -"$'\n1'
    is "on the host" "$(sum "$one")" "$before"
}

@test "the kernel's own devices: /dev/fuse, /dev/net/tun, under other names, too" {
    new_bundle
    give /dev/fuse c 'major: 10, minor: 229' rwm
    give /dev/net/tun c 'major: 10, minor: 200' rwm
    give /dev/nil c 'major: 1, minor: 3' rwm
    caps CAP_NET_ADMIN CAP_SYS_ADMIN
    shell 'tunctl -t tap7; ip -o link show tap7 | grep -o "^[0-9]*: tap7"
        exec 5<>/dev/fuse; mkdir -p /mnt; mount -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 none /mnt; grep -o " /mnt fuse" /proc/mounts
        echo x >/dev/nil; stat -c "%F %t %T" /dev/nil'
    ok husk run --bundle "$BUNDLE" "$ID"
    like "output" "$out" $'^tap7\n[0-9]+: tap7\n /mnt fuse\ncharacter special file 1 3$'
}

@test "devices that cannot be had: one line says which and why" {
    vm_only
    local device
    new_bundle
    cp "$BUNDLE/config.json" "$T/plain.json"
    refused() {
        cp "$T/plain.json" "$BUNDLE/config.json"
        give "$1" "$2" "$3" rwm
        try husk create --bundle "$BUNDLE" "$ID" </dev/null
        is "exit code" "$status" 1
        is "lines" "$(wc -l <<<"$err")" 1
        like "error" "$err" "$4"
    }
    refused /dev/nothing b 'major: 7, minor: 1048000' '--device /dev/nothing: the host has no such device \(b 7:1048000\)'
    refused /dev/nothing c 'major: 10, minor: 666' '--device /dev/nothing: the host has no such device \(c 10:666\)'
    [[ ! -e /sys/dev/char/10:234 ]] || refused /dev/disks c 'major: 10, minor: 234' "--device /dev/disks: the guest's kernel has no /dev/btrfs-control"
    [[ $(readlink -f /sys/dev/char/4:64) != /sys/devices/p* ]] ||
        refused /dev/ttyS0 c 'major: 4, minor: 64' "--device /dev/ttyS0: it is hardware of the host's"
    new_disk mounted
    mkfs.ext4 -q "$DISK"
    mkdir "$T/mounted"
    mount "$DISK" "$T/mounted"
    refused "$DISK" b "$NUMBERS" "--device $DISK: it is in use on the host"
    umount "$T/mounted"
}

@test "rules that allow everything: the guest's own devices, none of the host's, but for what has another name" {
    vm_only
    new_bundle
    new_disk one
    give "$DISK" b "$NUMBERS" rwm
    give /dev/btrfs-control c 'major: 10, minor: 234' rwm
    give /dev/other b "$NUMBERS" rwm
    edit '.linux.resources.devices = [{allow: true, access: "rwm"}]'
    shell "ls $DISK /dev/btrfs-control /dev/vda 2>/dev/null; sha256sum </dev/other; exec 5<>/dev/fuse; ls /dev/net/tun /dev/kmsg"
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" "$(sum "$DISK")  -"$'\n/dev/kmsg\n/dev/net/tun'
}

@test "disks in a pod: one for two, out when the last one goes" {
    vm_only
    new_disk one
    local sum
    sum=$(sum "$DISK")
    sleeper
    edit '.annotations = {"io.kubernetes.cri.container-type": "sandbox"}'
    running "$ID"
    local pid
    pid=$(husk state "$ID" | jq .pid)
    member() {
        new_bundle "$1"
        program sleep 1000
        give "/dev/$1" b "$NUMBERS" "$2"
        edit ".annotations = {\"io.kubernetes.cri.container-type\": \"container\", \"io.kubernetes.cri.sandbox-id\": \"$ID\"}
            | .linux.namespaces |= map(if .type == \"network\" or .type == \"ipc\" then .path = \"/proc/$pid/ns/\" + {network: \"net\", ipc: \"ipc\"}[.type] else . end)"
        create "$ID$1"
        start "$ID$1"
    }
    member a rw
    member b r
    is "disks in the guest" "$(husk exec "$ID" ls /sys/block)" vda
    is "what both see" "$(husk exec "${ID}a" sha256sum /dev/a | cut -d' ' -f1) $(husk exec "${ID}b" sha256sum /dev/b | cut -d' ' -f1)" "$sum $sum"
    husk exec "${ID}b" sh -c 'echo x >/dev/b' 2>/dev/null && fail "written to what is read-only for it"
    # An update brings the host's numbers again.
    ok husk update --resources - "${ID}b" <<<"{\"devices\": [{\"allow\": false, \"access\": \"rwm\"},
        $(jq -nc "{allow: true, type: \"b\", $NUMBERS, access: \"r\"}")]}"
    is "after an update" "$(husk exec "${ID}b" sha256sum /dev/b | cut -d' ' -f1)" "$sum"
    # Another VM's is its own.
    new_bundle other
    give /dev/other b "$NUMBERS" rw
    try husk create --bundle "$BUNDLE" "${ID}c" </dev/null
    like "a second VM" "$err" '--device /dev/other: it is in use on the host'
    ok husk delete --force "${ID}a"
    is "still there for the other" "$(husk exec "${ID}b" sha256sum /dev/b | cut -d' ' -f1)" "$sum"
    ok husk delete --force "${ID}b"
    is "disks in the guest" "$(husk exec "$ID" ls /sys/block)" ''
    # Free for the next, in the same VM.
    member d rw
    is "the next one's" "$(husk exec "${ID}d" sha256sum /dev/d | cut -d' ' -f1)" "$sum"
    ok husk delete --force "${ID}d"
    losetup -d "$DISK"
    until_ok "the device to be free" eval "! losetup '$DISK'"
}
