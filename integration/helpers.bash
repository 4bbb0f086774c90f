# What every test here uses. HUSK is the runtime under test; with HUSK=/usr/sbin/runc the tests that are not about husk itself
# run against runc, which shows that they ask for nothing but what an OCI runtime does.
#
# Each test has a folder of its own, T=/tmp/husk-test-XXXXXX, and a tag, the XXXXXX, that is in every id, so that whatever
# is left of a test can be found and two runs side by side do not meet. Tests end processes by pid only.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$REPO/build}
[[ $BUILD == /* ]] || BUILD=$REPO/$BUILD
HUSK=${HUSK:-$BUILD/bin/husk}
export BUILD HUSK
# Seconds that a single command or wait may take before the test fails. A guest boots in about one.
LIMIT=${LIMIT:-90}
# Global options of `husk`. HUSK_FLAGS=--vm=none is the host lane: no VM, the same tests.
read -ra GLOBAL <<<"${HUSK_FLAGS:-}"

is_husk() { [[ $("$HUSK" --version 2>/dev/null) == *husk* ]]; }
husk_only() { is_husk || skip "only husk does this"; }
# For what is about the machine itself.
has_vm() { is_husk && [[ " ${GLOBAL[*]} " != *" --vm=none "* ]]; }
vm_only() {
    husk_only
    has_vm || skip "this lane has no VM"
}

fail() {
    printf '%s\n' "$@" >&2
    return 1
}

# is WHAT GOT WANTED, like WHAT GOT REGEX
is() { [[ $2 == "$3" ]] || fail "$1: got «$2», wanted «$3»" "${CONTEXT:-}"; }
like() { [[ $2 =~ $3 ]] || fail "$1: got «$2», wanted a match of «$3»" "${CONTEXT:-}"; }
unlike() { [[ ! $2 =~ $3 ]] || fail "$1: got «$2», wanted no match of «$3»" "${CONTEXT:-}"; }

# until_ok WHAT COMMAND...: waits for COMMAND to succeed, for what no event tells of.
until_ok() {
    local what=$1 end=$((SECONDS + LIMIT))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { fail "waited $LIMIT s in vain for $what" "${CONTEXT:-}"; return 1; }
        sleep 0.05
    done
}

# try COMMAND...: runs it with its output in files (a container that outlives the command keeps them open, and bats' own `run`
# would wait for that), and sets status, out and err. stdin is try's own.
try() {
    status=0
    "$@" >"$T/stdout" 2>"$T/stderr" || status=$?
    out=$(tr -d '\0' <"$T/stdout")
    err=$(tr -d '\0' <"$T/stderr")
    CONTEXT="\$ $* -> $status"$'\n'"stdout: ${out:0:4000}"$'\n'"stderr: ${err:0:4000}"
}

# ok COMMAND...: try, and it has to succeed.
ok() {
    try "$@"
    is "exit code of $*" "$status" 0
}

husk() { timeout --foreground -k 5 "$LIMIT" "$HUSK" ${GLOBAL[@]+"${GLOBAL[@]}"} --root "$ROOT" "$@" 3>&- 4>&-; }

# --- a test's folder ----------------------------------------------------------------------------------------------------------
new_folder() {
    T=$(mktemp -d "${TMPDIR:-/tmp}/husk-test-XXXXXX")
    TAG=${T##*-}
    ROOT=$T/root
    ID=ht$TAG
}

make_rootfs() {
    local root=$1
    mkdir -p "$root"/{bin,dev,etc,home,proc,root,sys,tmp,usr,var,www}
    chmod 1777 "$root/tmp"
    ln -s bin "$root/sbin"
    ln -s ../bin "$root/usr/bin"
    cp /bin/busybox "$root/bin/busybox"
    # In one process, not three hundred.
    /bin/busybox --list | perl -e 'chdir shift; while (<STDIN>) { chomp; symlink "busybox", $_ }' "$root/bin"
    echo 'root:x:0:0:root:/root:/bin/sh
worker:x:1000:1001::/home:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:
workers:x:1001:
extra:x:2002:worker' >"$root/etc/group"
}

setup_file() { common_setup_file; }
teardown_file() { common_teardown_file; }
setup() { new_folder; }
teardown() { common_teardown; }

common_setup_file() {
    FILE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/husk-file-XXXXXX")
    export FILE_DIR
    make_rootfs "$FILE_DIR/rootfs"
}
common_teardown_file() { rm -rf --one-file-system "$FILE_DIR"; }

common_teardown() {
    local id
    if [[ -d $ROOT ]]; then
        for id in $(find "$ROOT" -mindepth 1 -maxdepth 1 -type d ! -name ".*" -printf "%f "); do
            timeout -k 5 "$LIMIT" "$HUSK" --root "$ROOT" delete --force "$id" 3>&- || echo "teardown: delete --force $id: exit $?"
        done
    fi
    if nothing_left; then rm -rf --one-file-system "$T"; return 0; fi
    # Leave the machine as it was all the same.
    local pid folder
    for pid in $(tagged_pids "$TAG"); do kill -9 "$pid" 2>/dev/null || true; done
    awk -v t="$T/" 'index($5, t) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r folder; do umount -l "$folder"; done
    tagged_cgroups "$TAG" | sort -r | while read -r folder; do until_gone_rmdir "$folder"; done
    rm -rf --one-file-system "$T"
    return 1
}

until_gone_rmdir() {
    local i
    for i in {1..20}; do rmdir "$1" 2>/dev/null && return; sleep 0.1; done
    return 0
}

# --- what is left -------------------------------------------------------------------------------------------------------------
# Processes with the tag in their command line, or in a cgroup that has it in its name (QEMU's command line names no container,
# but it is in the container's cgroup).
tagged_pids() {
    local pid
    grep -lsaF -f <(echo "$1") /proc/[0-9]*/cmdline /proc/[0-9]*/cgroup | while IFS=/ read -r _ _ pid _; do
        # Not a zombie: that is its parent's to wait for.
        [[ $pid == "$$" || $pid == "$BASHPID" ]] || dead "$pid" || echo "$pid"
    done | sort -un
}

tagged_cgroups() { find /sys/fs/cgroup -type d -path "*$1*" 2>/dev/null; }

leftovers() {
    local tag=${1:-$TAG} pid
    for pid in $(tagged_pids "$tag"); do
        echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-160)"
    done
    awk -v t="$tag" 'index($5, t) {print "mount " $5}' /proc/self/mountinfo
    tagged_cgroups "$tag" | sed 's/^/cgroup /'
    [[ ! -d ${ROOT:-} ]] || find "$ROOT" -mindepth 1 ! -path "$ROOT/.*" | head -20 | sed 's/^/file /'
}

# Ends of processes are asynchronous for who only sees /proc: a short while is given.
nothing_left() {
    local left i
    for i in {1..50}; do
        left=$(leftovers "$@")
        [[ -z $left ]] && return 0
        sleep 0.1
    done
    fail "left behind:" "$left"
}

# --- bundles ------------------------------------------------------------------------------------------------------------------
# new_bundle [NAME [JQ]]: $T/NAME with a rootfs and the runtime's own config.json, without a terminal, running true. Sets BUNDLE.
new_bundle() {
    BUNDLE=$T/${1:-bundle}
    mkdir -p "$BUNDLE"
    cp -a "$FILE_DIR/rootfs" "$BUNDLE/rootfs"
    (cd "$BUNDLE" && "$HUSK" spec 3>&-)
    edit '.process.terminal = false | .root.readonly = false | .process.args = ["true"]'
    [[ -z ${2:-} ]] || edit "$2"
}

# edit [--arg NAME VALUE]... JQ: changes the bundle's config.json.
edit() {
    jq "$@" "$BUNDLE/config.json" >"$BUNDLE/config.new"
    mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

# program WORD...: what the container runs. shell CODE: the same for a line of sh.
program() {
    local words
    words=$(IFS=$'\x1f' && printf '%s' "$*" | jq -Rs 'split("\u001f")')
    edit --argjson args "$words" '.process.args = $args'
}
# The capabilities that Docker gives by default, the spec's own default being three.
docker_caps() {
    edit '.process.capabilities = (["bounding", "effective", "permitted"] | map({key: ., value: ["CAP_CHOWN", "CAP_DAC_OVERRIDE",
        "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]}) | from_entries)'
}
shell() { program sh -c "$1"; }

# pin TYPE: a namespace of the host without a process in it, as CRI-O makes them: $T/ns-TYPE. PINNED: for teardown to unmount.
pin() {
    touch "$T/ns-$1"
    unshare "--$1=$T/ns-$1" true
    PINNED+=("$T/ns-$1")
}
# annotate KEY VALUE; namespace TYPE PATH
annotate() { edit --arg k "$1" --arg v "$2" '.annotations[$k] = $v'; }
namespace() { edit --arg t "$1" --arg p "$2" '.linux.namespaces |= (map(select(.type != $t)) + [{type: $t, path: $p}])'; }
# crio TYPE POD: a bundle as CRI-O annotates it.
crio() {
    annotate io.container.manager cri-o
    annotate io.kubernetes.cri-o.ContainerType "$1"
    annotate io.kubernetes.cri-o.SandboxID "$2"
}
# shm FOLDER: the pod's shared memory, as engines make it on the host.
shm() { edit --arg s "$1" '.mounts |= (map(select(.destination != "/dev/shm")) + [{destination: "/dev/shm", type: "bind", source: $s, options: ["rbind", "rw"]}])'; }

# create [ID [OPTION...]]: a container whose stdin is empty, whose output goes to $T/ID.out and $T/ID.err.
create() {
    local id=${1:-$ID}
    shift || true
    status=0
    husk create --bundle "$BUNDLE" "$@" "$id" </dev/null >"$T/$id.out" 2>"$T/$id.err" || status=$?
    is "exit code of create ($(cat "$T/$id.err"))" "$status" 0
}

start() { ok husk start "${1:-$ID}"; }
running() { create "$@" && start "$@"; }
# run_it: the bundle's container in the foreground.
run_it() { ok husk run --bundle "$BUNDLE" "$ID" </dev/null; }
# A container that waits to be killed.
sleeper() {
    new_bundle "${1:-bundle}"
    program sleep 1000
}

state_field() { husk state "$1" 2>/dev/null | jq -r ".$2"; }
has_status() { [[ $(state_field "$1" status) == "$2" ]]; }
wait_status() { until_ok "$1 to be $2" has_status "$1" "$2"; }
wait_output() { CONTEXT="$(cat "$T/$1.err")" until_ok "«$2» in the output of $1" grep -qs -- "$2" "$T/$1.out"; }
alive() { kill -0 "$1" 2>/dev/null && [[ $(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null) != Z ]]; }
dead() { ! alive "$1"; }
# value KEY: of the lines KEY=VALUE in $out.
value() { sed -n "s/^$1=//p" <<<"$out"; }

children() { cat "/proc/$1/task/"*/children 2>/dev/null; }
descendants() {
    local pid
    for pid in $(children "$1"); do
        echo "$pid"
        descendants "$pid"
    done
}
# part NAME ID: pids of husk-sandbox or husk-shim of a container, or of the QEMU or virtiofsd below its sandbox.
part() {
    local pid sandbox
    case $1 in
    husk-*) pgrep -f "^([^ ]*/)?$1 $2\$" ;;
    *)
        sandbox=$(part husk-sandbox "$2") || return
        for pid in $(descendants "$sandbox"); do
            case $(tr '\0' '\n' <"/proc/$pid/cmdline" | head -1) in *"$1"*) echo "$pid" ;; esac
        done
        ;;
    esac
}

# Starts the receiver of a console socket; its stdin is fd 8 of the test, its output $T/console.
console_receiver() {
    local program=$BUILD/tools/console_recv
    if [[ ! -x $program ]]; then
        program=$FILE_DIR/console_recv
        [[ -x $program ]] || g++ -std=c++20 -O1 -o "$program" "$REPO/integration/tools/console_recv.cc"
    fi
    rm -f "$T/console.in"
    mkfifo "$T/console.in"
    "$program" "$T/tty.sock" "$@" <"$T/console.in" >"$T/console" 3>&- &
    RECEIVER=$!
    exec 8>"$T/console.in"
    until_ok "the receiver's socket" test -S "$T/tty.sock"
}

# on_terminal COMMAND...: on a pseudo-terminal of its own, as a person at a shell has it, without input.
on_terminal() { script -qec "$(printf '%q ' "$@")" /dev/null </dev/null 3>&- 4>&-; }

# --- block devices ------------------------------------------------------------------------------------------------------------
# new_disk NAME: one of 4 MiB of random bytes, in $T/NAME.img. Sets DISK, and NUMBERS for jq.
new_disk() {
    head -c 4M /dev/urandom >"$T/$1.img"
    DISK=$(losetup -f --show "$T/$1.img")
    NUMBERS="major: $((16#$(stat -c %t "$DISK"))), minor: $((16#$(stat -c %T "$DISK")))"
}
# Detaches those of this test.
remove_disks() {
    local device
    for device in $(losetup -ln -O NAME,BACK-FILE | awk -v t="$T/" 'index($2, t) == 1 {print $1}'); do losetup -d "$device"; done
}
sum() { sha256sum <"$1" | cut -d' ' -f1; }

# --- an engine's island: its own network and mount namespace, with an empty /run, for a daemon and its containers -------------
island_up() {
    new_folder
    unshare -n -m --propagation private sh -c '
        ip link set lo up && mount -t tmpfs tmpfs /run && mkdir -p /run/lock && touch "$1" && exec sleep 100000' \
        island "$T/island" </dev/null >"$T/island.log" 2>&1 3>&- &
    ISLAND=$!
    export T TAG ROOT ID ISLAND
    until_ok "the island" test -e "$T/island"
}
inside() { nsenter -t "$ISLAND" -n -m -- "$@" 3>&- 4>&-; }

# husk_with FILE OPTION...: a runtime of that name which has these options of husk.toml (runc stays runc).
husk_with() {
    local file=$1
    shift
    printf '%s\n' "$@" >"$file.toml"
    if is_husk; then
        printf '#!/bin/sh\nexec %q %s --config %q "$@"\n' "$HUSK" "${HUSK_FLAGS:-}" "$file.toml" >"$file"
    else
        printf '#!/bin/sh\nexec %q "$@"\n' "$HUSK" >"$file"
    fi
    chmod +x "$file"
}

# A neighbor of the island's at 10.99.0.2 that says on port 99, and on 53 to a DNS query, who asks it: any name is 10.99.0.2.
neighbor_up() {
    unshare -n sleep 100000 3>&- 4>&- &
    NEIGHBOR=($!)
    until_ok "a neighbor" inside ip link add toneighbor type veth peer name eth0 netns "$NEIGHBOR"
    inside sh -c 'ip addr add 10.99.0.1/24 dev toneighbor && ip link set toneighbor up'
    at_neighbor sh -c 'ip addr add 10.99.0.2/24 dev eth0 && ip link set eth0 up && ip link set lo up && ip route add default via 10.99.0.1'
    nsenter -t "$NEIGHBOR" -n socat TCP-LISTEN:99,fork,reuseaddr SYSTEM:'echo caller $SOCAT_PEERADDR' 3>&- 4>&- &
    NEIGHBOR+=($!)
    nsenter -t "$NEIGHBOR" -n perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die;
        while (defined $s->recv($q, 512)) {
            ($question) = substr($q, 12) =~ /^([^\0]+\0....)/s;
            $a = substr($question, -4, 2) eq "\0\1";  # of type A
            $s->send(substr($q, 0, 2) . pack("n5", 0x8180, 1, $a, 0, 0) . $question . ($a ? "\xc0\x0c" . pack("nnNn", 1, 1, 60, 4) . pack("C4", 10, 99, 0, 2) : ""));
        }' 3>&- 4>&- &
    NEIGHBOR+=($!)
}
at_neighbor() { nsenter -t "$NEIGHBOR" -n -- "$@" 3>&- 4>&-; }
neighbor_down() {
    kill "${NEIGHBOR[@]}" 2>/dev/null || true
    inside ip link del toneighbor 2>/dev/null || true
}

# Processes other than its keeper that live on the island.
island_pids() {
    local namespace file pid
    namespace=$(readlink "/proc/$ISLAND/ns/mnt")
    for file in /proc/[0-9]*; do
        pid=${file#/proc/}
        [[ $pid != "$ISLAND" && $(readlink "$file/ns/mnt" 2>/dev/null) == "$namespace" ]] && echo "$pid"
    done
    return 0
}
# What runs there of VMs: QEMU, virtiofsd, husk's own.
island_vms() {
    local pid
    for pid in $(island_pids); do tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -aE '^[^ ]*(qemu|husk-|virtiofsd)'; done
    return 0
}
island_empty() { [[ -z $(island_pids) ]]; }

# Podman makes folders and files of its own where a controller that it knows is not mounted.
remove_plain_cgroups() {
    local hierarchy
    for hierarchy in /sys/fs/cgroup/*/; do
        mountpoint -q "$hierarchy" || rm -rf "${hierarchy:?}ht$TAG"
    done
}

island_down() {
    local pid folder left=
    for pid in {1..100}; do island_empty && break; sleep 0.1; done
    for pid in $(island_pids); do
        left+="process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-160)"$'\n'
        kill -9 "$pid" 2>/dev/null || true
    done
    for pid in {1..100}; do island_empty && break; sleep 0.1; done
    kill "$ISLAND"
    wait "$ISLAND" 2>/dev/null || true
    remove_plain_cgroups
    # What the engine itself made stays when its containers are gone: the parent folder, and conmon's.
    while read -r folder; do
        [[ $folder == */"ht$TAG" || $folder == */conmon ]] && rmdir "$folder" 2>/dev/null && continue
        left+="cgroup $folder"$'\n'
        rmdir "$folder" 2>/dev/null || true
    done < <(tagged_cgroups "$TAG" | sort -r)
    umount -R -l "$T" 2>/dev/null || true
    rm -rf "$T"
    [[ -z $left ]] || fail "left behind:" "$left"
}
