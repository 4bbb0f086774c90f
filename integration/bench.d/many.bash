# memory: what one sleeping container costs the host, and each of FURTHER more. pod: a second container in a running VM. parallel: many
# starts at once. pool: starts from VMs that wait.

FURTHER=20 AT_ONCE=16

# PSS of processes, in KiB.
pss() {
    local pid sum=0 n
    for pid in "$@"; do
        n=$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup")
        sum=$((sum + n))
    done
    echo "$sum"
}
mib() { awk -v k="$1" 'BEGIN {printf "%.1f", k / 1024}'; }
# QEMU and virtiofsd first: they are found through their parents.
pids_of() { part qemu-system "$1"; part virtiofsd "$1"; part husk-sandbox "$1"; part husk-shim "$1"; }
sleeping() {
    husk create --bundle "$T/idle" "$1" </dev/null >"$T/out" 2>&1 && husk start "$1" || die "a sleeping container: $(tail -1 "$T/out")"
}
end_all() {
    local id
    for id in "$@"; do husk delete --force "$id"; done
}

section_memory() {
    local one all ids=("$ID") own sandbox shim i
    sleeping "$ID"
    sleep 3  # idle, as it is to be measured
    sandbox=$(pss $(part husk-sandbox "$ID")) shim=$(pss $(part husk-shim "$ID"))
    one=$(pss $(pids_of "$ID")) own=$((sandbox + shim))
    header 'host memory of sleeping containers (sum of PSS)'
    row 'QEMU' MiB "$(mib "$(pss $(part qemu-system "$ID"))")"
    row 'virtiofsd' MiB "$(mib "$(pss $(part virtiofsd "$ID"))")"
    row 'husk-sandbox and husk-shim' MiB "$(mib $own)" most=10
    row 'all of one container' MiB "$(mib "$one")" most=75
    for ((i = 1; i <= FURTHER; i++)); do
        sleeping "$ID-$i"
        ids+=("$ID-$i")
    done
    sleep 3
    all=$(pss $(for i in "${ids[@]}"; do pids_of "$i"; done))
    row "each of $FURTHER more" MiB "$(mib $(((all - one) / FURTHER)))" most=60
    end_all "${ids[@]}"
}

one_taken() {
    "$HUSK" pool fill 1 || die "the pool is not filled"
    timed pool.run husk run --bundle "$T/true" "$ID"
    timed ordinary.run husk run --bundle "$T/true" "$ID"
}
section_pool() {
    in_turns one_taken
    "$HUSK" pool drain
    header 'a VM of the pool'
    row 'run true' ms "$(ms pool.run)"
    row 'the same from a template' ms "$(ms ordinary.run)"
}

one_member() {
    timed pod.create husk create --bundle "$T/member" "$ID-2"
    timed pod.start husk start "$ID-2"
    husk delete --force "$ID-2"
}
section_pod() {
    local role
    for role in sandbox container; do
        BUNDLE=$T/$([[ $role == sandbox ]] && echo pause || echo member)
        cp -a "$T/idle" "$BUNDLE"
        edit --arg role "$role" --arg pod "$ID" '.annotations = {"io.kubernetes.cri.container-type": $role, "io.kubernetes.cri.sandbox-id": $pod}'
    done
    husk create --bundle "$T/pause" "$ID" </dev/null >"$T/out" 2>&1 && husk start "$ID" || die "a pod: $(tail -1 "$T/out")"
    in_turns one_member
    end_all "$ID"
    header 'a second container in a running pod'
    row 'create + start' ms "$(awk -v a="$(ms pod.create)" -v b="$(ms pod.start)" 'BEGIN {printf "%.1f", a + b}')" most=120
}

at_once() {
    local i pids=() failed=0 begin=${EPOCHREALTIME/./}
    for ((i = 0; i < AT_ONCE; i++)); do
        husk run --bundle "$T/true" "$ID-$i" </dev/null >"$T/out-$i" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || failed=$((failed + 1)); done
    sample parallel.all $((${EPOCHREALTIME/./} - begin))
    PARALLEL_FAILED=$((PARALLEL_FAILED + failed))
}
one_parallel() {
    timed parallel.one husk run --bundle "$T/true" "$ID"
    at_once
}
section_parallel() {
    PARALLEL_FAILED=0
    RUNS=5 in_turns one_parallel  # of 17 starts
    header "$AT_ONCE starts at once on $(nproc) CPUs"
    row "$AT_ONCE x run true (of 5)" ms "$(ms parallel.all)" most="$(times "$(ms parallel.one)" "$AT_ONCE")" why="$AT_ONCE x one ($(ms parallel.one))"
    row 'that failed' '' "$PARALLEL_FAILED"
    ((PARALLEL_FAILED == 0)) || echo "bench: $PARALLEL_FAILED of $((RUNS * AT_ONCE)) parallel starts failed: $(grep -h . "$T"/out-* | tail -1)" >&2
}
