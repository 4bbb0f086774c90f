# What the sections of `bench` share: times and rates taken in turns, rows with a target, and bare QEMUs to compare with.

KERNEL=${KERNEL:-$BUILD/guest/vmlinux}
[[ -e $KERNEL ]] || KERNEL=$BUILD/guest/vmlinux-debian
ACCEL=tcg
! grep -qwE 'vmx|svm' /proc/cpuinfo || [[ ! -w /dev/kvm ]] || ACCEL=kvm
RUNC=${RUNC:-$(command -v runc || echo /usr/sbin/runc)}
CRUN=${CRUN:-$(command -v crun || echo /usr/bin/crun)}

die() { echo "bench: $*" >&2; exit 1; }

# --- samples: of a time in µs, of a rate in whatever it is -------------------------------------------------------------------
declare -A samples
sample() { samples[$1]+="$2 "; }
# timed NAME COMMAND...: adds its microseconds to samples[NAME].
timed() {
    local name=$1 begin end status=0
    shift
    begin=${EPOCHREALTIME/./}
    "$@" </dev/null >"$T/out" 2>"$T/err" || status=$?
    end=${EPOCHREALTIME/./}
    ((status == 0)) || die "$name: exit code $status: $(tail -1 "$T/err")"
    sample "$name" $((end - begin))
}
# median NAME [DIVISOR]: with one digit; empty where there are no samples. ms NAME: of a time.
median() {
    [[ -n ${samples[$1]:-} ]] || return 0
    tr ' ' '\n' <<<"${samples[$1]}" | grep . | sort -n | awk -v by="${2:-1}" '{v[NR] = $1} END {printf "%.1f", v[int((NR + 1) / 2)] / by}'
}
ms() { median "$1" 1000; }
times() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.1f", a * b}'; }

# in_turns FUNCTION: calls it RUNS times.
in_turns() {
    local i
    for ((i = 1; i <= RUNS; i++)); do
        "$1"
        [[ ! -t 2 ]] || printf '\r%s: %d of %d ' "$SECTION" "$i" "$RUNS" >&2
    done
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
}

# --- rows --------------------------------------------------------------------------------------------------------------------
# row NAME UNIT HUSK [bare=N] [runc=N] [crun=N] [most=N|least=N why=TEXT]: prints a line of the table and keeps it for bench.json.
# "of it" is what was got divided by the target, the other way round where more is better: up to 1.00 reaches it.
row() {
    local name=$1 unit=$2 husk=$3 bare='' runc='' crun='' most='' least='' why='' share='' target='' text=''
    (($# < 4)) || local "${@:4}"
    target=$most$least
    if [[ -n $target ]]; then
        share=$(awk -v got="$husk" -v most="$most" -v least="$least" \
            'BEGIN {if (most != "") printf "%.2f", got / most; else printf "%.2f", got ? least / got : 99}')
        text="${most:+at most }${least:+at least }$target${why:+ ($why)}"
    fi
    printf '%-34s %8s %-5s %8s %8s %8s  %5s %-6s %s\n' "$name" "$husk" "$unit" "${bare:--}" "${runc:--}" "${crun:--}" \
        "$share" "$(awk -v s="$share" 'BEGIN {if (s != "") print s <= 1 ? "ok" : "MISSED"}')" "$text"
    jq -n --arg section "$SECTION" --arg name "$name" --arg unit "$unit" --arg husk "$husk" --arg bare "$bare" --arg runc "$runc" \
        --arg crun "$crun" --arg most "$most" --arg least "$least" --arg why "$why" --arg share "$share" '
        {$section, $name, $unit, $husk, $bare, $runc, $crun, at_most: $most, at_least: $least, target: $why, of_target: $share}
        | with_entries(select(.value != "")) | map_values(if test("^[0-9.]+$") then tonumber else . end)
        | if has("of_target") then .reached = .of_target <= 1 else . end' >>"$T/rows"
}
header() {
    printf '\n%s\n%-34s %8s %-5s %8s %8s %8s  %5s %-6s %s\n' "$1" '' husk '' bare runc crun 'of it' '' target
}

# --- bare QEMU: the machine that husk makes (vm/qemu/command_line.cc), booted, with the devices that are asked for ------------------
# A CPU group of its own, as a container has: else, on a busy machine, all other work would share the time of the bare one.
GROUP=/sys/fs/cgroup/cpu
[[ -d $GROUP ]] || GROUP=/sys/fs/cgroup
# WHERE=inside: on the island.
in_group() {
    mkdir -p "$GROUP/bare$TAG"
    # shellcheck disable=SC2016 # for the inner shell
    ${WHERE:-} sh -c 'echo $$ >"$0" && exec "$@"' "$GROUP/bare$TAG/cgroup.procs" "$@"
}
on_host() { in_group timeout "$LIMIT" "$@"; }
# bare_qemu TYPE INITRD PARAMETERS [ARGUMENT...]. BY=in_docker: as a container of runc's (throughput.bash).
bare_qemu() {
    local type=$1 initrd=$2 parameters=$3 khz tcg=() cpu=host accel=kvm common=memory-backend=ram,dump-guest-core=off,graphics=off,usb=off
    shift 3
    local machine=(-machine "q35,sata=off,smbus=off,vmport=off,hpet=off,i8042=off,smm=off,$common" -bios qboot.rom)
    [[ $type == q35 ]] || machine=(-machine "microvm,acpi=on,rtc=on,x-option-roms=off,$common")
    if [[ $ACCEL == tcg ]]; then
        khz=$(awk '/^cpu MHz/ {printf "%d", $4 * 1000; exit}' /proc/cpuinfo)
        tcg=(mitigations=off no_timer_check noreplace-smp tsc=reliable "tsc_early_khz=$khz" "lpj=$((khz * 1000 / 250))")
        cpu=max,-erms accel=tcg,tb-size=64,thread=single
    fi
    "${BY:-on_host}" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot "${machine[@]}" \
        -accel "$accel" -cpu "$cpu" -smp 1 -m 512M -object memory-backend-memfd,id=ram,share=on,size=512M \
        -kernel "$KERNEL" -initrd "$initrd" -serial file:"$T/console" "$@" \
        -append "console=ttyS0 quiet reboot=t panic=-1 pcie_ports=compat rcupdate.rcu_expedited=1 dummy.numdummies=0 ${tcg[*]} $parameters" \
        </dev/null 2>"$T/qemu.log"
}
# bare_run COMMANDS [ARGUMENT...]: a line of sh as the only work of a bare VM; what it prints is in $T/console.
bare_run() {
    local commands=$1
    shift
    [[ -e $T/bare-run.cpio ]] || make_run_initrd
    bare_qemu q35 "$T/bare-run.cpio" "-- $(base64 -w 0 <<<"$commands")" "$@"
    grep -q BENCH-END "$T/console" || die "the bare VM failed: $(tail -1 "$T/qemu.log") $(tail -3 "$T/console")"
}
make_run_initrd() {
    mkdir -p "$T/bare-run"/{bin,proc,sys,dev,share}
    cp /bin/busybox "$BUILD/tools/throughput" "$T/bare-run/bin"
    cat >"$T/bare-run/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
echo "$1" | base64 -d >/commands
. /commands
echo BENCH-END
poweroff -f
END
    chmod +x "$T/bare-run/init"
    (cd "$T/bare-run" && find . -mindepth 1 | cpio --quiet -o -H newc) >"$T/bare-run.cpio"
}
