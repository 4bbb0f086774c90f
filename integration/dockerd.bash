# A dockerd of one's own, with husk as a runtime: on the island, what it keeps in the folder D, its cgroups below ht$TAG. Beside helpers.bash.

DOCKER=/usr/bin/docker

have_docker() { [[ -x /usr/sbin/dockerd && -x $DOCKER ]]; }
docker() { DOCKER_CONFIG=$D/config timeout --foreground -k 5 "$LIMIT" "$DOCKER" -H "unix://$D/s" "$@" 3>&- 4>&-; }

# dockerd_up [OPTION...]
dockerd_up() {
    inside /usr/sbin/dockerd --data-root "$D/data" --exec-root "$D/x" --pidfile "$D/pid" --host "unix://$D/s" \
        --add-runtime "husk=$HUSK" --cgroup-parent "/ht$TAG" --log-level warn "$@" </dev/null >>"$D/dockerd.log" 2>&1 &
    until_ok dockerd docker info || { tail -5 "$D/dockerd.log" >&2; return 1; }
}
# Quiet where there is none.
dockerd_down() {
    [[ -n ${D:-} && -s $D/pid ]] || return 0
    kill "$(cat "$D/pid")"
    until_ok "dockerd to end" test ! -e "$D/pid"
}

import_image() { tar -C "$FILE_DIR/rootfs" -c . | docker import - "$1" >/dev/null; }
remove_containers() {
    local all
    all=$(docker ps -aq)
    # shellcheck disable=SC2086 # a list
    [[ -z $all ]] || docker rm -f $all >/dev/null
}
