# inotify(7) in a container, of what the host changes in its volumes: what a program that watches a tree there is told, and what
# it must not be. The reference is what integration/tools/watch_files.cc prints on the host.
load helpers

setup() {
    new_folder
    mkdir "$T/volume"
    WATCHER=
}
teardown() {
    [[ -z $WATCHER ]] || kill "$WATCHER" || true
    common_teardown
}

# watching NAME [CODE]: a bundle with the volume at /volume, which runs CODE in a shell: it watches that by default.
watching() {
    new_bundle "$1"
    docker_caps
    cp "$BUILD/tools/watch_files" "$BUNDLE/rootfs/bin/"
    mount_at /volume "$T/volume" rw
    shell "${2:-exec watch_files -r /volume}"
}
mount_at() {
    edit --arg d "$1" --arg s "$2" --arg o "$3" '.mounts += [{destination: $d, type: "bind", source: $s, options: ["rbind", $o]}]'
}
# The host is watched from some moment after the start on.
probe() {
    echo probe >>"$T/volume/probe"
    grep -q "^/volume/probe MODIFY" "$T/$1.out"
}
seen() { probe "${1:-$ID}"; }
begin() {
    running "$1"
    wait_output "$1" ready
    until_ok "the first event in $1" seen "$1"
}
# told FILE: what there was to tell, each once, but for the probes (and when a folder has moved, whose name then is the
# watcher's to know). times ID LINE: how often.
told() { sed 's|^.*/volume/*|/volume/|' "$1" | grep -v -e /probe -e ready -e MOVE_SELF | sort -u; }
times() { grep -cxF -- "$2" "$T/$1.out" || true; }
# Also in the order of the host's, all that was told before this one was.
settle() {
    echo settled >"$T/volume/$2"
    wait_output "$1" "^/volume/$2 CLOSE_WRITE"
}

@test "a program in the container is told what a program on the host is, and the host is told nothing more" {
    mkdir -p "$T/volume/old/below"
    watching bundle
    begin "$ID"
    "$BUILD/tools/watch_files" -r "$T/volume" >"$T/host.out" 3>&- &
    WATCHER=$!
    until_ok "the host's own" grep -q ready "$T/host.out"
    local times
    (cd "$T/volume" && echo one >file && echo two >old/below/file && ln -s file link && mkfifo fifo && chmod 600 file)
    times=$(stat -c '%x %y %z' "$T/volume/file")
    settle "$ID" settled1
    is "the file's times" "$(stat -c '%x %y %z' "$T/volume/file")" "$times"
    mkdir "$T/volume/new"
    wait_output "$ID" '^/volume/new CREATE ISDIR'
    (cd "$T/volume" && mv file renamed && mv old/below new/moved && rm link fifo)
    wait_output "$ID" '^/volume/fifo DELETE'
    wait_output "$ID" '^/volume/new/moved MOVED_TO'
    (cd "$T/volume" && echo three >new/moved/three && echo x >'a name
of two lines')
    settle "$ID" settled2
    # What is gone a moment after it changed is not looked for.
    for name in new/moved/file new/moved/three new/moved new; do
        rm -d "$T/volume/$name"
        wait_output "$ID" "^/volume/$name DELETE\( \|$\)"
    done
    settle "$ID" settled3
    is "the container's events" "$(told "$T/$ID.out")" "$(told "$T/host.out")"
    kill "$WATCHER"
    WATCHER=
    ok husk delete --force "$ID"
    nothing_left
}

@test "who is told of a change sees it, and a watched file that is replaced has gone" {
    watching bundle 'watch_files /volume/conf | while read -r path events; do echo "$path $events: $(cat /volume/conf | tr "\n" " ")$(stat -c %s /volume/conf)"; done & exec watch_files /volume'
    echo v1 >"$T/volume/conf"
    begin "$ID"
    wait_output "$ID" '^ready : v1 3'
    echo v2 >"$T/volume/conf"
    wait_output "$ID" '^/volume/conf CLOSE_WRITE: v2 3'
    echo v3, longer >"$T/volume/conf"
    wait_output "$ID" '^/volume/conf CLOSE_WRITE: v3, longer 11'
    echo v4 >"$T/volume/conf.new"
    mv "$T/volume/conf.new" "$T/volume/conf"
    wait_output "$ID" '^/volume/conf MOVED_TO'
    wait_output "$ID" '^/volume/conf DELETE_SELF: v4 3'
    ok husk delete --force "$ID"
    nothing_left
}

@test "read-only volumes, and a single file" {
    mkdir "$T/more"
    echo one >"$T/conf"
    watching bundle 'watch_files /conf & watch_files /more & exec watch_files /volume'
    mount_at /more "$T/more" ro
    mount_at /conf "$T/conf" ro
    begin "$ID"
    all_ready() { [[ $(grep -c ready "$T/$ID.out") == 3 ]]; }
    until_ok "all three" all_ready
    touch "$T/more/file"
    wait_output "$ID" '^/more/file CREATE'
    echo two >"$T/conf"
    wait_output "$ID" '^/conf MODIFY'
    ok husk delete --force "$ID"
    nothing_left
}

@test "what the container does itself is told once, by its own kernel, and its new folders are watched" {
    watching bundle
    begin "$ID"
    ok husk exec "$ID" sh -c 'cd /volume && mkdir mine && echo x >mine/file && mv mine/file mine/moved && rm mine/moved'
    until_ok "its own file" grep -q '^/volume/mine/moved DELETE' "$T/$ID.out"
    # A new folder is followed soon, not at once.
    until_ok "an event of the host's" eval 'echo from the host >"$T/volume/mine/host"; grep -q "^/volume/mine/host CLOSE_WRITE" "$T/$ID.out"'
    settle "$ID" settled
    for event in 'mine CREATE ISDIR' 'mine/file CREATE' 'mine/file CLOSE_WRITE' 'mine/moved MOVED_TO' 'mine/moved DELETE'; do
        is "times of $event" "$(times "$ID" "/volume/$event")" 1
    done
    ok husk delete --force "$ID"
    nothing_left
}

@test "two containers of a pod on one volume: each is told of the host's changes, and of the other's once" {
    for id in "$ID-1" "$ID-2"; do
        watching "$id"
        ! is_husk || crio container "pod$TAG"
        begin "$id"
    done
    echo x >"$T/volume/file"
    for id in "$ID-1" "$ID-2"; do wait_output "$id" '^/volume/file CLOSE_WRITE'; done
    ok husk exec "$ID-1" sh -c 'echo x >/volume/first'
    wait_output "$ID-2" '^/volume/first CLOSE_WRITE'
    settle "$ID-1" settled
    settle "$ID-2" again
    for id in "$ID-1" "$ID-2"; do is "times in $id" "$(times "$id" '/volume/first CREATE')" 1; done
    ok husk delete --force "$ID-1"
    # The one that is left has the volume still.
    settle "$ID-2" last
    ok husk delete --force "$ID-2"
    nothing_left
}

@test "a large and busy tree: its upper folders, and one line in the log" {
    vm_only
    mkdir -p "$T/volume/many/"{1..1100}"/below"
    GLOBAL+=(--log "$T/log")
    watching bundle 'exec watch_files /volume /volume/many/1100/below'
    begin "$ID"
    (cd "$T/volume" && mkdir busy && cd busy && seq 20000 | xargs touch)
    touch "$T/volume/many/1100/below/file"
    settle "$ID" settled
    is "deep below" "$(grep -c '/below/file' "$T/$ID.out")" 0
    is "lines" "$(grep -c 'more than 1024 folders' "$T/log")" 1
    ok husk delete --force "$ID"
    nothing_left
}

@test "inotify = false: nothing is watched on the host" {
    vm_only
    watches() { find "/proc/$(part husk-sandbox "$1")/fd" -lname '*fanotify*' | wc -l; }
    watched() { [[ $(watches "$ID") == 1 ]]; }
    watching bundle 'exec sleep 1000'
    running "$ID"
    until_ok "a watch" watched
    ok husk delete --force "$ID"
    husk_with "$T/husk" 'inotify = false'
    local HUSK=$T/husk
    running "$ID"
    is "watches" "$(watches "$ID")" 0
    ok husk delete --force "$ID"
    nothing_left
}
