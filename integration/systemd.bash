# A real systemd: Debian's, as pid 1 of a container, in which the build folder is /husk and $T/inner is /t. Beside helpers.bash.

# system_up [JQ]: boots it, once for a file; JQ changes its config.json.
system_up() {
    common_setup_file
    new_folder
    export T TAG ROOT ID
    system_bundle
    edit "${1:-.}"
    running
    until_ok "systemd" test -e "$T/inner/booted"
}
system_down() {
    [[ -n ${T:-} ]] || return 0
    common_teardown
    common_teardown_file
}
# Whatever a test has left, the next one is to find nothing of.
remove_inner() {
    inner sh -c 'for root in /run/husk /run/user/1000/husk; do
        for id in $(/husk/bin/husk --root $root list -q); do /husk/bin/husk --root $root delete --force $id; done; done'
}

# The host's /usr with a file system of the test's own around it, and nothing for systemd to start but a target that tells us.
system_bundle() {
    local link
    BUNDLE=$T/system
    mkdir -p "$T/inner" "$BUNDLE"/rootfs/{usr,proc,sys,dev,run,tmp,var,husk,t,root,home,etc/systemd/system}
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$BUNDLE/rootfs/$link"; done
    cp "$FILE_DIR"/rootfs/etc/{passwd,group} "$BUNDLE/rootfs/etc"
    md5sum <<<"$TAG" | cut -c1-32 >"$BUNDLE/rootfs/etc/machine-id"
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' 'AllowIsolate=yes' 'Wants=booted.service' \
        >"$BUNDLE/rootfs/etc/systemd/system/husk-test.target"
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' '[Service]' 'Type=oneshot' 'ExecStart=/bin/touch /t/booted' \
        >"$BUNDLE/rootfs/etc/systemd/system/booted.service"
    user_units "$BUNDLE/rootfs/etc/systemd/system"
    (cd "$BUNDLE" && "$HUSK" spec 3>&-)
    program /lib/systemd/systemd --unit=husk-test.target
    edit --arg build "$BUILD" --arg inner "$T/inner" --argjson caps "$("$HUSK" features | jq .linux.capabilities)" '
        .process.terminal = false | .process.env += ["container=husk"] | .root.readonly = false
        | .process.capabilities = (["bounding", "effective", "permitted"] | map({key: ., value: $caps}) | from_entries)
        | .mounts |= map(if .destination == "/sys/fs/cgroup" then .options = .options - ["ro"] + ["rw"] else . end)
        | .mounts += [{destination: "/usr", type: "bind", source: "/usr", options: ["bind", "ro"]},
            {destination: "/husk", type: "bind", source: $build, options: ["bind", "ro"]},
            {destination: "/t", type: "bind", source: $inner, options: ["bind"]}]
        | .mounts += (["/run", "/tmp", "/var"] | map({destination: ., type: "tmpfs", source: "tmpfs", options: ["mode=755"]}))
        | del(.linux.maskedPaths, .linux.readonlyPaths)'
}

# Debian's units of a user's manager, without PAM and logind, which have no place here.
user_units() {
    mkdir "$1"/{user,user-runtime-dir}@1000.service.d
    printf '%s\n' '[Service]' 'PAMName=' 'Environment=XDG_RUNTIME_DIR=/run/user/1000' >"$1/user@1000.service.d/test.conf"
    printf '%s\n' '[Service]' 'ExecStart=' 'ExecStop=' 'ExecStart=/bin/install -d -m 700 -o 1000 -g 1001 /run/user/1000' \
        >"$1/user-runtime-dir@1000.service.d/test.conf"
}

inner() { husk exec "$ID" "$@"; }
# A container that outlives it must not hold the exec's streams.
in_guest() { inner sh -c '"$@" </dev/null >/run/out 2>/run/err; code=$?; cat /run/out; cat /run/err >&2; exit $code' - "$@"; }

# inner_bundle NAME CGROUPSPATH [JQ]: a bundle that systemd's container sees as /t/NAME.
inner_bundle() {
    new_bundle "inner/$1" "${3:-.}"
    program sleep 1000
    edit --arg path "$2" '.linux.cgroupsPath = $path'
}
show() {
    local unit=$1
    shift
    ok ${AS:-inner} systemctl ${AS:+--user} show "$unit" "${@/#/-p}"
}
group_file() { inner cat "/sys/fs/cgroup/$1"; }
no_unit() {
    show "$1" LoadState
    is "$1" "$(value LoadState)" not-found
    try inner test -e "/sys/fs/cgroup/$2"
    is "exit code of test -e $2" "$status" 1
}
