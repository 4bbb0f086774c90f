# Every kind of interface that an engine may put into a container's network namespace, made here by ip(8): what the container sees
# of it, and traffic both ways. Docker's and Podman's own networks are in docker.bats and podman.bats.
load helpers

# Three namespaces: the container's, its peers', and one between them, for what is made over an interface there.
setup() {
    new_folder
    CONTAINER=$T/container PEERS=$T/peers BETWEEN=$T/between
    touch "$CONTAINER" "$PEERS" "$BETWEEN"
    unshare "--net=$BETWEEN" ip link set lo up
    unshare "--net=$CONTAINER" ip link set lo up
    unshare "--net=$PEERS" ip link set lo up
    WIRES=()
    mkdir "$T/www"
    echo "from outside" >"$T/www/index.html"
    nsenter "--net=$PEERS" busybox httpd -f -p 80 -h "$T/www" 3>&- &
    SERVER=$!
}
teardown() {
    local left=0 pid
    local id
    for id in $(ls "$ROOT" 2>/dev/null); do husk delete --force "$id"; done
    for pid in "${WIRES[@]}" "$SERVER"; do kill "$pid" 2>/dev/null || true; done
    umount "$CONTAINER" "$PEERS" "$BETWEEN"
    common_teardown || left=1
    return "$left"
}
in_container_ns() { nsenter "--net=$CONTAINER" "$@"; }
at_peers() { nsenter "--net=$PEERS" "$@"; }
between() { nsenter "--net=$BETWEEN" "$@"; }

# --- one interface each: add_KIND NAME, in the container's namespace; its peer is called pNAME ----------------------------------
add_veth() { at_peers ip link add "p$1" type veth peer name "$1" netns "$CONTAINER"; }
# A bridge with a port: the port's frames are the bridge's.
add_bridge() {
    at_peers ip link add "p$1" type veth peer name "$1port" netns "$CONTAINER"
    in_container_ns sh -c "ip link add $1 type bridge && ip link set $1port master $1 up"
}
add_tap() {
    local wire=$T/wire-$1
    nsenter "--net=$CONTAINER" socat "UNIX-LISTEN:$wire,type=5" "TUN,tun-name=$1,tun-type=tap,iff-no-pi,iff-up" 3>&- &
    WIRES+=($!)
    until_ok "a wire" test -S "$wire"
    nsenter "--net=$PEERS" socat "UNIX-CONNECT:$wire,type=5" "TUN,tun-name=p$1,tun-type=tap,iff-no-pi,iff-up" 3>&- &
    WIRES+=($!)
    until_ok "a tap" in_container_ns ip link show dev "$1"
    until_ok "its peer" at_peers ip link show dev "p$1"
}
# Two of them over one interface without a wire.
add_pair_over() {
    local name=$1
    shift
    at_peers sh -c "ip link add u$name type veth peer name v$name && ip link set u$name up && ip link set v$name up && ip link add link u$name name p$name type $*" &&
        at_peers ip link add link "u$name" name "$name" netns "$CONTAINER" type "$@"
}
add_macvlan() { add_pair_over "$1" macvlan mode bridge; }
add_ipvlan() { add_pair_over "$1" ipvlan mode l2; }
add_vlan() {
    at_peers sh -c "ip link add u$1 type veth peer name v$1 && ip link set u$1 up && ip link set v$1 up && ip link add link u$1 name p$1 type vlan id 5" &&
        at_peers ip link add link "v$1" name "$1" netns "$CONTAINER" type vlan id 5
}
# add_wire NAME: one from uNAME, between, to pNAME. add_over WIRE NAME KIND...: what the container has over such a wire.
add_wire() {
    at_peers ip link add "p$1" type veth peer name "u$1" netns "$BETWEEN"
    between ip link set "u$1" up
}
add_over() { between ip link add link "u$1" name "$2" netns "$CONTAINER" type "${@:3}"; }
# Whether this kernel has a kind.
knows() { unshare -n sh -c "ip link add low0 type veth peer name low1 && ip link add link low0 name up0 type $*" 2>/dev/null; }

# number NAME N [PEER]: addresses 10.7.N.2 and fd07:N::2, the peer's end in 1; up.
number() {
    local peer=${3:-p$1}
    in_container_ns sh -c "ip addr add 10.7.$2.2/24 brd + dev $1 && ip addr add fd07:$2::2/64 dev $1 nodad && ip link set $1 up"
    at_peers sh -c "ip addr add 10.7.$2.1/24 dev $peer && ip addr add fd07:$2::1/64 dev $peer nodad && ip link set $peer up"
}

# --- what is seen, in the container's namespace and inside ---------------------------------------------------------------------
# links COMMAND...: a line for each that is up, in their order: name, whether it has no ARP, MTU, MAC. Not what stays on the host.
links() {
    "$@" busybox ip -o link | sed -nE '/[<,]UP[,>]/!d; / (lo|husk[0-9]+|[a-z0-9]*port)[:@]/d; s/<[^>]*NOARP[^>]*>/noarp/; s/<[^>]*>/arp/
        s/^[0-9]+: ([^:@]+)(@[^:]*)?: (noarp|arp) mtu ([0-9]+) .*ether ([0-9a-f:]+) .*/\1 \3 \4 \5/p'
}
link_local() { "$@" busybox ip -o -6 addr show dev onemac | sed -nE 's/.* inet6 (fe80[^ ]*) .*/\1/p'; }
addresses() { "$@" busybox ip -o addr | sed -nE 's, peer [^ ]*,/32,; / (lo|husk[0-9]+) | inet6 fe80/d; s/^[0-9]+: ([^ ]+) +(inet.*)\\.*/\1 \2/p' | sed 's/ *$//' | sort; }
routes() { "$@" busybox ip -4 route | sort; "$@" busybox ip -6 route | grep -v '^fe80\|^ff00\|husk' | sort; }
neighbors() { "$@" busybox ip neigh | grep -v '^169.254.104' | sed -n 's/ used .* PERMANENT$/ PERMANENT/p' | sort; }
# same WHAT: the container has it as its namespace has.
same() { is "$1" "$("$1" husk exec "$ID")" "$("$1" in_container_ns)"; }

# networked NAME: a bundle in the namespace, which serves its own name.
networked() {
    new_bundle "$1"
    docker_caps
    edit --arg p "$CONTAINER" '.linux.namespaces |= map(if .type == "network" then .path = $p else . end)'
    shell 'echo from inside >/www/index.html; exec httpd -f -p 80 -h /www'
}
both_ways() {
    local n=$1
    ok husk exec "$ID" sh -c "ping -c 1 -w 20 10.7.$n.1 && ping -c 1 -w 20 fd07:$n::1 && wget -q -O - http://10.7.$n.1/ && wget -q -O - http://[fd07:$n::1]/"
    is "pages from outside, by network $n" "$(grep -c 'from outside' <<<"$out")" 2
    ok at_peers sh -c "busybox ping -c 1 -w 20 10.7.$n.2 && busybox wget -q -O - http://10.7.$n.2/ && busybox wget -q -O - http://[fd07:$n::2]/"
    is "pages from inside, by network $n" "$(grep -c 'from inside' <<<"$out")" 2
}

@test "each kind of interface: name, MAC, MTU, addresses, order; IPv4 and IPv6 both ways" {
    local kind n=0 missing=()
    for kind in veth tap bridge macvlan ipvlan vlan; do
        case $kind in
        macvlan | ipvlan) knows "$kind" || { missing+=("$kind"); continue; } ;;
        vlan) knows vlan id 5 || { missing+=("$kind"); continue; } ;;
        esac
        add_$kind "$kind$n"
        number "$kind$n" $n
        n=$((n + 1))
    done
    # This kernel's kinds, for the log.
    [[ -z ${missing[*]} ]] || echo "# not in this kernel: ${missing[*]}" >&3
    networked bundle
    running
    wait_http() { husk exec "$ID" wget -q -O /dev/null http://127.0.0.1/; }
    until_ok "the server" wait_http
    same links
    same addresses
    local i
    for ((i = 0; i < n; ++i)); do both_ways $i; done
    if has_vm; then
        ok husk exec "$ID" sh -c 'ip -o link | grep -c link/ether'
        is "cards" "$out" $n
        ok husk delete --force "$ID"
        nothing_in_ns
    fi
}

@test "one MAC for several (ipvlan l2 and l3), a VLAN, a dummy: each its own card, over its parent's wire" {
    knows ipvlan && knows vlan id 5 || skip "no ipvlan or VLAN in this kernel"
    add_wire low
    add_over low onemac ipvlan mode l2
    number onemac 0 plow
    add_over low samemac ipvlan mode l2
    number samemac 1 plow
    # With l3 the namespace of the parent is a router, which says nothing about who is behind it.
    add_wire routed
    between sh -c 'ip addr add 10.7.2.3/24 dev urouted && ip addr add fd07:2::3/64 dev urouted nodad'
    add_over routed routed ipvlan mode l3
    number routed 2
    at_peers sh -c 'ip route add 10.7.2.2 via 10.7.2.3 && ip route add fd07:2::2 via fd07:2::3'
    add_wire trunk
    at_peers sh -c 'ip link set ptrunk up && ip link add link ptrunk name ptagged type vlan id 5'
    add_over trunk tagged vlan id 5
    in_container_ns ip link set tagged address 02:00:00:00:05:05 mtu 1400
    number tagged 3
    in_container_ns sh -c 'ip link add nowhere type dummy && ip link set nowhere mtu 9000 up && ip addr add 10.7.4.2/24 brd + dev nowhere && ip addr add fd07:4::2/64 dev nowhere nodad'
    is "MACs of the two" "$(links in_container_ns | awk '/mac / {print $4}' | uniq | wc -l)" 1
    networked bundle
    running
    until_ok "the server" husk exec "$ID" wget -q -O /dev/null http://127.0.0.1/
    same links
    same addresses
    same link_local
    local i
    for i in 0 1 2 3; do both_ways $i; done
    # The one without a wire: its own addresses are there, and nobody else is.
    ok husk exec "$ID" sh -c 'ping -c 1 -w 20 10.7.4.2 && ping -c 1 -w 20 fd07:4::2 && ! ping -c 1 -w 1 10.7.4.1'
    ok husk delete --force "$ID"
    ! has_vm || nothing_in_ns
}

# husk's taps, filters and what else it does to interfaces.
nothing_in_ns() { is "what is left in the namespace" "$(in_container_ns sh -c 'ip -o link | grep -E " husk[0-9]|ALLMULTI"; tc qdisc show | grep ingress')" ""; }

@test "routes (metric, source, onlink, MTU, next hops, blackhole), neighbors, NOARP, no IPv6, MTU 9000; a port that is down" {
    add_veth one
    add_veth two
    in_container_ns ip link add off type veth peer name offpeer
    at_peers ip link set pone mtu 9000
    in_container_ns sh -c 'ip link set one mtu 9000 && echo 1 >/proc/sys/net/ipv6/conf/two/disable_ipv6 && ip link set two arp off'
    number one 0
    in_container_ns sh -c 'ip addr add 10.7.1.2/32 dev two && ip addr add 192.0.2.7 peer 192.0.2.8/32 dev two && ip link set two up &&
        ip route add default via 10.7.0.1 metric 50 && ip route add 10.20.0.0/16 via 10.7.0.9 src 10.7.0.2 mtu 1400 && ip route add 10.21.0.0/16 dev two scope link &&
        ip route add 10.22.0.0/16 via 10.99.0.1 dev two onlink && ip route add blackhole 10.23.0.0/16 && ip route add unreachable 10.24.0.0/16 metric 7 &&
        ip route add 10.25.0.0/16 nexthop via 10.7.0.1 dev one nexthop via 192.0.2.8 dev two &&
        ip -6 route add default via fd07:0::1 metric 300 && ip -6 route add fd09::/64 via fd07:0::9 && ip -6 route add blackhole fd0a::/64 &&
        ip neigh add 10.7.0.77 lladdr 02:00:00:00:00:77 dev one nud permanent && ip neigh add fd07:0::77 lladdr 02:00:00:00:00:77 dev one nud permanent'
    at_peers ip link set ptwo up
    networked bundle
    running
    same links
    same addresses
    same neighbors
    # Of two ways to one place the guest has each as a route; the kernel's own word for those that lead nowhere in IPv6 has lo in it.
    local wanted
    wanted=$(routes in_container_ns | sed '/^10.25/d; /nexthop/d')
    is "routes" "$(routes husk exec "$ID" | sed '/^10.25/d')" "$wanted"
    like "unreachable" "$wanted" 'unreachable 10.24.0.0/16'
    ok husk exec "$ID" ip route show 10.25.0.0/16
    like "a way" "$out" 'via 10.7.0.1 dev one'
    like "the other" "$out" 'via 192.0.2.8 dev two'
    ok husk exec "$ID" ip addr show dev two
    unlike "IPv6 where it is off" "$out" inet6
    # A packet as big as the MTU, in one piece.
    in_peers_reassembled() { at_peers awk '/^Ip: [0-9]/ {print $15}' /proc/net/snmp; }
    ok husk exec "$ID" ping -c 1 -w 20 -s 8900 10.7.0.1
    is "fragments" "$(in_peers_reassembled)" 0
}

# until_same WHAT: the container has it by and by.
until_same() { until_ok "the same $1" same "$1" || same "$1"; }

@test "none at first; then interfaces come, change and go, and the others are as they were" {
    networked bundle
    running
    same links
    add_veth one
    number one 0
    until_same links
    until_same addresses
    until_ok "a server" husk exec "$ID" wget -q -O /dev/null http://10.7.0.1/
    both_ways 0
    add_tap two
    number two 1
    until_same links
    until_same addresses
    both_ways 1
    in_container_ns sh -c 'ip addr add 10.7.0.9/24 brd + dev one && ip addr del fd07:1::2/64 dev two && ip route add 10.30.0.0/16 via 10.7.0.1 && ip neigh add 10.7.0.77 lladdr 02:00:00:00:00:77 dev one nud permanent
        ip route add blackhole 10.31.0.0/16'
    until_same addresses
    until_same routes
    until_same neighbors
    in_container_ns sh -c 'ip link set one down && ip link set one name first && ip link set first mtu 1400 up'
    # A card that is made anew is the last one.
    same_links() { is links "$(links husk exec "$ID" | sort)" "$(links in_container_ns | sort)"; }
    until_ok "the same links" same_links
    in_container_ns ip link set two down
    is "links" "$(in_container_ns ip -o link show up | grep -c ' first')" 1
    up_only() { is links "$(links husk exec "$ID")" "$(links in_container_ns | grep '^first')"; }
    ! has_vm || until_ok "the second to go" up_only
    ok husk exec "$ID" wget -q -O - http://10.7.0.1/
    in_container_ns sh -c 'ip link del first'
    none_left() { [[ -z $(links husk exec "$ID") ]]; }
    ! has_vm || until_ok "none" none_left
    ok husk delete --force "$ID"
}

# What decides in the container's namespace where a packet goes.
routing() { in_container_ns sh -c 'ip -d rule; ip -4 route show table all; ip neigh show nud permanent'; }
# Its own -T crashes.
get() { timeout "${PATIENCE:-60}" busybox wget -q -O - "http://$1/"; }
export -f get

@test "the host's end of the namespace connects to the container's addresses and loopback; the guest and the wire do not get there" {
    vm_only
    add_veth one
    add_veth two
    number one 0
    number two 1
    in_container_ns ip route add default via 10.7.0.1
    local before i
    before=$(routing)
    networked bundle
    cp "$BUILD/tools/dial" "$BUNDLE/rootfs/bin/"
    shell 'mkdir /local; echo inside >/www/index.html; echo loopback >/local/index.html; dial dns 10.7.0.2 10.0.0.42 & httpd -p 127.0.0.1:81 -h /local; exec httpd -f -p 80 -h /www'
    running
    until_ok "the server" in_container_ns bash -c 'PATIENCE=2 get 10.7.0.2'
    for i in 10.7.0.2 10.7.1.2 127.0.0.1; do is "page of $i" "$(in_container_ns bash -c "get $i")" inside; done
    is "page of the loopback" "$(in_container_ns bash -c 'get 127.0.0.1:81')" loopback
    try in_container_ns bash -c 'get 127.0.0.1:82'
    like "nobody listens" "$err" 'Connection refused'
    ok in_container_ns busybox nslookup -type=a some.name 10.7.0.2
    like "by UDP" "$out" '10.0.0.42'
    ok in_container_ns busybox ping -c 1 -w 20 127.0.0.1
    # What is big goes in segments that are bigger than frames.
    ok husk exec "$ID" sh -c 'head -c 3000000 /dev/zero >/local/big'
    is "bytes" "$(in_container_ns busybox wget -q -O - http://127.0.0.1:81/big | wc -c)" 3000000

    # A server on the host's side is not for the guest.
    nsenter "--net=$CONTAINER" busybox httpd -f -p 8080 -h "$T/www" 3>&- &
    WIRES+=($!)
    until_ok "a server at the host's end" in_container_ns bash -c 'get 169.254.104.2:8080'
    for i in 10.7.0.2 127.0.0.1 169.254.104.2; do
        try husk exec "$ID" timeout 2 wget -q -O - "http://$i:8080/"
        [[ $status != 0 ]] || fail "$i answers"
        is "page of $i" "$out" ""
    done
    # The guest's loopback is not for the wire; its addresses are.
    at_peers sh -c 'ip addr flush dev lo && ip route add 127.0.0.0/8 via 10.7.0.2 src 10.7.0.1 && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet'
    PATIENCE=2 try at_peers bash -c 'get 127.0.0.1:81'
    is "exit code of timeout" "$status" 124
    is "page" "$(at_peers bash -c 'get 10.7.0.2')" inside

    # Addresses come and go, and so do interfaces.
    in_container_ns sh -c 'ip addr add 10.7.0.9/24 dev one && ip addr del 10.7.1.2/24 dev two && ip addr add 10.7.1.3/24 dev two'
    until_ok "the new address" in_container_ns bash -c 'PATIENCE=2 get 10.7.0.9'
    for i in 10.7.0.2 10.7.1.3; do is "page of $i" "$(in_container_ns bash -c "get $i")" inside; done
    unlike "the old address" "$(routing)" '10\.7\.1\.2 '
    in_container_ns ip link del one
    until_ok "the loopback, by the other card" in_container_ns bash -c 'PATIENCE=2 get 127.0.0.1:81'
    ok husk delete --force "$ID"
    add_veth one
    number one 0
    in_container_ns sh -c 'ip link del two; ip route add default via 10.7.0.1'
    add_veth two
    number two 1
    routing_as_before() { is routing "$(routing | sed 's/ linkdown//')" "$before"; }
    routing_as_before
    nothing_in_ns

    # Who is killed leaves the addresses to the host's own stack.
    running
    local sandbox
    sandbox=$(part husk-sandbox "$ID")
    kill -9 "$sandbox"
    until_ok "the end" dead "$sandbox"
    until_ok "the host's own server" in_container_ns bash -c 'PATIENCE=2 get 127.0.0.1:8080'
    ok husk delete --force "$ID"
    routing_as_before
    nothing_in_ns
}

@test "what cannot be a VM's: one clear error at create, a warning later, the others unharmed" {
    vm_only
    add_veth eth0
    number eth0 0
    networked bundle
    refused() {
        try husk create --bundle "$BUNDLE" "$ID"
        is "exit code" "$status" 1
        like "error" "$err" "$1"
        is "lines of the error" "$(wc -l <<<"$err")" 1
        nothing_in_ns
    }
    in_container_ns sh -c 'ip tuntap add dev tunnel mode tun && ip addr add 10.9.0.2/24 dev tunnel'
    running
    ok husk delete --force "$ID"
    in_container_ns ip link set tunnel up
    refused 'connecting interface tunnel to the VM: it carries no Ethernet frames \(tun\)'
    in_container_ns ip link del tunnel
    local kind
    for kind in macvlan ipvlan 'vlan id 5'; do
        knows $kind || continue
        in_container_ns sh -c "ip link add link eth0 name above type $kind && ip link set above up"
        refused "connecting interface above to the VM: its frames come through eth0, which is in the same network namespace \\(${kind%% *}\\)"
        in_container_ns ip link del above
    done
    if knows ipvlan mode l3s; then
        add_wire low
        add_over low above ipvlan mode l3s
        in_container_ns ip link set above up
        refused "connecting interface above to the VM: what comes in for it passes the host's IP stack, not the interface \\(ipvlan, mode l3s\\)"
        in_container_ns ip link del above
    fi
    local i
    for i in {1..8}; do in_container_ns ip link add "many$i" up type veth peer name "peer$i"; done
    refused "all 8 hot-plug ports of the VM are in use"
    for i in {1..8}; do in_container_ns ip link del "many$i"; done
    GLOBAL+=(--log "$T/log")
    running
    in_container_ns sh -c 'ip tuntap add dev tunnel mode tun && ip link set tunnel up'
    until_ok "a warning" grep -q 'connecting interface tunnel to the VM: it carries no Ethernet frames' "$T/log"
    both_ways 0
    ok husk delete --force "$ID"
    nothing_in_ns
}
