# start: each command of husk, runc and crun, beside bare boots of the same kernel on both machine types. phases: where a start's time goes.

make_bare_initrd() {
    mkdir "$T/bare"
    printf '#include <sys/reboot.h>\nint main(void) { reboot(RB_POWER_OFF); for (;;); }\n' >"$T/bare.c"
    gcc -Os -static -s -o "$T/bare/init" "$T/bare.c" || exit 1
    (cd "$T/bare" && echo init | cpio --quiet -o -H newc) >"$T/bare.cpio"
}

commands_of() {
    local name=$1 id=$ID
    shift
    local runtime=("$@" --root "$T/root-$name")
    timed "$name.run" "${runtime[@]}" run --bundle "$T/true" "$id"
    timed "$name.create" "${runtime[@]}" create --bundle "$T/idle" "$id"
    timed "$name.start" "${runtime[@]}" start "$id"
    timed "$name.exec" "${runtime[@]}" exec "$id" true
    timed "$name.state" "${runtime[@]}" state "$id"
    timed "$name.list" "${runtime[@]}" list
    timed "$name.kill" "${runtime[@]}" kill "$id" KILL
    until_ok "$id to stop" eval '[[ $("${runtime[@]}" state "$id" | jq -r .status) == stopped ]]'
    timed "$name.delete" "${runtime[@]}" delete "$id"
}

one_start() {
    timed microvm bare_qemu microvm "$T/bare.cpio" ''
    timed q35 bare_qemu q35 "$T/bare.cpio" ''
    commands_of runc "$RUNC"
    ((! has_crun)) || commands_of crun "$CRUN"
    timed booted.run "$HUSK" --config "$T/no-template.toml" --root "$ROOT" run --bundle "$T/true" "$ID"
    commands_of husk "$HUSK"
}

section_start() {
    local command has_crun=1 target  # crun refuses hosts with cgroup v1 and v2
    make_bare_initrd
    echo 'template = false' >"$T/no-template.toml"
    "$CRUN" --root "$T/root-crun" run --bundle "$T/true" "$ID" </dev/null >/dev/null 2>&1 || has_crun=0
    in_turns one_start
    header 'commands'
    for command in run create start exec state list kill delete; do
        target=()
        case $command in
        run) target=(most="$(times "$(ms microvm)" 0.5)" why='0.5 x the bare boot on microvm') ;;
        exec) target=(most=60) ;;
        state | list | kill) target=(most="$(ms "runc.$command")" why="runc's") ;;
        esac
        row "$(case $command in run | exec) echo "$command true" ;; *) echo "$command" ;; esac)" ms "$(ms "husk.$command")" \
            bare="$([[ $command != run ]] || ms microvm)" runc="$(ms "runc.$command")" crun="$(ms "crun.$command")" "${target[@]}"
    done
    row 'run true without a template' ms "$(ms booted.run)" bare="$(ms q35)" \
        most="$(times "$(ms q35)" 1.25)" why='1.25 x the bare boot on q35'
}

# From traces of their own: a span's beginning and length, medians.
section_phases() {
    local i at takes name phase
    for ((i = 0; i < RUNS; i++)); do
        "$HUSK" --trace "$T/trace-$i" --root "$ROOT" run --bundle "$T/true" "$ID" </dev/null >"$T/out" 2>&1 || die "$(tail -1 "$T/out")"
        (sed '$ s/,$//' "$T/trace-$i" && echo ']') >"$T/trace-$i.json"
    done
    jq -s 'def median: sort | .[(length - 1) / 2 | floor];
        map(map(select(.ph == "X")) | (map(.ts) | min) as $zero | map({program: .cat, name, at: (.ts - $zero), dur}))
        | add | group_by([.program, .name])
        | map({program: .[0].program, phase: .[0].name, at_ms: (map(.at) | median / 1000), ms: (map(.dur) | median / 1000)})
        | sort_by(.at_ms)' "$T"/trace-*.json >"$T/phases.json"
    printf "\nphases of \`run true\` with --trace, in ms\n%8s %8s  %s\n" begins takes phase
    jq -r '.[] | [.at_ms, .ms, .program, .phase] | @tsv' "$T/phases.json" |
        while IFS=$'\t' read -r at takes name phase; do printf '%8.1f %8.1f  %-13s %s\n' "$at" "$takes" "$name" "$phase"; done
}
