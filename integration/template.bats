# Templates: VMs that were booted and saved once, and resumed for each container. Each test has a folder of its own for them.
load helpers

setup() {
    new_folder
    vm_only
    templates
    PINNED=()
}

teardown() {
    local file
    for file in "${PINNED[@]}"; do umount "$file"; done
    common_teardown
}

# templates [OPTION...]: husk.toml with this test's folder of templates, and more.
templates() {
    printf '%s\n' "template_folder = \"$T/templates\"" "$@" >"$T/husk.toml"
    GLOBAL=(--config "$T/husk.toml")
}
names() { husk template status --format json | jq -r '.[].template'; }
the_template() { echo "$T/templates/$(names)"; }
# What husk logs while it runs the bundle: run_logged [COMMAND...]
run_logged() {
    ok husk --log "$T/log" run --bundle "$BUNDLE" "$ID"
}

@test "the first container makes the template, the next ones start from it" {
    new_bundle
    shell 'echo from the guest'
    is "templates before" "$(names)" ""
    ok husk run --bundle "$BUNDLE" "$ID"
    is "output" "$out" "from the guest"
    local first
    first=$(stat -c %i "$(the_template)/memory")
    ok husk --debug --log "$T/log" run --bundle "$BUNDLE" "$ID"
    is "output" "$out" "from the guest"
    grep -q 'resumed from a template' "$T/log" || fail "no word of a template" "$(cat "$T/log")"
    is "the template's file" "$(stat -c %i "$(the_template)/memory")" "$first"
    nothing_left
}

@test "what a template knew of share and card before they were there: no device is found twice" {
    new_bundle
    pin net
    nsenter --net="$T/ns-net" sh -c 'ip link add one type veth peer name two
        ip addr add 10.7.1.1/24 dev one && ip link set one up && ip addr add 10.7.2.1/24 dev two && ip link set two up'
    edit --arg p "$T/ns-net" '(.linux.namespaces[] | select(.type == "network")).path = $p
        | .process.capabilities |= map_values(. + ["CAP_SYSLOG"])'
    shell 'dmesg | sed -nE "s/.*pci 0000:0[1-9]:00.0: \[1af4:(....)\].*/\1/p"
        ip -o -4 addr show up | sed -nE "s/.*: (one|two) .*inet ([^ ]*).*/\1 \2/p" | sort'
    ok husk template create
    ok husk run --bundle "$BUNDLE" "$ID"
    is "the devices, in the order in which the kernel found them, and the cards" "$out" \
        $'105a\n1041\n1041\none 10.7.1.1/24\ntwo 10.7.2.1/24'
}

@test "template create, status, destroy" {
    ok husk template create
    is "name" "$out" "$(names)"
    ok husk template create --memory 300 --vcpus 2
    ok husk template status
    like "status" "$out" 'TEMPLATE +SIZE +MACHINE'
    like "status" "$out" '2 vCPU, 300 MiB'
    is "templates" "$(names | wc -l)" 2
    ok husk template destroy
    is "templates" "$(names)" ""
    is "files" "$(find "$T/templates" -mindepth 1)" ""
    try husk template make
    is "exit code" "$status" 1
    like "error" "$err" 'expected create, status or destroy, got .*make'
}

@test "each container is its own: random numbers, boot id, clock, host name" {
    new_bundle
    shell 'cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | hexdump -C | head -1; date +%s; hostname'
    edit '.hostname = "mine"'
    ok husk run --bundle "$BUNDLE" "$ID"
    local one=$out
    ok husk run --bundle "$BUNDLE" "$ID"
    local line
    for line in 1 2; do
        [[ $(sed -n ${line}p <<<"$out") != "$(sed -n ${line}p <<<"$one")" ]] || fail "line $line is the same in both VMs" "$out"
    done
    local now apart
    now=$(date +%s)
    apart=$((now - $(sed -n 3p <<<"$out")))
    ((apart >= 0 && apart < 60)) || fail "the guest's clock is $apart s behind"
    is "host name" "$(sed -n 4p <<<"$out")" mine
    nothing_left
}

@test "a template that is cut off, changed or half removed: a warning, and the VM boots" {
    new_bundle
    shell 'echo fine'
    ok husk template create
    local damage
    for damage in 'truncate -s 1M memory' 'truncate -s 100 state' 'printf x | dd of=state bs=1 seek=5000 conv=notrunc status=none' \
        'rm memory' 'rm state' 'echo "{}" >info.json'; do
        ok husk template create
        (cd "$(the_template)" && eval "$damage")
        ok husk --log "$T/log" run --bundle "$BUNDLE" "$ID"
        is "output after «$damage»" "$out" fine
    done
    nothing_left
}

@test "template destroy while containers start from it and run" {
    sleeper
    ok husk template create
    local i
    for i in 1 2 3; do
        husk run --detach --bundle "$BUNDLE" "$ID-$i" </dev/null >/dev/null 2>"$T/err-$i" &
    done
    for i in 1 2 3 4 5; do husk template destroy; done
    wait
    for i in 1 2 3; do
        CONTEXT=$(cat "$T/err-$i") is "status" "$(state_field "$ID-$i" status)" running
        ok husk exec "$ID-$i" echo alive
        is "output of exec" "$out" alive
        ok husk delete --force "$ID-$i"
    done
    nothing_left
}

@test "many creates at once make one template" {
    new_bundle
    local i
    for i in 1 2 3 4 5 6; do
        husk --debug --log "$T/log-$i" run --bundle "$BUNDLE" "$ID-$i" </dev/null >/dev/null 2>&1 &
    done
    wait
    is "templates" "$(names | wc -l)" 1
    for i in 1 2 3 4 5 6; do
        grep -q 'resumed from a template' "$T/log-$i" || fail "container $i" "$(cat "$T/log-$i")"
    done
    nothing_left
}

@test "template = false, template_cap = 0, no room: the VM boots" {
    new_bundle
    shell 'echo fine'
    local option
    for option in 'template = false' 'template_cap = 0'; do
        templates "$option"
        ok husk run --bundle "$BUNDLE" "$ID"
        is "output with $option" "$out" fine
        is "templates with $option" "$(names)" ""
    done
    templates
    mkdir -p "$T/templates"
    mount -t tmpfs -o size=4m tmpfs "$T/templates"
    run_logged
    is "output" "$out" fine
    like "log" "$(cat "$T/log")" 'No space left on device'
    rm "$T/log"
    run_logged
    is "output" "$out" fine
    unlike "log of the next one, which does not try" "$(cat "$T/log")" template
    try husk template create
    like "error" "$err" 'No space left on device'
    mount -o remount,size=400m "$T/templates"
    run_logged
    is "templates while that is remembered" "$(names)" ""
    ok husk template create
    is "template" "$out" "$(names)"
    ok husk template destroy
    is "files" "$(find "$T/templates" -mindepth 1)" ""
    umount "$T/templates"
    nothing_left
}

@test "template_cap: the one used longest ago goes" {
    templates 'template_cap = 100'
    ok husk template create --memory 256
    local old=$out
    ok husk template create --memory 300
    ok husk template create --memory 320
    like "templates" "$(names | tr '\n' ' ')" "$out"
    unlike "templates" "$(names | tr '\n' ' ')" "$old"
}
