# How the words of a command line are read: as Go's flag package reads runc's.
load helpers

@test "flags as Go reads them: one dash or two, =VALUE, --" {
    new_bundle
    edit '.process.args = ["sleep", "1000"]'
    cd "$T"
    ok husk run -bundle "$BUNDLE" -pid-file=pid -detach=true "$ID"
    is "json" "$(jq -n --argjson p "$(cat pid)" '$p > 0')" true
    local words
    for words in 'ps -f=json' 'ps -format json' 'ps --f=json' 'ps -f json --'; do
        ok husk $words "$ID"
        is "$words" "$(jq --argjson pid "$(cat pid)" 'index($pid) != null' <<<"$out")" true
    done
    for words in -u=1000 --u=1000 '-user 1000' '-user=1000' '-u 1000 --' '--detach=false -u=1000' '-d -d=F --cwd= -user 1000'; do
        ok husk exec $words "$ID" id -u
        is "exec $words" "$out" 1000
    done
    ok husk exec -e=A=-x --e -y=z "$ID" env
    like "environment" "$out" $'(^|\n)A=-x(\n|$)'
    like "environment" "$out" $'(^|\n)-y=z(\n|$)'
    # What follows the id is the command's.
    ok husk exec "$ID" echo -u=1000 -- -detach
    is "stdout" "$out" '-u=1000 -- -detach'
    try husk exec "$ID" -- true
    is "a command named --" "$status" 255
    ok husk list -q=false
    like "table" "$out" '^ID +PID'
    ok husk list -quiet=0 -quiet -h=false
    is "ids" "$out" "$ID"
    ok husk -- list -q
    is "ids" "$out" "$ID"
    ok "$HUSK" -root="$ROOT" -log "$T/log" list --q=1
    is "ids" "$out" "$ID"
    ok husk update -memory=100M -memory-swap -1 "$ID"
    for words in 'list -q=yes' 'list -q=' 'list ---q' 'list -=q' 'list -quite' 'list --format' 'exec -preserve-fds= x true'; do
        try husk $words
        like "exit code of $words" "$status" '^(1|255)$'
        ! is_husk || is "lines of the error of $words" "$(wc -l <<<"$err")" 1
    done
    ok husk state -- "$ID"
    ok husk kill -all=true "$ID" KILL
    wait_status "$ID" stopped
    ok husk delete -force -- "$ID"
    ok husk delete -f "$ID"
    nothing_left
}

@test "short flags in one word, and an unknown one as the user wrote it" {
    husk_only
    sleeper
    running
    ok husk exec -du 1000 --pid-file "$T/pid" "$ID" sleep 77
    try on_terminal "$HUSK" --root "$ROOT" exec -tu 1000 "$ID" sh -c 'test -t 0 && id -u'
    like "stdout" "$out" '1000'
    ok husk exec -u1000 -eA=1 "$ID" sh -c 'echo $A $(id -u)'
    is "stdout" "$out" '1 1000'
    local word
    for word in -detatch --detatch=1 -tx ---tty; do
        try husk exec "$word" "$ID" true
        like "error" "$err" "unknown flag: $word(\"|$)"
    done
    ok husk ps "$ID" -f json
    like "json" "$out" '^\[[0-9]'
    ok husk ps "$ID" -f -e
    like "table" "$out" 'sleep 77'
    ok husk delete --force "$ID"
    nothing_left
}
