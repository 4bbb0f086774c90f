# Docker's user-defined networks, where containers have names: a daemon of the test's own with husk as its runtime.
load helpers
load dockerd

setup_file() {
    have_docker || skip "no docker.io"
    common_setup_file
    cp "$BUILD/tools/dial" "$FILE_DIR/rootfs/bin/dial"
    island_up
    export D=$T
    dockerd_up --default-runtime husk
    import_image busybox
}

teardown_file() {
    [[ -n ${D:-} ]] || return 0
    remove_containers
    dockerd_down
    common_teardown_file
    island_down
}

setup() {
    T=$(mktemp -d "$D/t-XXXX")
    NAME=c${T##*-}
    NET=n${T##*-}
    SERVER=
}

teardown() {
    [[ -z $SERVER ]] || kill "$SERVER"
    remove_containers
    docker network rm "$NET" >/dev/null 2>&1 || true
    is "VMs left" "$(island_vms)" ""
    rm -rf "$T"
}

# A question for the address of $1, as its bytes go over TCP.
tcp_question() {
    local name=$1 label body=
    for label in ${name//./ }; do body+=$(printf '\\x%02x%s' ${#label} "$label"); done
    printf "\\x00\\x$(printf %02x $((${#name} + 18)))\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00$body\\x00\\x00\\x01\\x00\\x01"
}

@test "containers of a network know one another by name and alias, by UDP and TCP" {
    docker network create --subnet 10.217.0.0/24 "$NET" >/dev/null
    ok docker run -d --name "${NAME}a" --network "$NET" --ip 10.217.0.7 --network-alias alpha busybox sleep 1000
    ok docker run -d --name "${NAME}b" --network "$NET" --ip 10.217.0.8 --network-alias beta busybox sleep 1000
    ok docker exec "${NAME}a" sh -c "cat /etc/resolv.conf; nslookup ${NAME}b; ping -c 1 -w 20 beta"
    like "resolv.conf" "$out" 'nameserver 127.0.0.11'
    like "who answers" "$out" 'Server:[[:space:]]*127.0.0.11'
    like "address" "$out" 'Address:[[:space:]]*10.217.0.8'
    like "ping" "$out" '1 packets received'
    ok docker exec "${NAME}b" sh -c "ping -c 1 -w 20 ${NAME}a && nslookup 10.217.0.7; nslookup alpha"
    like "ping" "$out" '1 packets received'
    like "the name of an address" "$out" "name = ${NAME}a.$NET"
    like "an alias" "$out" 'Address:[[:space:]]*10.217.0.7'
    # Another container in the same namespace asks there, too.
    ok docker run --rm --name "$NAME" --network "container:${NAME}a" busybox nslookup beta
    like "address" "$out" '10.217.0.8'
    tcp_question beta >"$T/question"
    is "by TCP" "$(docker exec -i "${NAME}a" dial tcp 127.0.0.11 53 <"$T/question" | tail -c 4 | od -An -tu1 | xargs)" "10 217 0 8"
    # The port itself is free for a server in the container.
    ok docker exec "${NAME}a" sh -c 'dial dns 0.0.0.0 10.217.0.99 & sleep 0.2; nslookup -type=a served 127.0.0.1; nslookup -type=a beta; kill $!'
    like "its own server's answer" "$out" '10.217.0.99'
    like "Docker's" "$out" '10.217.0.8'
}

@test "names of the world outside, which Docker asks another server for" {
    docker network create --subnet 10.217.0.0/24 "$NET" >/dev/null
    # The server is on the host's end of the network.
    nsenter -t "$ISLAND" -n "$BUILD/tools/dial" dns 10.217.0.1 10.217.0.65 </dev/null >"$T/dns.log" 2>&1 3>&- 4>&- &
    SERVER=$!
    ok docker run -d --name "$NAME" --network "$NET" --dns 10.217.0.1 busybox sleep 1000
    ok docker exec "$NAME" nslookup -type=a out.there
    like "by UDP" "$out" '10.217.0.65'
    tcp_question out.there >"$T/question"
    is "by TCP" "$(docker exec -i "$NAME" dial tcp 127.0.0.11 53 <"$T/question" | tail -c 4 | od -An -tu1 | xargs)" "10 217 0 65"
    # The container's own questions to that server get their answers, too.
    ok docker exec "$NAME" nslookup -type=a out.there 10.217.0.1
    like "asked directly" "$out" '10.217.0.65'
}

@test "docker network connect: the first network with names makes them known" {
    docker network create --subnet 10.217.1.0/24 "$NET" >/dev/null
    ok docker run -d --name "${NAME}a" --network "$NET" --ip 10.217.1.7 busybox sleep 1000
    ok docker run -d --name "$NAME" busybox sleep 1000
    try docker exec "$NAME" grep 127.0.0.11 /etc/resolv.conf
    is "exit code of grep, before" "$status" 1
    ok docker network connect "$NET" "$NAME"
    until_ok "the name" docker exec "$NAME" nslookup "${NAME}a"
    ok docker exec "$NAME" nslookup "${NAME}a"
    like "address" "$out" '10.217.1.7'
}

@test "docker.sock in a container: HTTP over it, as much as there is" {
    ok docker run --rm -i --name "$NAME" -v "$D/s:/var/run/docker.sock" busybox dial unix /var/run/docker.sock \
        <<<$'GET /_ping HTTP/1.0\r\nHost: d\r\n\r'
    like "answer" "$out" 'HTTP/1.0 200 OK.*OK$'
    # The list of containers names the one that asks.
    ok docker run --rm -i --name "$NAME" -v "$D/s:/var/run/docker.sock" busybox dial unix /var/run/docker.sock \
        <<<$'GET /containers/json?all=1 HTTP/1.0\r\nHost: d\r\n\r'
    like "answer" "$out" "\"Names\":\[\"/$NAME\"\]"
    # Users who may not have it on the host may not have it here.
    try docker run --rm -i --name "$NAME" -u 1000 -v "$D/s:/var/run/docker.sock" busybox dial unix /var/run/docker.sock
    like "error" "$err" 'Permission denied'
}
